"""Text subtitles that a container cannot hold as they are, converted to those that it holds.

MP4 shows one subtitle at a time. Those that overlap are written as one for the time in which all of them are shown.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.subtitle import SubtitleSet

from kinemacolor.core.memory import check_memory
from kinemacolor.video.stream_converter import StreamConverter

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text"})
_TEXT_CODEC = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
_USUAL_SECONDS = 2  # of a subtitle that does not say how long it stays
_TEXT_FIELD = 8  # of an event of ASS, after order, layer, style, name, margins and effect
_NEW_LINE = rb"{\r}\N"  # back to the usual style before it


class SubtitleConverter(StreamConverter):
    """Decodes subtitles and encodes their text.

    Args:
        stream: of the film.
        output: takes the new stream; its header must not be written yet.

    Raises:
        ValueError: the stream holds no text, or the container takes none.
    """

    allowed_when_strict = True
    units = "texts of subtitle"

    def __init__(self, stream: Stream, output: OutputContainer) -> None:
        source: Any = stream.codec_context
        codec = _TEXT_CODEC.get(output.format.name)
        if codec is None or source is None or source.name not in _TEXT_SUBTITLES:
            raise ValueError(f"stream {stream.index}: expected subtitles of text, for a container that takes them")
        target: Any = output.add_stream(codec)
        source.open(strict=False)
        target.codec_context.subtitle_header = source.subtitle_header
        target.codec_context.time_base = target.time_base = Fraction(1, 1000)
        super().__init__(stream, codec, target)
        self._source = source
        self._shown: list[tuple[int, bytes]] = []  # end and event of ASS of each subtitle that is shown
        self._base = Fraction(1, 1000)
        self._time = 0  # from which on these are shown

    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Any]]:
        """See ``StreamConverter.convert``."""
        if packet is None:
            return self._pass_until(None)
        try:
            subtitles = self._source.decode2(packet)
        except (av.FFmpegError, ValueError) as error:
            check_memory(error)
            self.lost += 1
            return []
        if subtitles is None:
            return []
        base, begin = packet.time_base or Fraction(1, 1000), packet.pts or 0
        end = begin + (packet.duration or round(Fraction(_USUAL_SECONDS) / base))
        if self.codec != "mov_text":
            return self._encode(subtitles, begin, end, base)
        self._base = base
        packets = self._pass_until(begin)
        self._time = begin
        for event in (rect.ass for rect in subtitles.rects):
            same = [(until, other) for until, other in self._shown if _text(other) == _text(event)]
            self._shown = [entry for entry in self._shown if entry not in same]
            self._shown.append((max([end, *(until for until, _ in same)]), event))
        return packets

    def conversion_warning(self, container: str) -> str:
        """See ``StreamConverter.conversion_warning``."""
        return f"subtitle stream {self._index} was converted from {self._source_name} to {self.codec}"

    def _pass_until(self, stop: int | None) -> list[Packet[Any]]:
        """The packets of what is shown before a time, or of all that is left."""
        packets: list[Packet[Any]] = []
        while self._shown and (stop is None or self._time < stop):
            ends = [end for end, _ in self._shown]
            end = min(ends) if stop is None else min(*ends, stop)
            if end > self._time:
                first, *others = (event for _, event in self._shown)
                event = _NEW_LINE.join([first, *(_text(other) for other in others)])
                packets += self._encode(SubtitleSet.create(event, 0, end - self._time), self._time, end, self._base)
            self._time = max(end, self._time)
            self._shown = [entry for entry in self._shown if entry[0] > end]
        return packets

    def _encode(self, subtitles: SubtitleSet, begin: int, end: int, base: Fraction) -> list[Packet[Any]]:
        try:
            text: Packet[Any] = self.target.codec_context.encode_subtitle(subtitles)
        except (av.FFmpegError, ValueError) as error:
            check_memory(error)
            self.lost += 1
            return []
        text.time_base = base
        text.pts = text.dts = begin
        text.duration = end - begin
        return [text]


def _text(event: bytes) -> bytes:
    return event.split(b",", _TEXT_FIELD)[-1]
