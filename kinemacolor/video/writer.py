"""Writing the coloured film: luma as decoded, times as they were, everything beside the picture copied."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.filter
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from kinemacolor.errors import KinemacolorError, OutputError
from kinemacolor.frames import Frame
from kinemacolor.video.decode import open_film, video_stream
from kinemacolor.video.image_writer import ImageWriter
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import (
    CODECS,
    CONTAINERS,
    CodecName,
    Encoding,
    check_destination,
    image_target,
    plan_encoding,
    plan_images,
)
from kinemacolor.video.planes import ChromaFormat, at_depth, picture_from_planes
from kinemacolor.video.reader import VideoReader, interval
from kinemacolor.video.streams import ITUNES_TAGS, CopiedStreams, chapters_within, film_tags, stream_tags

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION
_RESTARTING_CLOCKS = ("mpegts", "mpeg")


class VideoWriter:
    """The coloured film. Used in a ``with`` block: leaving it without an exception finishes the film and gives it its
    name; an exception removes what was written and leaves what was there before.

    Luma is written as decoded, in the film's size and bit depth, or the nearest depth the codec has (a warning says
    so). Frame times are kept exactly, but that MKV rounds all times to milliseconds (a warning says so). Where the
    source is a transport stream, whose clock starts anywhere, all times move so that the film starts at 0; with
    ``start`` or ``end`` they move so that the first written frame is at 0.

    Args:
        destination: ``.mp4``, ``.mov`` or ``.mkv``; or a folder or ``frame_%06d.png`` for PNG images.
        source: the film that is coloured; its sound, subtitles and tags are copied.
        chroma: subsampling of the output; None keeps that of the film (see ``output_chroma``).
        codec: ``h264``, ``h265``, ``prores`` or ``ffv1`` (lossless).
        crf: quality of h264 (16 if None) and h265 (18), 0 to 51, lower is better.
        overwrite: replace what is there.
        strict: raise where a stream cannot be copied, instead of warning.
        start, end: the interval of the source that will be written, in seconds from its first frame.

    Attributes:
        warnings: what could not be kept as it was, a line each.
        chroma: subsampling the frames given to ``write`` must have.

    Raises:
        OutputError: the destination cannot be written, or cannot hold the film.
        UsageError: an argument makes no sense.
    """

    def __init__(
        self,
        destination: str | Path,
        source: VideoReader,
        *,
        chroma: ChromaFormat | None = None,
        codec: CodecName = "h264",
        crf: int | None = None,
        overwrite: bool = False,
        strict: bool = False,
        start: float | None = None,
        end: float | None = None,
    ) -> None:
        self.destination = Path(destination)
        self._info = source.info
        self._overwrite, self._strict = overwrite, strict
        check_destination(destination, source=self._info.path, codec=codec, overwrite=overwrite)
        self._trimmed = start is not None or end is not None
        self._begin, self._stop = interval(start, end)
        self._images = image_target(self.destination)
        if self._images is not None:
            self._encoding = plan_images(self._info)
        else:
            self._encoding = plan_encoding(self.destination, self._info, codec, chroma, crf)
        self.chroma: ChromaFormat = self._encoding.chroma
        self.warnings: list[str] = list(self._encoding.warnings)
        self._sink: _FilmSink | ImageWriter | None = None
        self._last: Fraction | None = None

    def __enter__(self) -> Self:
        try:
            if self._images is not None:
                self._sink = ImageWriter(self._images)
            elif not self._trimmed:
                self._sink = self._open_film(None)
        except (av.FFmpegError, OSError) as error:
            raise write_error(self.destination, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Writes the next frame; ``frame.chroma`` holds U and V in the writer's ``chroma`` format.

        Raises:
            OutputError: the disk is full, or writing fails in another way.
            ValueError: the frame does not fit the film, has no U and V, or does not follow the last one in time.
        """
        self._check(frame)
        try:
            if self._sink is None:
                self._sink = self._open_film(frame.time)
            self._sink.write(frame)
        except (av.FFmpegError, OSError) as error:
            raise write_error(self.destination, error) from error

    def _check(self, frame: Frame) -> None:
        height, width = self._info.height, self._info.width
        if frame.luma.shape != (height, width) or frame.coding != self._info.coding:
            raise ValueError(f"frame {frame.index}: expected {width}x{height} in {self._info.coding}")
        step_y, step_x = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[self.chroma]
        shape = (-(-height // step_y), -(-width // step_x))
        if frame.chroma is None or frame.chroma[0].shape != shape:
            got = None if frame.chroma is None else frame.chroma[0].shape
            raise ValueError(f"frame {frame.index}: expected U and V of {shape} ({self.chroma}), got {got}")
        if self._last is not None and frame.time <= self._last:
            raise ValueError(f"frame {frame.index}: expected a time after {self._last} s, got {frame.time} s")
        self._last = frame.time

    def _open_film(self, begin: Fraction | None) -> _FilmSink:
        """Opens the output; for a part of a film at its first frame, whose time ``begin`` tells how far all moves."""
        info = self._info
        stop = None if self._stop is None else info.first_time + self._stop
        shift = begin if begin is not None else Fraction(0)
        if begin is None and info.container in _RESTARTING_CLOCKS:
            shift = _film_start(info)
        return _FilmSink(self.destination, info, self._encoding, (begin, stop, shift), self._strict, self.warnings)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._last is None:
            if self._sink is not None:
                self._sink.abandon()
            if kind is None:
                raise OutputError(self.destination, "no frame was written", "check the film and the interval")
            return
        if self._sink is None:
            return
        try:
            self._sink.finish(self._overwrite)
        except (av.FFmpegError, OSError) as failure:
            self._sink.abandon()
            raise write_error(self.destination, failure) from failure
        except BaseException:
            self._sink.abandon()
            raise


class _FilmSink:
    """An encoder, a container, and the copied streams, on a partial file beside the destination."""

    def __init__(
        self,
        destination: Path,
        info: VideoInfo,
        encoding: Encoding,
        cut: tuple[Fraction | None, Fraction | None, Fraction],
        strict: bool,
        warnings: list[str],
    ) -> None:
        self._destination = destination.absolute()
        suffix = destination.suffix
        self._partial = self._destination.parent / f".{destination.stem}.partial-{os.getpid()}{suffix}"
        self._info, self._encoding = info, encoding
        self._begin, self._stop, self._shift = cut
        self._warnings = warnings
        self._container: OutputContainer | None = None
        self._copied: CopiedStreams | None = None
        try:
            self._open(CONTAINERS[suffix.lower()], strict)
        except BaseException:
            self.abandon()
            raise

    def _open(self, name: str, strict: bool) -> None:
        info = self._info
        self._ticks = 1 / Fraction(info.time_base.denominator)
        if name == "matroska" and 1000 % info.time_base.denominator:
            self._warnings.append("MKV stores times in milliseconds: frame times are rounded by up to 0.5 ms")
        options = {} if name == "matroska" else self._mov_options()
        container = av.open(str(self._partial), "w", format=name, container_options=options)
        self._container = container
        container.metadata.update(film_tags(info.metadata))
        self._stream = self._add_picture(container, name)
        if info.container != "image2":
            film = open_film(info.path)
            picture = video_stream(info.path, film)
            self._stream.disposition = picture.disposition
            self._copied = CopiedStreams(
                film, picture.index, container, begin=self._begin, stop=self._stop, shift=self._shift, strict=strict
            )
            self._warnings.extend(self._copied.warnings)
            self._copied.warnings = self._warnings
        begin = self._begin if self._begin is not None else Fraction(0)
        container.set_chapters(chapters_within(info, begin, self._stop, self._shift))
        container.start_encoding()

    def _mov_options(self) -> dict[str, str]:
        """So that MP4 keeps the film's unit of time and tags of any name."""
        ticks = self._info.time_base.denominator
        movie = math.lcm(ticks, 1000)
        options = {"video_track_timescale": str(ticks), "movie_timescale": str(movie if movie <= 1_000_000 else ticks)}
        if any(key.lower().split("-")[0] not in ITUNES_TAGS for key in film_tags(self._info.metadata)):
            options["movflags"] = "+use_metadata_tags"
        return options

    def _add_picture(self, container: OutputContainer, name: str) -> VideoStream:
        info, encoding = self._info, self._encoding
        plan = CODECS[encoding.codec]  # type: ignore[index]
        stream: Any = container.add_stream(plan.encoder, rate=info.rate, options=dict(encoding.options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = info.width, info.height, encoding.pixel_format
        context.time_base = stream.time_base = self._ticks
        context.sample_aspect_ratio = info.sample_aspect_ratio
        tags = info.tags.for_output(info.coding)
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
        context.flags |= _FRAME_DURATION
        context.thread_count = 0
        if encoding.codec == "h265" and name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # the tag Apple's players want
        if info.display_matrix is not None and info.rotation:
            if hasattr(stream, "set_display_matrix"):
                stream.set_display_matrix(info.display_matrix)
            else:
                self._warnings.append("the film's rotation is lost: it needs PyAV 18 or newer")
        self._shape = None
        if info.sample_aspect_ratio != 1 and encoding.codec == "ffv1":
            self._shape = self._shape_filter()
            self._warnings.append("FFV1 in MKV keeps the pixel shape in its frames alone; some programs do not see it")
        stream.metadata.update(stream_tags(info.video_metadata, coloured=True))
        video: VideoStream = stream
        return video

    def _shape_filter(self) -> av.filter.Graph:
        """Puts the pixel shape on frames, where the FFV1 encoder takes it from; PyAV sets it on no MKV track."""
        info, shape = self._info, self._info.sample_aspect_ratio
        pixels = av.VideoFormat(self._encoding.pixel_format, info.width, info.height)
        graph = av.filter.Graph()
        source = graph.add_buffer(width=info.width, height=info.height, format=pixels, time_base=self._ticks)
        steps = graph.add("setsar", f"{shape.numerator}/{shape.denominator}"), graph.add("buffersink")
        source.link_to(steps[0])
        steps[0].link_to(steps[1])
        graph.configure()
        return graph

    def write(self, frame: Frame) -> None:
        if self._container is None or frame.chroma is None:
            raise ValueError("the writer is closed, or the frame has no U and V")
        if self._copied is not None:
            self._copied.advance(frame.time)
        depth, coding = self._encoding.bit_depth, frame.coding
        u, v = frame.chroma
        planes = (
            at_depth(frame.luma, coding, depth, chroma=False),
            at_depth(u, coding, depth, chroma=True),
            at_depth(v, coding, depth, chroma=True),
        )
        picture = picture_from_planes(planes, self._encoding.pixel_format)
        picture.pts = round((frame.time - self._shift) / self._ticks)
        picture.time_base = self._ticks
        picture.duration = round(frame.duration * frame.time_base / self._ticks)
        tags = self._info.tags.for_output(coding)
        picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer
        picture.colorspace, picture.color_range = tags.matrix, tags.range
        shaped: Any = picture
        if self._shape is not None:
            self._shape.push(picture)
            shaped = self._shape.pull()
        self._mux(self._stream.encode(shaped))

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        reordering = round(10 / self._ticks)
        for packet in packets:
            # x265 leaves decoding times unset in films of one or two frames, where nothing is reordered.
            if packet.pts is not None and not packet.pts - reordering <= (packet.dts or 0) <= packet.pts:
                packet.dts = packet.pts
            if self._container is not None:
                self._container.mux_one(packet)

    def finish(self, overwrite: bool) -> None:
        if self._container is None:
            return
        self._mux(self._stream.encode(None))
        if self._copied is not None:
            self._copied.advance(None)
            self._copied.close()
        self._container.close()
        self._container = None
        if not overwrite and self._destination.exists():
            raise OutputError(self._destination, "exists by now", "give another name, or --overwrite")
        os.replace(self._partial, self._destination)

    def abandon(self) -> None:
        """Removes the partial file."""
        container, self._container = self._container, None
        if self._copied is not None:
            self._copied.close()
        if container is not None:
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                container.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()


def _film_start(info: VideoInfo) -> Fraction:
    """Seconds at which the earliest stream of a film starts."""
    with open_film(info.path) as film:
        return info.first_time if film.start_time is None else Fraction(film.start_time, av.time_base)


def write_error(destination: Path, error: Exception) -> KinemacolorError:
    """What the user is told when writing fails."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(destination, "the disk is full", "make room, or write to another disk")
    if number == errno.EFBIG:
        return OutputError(destination, "the file grows larger than this disk or user may keep", "use another disk")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(destination, "writing there is not permitted", "choose another place")
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OutputError(destination, f"writing fails ({reason})", "try another place, container or codec")
