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

from kinemacolor.core.errors import KinemacolorError, OutputError
from kinemacolor.video.decode import open_film, video_stream
from kinemacolor.video.encoder import film_ticks, set_encoder, shape_in_frames
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import CODECS, CONTAINERS, Encoding
from kinemacolor.video.streams import ITUNES_TAGS, CopiedStreams, chapters_within, film_tags, stream_tags

_RESTARTING_CLOCKS = ("mpegts", "mpeg")


@dataclass(frozen=True, slots=True)
class Cut:
    """The part of a film that is written, in seconds of its own clock.

    Attributes:
        begin: where it starts; None for the film's start.
        stop: where it ends, not included; None for the film's end.
        shift: what is taken from every time.
    """

    begin: Fraction | None
    stop: Fraction | None
    shift: Fraction

    @classmethod
    def of(cls, info: VideoInfo, begin: Fraction | None, stop: Fraction | None) -> Cut:
        """For a part of a film the time of its first frame, and seconds from the film's first frame to its end.

        A part moves to 0; so does a transport stream, whose clock starts anywhere.
        """
        shift = begin if begin is not None else Fraction(0)
        if begin is None and info.container in _RESTARTING_CLOCKS:
            shift = _film_start(info)
        return cls(begin, None if stop is None else info.first_time + stop, shift)


class FilmSink:
    """A container and the copied streams, on a partial file beside the destination; packets of the picture come in.

    The encoder of ``stream`` is open and set as ``encoding`` says, whether or not it is the one that makes the packets:
    it gives the container its parameters.

    Attributes:
        stream: the picture.
        ticks: seconds in a unit of time of its packets.
    """

    def __init__(
        self, destination: Path, info: VideoInfo, encoding: Encoding, cut: Cut, strict: bool, warnings: list[str]
    ) -> None:
        self._destination = destination.absolute()
        suffix = destination.suffix
        self._partial = self._destination.parent / f".{destination.stem}.partial-{os.getpid()}{suffix}"
        self._info, self._encoding = info, encoding
        self._cut, self._warnings = cut, warnings
        self._container: OutputContainer | None = None
        self._copied: CopiedStreams | None = None
        self.ticks = film_ticks(info)
        try:
            self._open(CONTAINERS[suffix.lower()], strict)
        except BaseException:
            self.abandon()
            raise

    def _open(self, name: str, strict: bool) -> None:
        info, cut = self._info, self._cut
        if name == "matroska" and 1000 % info.time_base.denominator:
            self._warnings.append("MKV stores times in milliseconds: frame times are rounded by up to 0.5 ms")
        options = {} if name == "matroska" else self._mov_options()
        container = av.open(str(self._partial), "w", format=name, container_options=options)
        self._container = container
        container.metadata.update(film_tags(info.metadata))
        self.stream = self._add_picture(container, name)
        if info.container != "image2":
            film = open_film(info.path)
            picture = video_stream(info.path, film)
            self.stream.disposition = picture.disposition
            self._copied = CopiedStreams(
                film, picture.index, container, begin=cut.begin, stop=cut.stop, shift=cut.shift, strict=strict
            )
            self._warnings.extend(self._copied.warnings)
            self._copied.warnings = self._warnings
        begin = cut.begin if cut.begin is not None else Fraction(0)
        container.set_chapters(chapters_within(info, begin, cut.stop, cut.shift))
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
        stream.time_base = self.ticks
        set_encoder(stream.codec_context, info, encoding)
        if encoding.codec == "h265" and name in ("mp4", "mov"):
            stream.codec_context.codec_tag = "hvc1"  # the tag Apple's players want
        if info.display_matrix is not None and info.rotation:
            if hasattr(stream, "set_display_matrix"):
                stream.set_display_matrix(info.display_matrix)
            else:
                self._warnings.append("the film's rotation is lost: it needs PyAV 18 or newer")
        if shape_in_frames(info, encoding):
            self._warnings.append("FFV1 in MKV keeps the pixel shape in its frames alone; some programs do not see it")
        stream.metadata.update(stream_tags(info.video_metadata, colored=True))
        video: VideoStream = stream
        return video

    def advance(self, until: Fraction) -> None:
        """Copies what belongs beside the pictures up to a time of the film (seconds, before any shift)."""
        if self._copied is not None:
            self._copied.advance(until)

    def mux(self, packet: Packet[Any]) -> None:
        """Writes an encoded picture, whose times are in ``ticks`` and shifted."""
        if self._container is None:
            raise ValueError("the film is closed")
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


def check_muxing(destination: Path, info: VideoInfo, encoding: Encoding, *, strict: bool) -> list[str]:
    """What could not be kept if the film were written to ``destination``, a line each; leaves nothing there.

    Raises:
        OutputError: with ``strict``, where a stream cannot be copied; or the film cannot be begun at all.
    """
    warnings: list[str] = []
    try:
        FilmSink(destination, info, encoding, Cut.of(info, None, None), strict, warnings).abandon()
    except (av.FFmpegError, OSError) as error:
        raise write_error(destination, error) from error
    return warnings


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
