"""Text subtitles that a container cannot hold as they are, converted to those that it holds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text"})
_TEXT_CODEC = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
_USUAL_SECONDS = 2  # of a subtitle that does not say how long it stays


class SubtitleConverter:
    """Decodes subtitles and encodes their text.

    Args:
        stream: of the film.
        output: takes the new stream; its header must not be written yet.

    Attributes:
        codec: FFmpeg's name of the new codec.
        target: the new stream.
        lost: subtitles that could not be decoded.

    Raises:
        ValueError: the stream holds no text, or the container takes none.
    """

    def __init__(self, stream: Stream, output: OutputContainer) -> None:
        source: Any = stream.codec_context
        codec = _TEXT_CODEC.get(output.format.name)
        if codec is None or source is None or source.name not in _TEXT_SUBTITLES:
            raise ValueError(f"stream {stream.index}: expected subtitles of text, for a container that takes them")
        self.codec, self.lost = codec, 0
        target: Any = output.add_stream(codec)
        source.open(strict=False)
        target.codec_context.subtitle_header = source.subtitle_header
        target.codec_context.time_base = target.time_base = Fraction(1, 1000)
        self._source, self.target = source, target

    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Any]]:
        """The packets that are ready after a packet of the film, or after the last one (None); times are the film's."""
        if packet is None:
            return []
        try:
            subtitles = self._source.decode2(packet)
            if subtitles is None:
                return []
            text: Packet[Any] = self.target.codec_context.encode_subtitle(subtitles)
        except (av.FFmpegError, ValueError):
            self.lost += 1
            return []
        base = packet.time_base or Fraction(1, 1000)
        text.time_base = base
        text.pts = text.dts = packet.pts
        text.duration = packet.duration or round(Fraction(_USUAL_SECONDS) / base)
        return [text]
