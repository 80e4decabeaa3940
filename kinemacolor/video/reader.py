"""Reading films: every frame in display order with its exact time, and an honest word where a film is damaged."""

from __future__ import annotations

import contextlib
import copy
import math
from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import Array, Frame
from kinemacolor.video.decode import Damage, film_pictures, open_film, video_stream
from kinemacolor.video.entry_points import EntryPoints
from kinemacolor.video.image_sequence import ImageSequence, is_image_source
from kinemacolor.video.info import VideoInfo, film_info
from kinemacolor.video.planes import (
    chroma_planes,
    luma_plane,
    pixel_layout,
    readable_picture,
    rgb_as_ycbcr,
)

_Numbered = tuple[int, int, av.VideoFrame]


class VideoReader:
    """A film: a file, a folder of images, or images by pattern (``frame_%06d.png``).

    ``frames`` may be called any number of times; each call opens the film anew. Where a part of the film begins is
    found once and kept: 8 bytes a frame.

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
        self._known: NDArray[np.int64] | None = None  # times of all frames, in units of the time base
        self._points: EntryPoints | None = None
        self._doubtful = False
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
        points, self._points = self._points, None  # a pass through the film closes its own file
        if points is not None:
            points.close()

    def frames(
        self,
        *,
        start: float | None = None,
        end: float | None = None,
        first: int | None = None,
        last: int | None = None,
        chroma: bool = False,
    ) -> Iterator[Frame]:
        """The frames in display order.

        A part is entered at the keyframe before it, where the film's packets tell which frame that is and what decodes
        from there bears them out; else all is decoded from the beginning, which gives the same frames later. Of films
        with damage before the part, packets count frames that do not decode: there numbers are sure after one pass
        through the whole film (see ``times``).

        Args:
            start, end: take only frames at times in [start, end), in seconds from the film's first frame.
            first, last: take only frames with ``first`` ≤ index < ``last``.
            chroma: also read U and V (at full resolution and full range for RGB images).

        Raises:
            InputError: the frames change their size or pixel format, or nothing can be decoded.
            UsageError: the interval is empty or lies beyond the film's end.
        """
        begin, stop = interval(start, end)
        low = _check_range(first, last)
        self.damage = None
        notes = Damage()
        count = 0
        source = (self._image_frames if self._images else self._film_frames)(notes, begin, low, chroma)
        with contextlib.closing(source):
            for frame in source:
                time = frame.time - self.info.first_time
                if (stop is not None and time >= stop) or (last is not None and frame.index >= last):
                    break
                if time >= begin and frame.index >= low:
                    count += 1
                    yield frame
                if last is not None and frame.index == last - 1:
                    break
        self.damage = notes.text()
        if count == 0:
            length = f"{self.info.duration:.3f} s" if self.info.duration is not None else "unknown length"
            raise UsageError(self.info.path, f"no frame lies in the interval ({length})", "choose another start or end")

    def times(self) -> tuple[Fraction, ...] | None:
        """Times of all frames in seconds, if a pass through the whole film was made with this reader; else None.

        Also None where frames lacked valid times, so that times do not tell which frame is which.
        """
        return None if self._known is None else tuple(int(pts) * self.info.time_base for pts in self._known)

    def recall(self, times: Sequence[Fraction] | None) -> None:
        """Tells a reader what ``times`` said after a whole pass made before: it finds frames as after that pass.

        Raises:
            ValueError: they are not times of this film.
        """
        if times is None:
            self._known, self._doubtful = None, True
            return
        stamps = [time / self.info.time_base for time in times]
        known = np.array([int(stamp) for stamp in stamps], np.int64)
        exact = all(stamp.denominator == 1 for stamp in stamps) and bool((np.diff(known) > 0).all())
        if not exact or not stamps or (self._images is None and times[0] != self.info.first_time):
            raise ValueError(f"times: expected those of {self.info.path}, got others")
        self._known = known

    def _image_frames(self, notes: Damage, begin: Fraction, first: int, chroma: bool) -> Generator[Frame, None, None]:
        """The images from a frame on; which image that is, is known once all of them were decoded."""
        images, number, position = self._images, 0, 0
        assert images is not None
        if self._known is not None:
            number = max(first, int(np.searchsorted(self._known, math.ceil(begin / self.info.time_base))))
            number = number if number < len(self._known) else 0
            position = int(self._known[number]) if number else 0
        if number:
            images = copy.copy(images)
            images.files = images.files[position:]
            notes.skipped, notes.skipped_time = number, position * self.info.time_base
        met = array("q")
        for frame in images.frames(notes, chroma):
            met.append(frame.pts)
            yield replace(frame, index=frame.index + number, pts=frame.pts + position) if number else frame
        if number == 0:
            self._known = np.array(met, np.int64)

    def _film_frames(self, notes: Damage, begin: Fraction, first: int, chroma: bool) -> Generator[Frame, None, None]:
        info = self.info
        layout = pixel_layout(info.pixel_format)
        shape = (info.width, info.height, info.pixel_format)
        pictures = self._pictures(notes, self._entry(begin, first))
        with contextlib.closing(pictures):
            for index, pts, picture in pictures:
                if index < first or pts * info.time_base - info.first_time < begin:
                    continue
                got = (picture.width, picture.height, picture.format.name)
                if got != shape:
                    problem = f"frame {index} is {got[0]}x{got[1]} {got[2]}"
                    raise InputError(
                        info.path,
                        f"{problem}, the film began as {shape[0]}x{shape[1]} {shape[2]}",
                        "cut the film there, or convert it to one size and pixel format",
                    )
                ready = readable_picture(picture, layout)
                planes: tuple[Array, Array] | None = None
                if layout.planes == "rgb":
                    luma, *color = rgb_as_ycbcr(ready, layout, info.coding)
                    planes = (color[0], color[1]) if chroma else None
                else:
                    luma = luma_plane(ready, layout)
                    if chroma and layout.chroma != "gray":
                        planes = chroma_planes(ready, layout)
                yield Frame(index, pts, info.time_base, luma, info.coding, max(0, int(picture.duration or 0)), planes)

    def _pictures(self, notes: Damage, entry: tuple[int, int] | None) -> Generator[_Numbered, None, None]:
        """All pictures from an entry point on, or from the beginning, with their numbers and times."""
        path, reached = self.info.path, 0
        if entry is not None:
            trial = Damage()
            number, key = entry
            with contextlib.closing(film_pictures(path, trial, key)) as pictures:
                for index, pts, picture in self._numbered(pictures, trial, number):
                    if index == number:
                        trial.undecodable = 0  # what lies before the keyframe is not asked for
                    if trial.hurt or self._time_of(index) != pts:
                        break
                    reached = index + 1
                    yield index, pts, picture
                else:
                    if reached and not trial.hurt and self._ends_with(reached):
                        notes.take(trial)
                        return
            self._doubtful = self._known is None
        met = array("q")
        with contextlib.closing(film_pictures(path, notes)) as pictures:
            for index, pts, picture in self._numbered(pictures, notes, 0):
                met.append(pts)
                if index >= reached:
                    yield index, pts, picture
        self._known = None if notes.disordered else np.array(met, np.int64)
        self._doubtful = bool(notes.disordered)

    def _numbered(
        self, pictures: Iterator[av.VideoFrame], notes: Damage, number: int
    ) -> Generator[_Numbered, None, None]:
        info = self.info
        step = max(1, round(1 / (info.rate * info.time_base)))
        last: int | None = None
        for index, picture in enumerate(pictures, number):
            last = _next_pts(picture, last, step, notes)
            notes.frame(index, last * info.time_base - info.first_time, bool(picture.is_corrupt))
            yield index, last, picture

    def _entry(self, begin: Fraction, first: int) -> tuple[int, int] | None:
        """Number and time of the last keyframe before the frames that are asked for; None for the film's beginning."""
        if begin == 0 and first == 0:
            return None
        info = self.info
        base = int(info.first_time / info.time_base)
        due = base + math.ceil(begin / info.time_base)
        if self._points is None:
            self._points = EntryPoints(info.path, base)
        points = self._points
        if self._known is None and (self._doubtful or points.time_of(0) is None):
            return None
        start = self._number_of(due)
        time = None if start is None else self._time_of(max(start, first))
        entry = None if time is None else self._numbered_key(points.key_before(time))
        return entry if entry is not None and entry[0] else None

    def _numbered_key(self, key: int | None) -> tuple[int, int] | None:
        """A keyframe's number and time; None where no frame has that time."""
        number = None if key is None else self._number_of(key)
        return None if key is None or number is None or self._time_of(number) != key else (number, key)

    def _number_of(self, time: int) -> int | None:
        if self._known is not None:
            return int(np.searchsorted(self._known, time))
        return None if self._points is None else self._points.number_of(time)

    def _time_of(self, number: int) -> int | None:
        if self._known is not None:
            return int(self._known[number]) if number < len(self._known) else None
        return None if self._points is None else self._points.time_of(number)

    def _ends_with(self, count: int) -> bool:
        """Whether the film is known to have so many frames."""
        trusted = self._known is not None or (self._points is not None and self._points.counted)
        return trusted and self._time_of(count) is None


def _check_range(first: int | None, last: int | None) -> int:
    """The first frame that is asked for."""
    if first is not None and first < 0:
        raise UsageError("first", f"there is no frame {first}", "count from 0")
    low = first or 0
    if last is not None and last <= low:
        raise UsageError("last", f"{last} does not lie after the first frame, {low}", "give a later frame")
    return low


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
