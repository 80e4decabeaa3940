"""Reading a film: the frames in display order, whole or in part, and where the film is damaged."""

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
from kinemacolor.core.memory import check_memory
from kinemacolor.core.orientation import matrix_orientation
from kinemacolor.core.types import Array, Frame
from kinemacolor.video.captions import picture_captions
from kinemacolor.video.decode import Damage, film_pictures, open_film, video_stream
from kinemacolor.video.entry_points import EntryPoints
from kinemacolor.video.fields import film_field_order, mixed_fields
from kinemacolor.video.film_stream import choose_stream
from kinemacolor.video.image_sequence import ImageSequence, is_image_source
from kinemacolor.video.info import VideoInfo, film_info
from kinemacolor.video.planes import (
    chroma_planes,
    display_matrix,
    luma_plane,
    pixel_layout,
    readable_picture,
    rgb_as_ycbcr,
)

_NumberedPicture = tuple[int, int, av.VideoFrame]


class VideoReader:
    """A film: a file, a folder of images, or images by pattern (``frame_%06d.png``).

    ``frames`` may be called any number of times; each call opens the film again. The places where parts of the film
    begin are looked up once and kept: 8 bytes a frame.

    Args:
        source: the film, the folder or the pattern.
        rate: frames a second, for images only (None for 24).
        stream: index of the stream that is colored, for films only; None for the one that is the film (see
            ``choose_stream``).

    Attributes:
        info: what the film says about itself.
        damage: after an iteration of ``frames``, a line that says where the film is damaged or breaks off, or None.
        remark: after an iteration, a line on marks of frames that are not those of the first ones, or None.

    Raises:
        InputError: the film is missing, unreadable, no film, or none of its frames can be decoded.
        UsageError: ``rate`` is set for a film, or is not positive; or there is no such stream of pictures.
    """

    def __init__(self, source: str | Path, *, rate: Fraction | None = None, stream: int | None = None) -> None:
        path = Path(source)
        self.damage: str | None = None
        self.remark: str | None = None
        if rate is not None and rate <= 0:
            raise UsageError("rate", f"{rate} is not a frame rate", "give frames a second above 0, such as 24")
        self._images: ImageSequence | None = None
        self._frame_times: NDArray[np.int64] | None = None  # of all frames, in units of the time base
        self._entry_points: EntryPoints | None = None
        self._packets_mislead = False  # packets do not tell which frame is which
        if is_image_source(path):
            if stream is not None:
                raise UsageError("stream", "a film kept as images has no streams", "leave it out")
            self._images = ImageSequence(path, Fraction(24) if rate is None else Fraction(rate))
            self.info: VideoInfo = self._images.info
        elif rate is not None:
            raise UsageError(path, "a film keeps its own frame rate", "give a rate only for images")
        else:
            self.info = _probe(path, stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        points, self._entry_points = self._entry_points, None  # a pass through the film closes its own file
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

        Decoding of a part starts at the keyframe before it, if the film's packets tell which frame that is and the
        frames that are decoded from there agree; else it starts at the beginning, which gives the same frames later. If
        a film is damaged before the part, its packets include frames that do not decode: then frame numbers are exact
        only after one pass through the whole film (see ``times``).

        Args:
            start, end: only frames at times in [start, end), in seconds from the film's first frame.
            first, last: only frames with ``first`` ≤ index < ``last``.
            chroma: whether to read U and V as well (at full resolution and full range for RGB images).

        Raises:
            InputError: the frames change their size or pixel format, or nothing can be decoded.
            UsageError: the interval is empty or lies beyond the film's end.
        """
        begin, stop = time_interval(start, end)
        lowest = _check_range(first, last)
        self.damage = None
        damage = Damage()
        count = 0
        source = (self._image_frames if self._images else self._film_frames)(damage, begin, lowest, chroma)
        with contextlib.closing(source):
            for frame in source:
                time = frame.time - self.info.first_time
                if (stop is not None and time >= stop) or (last is not None and frame.index >= last):
                    break
                if time >= begin and frame.index >= lowest:
                    count += 1
                    yield frame
                if last is not None and frame.index == last - 1:
                    break
        self.damage = damage.summary()
        self.remark = mixed_fields(self.info, damage.interlaced, damage.index + 1)
        if count == 0:
            check_memory()
            length = f"{self.info.duration:.3f} s" if self.info.duration is not None else "unknown length"
            raise UsageError(self.info.path, f"no frame lies in the interval ({length})", "choose another start or end")

    def times(self) -> tuple[Fraction, ...] | None:
        """Times of all frames in seconds, if this reader has made a pass through the whole film; else None.

        Also None if frames lacked valid times, so that times do not tell which frame is which.
        """
        return None if self._frame_times is None else tuple(int(pts) * self.info.time_base for pts in self._frame_times)

    def entry_before(self, index: int) -> int:
        """The frame at which decoding starts for frame ``index``; 0 where the film cannot be entered in its middle."""
        if self._images is not None:
            return index if self._frame_times is not None else 0
        entry = self._entry(Fraction(0), index)
        return entry[0] if entry is not None else 0

    def recall(self, times: Sequence[Fraction] | None) -> None:
        """Restores what ``times`` returned after an earlier pass, so that frames are found as after that pass.

        Raises:
            ValueError: these are not the times of this film.
        """
        if times is None:
            self._frame_times, self._packets_mislead = None, True
            return
        stamps = [time / self.info.time_base for time in times]
        frame_times = np.array([int(stamp) for stamp in stamps], np.int64)
        exact = all(stamp.denominator == 1 for stamp in stamps) and bool((np.diff(frame_times) > 0).all())
        if not exact or not stamps or (self._images is None and times[0] != self.info.first_time):
            raise ValueError(f"times: expected those of {self.info.path}, got others")
        self._frame_times = frame_times

    def _image_frames(self, damage: Damage, begin: Fraction, first: int, chroma: bool) -> Generator[Frame, None, None]:
        """The images from a frame on; without a whole pass before, from the first image on."""
        images, number, position = self._images, 0, 0
        assert images is not None
        if self._frame_times is not None:
            number = max(first, int(np.searchsorted(self._frame_times, math.ceil(begin / self.info.time_base))))
            number = number if number < len(self._frame_times) else 0
            position = int(self._frame_times[number]) if number else 0
        if number:
            images = copy.copy(images)
            images.files = images.files[position:]
            damage.skipped, damage.skipped_time = number, position * self.info.time_base
        times = array("q")
        for frame in images.frames(damage, chroma):
            times.append(frame.pts)
            yield replace(frame, index=frame.index + number, pts=frame.pts + position) if number else frame
        if number == 0:
            self._frame_times = np.array(times, np.int64)

    def _film_frames(self, damage: Damage, begin: Fraction, first: int, chroma: bool) -> Generator[Frame, None, None]:
        info = self.info
        layout = pixel_layout(info.pixel_format)
        shape = (info.width, info.height, info.pixel_format)
        turned: str | None = None
        pictures = self._pictures(damage, self._entry(begin, first))
        with contextlib.closing(pictures):
            for index, pts, picture in pictures:
                if index < first or pts * info.time_base - info.first_time < begin:
                    continue
                changed = (picture.width, picture.height, picture.format.name)
                if changed != shape:
                    problem = "frame {} is {}x{} {}, the film began as {}x{} {}".format(index, *changed, *shape)
                    remedy = "cut the film there, or convert it to one size and pixel format"
                    raise InputError(info.path, problem, remedy)
                matrix = display_matrix(picture)
                if turned is None and matrix is not None and matrix_orientation(matrix)[0] != info.orientation:
                    turned = f"from frame {index} on another mark turns the picture; that of the first frame is kept"
                    damage.remarks.append(turned)
                readable = readable_picture(picture, layout)
                planes: tuple[Array, Array] | None = None
                if layout.planes == "rgb":
                    luma, *color = rgb_as_ycbcr(readable, layout, info.coding)
                    planes = (color[0], color[1]) if chroma else None
                else:
                    luma = luma_plane(readable, layout)
                    if chroma and layout.chroma != "gray":
                        planes = chroma_planes(readable, layout)
                duration, captions = max(0, int(picture.duration or 0)), picture_captions(picture)
                yield Frame(index, pts, info.time_base, luma, info.coding, duration, planes, captions)

    def _pictures(self, damage: Damage, entry: tuple[int, int] | None) -> Generator[_NumberedPicture, None, None]:
        """All pictures from an entry point on, or from the beginning, with their numbers and times."""
        path, reached = self.info.path, 0
        if entry is not None:
            trial = Damage()
            number, keyframe = entry
            with contextlib.closing(film_pictures(path, trial, self.info.stream, keyframe)) as pictures:
                for index, pts, picture in self._numbered(pictures, trial, number):
                    if index == number:
                        trial.undecodable = 0  # packets before the keyframe do not matter
                    if trial.affects_frames or self._time_of(index) != pts:
                        break
                    reached = index + 1
                    yield index, pts, picture
                else:
                    if reached and not trial.affects_frames and self._ends_with(reached):
                        damage.replace_with(trial)
                        return
            self._packets_mislead = self._frame_times is None
        times = array("q")
        with contextlib.closing(film_pictures(path, damage, self.info.stream)) as pictures:
            for index, pts, picture in self._numbered(pictures, damage, 0):
                times.append(pts)
                if index >= reached:
                    yield index, pts, picture
        self._frame_times = None if damage.retimed else np.array(times, np.int64)
        self._packets_mislead = bool(damage.retimed)

    def _numbered(
        self, pictures: Iterator[av.VideoFrame], damage: Damage, number: int
    ) -> Generator[_NumberedPicture, None, None]:
        info = self.info
        step = max(1, round(1 / (info.rate * info.time_base)))
        last: int | None = None
        for index, picture in enumerate(pictures, number):
            last = _next_pts(picture, last, step, damage)
            time, corrupt = last * info.time_base - info.first_time, bool(picture.is_corrupt)
            damage.count_frame(index, time, corrupt, bool(picture.interlaced_frame))
            yield index, last, picture

    def _entry(self, begin: Fraction, first: int) -> tuple[int, int] | None:
        """Number and time of the last keyframe before the requested frames; None for the film's beginning."""
        if begin == 0 and first == 0:
            return None
        info = self.info
        origin = int(info.first_time / info.time_base)
        begin_pts = origin + math.ceil(begin / info.time_base)
        if self._entry_points is None:
            self._entry_points = EntryPoints(info.path, origin, info.stream)
        points = self._entry_points
        if self._frame_times is None and (self._packets_mislead or points.time_of(0) is None):
            return None
        start = self._number_of(begin_pts)
        time = None if start is None else self._time_of(max(start, first))
        entry = None if time is None else self._numbered_keyframe(points.keyframe_before(time))
        return entry if entry is not None and entry[0] else None

    def _numbered_keyframe(self, time: int | None) -> tuple[int, int] | None:
        """Number and time of the keyframe at ``time``; None where no frame has that time."""
        number = None if time is None else self._number_of(time)
        return None if time is None or number is None or self._time_of(number) != time else (number, time)

    def _number_of(self, time: int) -> int | None:
        if self._frame_times is not None:
            return int(np.searchsorted(self._frame_times, time))
        return None if self._entry_points is None else self._entry_points.number_of(time)

    def _time_of(self, number: int) -> int | None:
        if self._frame_times is not None:
            return int(self._frame_times[number]) if number < len(self._frame_times) else None
        return None if self._entry_points is None else self._entry_points.time_of(number)

    def _ends_with(self, count: int) -> bool:
        """Whether the film is known to have exactly ``count`` frames."""
        countable = self._frame_times is not None or (self._entry_points is not None and self._entry_points.countable)
        return countable and self._time_of(count) is None


def _check_range(first: int | None, last: int | None) -> int:
    """The index of the first requested frame. Raises UsageError where the range makes no sense."""
    if first is not None and first < 0:
        raise UsageError("first", f"there is no frame {first}", "count from 0")
    lowest = first or 0
    if last is not None and last <= lowest:
        raise UsageError("last", f"{last} does not lie after the first frame, {lowest}", "give a later frame")
    return lowest


def time_interval(start: float | None, end: float | None) -> tuple[Fraction, Fraction | None]:
    """[start, end) as exact seconds; floats become the decimal fractions or frame times that they stand for.

    Raises:
        UsageError: the interval is empty or begins before 0.
    """
    begin = Fraction(0) if start is None else Fraction(start).limit_denominator(1_000_000)
    stop = None if end is None else Fraction(end).limit_denominator(1_000_000)
    if begin < 0:
        raise UsageError("start", f"{start} s lies before the film's first frame", "give a time of 0 or more")
    if stop is not None and stop <= begin:
        raise UsageError("end", f"{end} s does not lie after the start ({float(begin):g} s)", "give a later end")
    return begin, stop


def _probe(path: Path, stream: int | None) -> VideoInfo:
    choice = choose_stream(path, stream)
    pictures = film_pictures(path, Damage(), choice.index)
    picture = next(pictures, None)
    if picture is None:
        raise InputError(path, "none of its frames can be decoded", "check that it plays elsewhere, or fetch it again")
    with contextlib.closing(pictures), open_film(path) as container:
        first = _next_pts(picture, None, 1, Damage())
        film = video_stream(path, container, choice.index)
        info = film_info(path, container, film, picture, first)
        order, fields = film_field_order(picture, pictures, int(film.codec_context.field_order), info.codec)
    remarks = [*([choice.remark] if choice.remark else []), *info.remarks, *([f"{path}: {fields}"] if fields else [])]
    return replace(info, field_order=order, remarks=tuple(remarks))


def _next_pts(picture: av.VideoFrame, last: int | None, step: int, damage: Damage) -> int:
    """The picture's time, or one step after the last one where it has none or an earlier one."""
    pts = picture.pts
    if last is None:
        return pts if pts is not None else 0
    if pts is None or pts <= last:
        if pts is not None:
            damage.count_repaired_time()
        return last + step
    return pts
