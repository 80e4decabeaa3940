"""Everything of a film but its picture, copied packet by packet: sound, subtitles, attachments, chapters, tags."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from kinemacolor.core.errors import OutputError
from kinemacolor.video.decode import ATTACHED_PICTURE
from kinemacolor.video.info import VideoInfo

_TEXT_SUBTITLES = frozenset({"subrip", "srt", "mov_text", "webvtt", "ass", "ssa", "text"})
_TEXT_FOR = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
_INTERLEAVING = 10  # seconds that streams of one film may lie apart in the file
_OF_THE_CONTAINER = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "software", "duration"})
_OF_THE_STREAM = frozenset({"encoder", "duration", "bps", "number_of_frames", "number_of_bytes", "vendor_id"})
ITUNES_TAGS = frozenset(
    {
        "title",
        "artist",
        "album_artist",
        "composer",
        "album",
        "date",
        "comment",
        "genre",
        "copyright",
        "grouping",
        "lyrics",
        "description",
        "synopsis",
        "show",
        "episode_id",
        "network",
        "keywords",
        "author",
        "timecode",
        "creation_time",
        "episode_sort",
        "season_number",
        "media_type",
        "hd_video",
        "gapless_playback",
        "compilation",
        "track",
        "disc",
    }
)
"""Tags an MP4 file keeps in the form that players read."""


def film_tags(tags: dict[str, str]) -> dict[str, str]:
    """A film's tags without those that describe the file they stood in."""
    return {key: value for key, value in tags.items() if key.lower() not in _OF_THE_CONTAINER}


def stream_tags(tags: dict[str, str], *, colored: bool) -> dict[str, str]:
    """A stream's tags; of the colored stream without those that described the old encoding."""
    if not colored:
        return dict(tags)
    return {
        key: value
        for key, value in tags.items()
        if key.lower().split("-")[0] not in _OF_THE_STREAM and not key.upper().startswith("_STATISTICS")
    }


def chapters_within(info: VideoInfo, begin: Fraction, stop: Fraction | None, shift: Fraction) -> list[Any]:
    """The chapters that touch [begin, stop) seconds, cut to it and moved by −shift seconds."""
    kept: list[Any] = []
    for chapter in info.chapters:
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = chapter["start"] * base, chapter["end"] * base
        if end <= begin or (stop is not None and start >= stop):
            continue
        start, end = max(start, begin) - shift, (end if stop is None else min(end, stop)) - shift
        kept.append({**chapter, "start": round(start / base), "end": round(end / base)})
    return kept


