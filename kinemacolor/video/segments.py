"""A film in segments, which are encoded and finished one by one, and the film that is joined from them.

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
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.types import Frame
from kinemacolor.video.codecs import CODECS, DEFAULT_CODEC
from kinemacolor.video.encoder import FrameCheck, SegmentEncoder, film_ticks
from kinemacolor.video.film_sink import FilmPart, FilmSink, output_error
from kinemacolor.video.image_names import ImageTarget
from kinemacolor.video.image_segments import ImageFolder, ImageSegment, read_image_folder
from kinemacolor.video.image_writer import ImageWriter
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding, check_destination, image_target
from kinemacolor.video.packets import RESTART_REMEDY, EncodedSegment, PacketFile, SegmentFormat, read_packets
from kinemacolor.video.reader import VideoReader, time_interval

_MAX_REORDERING = 64  # frames; H.264 and H.265 allow 16


class SegmentWriter:
    """One segment of a colored film. Used in a ``with`` block: leaving it without an exception finishes the segment
    and gives it its name; an exception removes what was written.

    Args:
        path: of the segment, in an existing folder: a file, or for images a folder. An older one is replaced.
        source: the film that is colored.
        encoding: of the whole film (see ``plan_output``).

    Raises:
        OutputError: the segment cannot be written.
    """

    def __init__(self, path: Path, source: VideoInfo, encoding: Encoding) -> None:
        self.path = Path(path)
        self._info, self._encoding = source, encoding
        self._check = FrameCheck(source, encoding.chroma_format)
        self._encoder: SegmentEncoder | None = None
        self._file: PacketFile | ImageFolder | None = None

    def __enter__(self) -> Self:
        try:
            if self._encoding.as_images:
                self._file = ImageFolder(self.path, self._info.orientation)
            else:
                self._encoder = SegmentEncoder(self._info, self._encoding)
                self._file = PacketFile(self.path, segment_format(self._info, self._encoding, self._encoder.extradata))
        except (av.FFmpegError, OSError) as error:
            raise output_error(self.path, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Writes the next frame; ``frame.chroma`` holds U and V in the encoding's ``chroma_format``.

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
            raise output_error(self.path, error) from error

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
                raise output_error(self.path, failure) from failure
            raise
        finally:
            self._encoder = self._file = None


def segment_format(info: VideoInfo, encoding: Encoding, extradata: bytes) -> SegmentFormat:
    """The format that every segment of a film must have."""
    return SegmentFormat(
        codec=encoding.codec,
        pixel_format=encoding.pixel_format,
        width=info.width,
        height=info.height,
        ticks=film_ticks(info),
        options=dict(encoding.options),
        extradata=_parameter_sets(encoding.codec, extradata),
    )


def _parameter_sets(codec: str, extradata: bytes) -> bytes:
    """The parameter sets alone: beside them x265 names its threads and the processor, which differ between machines."""
    nal_units = CODECS[codec].nal_units
    if nal_units is None:
        return extradata
    units = [unit.rstrip(b"\0") for unit in extradata.split(b"\0\0\1")[1:] if unit]
    kept = [unit for unit in units if nal_units.type_of(unit) not in nal_units.messages]
    return b"".join(b"\0\0\0\1" + unit for unit in kept)


def read_segment(path: str | Path) -> EncodedSegment | ImageSegment:
    """A finished segment; its frames stay on the disk, and their bytes are checked when they are read.

    Raises:
        InputError: there is none, or it is incomplete, damaged, of another version, or something else.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(path, "this segment is missing", f"color it again, or {RESTART_REMEDY}")
    return read_image_folder(path) if path.is_dir() else read_packets(path)


