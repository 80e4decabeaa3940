"""Writing the colored film: luma and times as they were decoded, everything beside the picture copied."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Frame
from kinemacolor.video.captions import CaptionInserter
from kinemacolor.video.codecs import DEFAULT_CODEC, ChromaFormat, ColorRange
from kinemacolor.video.encoder import FrameCheck, PictureConverter
from kinemacolor.video.film_sink import FilmPart, FilmSink, output_error
from kinemacolor.video.image_writer import ImageWriter
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding, check_destination, image_target, plan_encoding, plan_images
from kinemacolor.video.reader import VideoReader, time_interval


def plan_output(
    destination: str | Path,
    info: VideoInfo,
    *,
    chroma_format: ChromaFormat | None = None,
    codec: str = DEFAULT_CODEC,
    crf: int | None = None,
    color_range: ColorRange | None = None,
) -> Encoding:
    """The encoding of a film of ``info`` for a destination, as ``VideoWriter`` and ``SegmentWriter`` use it.

    Raises:
        OutputError: the codec cannot hold the film's size or the chosen chroma format.
        UsageError: there is no such codec, or it takes no such ``chroma_format``, ``crf`` or ``color_range``.
    """
    path = Path(destination)
    if image_target(path) is not None:
        return plan_images(info, color_range)
    return plan_encoding(path, info, codec, chroma_format, crf, color_range)


class VideoWriter:
    """Writes the colored film. It is used in a ``with`` block: leaving it without an exception finishes the film and
    gives it its name; an exception removes what was written and leaves an older file as it was.

    Luma is written as decoded, in the film's size and bit depth, or the nearest depth that the codec has (a warning
    says so). Frame times are kept exactly, except that MKV rounds all times to milliseconds (a warning says so). If the
    source is a transport stream, whose clock starts anywhere, all times move so that the film starts at 0; with
    ``start`` or ``end`` they move so that the first written frame is at 0.

    Args:
        destination: ``.mp4``, ``.mov`` or ``.mkv``; or a folder or ``frame_%06d.png`` for PNG images.
        source: the film that is colored; its sound, subtitles and tags are copied.
        chroma_format: subsampling of the output; None keeps that of the film (see ``output_chroma``).
        codec: name of a codec in ``CODECS``.
        crf: quality, lower is better; None for the codec's default.
        color_range: of the written codes; None for the film's, or limited where the codec's files cannot tell.
        overwrite: replace an existing file.
        strict: raise where a stream cannot be copied, instead of warning.
        start, end: the interval of the source that will be written, in seconds from its first frame.

    Attributes:
        warnings: what could not be kept as it was, a line each.
        chroma_format: subsampling that the frames given to ``write`` must have.

    Raises:
        OutputError: the destination cannot be written, or cannot hold the film.
        UsageError: an argument is out of range.
    """

    def __init__(
        self,
        destination: str | Path,
        source: VideoReader,
        *,
        chroma_format: ChromaFormat | None = None,
        codec: str = DEFAULT_CODEC,
        crf: int | None = None,
        color_range: ColorRange | None = None,
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
        self._begin, self._stop = time_interval(start, end)
        self._images = image_target(self.destination)
        self._encoding = plan_output(
            destination, self._info, chroma_format=chroma_format, codec=codec, crf=crf, color_range=color_range
        )
        self.chroma_format: ChromaFormat = self._encoding.chroma_format
        self.warnings: list[str] = list(self._encoding.warnings)
        self._check = FrameCheck(self._info, self.chroma_format)
        self._sink: _FrameSink | ImageWriter | None = None

    def __enter__(self) -> Self:
        try:
            if self._images is not None:
                self._sink = ImageWriter(self._images, self._info)
            elif not self._trimmed:
                self._sink = self._open_film(None)
        except (av.FFmpegError, OSError) as error:
            raise output_error(self.destination, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Writes the next frame; ``frame.chroma`` holds U and V in the writer's ``chroma_format``.

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
            raise output_error(self.destination, error) from error

    def _open_film(self, begin: Fraction | None) -> _FrameSink:
        """Opens the output; ``begin`` is the time of the first frame of a part, None for a whole film."""
        part = FilmPart.of(self._info, begin, self._stop)
        return _FrameSink(self.destination, self._info, self._encoding, part, self._strict, self.warnings)

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
            raise output_error(self.destination, failure) from failure
        except BaseException:
            self._sink.abandon()
            raise


class _FrameSink:
    """Encodes frames with the encoder of the film's own stream, and writes the packets."""

    def __init__(
        self, destination: Path, info: VideoInfo, encoding: Encoding, part: FilmPart, strict: bool, warnings: list[str]
    ) -> None:
        self._converter, self._shift = PictureConverter(info, encoding), part.shift
        self._captions = CaptionInserter(encoding.codec)
        self._film = FilmSink(destination, info, encoding, part, strict, warnings)

    def write(self, frame: Frame) -> None:
        self._film.advance(frame.time)
        picture = self._converter.picture(frame, self._shift)
        if picture.pts is not None:
            self._captions.add(picture.pts, frame.captions)
        self._mux(self._film.stream.encode(picture))

    def _mux(self, packets: list[Any]) -> None:
        reordering = round(10 / self._film.ticks)
        for packet in packets:
            # x265 leaves decoding times unset in films of one or two frames, where nothing is reordered.
            if packet.pts is not None and not packet.pts - reordering <= (packet.dts or 0) <= packet.pts:
                packet.dts = packet.pts
            self._film.mux(self._captions.insert(packet))

    def finish(self, overwrite: bool) -> None:
        self._mux(self._film.stream.encode(None))
        self._film.finish(overwrite)

    def abandon(self) -> None:
        self._film.abandon()
