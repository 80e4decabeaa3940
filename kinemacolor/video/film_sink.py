"""The film being written: a container that takes encoded pictures and copies everything beside them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from kinemacolor.core.errors import OutputError
from kinemacolor.core.memory import OutOfMemoryError, is_allocation_failure, memory_is_short
from kinemacolor.core.orientation import AS_STORED
from kinemacolor.video.captions import caption_warning
from kinemacolor.video.codecs import CODECS, CONTAINERS
from kinemacolor.video.decode import open_film, video_stream
from kinemacolor.video.encoder import aspect_in_frames, film_ticks, set_encoder
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding
from kinemacolor.video.streams import CopiedStreams
from kinemacolor.video.tags import ITUNES_TAGS, chapters_within, film_tags, stream_tags
from kinemacolor.video.timecode import shift_timecode, timecode_tags

_CLOCKS_FROM_ANYWHERE = ("mpegts", "mpeg")


@dataclass(frozen=True, slots=True)
class FilmPart:
    """The part of a film that is written, in seconds of its own clock.

    Attributes:
        begin: where it starts; None for the film's start.
        stop: where it ends, not included; None for the film's end.
        shift: seconds that are subtracted from every time.
    """

    begin: Fraction | None
    stop: Fraction | None
    shift: Fraction

    @classmethod
    def of(cls, info: VideoInfo, begin: Fraction | None, stop: Fraction | None) -> FilmPart:
        """The part between two times, which moves to 0; so does a transport stream, whose clock starts anywhere.

        Args:
            info: of the film.
            begin: time of the first frame on the film's clock; None for the whole film.
            stop: seconds from the film's first frame to its end; None for the film's end.
        """
        shift = begin if begin is not None else Fraction(0)
        if begin is None and info.container in _CLOCKS_FROM_ANYWHERE:
            shift = _film_start(info)
        return cls(begin, None if stop is None else info.first_time + stop, shift)


class FilmSink:
    """A container and the copied streams, on a partial file beside the destination; it takes packets of the picture.

    The encoder of ``stream`` is open and set as ``encoding`` says, whether or not it is the one that makes the packets:
    it gives the container its parameters.

    Attributes:
        stream: the picture.
        ticks: seconds in a unit of time of its packets.
    """

    def __init__(
        self, destination: Path, info: VideoInfo, encoding: Encoding, part: FilmPart, strict: bool, warnings: list[str]
    ) -> None:
        self._destination = destination.absolute()
        suffix = destination.suffix
        self._partial = self._destination.parent / f".{destination.stem}.partial-{os.getpid()}{suffix}"
        self._info, self._encoding = info, encoding
        self._part, self._warnings = part, warnings
        self._container: OutputContainer | None = None
        self._copied: CopiedStreams | None = None
        self.ticks = film_ticks(info)
        try:
            self._open(CONTAINERS[suffix.lower()], strict)
        except BaseException:
            self.abandon()
            raise

    def _open(self, container_name: str, strict: bool) -> None:
        info, part = self._info, self._part
        if container_name == "matroska" and 1000 % info.time_base.denominator:
            self._warnings.append("MKV stores times in milliseconds: frame times are rounded by up to 0.5 ms")
        options = {} if container_name == "matroska" else self._mov_options()
        container = av.open(str(self._partial), "w", format=container_name, container_options=options)
        self._container = container
        container.metadata.update(film_tags(self._with_timecode(info.metadata)))
        self.stream = self._add_picture(container, container_name)
        if info.container != "image2":
            film = open_film(info.path, thorough=True)
            picture = video_stream(info.path, film, info.stream)
            self.stream.disposition = picture.disposition
            self._copied = CopiedStreams(
                film, picture.index, container, begin=part.begin, stop=part.stop, shift=part.shift, strict=strict
            )
            self._warnings.extend(self._copied.warnings)
            self._copied.warnings = self._warnings
        begin = part.begin if part.begin is not None else Fraction(0)
        container.set_chapters(chapters_within(info, begin, part.stop, part.shift))
        container.start_encoding()

    def _mov_options(self) -> dict[str, str]:
        """Options with which MP4 keeps the film's unit of time and tags of any name."""
        ticks = self._info.time_base.denominator
        movie = math.lcm(ticks, 1000)
        options = {"video_track_timescale": str(ticks), "movie_timescale": str(movie if movie <= 1_000_000 else ticks)}
        if any(key.lower().split("-")[0] not in ITUNES_TAGS for key in film_tags(self._info.metadata)):
            options["movflags"] = "+use_metadata_tags"
        return options

    def _add_picture(self, container: OutputContainer, container_name: str) -> VideoStream:
        info, encoding = self._info, self._encoding
        record = CODECS[encoding.codec]
        stream: Any = container.add_stream(record.encoder, rate=info.rate, options=dict(encoding.options))
        stream.time_base = self.ticks
        set_encoder(stream.codec_context, info, encoding)
        if container_name in record.container_tags:
            stream.codec_context.codec_tag = record.container_tags[container_name]
        if info.display_matrix is not None and info.orientation != AS_STORED:
            if hasattr(stream, "set_display_matrix"):
                stream.set_display_matrix(info.display_matrix)
            else:
                self._warnings.append("the film's rotation is lost: keeping it needs PyAV 18 or newer")
        if aspect_in_frames(info, encoding):
            self._warnings.append(
                f"{encoding.codec} keeps the pixel shape only in its frames, where some programs do not see it"
            )
        tags = self._with_timecode({**timecode_tags(info), **info.video_metadata})
        stream.metadata.update(stream_tags(tags, colored=True))
        video: VideoStream = stream
        return video

    def _with_timecode(self, tags: dict[str, str]) -> dict[str, str]:
        """Tags with the time code of the first frame that is written."""
        begin = self._part.begin
        passed = Fraction(0) if begin is None else begin - self._info.first_time
        shifted, lost = shift_timecode(tags, self._info.rate, passed)
        line = f"the time code {lost}, which does not fit the film's frame rate, was left out"
        if lost is not None and line not in self._warnings:
            self._warnings.append(line)
        return shifted

    def rehearse(self) -> None:
        """Writes one packet of each stream and closes the file, which ``abandon`` removes."""
        if self._container is None:
            raise ValueError("the film is closed")
        picture = av.VideoFrame(self._info.width, self._info.height, self._encoding.pixel_format)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = 0, self.ticks
        for packet in [*self.stream.encode(picture), *self.stream.encode(None)]:
            packet.dts = packet.pts  # x265 leaves the decoding time of a single frame unset
            self.mux(packet)
        if self._copied is not None:
            self._copied.write_samples()
        self._container.close()
        self._container = None

    def advance(self, until: Fraction) -> None:
        """Copies the streams beside the picture up to a time of the film (seconds, before any shift)."""
        if self._copied is not None:
            self._copied.advance(until)

    def mux(self, packet: Packet[Any]) -> None:
        """Writes an encoded picture, whose times are in ``ticks`` and shifted."""
        if self._container is None:
            raise ValueError("the film is closed")
        packet.stream = self.stream
        self._container.mux_one(packet)

    def finish(self, overwrite: bool) -> None:
        """Copies what is left beside the picture, closes the film and gives it its name."""
        if self._container is None:
            return
        if self._copied is not None:
            self._copied.advance(None)
            self._copied.close()
        self._container.close()
        self._container = None
        if not overwrite and self._destination.exists():
            raise OutputError(self._destination, "exists by now", "give another name, or `overwrite`")
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