def segment_frames(path: str | Path) -> int:
    """Number of frames in a finished segment.

    Raises:
        InputError: there is none, or it is incomplete, damaged, of another version, or something else.
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
    progress: ProgressCallback | None = None,
) -> list[str]:
    """Joins the film from its finished segments: as ``VideoWriter`` writes it, but in independent segments.

    Memory does not grow with the film.

    Args:
        destination: see ``VideoWriter``, also for ``overwrite``, ``strict``, ``start`` and ``end``.
        source: the film that is colored; its sound, subtitles and tags are copied.
        segments: in order, each written by ``SegmentWriter`` with this source and encoding.
        encoding: of the whole film.
        progress: called before each segment with the number of segments joined and of all; what it raises ends the
            work, and nothing is left under the destination's name.

    Returns:
        Warnings about what could not be kept as it was, a line each.

    Raises:
        InputError: a segment is missing, incomplete, damaged, does not follow the one before, or has another format.
        OutputError: the destination cannot be written, or cannot hold the film.
        UsageError: the interval makes no sense.
    """
    destination = Path(destination)
    codec = DEFAULT_CODEC if encoding.as_images else encoding.codec
    check_destination(destination, source=source.info.path, codec=codec, overwrite=overwrite)
    _, stop = time_interval(start, end)
    if not segments:
        raise OutputError(destination, "no frame was written", "check the film and the interval")
    target = image_target(destination)
    try:
        if target is not None:
            _join_images(target, source.info, _reporting(segments, progress), overwrite)
            return list(encoding.warnings)
        timing = _read_timing(segments, segment_format(source.info, encoding, b""))
        begin = timing.first_times[0] * film_ticks(source.info) if start is not None or end is not None else None
        part = FilmPart.of(source.info, begin, stop)
        warnings = list(encoding.warnings)
        sink = FilmSink(destination, source.info, encoding, part, strict, warnings)
        try:
            expected = segment_format(source.info, encoding, _extradata(sink))
            times = decoding_times(_display_times(segments), timing.first_times, *_delay_and_step(sink, timing))
            _join_packets(sink, _reporting(segments, progress), expected, times, part.shift)
            sink.finish(overwrite)
        except BaseException:
            sink.abandon()
            raise
    except (av.FFmpegError, OSError) as error:
        raise output_error(destination, error) from error
    return warnings


def _extradata(sink: FilmSink) -> bytes:
    return bytes(sink.stream.codec_context.extradata or b"")


@dataclass(frozen=True, slots=True)
class _Timing:
    """What must be known of all segments before the first packet is written.

    Attributes:
        first_times: of the film's first frames, in ticks.
        reordering: places by which a frame is decoded after its place in display order, at most.
    """

    first_times: tuple[int, ...]
    reordering: int


def _read_timing(segments: Sequence[Path], expected: SegmentFormat) -> _Timing:
    """Reads the descriptions of all segments, holding one at a time."""
    first_times: list[int] = []
    reordering = 0
    last: int | None = None
    for path in segments:
        segment = _film_segment(path)
        if replace(segment.format, extradata=b"") != expected:
            raise InputError(path, "this segment was encoded with other settings", RESTART_REMEDY)
        times = segment.times
        if last is not None and times[0] <= last:
            raise InputError(path, "this segment does not follow the one before it in time", RESTART_REMEDY)
        last = times[-1]
        reordering = max(reordering, segment.reordering)
        if len(first_times) <= _MAX_REORDERING:
            first_times.extend(times[: _MAX_REORDERING + 1 - len(first_times)])
    return _Timing(tuple(first_times), reordering)


def _film_segment(path: Path) -> EncodedSegment:
    segment = read_segment(path)
    if not isinstance(segment, EncodedSegment):
        raise InputError(path, "is a segment of images, but the output is a film", RESTART_REMEDY)
    return segment


def _reporting(segments: Sequence[Path], progress: ProgressCallback | None) -> Iterator[Path]:
    for number, path in enumerate(segments):
        if progress:
            progress(number, len(segments))
        yield path
    if progress:
        progress(len(segments), len(segments))


def _delay_and_step(sink: FilmSink, timing: _Timing) -> tuple[int, int]:
    """Frames between decoding and display, and a frame's length in ticks."""
    # At least the delay that the encoder announces, even if less occurs: it gives the times of a film in one run.
    delay = max(timing.reordering, getattr(sink.stream.codec_context, "reorder_depth", 0) or 0)
    return delay, max(1, round(1 / (sink.stream.codec_context.framerate * sink.ticks)))


def _join_packets(
    sink: FilmSink,
    segments: Iterable[Path],
    expected: SegmentFormat,
    times: Iterator[tuple[int, int]],
    shift: Fraction,
) -> None:
    offset = round(shift / sink.ticks)
    for path in segments:
        segment = _film_segment(path)
        if segment.format.extradata != expected.extradata:
            problem = "the encoder's parameters in this segment are not those of the encoder installed here"
            raise InputError(path, problem, RESTART_REMEDY)
        for encoded, (display_time, decoding_time) in zip(segment.packets(), times, strict=False):
            sink.advance(display_time * sink.ticks)
            packet: Packet[Any] = Packet(encoded.data)
            packet.stream, packet.time_base = sink.stream, sink.ticks
            packet.pts, packet.dts = encoded.pts - offset, decoding_time - offset
            packet.duration, packet.is_keyframe = encoded.duration, encoded.keyframe
            sink.mux(packet)


def _display_times(segments: Sequence[Path]) -> Iterator[int]:
    for path in segments:
        yield from _film_segment(path).times


def decoding_times(
    times: Iterable[int], first_times: Sequence[int], delay: int, step: int
) -> Iterator[tuple[int, int]]:
    """For each place in decoding order, the time shown at that place of display order, and the decoding time.

    A frame may be needed ``delay`` frames before its place in display order, so it is decoded at the time of the frame
    shown that many places earlier; the first ``delay`` frames are decoded before the first is shown, at their own
    distances.

    Args:
        times: presentation times in display order, ascending.
        first_times: the first of them, ``delay`` + 1 or all.
        delay: frames between decoding and display, ≥ 0.
        step: a frame's length, for films of no more than ``delay`` frames.
    """
    lead = 0
    if delay:
        lead = first_times[min(delay, len(first_times) - 1)] - first_times[0]
        lead += max(0, delay + 1 - len(first_times)) * step
    recent: deque[int] = deque(maxlen=delay + 1)
    for place, time in enumerate(times):
        recent.append(time)
        yield time, time - lead if place < delay else recent[0]


def _join_images(target: ImageTarget, info: VideoInfo, segments: Iterable[Path], overwrite: bool) -> None:
    writer = ImageWriter(target, info)
    try:
        for path in segments:
            segment = read_segment(path)
            if not isinstance(segment, ImageSegment):
                raise InputError(path, "is a segment of a film, but the output is images", RESTART_REMEDY)
            for number, file in enumerate(segment.files()):
                segment.check(number)
                writer.adopt(file, segment.times[number])
        writer.finish(overwrite)
    except BaseException:
        writer.abandon()
        raise
