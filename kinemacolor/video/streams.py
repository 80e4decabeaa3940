"""Everything in a film beside its picture, copied packet by packet: sound, subtitles, attachments."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from kinemacolor.core.errors import OutputError
from kinemacolor.core.memory import check_memory
from kinemacolor.video.decode import ATTACHED_PICTURE
from kinemacolor.video.decoding_times import DecodingOrder, with_decoding_times
from kinemacolor.video.film_clock import ClockMender, film_clock
from kinemacolor.video.input_container import container_packets, open_container, parameters_known
from kinemacolor.video.languages import quicktime_language
from kinemacolor.video.muxing_trial import container_accepts, sample_packets
from kinemacolor.video.sound import SoundConverter
from kinemacolor.video.stream_converter import StreamConverter
from kinemacolor.video.subtitles import SubtitleConverter
from kinemacolor.video.tags import stream_tags

_CONVERTERS: dict[str, type[SoundConverter] | type[SubtitleConverter]] = {
    "audio": SoundConverter,
    "subtitle": SubtitleConverter,
}
_INTERLEAVING = 10  # seconds by which streams of one film may lie apart in the file
_LONGEST_SUBTITLE = 10  # seconds


class CopiedStreams:
    """Copies the streams beside the picture from the film to the output.

    Args:
        film: the film, opened a second time.
        picture: index of the stream that is colored.
        output: where packets go; its header must not be written yet.
        begin, stop: packets with times in [begin, stop) seconds are copied.
        shift: seconds that are subtracted from every time.
        strict: raise where a stream cannot be copied, instead of warning.

    Attributes:
        warnings: what could not be copied, a line each.

    Raises:
        OutputError: with ``strict``, the container cannot hold a stream.
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
        self._converters: dict[int, StreamConverter] = {}
        self._samples = sample_packets(Path(film.name), picture)
        self._order = DecodingOrder(output.format.name)
        self._untimed: Counter[int] = Counter()
        self._pending: Packet[Stream] | None = None
        for stream in film.streams:
            if stream.index == picture:
                stream.discard = av.stream.Discard.all
            else:
                self._add(stream, strict)
        self._packets = with_decoding_times(self._read()) if self._targets else iter(())

    def _add(self, stream: Stream, strict: bool) -> None:
        container = self._output.format.name
        target: Any = None
        if container == "matroska" and int(stream.disposition) & ATTACHED_PICTURE:
            if self._attach_cover(stream):
                return
        elif self._muxer_recreates(stream):
            stream.discard = av.stream.Discard.all
            return
        elif container_accepts(container, stream, self._samples):
            target = self._output.add_stream_from_template(stream, opaque=True)
        else:
            target = self._convert(stream, strict)
        if target is None:
            stream.discard = av.stream.Discard.all
            if not self._is_empty(stream):
                self._leave_out(stream, container, strict)
            return
        target.metadata.update(self._tags(stream))
        target.disposition = stream.disposition
        if stream.type == "attachment":
            return
        self._targets[stream.index] = target

    def _is_empty(self, stream: Stream) -> bool:
        """Whether a stream has nothing to keep: MPEG streams announce some that never come, DVDs their menus."""
        streams = film_clock(self._film).streams
        return (bool(streams) and stream.index not in streams) or _name(stream) == "dvd_nav_packet"

    def _leave_out(self, stream: Stream, container: str, strict: bool) -> None:
        label = f"{stream.type} stream {stream.index} ({_name(stream) or 'no codec'})"
        fits_mkv = container != "matroska" and container_accepts("matroska", stream, self._samples)
        if strict:
            remedy = "write an .mkv file, or leave out `strict`" if fits_mkv else "leave out `strict`"
            raise OutputError(f"{container} output", f"cannot hold {label}", remedy)
        remedy = "; an .mkv file keeps it" if fits_mkv else ""
        reason = f"which {container} cannot hold{remedy}"
        if not parameters_known(stream):
            reason = "as the film does not say early enough what it holds"
        self.warnings.append(f"{label} was left out, {reason}")

    def _tags(self, stream: Stream) -> dict[str, str]:
        """The tags of a copied stream, in the words of the output's container."""
        tags = stream_tags(stream.metadata, colored=False)
        if self._output.format.name == "mov" and "language" in tags:
            language = quicktime_language(tags["language"])
            if language is None:
                line = f"{stream.type} stream {stream.index}: its language ({tags['language']}) is left out"
                self.warnings.append(f"{line}, which mov cannot hold; an .mp4 or .mkv file keeps it")
            tags["language"] = language or "und"
        return tags

    def _muxer_recreates(self, stream: Stream) -> bool:
        """Whether a stream becomes chapters or a tag, from which the muxer makes it again: MP4 chapters, time code."""
        if stream.type != "data" or not self._film.format.name.startswith("mov"):
            return False
        return "timecode" in stream.metadata or (_name(stream) == "bin_data" and bool(self._film.chapters()))

    def _attach_cover(self, stream: Stream) -> bool:
        """Puts a cover picture into an MKV file, where covers are attachments."""
        image_type = {"png": "png", "mjpeg": "jpeg"}.get(_name(stream) or "")
        if image_type is None:
            return False
        with open_container(self._film.name) as film:
            packet = next((packet for packet in film.demux(film.streams[stream.index]) if packet.size), None)
        stream.discard = av.stream.Discard.all
        if packet is None:
            return False
        name = f"cover.{image_type.replace('jpeg', 'jpg')}"
        self._output.add_attachment(name, f"image/{image_type}", bytes(packet))
        return True

    def _convert(self, stream: Stream, strict: bool) -> Stream | None:
        """The new stream of one that can be converted; None where this one cannot."""
        kind = _CONVERTERS.get(stream.type)
        if kind is None or (strict and not kind.allowed_when_strict):
            return None
        try:
            converter = kind(stream, self._output)
        except (av.FFmpegError, ValueError) as error:
            check_memory(error)
            return None
        self.warnings.append(converter.conversion_warning(self._output.format.name))
        self._converters[stream.index] = converter
        target: Stream = converter.target
        return target

    def _read(self) -> Iterator[Packet[Stream]]:
        clock = film_clock(self._film)
        mender = ClockMender(clock)
        if self._begin is not None and self._begin > 0 and not clock.jumps:
            # Where seeking fails, reading starts at the beginning; packets before the part are skipped anyway.
            with contextlib.suppress(av.FFmpegError):
                early = _LONGEST_SUBTITLE if any(self._film.streams[i].type == "subtitle" for i in self._targets) else 0
                self._film.seek(int(max(Fraction(0), self._begin - early) * av.time_base))
        packets = container_packets(self._film)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                check_memory(error)
                self.warnings.append(f"sound and subtitles break off: {getattr(error, 'strerror', None) or error}")
                return
            if packet is None:
                return
            mender.mend(packet)
            time = _time(packet)
            if self._stop is not None and time is not None and time > self._stop + _INTERLEAVING:
                return
            if packet.size and packet.stream.index in self._targets and not packet.is_corrupt:
                yield packet

    def close(self) -> None:
        """Closes the film and adds warnings about packets that were left out."""
        for index, count in sorted(self._untimed.items()):
            self.warnings.append(f"{count} packets of stream {index} without a valid time were left out")
        losses = [converter.loss_warning() for _, converter in sorted(self._converters.items())]
        self.warnings.extend(line for line in losses if line is not None)
        self._untimed.clear()
        self._converters.clear()
        self._packets = iter(())
        self._film.close()

    def advance(self, until: Fraction | None) -> None:
        """Writes the packets up to a time of the film (seconds), or all that are left."""
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = packet
            if packet is None:
                if until is None:
                    self._finish_conversion()
                return
            time = _time(packet)
            if until is not None and time is not None and time > until:
                return
            self._pending = None
            before = self._begin is not None and time is not None and time < self._begin
            before = before and not self._still_shown(packet)
            after = self._stop is not None and time is not None and time >= self._stop
            if not before and not after:
                self._write(packet)

    def _still_shown(self, packet: Packet[Stream]) -> bool:
        """Whether a subtitle from before the part is still shown in it; it is then moved to the part's begin."""
        base, pts, duration = packet.time_base, packet.pts, packet.duration
        if packet.stream.type != "subtitle" or not base or pts is None or not duration or self._begin is None:
            return False
        begin = ceil(self._begin / base)
        if pts + duration <= begin:
            return False
        packet.pts, packet.dts, packet.duration = begin, begin, pts + duration - begin
        return True

    def write_samples(self) -> None:
        """Writes a packet of each stream, where the film has one early on: a rehearsal."""
        for index in sorted(self._targets):
            sample, converter = self._samples.get(index), self._converters.get(index)
            if sample is not None:
                sample.stream = self._film.streams[index]
                sample.dts = sample.pts if sample.dts is None else sample.dts
            samples = [] if sample is None else [sample]
            for packet in samples if converter is None else converter.rehearsal_packets(sample):
                self._mux(index, packet)

    def _finish_conversion(self) -> None:
        for index, converter in self._converters.items():
            for packet in converter.convert(None):
                self._mux(index, packet)

    def _write(self, packet: Packet[Stream]) -> None:
        index = packet.stream.index
        converter = self._converters.get(index)
        for new in [packet] if converter is None else converter.convert(packet):
            self._mux(index, new)

    def _mux(self, index: int, packet: Packet[Any]) -> None:
        """Writes a packet of stream ``index``, whose times are those of the film."""
        base = packet.time_base or Fraction(1, 1000)
        offset = round(self._shift / base)
        if packet.pts is not None:
            packet.pts -= offset
        packet.dts = packet.dts - offset if packet.dts is not None else packet.pts
        if packet.dts is None and int(self._film.streams[index].disposition) & ATTACHED_PICTURE:
            packet.pts = packet.dts = 0
        packet.stream = self._targets[index]
        if self._order.accept(packet):
            self._output.mux_one(packet)
        else:
            self._untimed[index] += 1


def _name(stream: Stream) -> str | None:
    if stream.codec_context is not None:
        return stream.codec_context.name
    name: str | None = getattr(stream, "name", None)
    return name


def _time(packet: Packet[Stream]) -> Fraction | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or packet.time_base is None else stamp * packet.time_base
