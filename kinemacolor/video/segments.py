"""A film in pieces: segments that are encoded and finished one by one, and the film that is joined from them.

A segment is encoded by itself, so that its bytes depend on its frames alone; packets are never encoded again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.packet import Packet

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Frame
from kinemacolor.video.encoder import FrameCheck, SegmentEncoder, film_ticks
from kinemacolor.video.film_sink import Cut, FilmSink, write_error
from kinemacolor.video.image_segments import ImageFolder, ImageSegment, read_image_folder
from kinemacolor.video.image_writer import ImageWriter
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import CodecName, Encoding, ImageTarget, check_destination, image_target
from kinemacolor.video.packets import RESTART, EncodedSegment, PacketFile, SegmentKind, read_packets
from kinemacolor.video.reader import VideoReader, interval

_SEI = {"h264": (6,), "h265": (39, 40)}  # NAL units in which an encoder writes of itself, and of its threads
_MOST_REORDERED = 64  # frames; H.264 and H.265 allow 16


class SegmentWriter:
    """One segment of a colored film. Used in a ``with`` block: leaving it without an exception finishes the segment
    and gives it its name; an exception removes what was written.

    Args:
        path: of the segment, in a folder that exists; a file, or for images a folder. What is there is replaced.
        source: the film that is colored.
        encoding: of the whole film (see ``plan_output``).

    Raises:
        OutputError: the segment cannot be written.
    """

    def __init__(self, path: Path, source: VideoInfo, encoding: Encoding) -> None:
        self.path = Path(path)
        self._info, self._encoding = source, encoding
        self._check = FrameCheck(source, encoding.chroma)
        self._encoder: SegmentEncoder | None = None
        self._file: PacketFile | ImageFolder | None = None

    def __enter__(self) -> Self:
        try:
            if self._encoding.codec == "png":
                self._file = ImageFolder(self.path)
            else:
                self._encoder = SegmentEncoder(self._info, self._encoding)
                self._file = PacketFile(self.path, segment_kind(self._info, self._encoding, self._encoder.extradata))
        except (av.FFmpegError, OSError) as error:
            raise write_error(self.path, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Writes the next frame; ``frame.chroma`` holds U and V in the encoding's ``chroma`` format.

        Raises:
            OutputError: the disk is full, or writing fails in another way.
            ValueError: the frame does not fit the film, has no U and V, or does not follow the last one in time.
        """
        self._check(frame)
        try:
            if isinstance(self._file, ImageFolder):
                self._file.write(frame)
            else:
                self._encode(frame)
        except (av.FFmpegError, OSError) as error:
            raise write_error(self.path, error) from error

    def _encode(self, frame: Frame | None) -> None:
        if self._encoder is None or not isinstance(self._file, PacketFile):
            raise ValueError("the segment is not open")
        for packet in self._encoder.encode(frame):
            self._file.add(packet)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        if kind is not None or self._check.last is None:
            self._file.abandon()
            if kind is None:
                raise OutputError(self.path, "no frame was written", "check the film and the interval")
            return
        try:
            if self._encoder is not None:
                self._encode(None)
            self._file.finish()
        except BaseException as failure:
            self._file.abandon()
            if isinstance(failure, av.FFmpegError | OSError):
                raise write_error(self.path, failure) from failure
            raise
        finally:
            self._encoder = self._file = None


def segment_kind(info: VideoInfo, encoding: Encoding, extradata: bytes) -> SegmentKind:
    """What every segment of a film must be."""
    return SegmentKind(
        codec=encoding.codec,
        pixel_format=encoding.pixel_format,
        width=info.width,
        height=info.height,
        ticks=film_ticks(info),
        options=dict(encoding.options),
        extradata=_parameters(encoding.codec, extradata),
    )


def _parameters(codec: str, extradata: bytes) -> bytes:
    """The parameter sets alone: beside them x265 tells its threads and the processor, which differ between machines."""
    if codec not in _SEI:
        return extradata
    units = [unit.rstrip(b"\0") for unit in extradata.split(b"\0\0\1")[1:] if unit]
    kept = [unit for unit in units if (unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63) not in _SEI[codec]]
    return b"".join(b"\0\0\0\1" + unit for unit in kept)