def check_muxing(destination: Path, info: VideoInfo, encoding: Encoding, *, strict: bool) -> list[str]:
    """What could not be kept if the film were written to ``destination``, a line each; leaves nothing there.

    Raises:
        OutputError: with ``strict``, a stream cannot be copied; or the film cannot be written at all.
    """
    warnings: list[str] = []
    try:
        sink = FilmSink(destination, info, encoding, FilmPart.of(info, None, None), strict, warnings)
        try:
            sink.rehearse()
        finally:
            sink.abandon()
    except (av.FFmpegError, OSError) as error:
        raise output_error(destination, error) from error
    captions = None if info.container == "image2" else caption_warning(info.path, info.stream, encoding.codec)
    if captions is not None and strict:
        raise OutputError(destination, captions, "leave out `strict`")
    return [*warnings, captions] if captions else warnings


def _film_start(info: VideoInfo) -> Fraction:
    """Seconds at which the earliest stream of a film starts."""
    with open_film(info.path) as film:
        return info.first_time if film.start_time is None else Fraction(film.start_time, av.time_base)


def output_error(destination: Path, error: Exception) -> OutputError:
    """The error for the user that stands for a failure to write."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(destination, "the disk is full", "make room, or write to another disk")
    if number == errno.EFBIG:
        return OutputError(destination, "the file grows larger than this disk or user may keep", "use another disk")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(destination, "writing there is not permitted", "choose another place")
    if is_allocation_failure(error) or memory_is_short():
        return OutOfMemoryError(destination)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return OutputError(destination, f"writing fails ({reason})", "try another place, container or codec")