class CopiedStreams:
    """The streams beside the picture, on their way from the film to the output.

    Args:
        film: the film, opened a second time.
        picture: index of the stream that is colored.
        output: where packets go; its header must not be written yet.
        begin, stop: packets with times in [begin, stop) seconds are taken.
        shift: seconds taken from every time.
        strict: raise where a stream cannot be copied, instead of warning.

    Raises:
        OutputError: ``strict``, and the container cannot hold a stream.
    """

    def __init__(
        self,
        film: InputContainer,
        picture: int,
        output: OutputContainer,
        *,
        begin: Fraction | None,
        stop: Fraction | None,
        shift: Fraction,
        strict: bool,
    ) -> None:
        self.warnings: list[str] = []
        self._film, self._output = film, output
        self._begin, self._stop, self._shift = begin, stop, shift
        self._targets: dict[int, Stream] = {}
        self._texts: dict[int, Any] = {}
        self._last: dict[int, int] = {}
        self._untimed: Counter[int] = Counter()
        self._pending: Packet[Stream] | None = None
        for stream in film.streams:
            if stream.index == picture:
                stream.discard = av.stream.Discard.all
            else:
                self._add(stream, strict)
        self._packets = self._read() if self._targets else iter(())

    def _add(self, stream: Stream, strict: bool) -> None:
        container = self._output.format.name
        target: Any = None
        if container == "matroska" and int(stream.disposition) & ATTACHED_PICTURE:
            if self._attach_cover(stream):
                return
        elif container_takes(container, stream):
            target = self._output.add_stream_from_template(stream, opaque=True)
        elif _name(stream) in _TEXT_SUBTITLES and container in _TEXT_FOR:
            target = self._add_text(stream, _TEXT_FOR[container])
        elif self._made_anew(stream):
            stream.discard = av.stream.Discard.all
            return
        if target is None:
            what = f"{stream.type} stream {stream.index} ({_name(stream) or 'no codec'})"
            other = container != "matroska" and container_takes("matroska", stream)
            if strict:
                remedy = "write an .mkv file, or leave out --strict" if other else "leave out --strict"
                raise OutputError(f"{container} output", f"cannot hold {what}", remedy)
            remedy = "; an .mkv file keeps it" if other else ""
            self.warnings.append(f"{what} was left out, which {container} cannot hold{remedy}")
            stream.discard = av.stream.Discard.all
            return
        target.metadata.update(stream_tags(stream.metadata, colored=False))
        target.disposition = stream.disposition
        if stream.type == "attachment":
            return
        self._targets[stream.index] = target

    def _made_anew(self, stream: Stream) -> bool:
        """Whether the muxer makes such a track of its own: MP4 chapters as text, time code from the picture's tag."""
        if stream.type != "data" or not self._film.format.name.startswith("mov"):
            return False
        chapters = _name(stream) == "bin_data" and bool(self._film.chapters())
        return self._output.format.name in ("mp4", "mov") and (chapters or "timecode" in stream.metadata)

    def _attach_cover(self, stream: Stream) -> bool:
        """Puts a cover picture into an MKV file, where covers are attachments."""
        kind = {"png": "png", "mjpeg": "jpeg"}.get(_name(stream) or "")
        if kind is None:
            return False
        with av.open(self._film.name, "r", metadata_errors="replace") as film:
            packet = next((packet for packet in film.demux(film.streams[stream.index]) if packet.size), None)
        stream.discard = av.stream.Discard.all
        if packet is None:
            return False
        self._output.add_attachment(f"cover.{kind.replace('jpeg', 'jpg')}", f"image/{kind}", bytes(packet))
        return True

    def _add_text(self, stream: Stream, codec: str) -> Stream | None:
        try:
            target = self._output.add_stream(codec)
            source: Any = stream.codec_context
            source.open(strict=False)
            context: Any = target.codec_context
            context.subtitle_header = source.subtitle_header
            context.time_base = Fraction(1, 1000)
            target.time_base = Fraction(1, 1000)
        except (av.FFmpegError, ValueError):
            return None
        self._texts[stream.index] = (source, context)
        self.warnings.append(f"subtitle stream {stream.index} was converted from {_name(stream)} to {codec}")
        return target

    def _read(self) -> Iterator[Packet[Stream]]:
        if self._begin is not None and self._begin > 0:
            with contextlib.suppress(av.FFmpegError):  # then from the start: what lies before is skipped anyway
                self._film.seek(int(self._begin * av.time_base))
        packets = self._film.demux()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.warnings.append(f"sound and subtitles break off: {getattr(error, 'strerror', None) or error}")
                return
            if packet is None:
                return
            time = _time(packet)
            if self._stop is not None and time is not None and time > self._stop + _INTERLEAVING:
                return
            if packet.size and packet.stream.index in self._targets and not packet.is_corrupt:
                yield packet

    def close(self) -> None:
        """Closes the film and adds up what was left out."""
        for index, count in sorted(self._untimed.items()):
            self.warnings.append(f"{count} packets of stream {index} without a valid time were left out")
        self._untimed.clear()
        self._packets = iter(())
        self._film.close()

    def advance(self, until: Fraction | None) -> None:
        """Writes the packets up to a time of the film (seconds), or all that are left."""
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = packet
            if packet is None:
                return
            time = _time(packet)
            if until is not None and time is not None and time > until:
                return
            self._pending = None
            before = self._begin is not None and time is not None and time < self._begin
            after = self._stop is not None and time is not None and time >= self._stop
            if not before and not after:
                self._write(packet)

    def _write(self, packet: Packet[Stream]) -> None:
        index = packet.stream.index
        target = self._targets[index]
        if index in self._texts:
            text = self._as_text(packet, *self._texts[index])
            if text is None:
                return
            packet = text
        base = packet.time_base or Fraction(1, 1000)
        move = round(self._shift / base)
        if packet.pts is not None:
            packet.pts -= move
        packet.dts = packet.dts - move if packet.dts is not None else packet.pts
        if packet.dts is None and int(packet.stream.disposition) & ATTACHED_PICTURE:
            packet.pts = packet.dts = 0
        if packet.dts is None or packet.dts < self._last.get(index, packet.dts):
            self._untimed[index] += 1
            return
        self._last[index] = packet.dts
        packet.stream = target
        self._output.mux_one(packet)

    def _as_text(self, packet: Packet[Stream], source: Any, context: Any) -> Packet[Stream] | None:
        try:
            subtitles = source.decode2(packet)
            if subtitles is None:
                return None
            text: Packet[Stream] = context.encode_subtitle(subtitles)
        except (av.FFmpegError, ValueError):
            self.warnings.append("a subtitle that cannot be read was left out")
            return None
        base = packet.time_base or Fraction(1, 1000)
        text.time_base = base
        text.pts = text.dts = packet.pts
        text.duration = packet.duration or round(Fraction(2) / base)
        return text


def container_takes(container: str, stream: Stream) -> bool:
    """Whether a container can hold a copy of a stream; found by writing a header into memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.FFmpegError, ValueError, RuntimeError, OSError):
        return False
    return True


def _name(stream: Stream) -> str | None:
    if stream.codec_context is not None:
        return stream.codec_context.name
    name: str | None = getattr(stream, "name", None)
    return name


def _time(packet: Packet[Stream]) -> Fraction | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or packet.time_base is None else stamp * packet.time_base
