"""Writing the colored film: luma as decoded, times as they were, everything beside the picture copied."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Frame
from kinemacolor.video.encoder import FrameCheck, Pictures
from kinemacolor.video.film_sink import Cut, FilmSink, write_error
from kinemacolor.video.image_writer import ImageWriter
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import (
    CodecName,
    Encoding,
    check_destination,
    image_target,
    plan_encoding,
    plan_images,
)
from kinemacolor.video.planes import ChromaFormat
from kinemacolor.video.reader import VideoReader, interval


def plan_output(
    destination: str | Path,
    info: VideoInfo,
    *,
    chroma: ChromaFormat | None = None,
    codec: CodecName = "h264",
    crf: int | None = None,
) -> Encoding:
    """How a film of ``info`` is encoded for a destination: that of ``VideoWriter``, ``SegmentWriter`` and
    ``join_segments``. Its ``chroma`` is what frames must have; its ``warnings`` are for the user.

    Raises:
        OutputError: the codec cannot hold the film's size or the chosen chroma.
        UsageError: ``chroma`` or ``crf`` make no sense.
    """
    path = Path(destination)
    if image_target(path) is not None:
        return plan_images(info)
    return plan_encoding(path, info, codec, chroma, crf)


class VideoWriter:
    """The colored film. Used in a ``with`` block: leaving it without an exception finishes the film and gives it its
    name; an exception removes what was written and leaves what was there before.

    Luma is written as decoded, in the film's size and bit depth, or the nearest depth the codec has (a warning says
    so). Frame times are kept exactly, but that MKV rounds all times to milliseconds (a warning says so). Where the
    source is a transport stream, whose clock starts anywhere, all times move so that the film starts at 0; with
    ``start`` or ``end`` they move so that the first written frame is at 0.

    Args:
        destination: ``.mp4``, ``.mov`` or ``.mkv``; or a folder or ``frame_%06d.png`` for PNG images.
        source: the film that is colored; its sound, subtitles and tags are copied.
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
        self._encoding = plan_output(destination, self._info, chroma=chroma, codec=codec, crf=crf)
        self.chroma: ChromaFormat = self._encoding.chroma
        self.warnings: list[str] = list(self._encoding.warnings)
        self._check = FrameCheck(self._info, self.chroma)
        self._sink: _FilmSink | ImageWriter | None = None

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

    def _open_film(self, begin: Fraction | None) -> _FilmSink:
        """Opens the output; for a part of a film at its first frame, whose time ``begin`` tells how far all moves."""
        cut = Cut.of(self._info, begin, self._stop)
        return _FilmSink(self.destination, self._info, self._encoding, cut, self._strict, self.warnings)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._check.last is None:
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
    """Frames into a film: the encoder of its own stream, and the film."""

    def __init__(
        self, destination: Path, info: VideoInfo, encoding: Encoding, cut: Cut, strict: bool, warnings: list[str]
    ) -> None:
        self._pictures, self._shift = Pictures(info, encoding), cut.shift
        self._film = FilmSink(destination, info, encoding, cut, strict, warnings)

    def write(self, frame: Frame) -> None:
        self._film.advance(frame.time)
        self._mux(self._film.stream.encode(self._pictures.picture(frame, self._shift)))

    def _mux(self, packets: list[Any]) -> None:
        reordering = round(10 / self._film.ticks)
        for packet in packets:
            # x265 leaves decoding times unset in films of one or two frames, where nothing is reordered.
            if packet.pts is not None and not packet.pts - reordering <= (packet.dts or 0) <= packet.pts:
                packet.dts = packet.pts
            self._film.mux(packet)

    def finish(self, overwrite: bool) -> None:
        self._mux(self._film.stream.encode(None))
        self._film.finish(overwrite)

    def abandon(self) -> None:
        self._film.abandon()
