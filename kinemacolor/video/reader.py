"""Reading films: every frame in display order with its exact time, and an honest word where a film is damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av

from kinemacolor.errors import InputError, UsageError
from kinemacolor.frames import Array, Frame
from kinemacolor.video.decode import Damage, entry_point, film_pictures, open_film, video_stream
from kinemacolor.video.image_sequence import ImageSequence, is_image_source
from kinemacolor.video.info import VideoInfo, film_info
from kinemacolor.video.planes import (
    chroma_planes,
    luma_plane,
    pixel_layout,
    readable_picture,
    rgb_as_ycbcr,
)


class VideoReader:
    """A film: a file, a folder of images, or images by pattern (``frame_%06d.png``).

    ``frames`` may be called any number of times; each call opens the film anew.

    Args:
        source: the film, the folder or the pattern.
        rate: frames a second, for images only (24 where it is not given).

    Attributes:
        info: what the film says about itself.
        damage: after an iteration of ``frames``, None or a line that says where the film is damaged or breaks off.

    Raises:
        InputError: the film is missing, unreadable, no film, or not one frame of it can be decoded.
        UsageError: ``rate`` was given for a film, or is not positive.
    """

    def __init__(self, source: str | Path, *, rate: Fraction | None = None) -> None:
        path = Path(source)
        self.damage: str | None = None
        if rate is not None and rate <= 0:
            raise UsageError("rate", f"{rate} is not a frame rate", "give frames a second above 0, such as 24")
        self._images: ImageSequence | None = None
        if is_image_source(path):
            self._images = ImageSequence(path, Fraction(24) if rate is None else Fraction(rate))
            self.info: VideoInfo = self._images.info
        elif rate is not None:
            raise UsageError(path, "a film keeps its own frame rate", "give a rate only for images")
        else:
            self.info = _probe(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # a pass through the film closes its own file

    def frames(self, *, start: float | None = None, end: float | None = None, chroma: bool = False) -> Iterator[Frame]:
        """The frames in display order.

        Args:
            start, end: take only frames at times in [start, end), in seconds from the film's first frame.
            chroma: also read U and V (at full resolution and full range for RGB images).

        Raises:
            InputError: the frames change their size or pixel format, or nothing can be decoded.
            UsageError: the interval is empty or lies beyond the film's end.
        """
        begin, stop = interval(start, end)
        self.damage = None
        notes = Damage()
        count = 0
        source = self._images.frames(notes, chroma) if self._images else self._film_frames(notes, begin, chroma)
        with contextlib.closing(source):
            for frame in source:
                time = frame.time - self.info.first_time
                if stop is not None and time >= stop:
                    break
                if time >= begin:
                    count += 1
                    yield frame
        self.damage = notes.text()
        if count == 0:
            length = f"{self.info.duration:.3f} s" if self.info.duration is not None else "unknown length"
            raise UsageError(self.info.path, f"no frame lies in the interval ({length})", "choose another start or end")

    def _film_frames(self, notes: Damage, begin: Fraction, chroma: bool) -> Generator[Frame, None, None]:
        info = self.info
        layout = pixel_layout(info.pixel_format)
        shape = (info.width, info.height, info.pixel_format)
        step = max(1, round(1 / (info.rate * info.time_base)))
        first = int(info.first_time / info.time_base)
        index, key = 0, first
        if begin > 0:
            index, key = entry_point(info.path, first, first + int(begin / info.time_base))
        index -= 1
        last: int | None = None
        for picture in film_pictures(info.path, notes, None if key == first else key):
            index += 1
            last = _next_pts(picture, last, step, notes)
            notes.frame(index, last * info.time_base - info.first_time, bool(picture.is_corrupt))
            if last * info.time_base - info.first_time < begin:
                continue
            got = (picture.width, picture.height, picture.format.name)
            if got != shape:
                raise InputError(
                    info.path,
                    f"frame {index} is {got[0]}x{got[1]} {got[2]}, the film began as {shape[0]}x{shape[1]} {shape[2]}",
                    "cut the film there, or convert it to one size and pixel format",
                )
            ready = readable_picture(picture, layout)
            planes: tuple[Array, Array] | None = None
            if layout.planes == "rgb":
                luma, *colour = rgb_as_ycbcr(ready, layout, info.coding)
                planes = (colour[0], colour[1]) if chroma else None
            else:
                luma = luma_plane(ready, layout)
                if chroma and layout.chroma != "gray":
                    planes = chroma_planes(ready, layout)
            yield Frame(index, last, info.time_base, luma, info.coding, max(0, int(picture.duration or 0)), planes)


def interval(start: float | None, end: float | None) -> tuple[Fraction, Fraction | None]:
    """[start, end) as exact seconds; decimal fractions and frame times given as floats come out as meant."""
    begin = Fraction(0) if start is None else Fraction(start).limit_denominator(1_000_000)
    stop = None if end is None else Fraction(end).limit_denominator(1_000_000)
    if begin < 0:
        raise UsageError("start", f"{start} s lies before the film's first frame", "give a time of 0 or more")
    if stop is not None and stop <= begin:
        raise UsageError("end", f"{end} s does not lie after the start ({float(begin):g} s)", "give a later end")
    return begin, stop


def _probe(path: Path) -> VideoInfo:
    pictures = film_pictures(path, Damage())
    picture = next(pictures, None)
    pictures.close()
    if picture is None:
        raise InputError(path, "not one frame of it can be decoded", "check that it plays elsewhere, or fetch it again")
    with open_film(path) as container:
        first = _next_pts(picture, None, 1, Damage())
        return film_info(path, container, video_stream(path, container), picture, first)


def _next_pts(picture: av.VideoFrame, last: int | None, step: int, notes: Damage) -> int:
    """The picture's time, or where it has none or would go back, one step after the last."""
    pts = picture.pts
    if last is None:
        return pts if pts is not None else 0
    if pts is None or pts <= last:
        if pts is not None:
            notes.time_repaired()
        return last + step
    return pts