def read_segment(path: str | Path) -> EncodedSegment | ImageSegment:
    """A finished segment; its frames stay on the disk, and their bytes are checked when they are read.

    Raises:
        InputError: there is none, it is torn, of another version, or something else.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "this segment is missing", f"color it again, or {RESTART}")
    return read_image_folder(path) if path.is_dir() else read_packets(path)


def segment_frames(path: str | Path) -> int:
    """How many frames a finished segment holds.

    Raises:
        InputError: there is none, it is torn, of another version, or something else.
    """
    return read_segment(path).frames


def join_segments(
    destination: str | Path,
    source: VideoReader,
    segments: Sequence[Path],
    encoding: Encoding,
    *,
    overwrite: bool = False,
    strict: bool = False,
    start: float | None = None,
    end: float | None = None,
) -> list[str]:
    """The film from its finished segments: what ``VideoWriter`` would write, but that every segment starts anew.

    Memory does not grow with the film.

    Args:
        destination: as of ``VideoWriter``, as are ``overwrite``, ``strict``, ``start`` and ``end``.
        source: the film that is colored; its sound, subtitles and tags are copied.
        segments: in order, each written by ``SegmentWriter`` with this source and encoding.
        encoding: of the whole film.

    Returns:
        What could not be kept as it was, a line each.

    Raises:
        InputError: a segment is missing, torn, damaged, does not follow the one before, or was encoded in another way.
        OutputError: the destination cannot be written, or cannot hold the film.
        UsageError: the interval makes no sense.
    """
    destination = Path(destination)
    codec: CodecName = "h264" if encoding.codec == "png" else encoding.codec  # type: ignore[assignment]
    check_destination(destination, source=source.info.path, codec=codec, overwrite=overwrite)
    _, stop = interval(start, end)
    if not segments:
        raise OutputError(destination, "no frame was written", "check the film and the interval")
    target = image_target(destination)
    try:
        if target is not None:
            _join_images(target, segments, overwrite)
            return list(encoding.warnings)
        plan = _survey(segments, segment_kind(source.info, encoding, b""))
        begin = plan.opening[0] * film_ticks(source.info) if start is not None or end is not None else None
        cut = Cut.of(source.info, begin, stop)
        warnings = list(encoding.warnings)
        sink = FilmSink(destination, source.info, encoding, cut, strict, warnings)
        try:
            _join_packets(sink, segments, segment_kind(source.info, encoding, _extradata(sink)), plan, cut.shift)
            sink.finish(overwrite)
        except BaseException:
            sink.abandon()
            raise
    except (av.FFmpegError, OSError) as error:
        raise write_error(destination, error) from error
    return warnings


def _extradata(sink: FilmSink) -> bytes:
    return bytes(sink.stream.codec_context.extradata or b"")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What must be known of all segments before the first packet: the film's first times, and its reordering."""

    opening: tuple[int, ...]
    reordering: int


def _survey(segments: Sequence[Path], kind: SegmentKind) -> _Plan:
    """Reads the descriptions of all segments, holding one at a time."""
    opening: list[int] = []
    reordering = 0
    last: int | None = None
    for path in segments:
        segment = _film_segment(path)
        if replace(segment.kind, extradata=b"") != kind:
            raise InputError(path, "this segment was encoded with other settings", RESTART)
        times = segment.times
        if last is not None and times[0] <= last:
            raise InputError(path, "this segment does not follow the one before it in time", RESTART)
        last = times[-1]
        reordering = max(reordering, segment.reordering)
        if len(opening) <= _MOST_REORDERED:
            opening.extend(times[: _MOST_REORDERED + 1 - len(opening)])
    return _Plan(tuple(opening), reordering)


def _film_segment(path: Path) -> EncodedSegment:
    segment = read_segment(path)
    if not isinstance(segment, EncodedSegment):
        raise InputError(path, "is a segment of images, and a film is to be made", RESTART)
    return segment


def _join_packets(sink: FilmSink, segments: Sequence[Path], kind: SegmentKind, plan: _Plan, shift: Fraction) -> None:
    # What the encoder would have announced, where it is more than occurs: x264 then gives the very same times.
    delay = max(plan.reordering, getattr(sink.stream.codec_context, "reorder_depth", 0) or 0)
    step = max(1, round(1 / (sink.stream.codec_context.framerate * sink.ticks)))
    move = round(shift / sink.ticks)
    times = decoding_times(_times(segments), plan.opening, delay, step)
    for path in segments:
        segment = _film_segment(path)
        if segment.kind.extradata != kind.extradata:
            problem = "the encoder's parameters in this segment are not those of this version of it"
            raise InputError(path, problem, RESTART)
        for coded, (shown, decoded) in zip(segment.packets(), times, strict=False):
            sink.advance(shown * sink.ticks)
            packet: Packet[Any] = Packet(coded.data)
            packet.stream, packet.time_base = sink.stream, sink.ticks
            packet.pts, packet.dts = coded.pts - move, decoded - move
            packet.duration, packet.is_keyframe = coded.duration, coded.keyframe
            sink.mux(packet)


def _times(segments: Sequence[Path]) -> Iterator[int]:
    for path in segments:
        yield from _film_segment(path).times


def decoding_times(times: Iterable[int], opening: Sequence[int], delay: int, step: int) -> Iterator[tuple[int, int]]:
    """For each place in decoding order, the time shown at that place of display order, and the decoding time.

    A frame is decoded ``delay`` frames before it can be due at the latest, so at the time of the frame shown that many
    places earlier; the first ``delay`` frames are decoded before the first is shown, at their own distances.

    Args:
        times: presentation times in display order, ascending.
        opening: the first of them, ``delay`` + 1 or all.
        delay: frames between decoding and display, ≥ 0.
        step: a frame's length, for films of no more than ``delay`` frames.
    """
    lead = 0
    if delay:
        lead = opening[min(delay, len(opening) - 1)] - opening[0] + max(0, delay + 1 - len(opening)) * step
    recent: deque[int] = deque(maxlen=delay + 1)
    for place, time in enumerate(times):
        recent.append(time)
        yield time, time - lead if place < delay else recent[0]


def _join_images(target: ImageTarget, segments: Sequence[Path], overwrite: bool) -> None:
    writer = ImageWriter(target)
    try:
        for path in segments:
            segment = read_segment(path)
            if not isinstance(segment, ImageSegment):
                raise InputError(path, "is a segment of a film, and images are to be made", RESTART)
            for number, file in enumerate(segment.files()):
                segment.check(number)
                writer.take(file)
        writer.finish(overwrite)
    except BaseException:
        writer.abandon()
        raise
