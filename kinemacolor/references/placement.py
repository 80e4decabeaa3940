"""Which frame or shot of a film a colored still belongs to: what its file name says, and what that means in the film.

Times are seconds from the film's first frame; frame numbers count from 0 there; a shot's number is its place in the
shot list, from 1, as people count. Only ``Binding`` holds the indices that the other modules use.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

from kinemacolor.core.clock import clock_text
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.folder_exchange import complete_exchange
from kinemacolor.core.natural_sort import natural_key
from kinemacolor.core.shot import Shot

STILL_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".jp2"})
"""Extensions of the files in a folder that count as stills."""
CAMERA_WORD = re.compile(
    r"(?<![^\W\d_])(?:img|imgp|mg|cimg|dsc|dscn|dscf|pict|pxl|mvi|vid|dji|gopr|gp|pano|wp|scan|screenshot)(?![^\W\d_])",
    re.IGNORECASE,
)
"""Words that cameras, phones, scanners and screen recorders put into names that they number."""
ONE_FRAME = Fraction(1, 24)
"""Seconds for which the frame of a film of one frame is shown."""

_YEAR = r"(?:18[89][0-9]|19[0-9]{2}|20[0-9]{2})"
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(
    rf"(?<![0-9])(?:{_YEAR}([-_.]?){_MONTH}\1{_DAY}|(?<![0-9][-_.]){_DAY}([-_.]){_MONTH}\2{_YEAR})(?![0-9])"
)
_FRAME = re.compile(r"(?:^|[-_.])([0-9]{4,})$")
_YEAR_AT_END = re.compile(rf"(?P<word>[^-_.]*)[-_.]+{_YEAR}$")
_AFTER_TIME = r"(?=$|[ _]|[-.](?:[0-9]{4,}$|[A-Za-z]))"
_TIMES = (
    re.compile(
        r"(?<![0-9A-Za-z])(?<![0-9][-.])(?P<h>[0-9]{2})-(?P<m>[0-5][0-9])-"
        rf"(?P<s>[0-5][0-9])(?:\.(?P<f>[0-9]{{1,9}})|-(?P<ms>[0-9]{{3}}))?{_AFTER_TIME}"
    ),
    re.compile(
        r"(?<![0-9A-Za-z])(?P<h>[0-9]{1,2})h(?P<m>[0-5]?[0-9])m(?P<s>[0-5]?[0-9])(?:\.(?P<f>[0-9]{1,9}))?s"
        rf"{_AFTER_TIME}",
        re.IGNORECASE,
    ),
)
_SHOT_FOLDER = re.compile(r"shot[-_ ]?([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A colored still's file, and what is said about its place in the film.

    Attributes:
        path: the image file.
        frame: number of the film's frame that it shows, from 0, or None.
        time: seconds from the film's first frame, or None.
        shot: number in the shot list, from 1, or None.
        mask: a gray image, white where the still gives color, on top of the still's transparency; None for none.
        folder: the folder that stands for it, where a folder was given instead of the file.
    """

    path: Path
    frame: int | None = None
    time: Fraction | None = None
    shot: int | None = None
    mask: Path | None = None
    folder: Path | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """The place of a colored still in the film.

    Attributes:
        file: the still.
        frame: index of the frame it belongs to, or None.
        shot: index of the shot, from 0; if there is a frame, that of the frame's shot; None for any shot.
    """

    file: ReferenceFile
    frame: int | None
    shot: int | None


# --- what names say --------------------


def name_binding(path: str | Path) -> tuple[int | None, Fraction | None]:
    """The frame number or the time (seconds) that a file's name says; at most one of the two.

    A time is ``hh-mm-ss``, with thousandths as ``.200`` or ``-200``, or ``00h12m07.2s``, alone or beside words.
    Otherwise the digits at the end of the name are the frame: at least four, alone or after ``_``, ``-`` or ``.``. A
    name with a camera's word (``IMG_2031``), a date (``20240511_101530``) or a year at its end (``metropolis-1927``)
    says nothing; ``frame_1927`` is a frame.

    Raises:
        InputError: the name says a frame and a time, or two times.
    """
    path = Path(path)
    stem = path.stem
    if CAMERA_WORD.search(stem) or _DATE.search(stem):
        return None, None
    times = [match for pattern in _TIMES for match in pattern.finditer(stem)]
    if not times:
        return _frame_number(stem), None
    if len(times) > 1:
        raise InputError(path, "says two times in its name", "leave one")
    match = times[0]
    rest = "_".join(part for text in (stem[: match.start()], stem[match.end() :]) if (part := text.strip(" -_.")))
    if _frame_number(rest) is not None:
        raise InputError(path, "says a frame and a time in its name", "leave one of the two")
    return None, _seconds(match)


def _frame_number(stem: str) -> int | None:
    year = _YEAR_AT_END.search(stem)
    if year and not year["word"].lower().endswith("frame"):
        return None
    number = _FRAME.search(stem)
    return int(number[1]) if number else None


def _seconds(match: re.Match[str]) -> Fraction:
    parts = match.groupdict()
    fraction = parts["f"] or parts.get("ms") or "0"
    whole = 3600 * int(parts["h"]) + 60 * int(parts["m"]) + int(parts["s"])
    return whole + Fraction(int(fraction), 10 ** len(fraction))


# --- files and folders --------------------


def reference_files(paths: Sequence[str | Path]) -> tuple[ReferenceFile, ...]:
    """The stills that files and folders stand for, with what their names say.

    A folder stands for the images in it (extensions in ``STILL_SUFFIXES``, hidden files excluded) in natural order,
    ``a2`` before ``a10``, then for those in its subfolders named ``shot-0012`` or ``shot_12``, which belong to that
    shot; so do the images of a folder of such a name that is given itself. Other subfolders are ignored.

    Raises:
        InputError: there is no such file, a folder holds no image, or a name says both a frame and a time.
    """
    files: list[ReferenceFile] = []
    for path in map(Path, paths):
        try:
            path.stat()
            files += _folder_files(path) if path.is_dir() else [ReferenceFile(path, *name_binding(path))]
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
            raise InputError(path, problem, "give an image file as reference, or a folder of them") from error
    return tuple(files)


def _folder_files(folder: Path) -> list[ReferenceFile]:
    complete_exchange(folder, InputError)
    own_shot = shot_of_folder(folder)
    files = [ReferenceFile(path, *name_binding(path), own_shot, folder=folder) for path in _images(folder)]
    subfolders = [path for path in folder.iterdir() if path.is_dir()]
    shots = [(shot, path) for path in subfolders if (shot := shot_of_folder(path)) is not None]
    for shot, path in sorted(shots, key=lambda item: (item[0], item[1].name)):
        files += [ReferenceFile(image, *name_binding(image), shot, folder=folder) for image in _images(path)]
    if not files:
        extensions = ", ".join(sorted(STILL_SUFFIXES))
        raise InputError(folder, "is a folder without images", f"put colored stills into it ({extensions})")
    return files


def _images(folder: Path) -> list[Path]:
    images = (path for path in folder.iterdir() if path.suffix.lower() in STILL_SUFFIXES and path.is_file())
    visible = (path for path in images if not path.name.startswith("."))
    return sorted(visible, key=lambda path: natural_key(path, ignore_spelling=True))


def shot_of_folder(folder: Path) -> int | None:
    """The shot's number, from 1, in a folder's name (``shot-0012``, ``shot_12``), or None."""
    match = _SHOT_FOLDER.fullmatch(folder.name)
    return int(match[1]) if match else None


# --- names in a film --------------------


def bind(
    files: Sequence[ReferenceFile],
    times: Sequence[Fraction],
    shots: Sequence[Shot],
    *,
    numbers: Sequence[int] | None = None,
    partial: bool = False,
) -> tuple[Binding, ...]:
    """Where the stills belong in a film.

    A time means the frame that is shown then, or the next one if that begins at most half a frame later: half of the
    median distance between frames, or half of the distance to the next one if that is shorter. (Times are written in
    thousandths, and read from players that are not exact.) The last frame is shown for a median distance.

    Args:
        files: from ``reference_files`` or a project.
        times: of the film's frames, seconds from the first, ascending.
        shots: of the film, ascending, without overlap.
        numbers: by which files refer to the frames, ascending, if these are not 0, 1, 2 …: those in the names of a
            film's images, or those of the film if ``times`` are a part of it.
        partial: ``times`` are a part of a film. A still that belongs to a frame before or after it gets no shot and an
            index below 0 or from F on (computed with the median distance for a time), instead of an error.

    Returns:
        A ``Binding`` for each file, in their order.

    Raises:
        InputError: a frame, time or shot that the film does not have; two stills for one frame; a frame outside the
            shot that the same file names.
        UsageError: a file has both a frame and a time.
        ValueError: there are no frames, or not one number for each.
    """
    if not times or (numbers is not None and len(numbers) != len(times)):
        raise ValueError(
            f"times, numbers: expected one of each for every frame, got {len(times)}, {numbers and len(numbers)}"
        )
    frame_times = _FrameTimes(times) if any(file.time is not None for file in files) else None
    bound: dict[int, ReferenceFile] = {}
    bindings = []
    for file in files:
        frame = _frame(file, numbers or range(len(times)), frame_times, partial)
        if frame is not None:
            if not 0 <= frame < len(times):
                bindings.append(Binding(file, frame, None))
                continue
            if frame in bound:
                number = numbers[frame] if numbers else frame
                problem = f"belongs to frame {number}, and so does {bound[frame].path}"
                raise InputError(file.path, problem, "leave one of the two")
            bound[frame] = file
        bindings.append(Binding(file, frame, _shot(file, frame, shots)))
    return tuple(bindings)


def _frame(file: ReferenceFile, numbers: Sequence[int], frame_times: _FrameTimes | None, partial: bool) -> int | None:
    """Index of the frame that a file belongs to, or None; outside of the frames only if these are a part of a film."""
    if file.frame is not None and file.time is not None:
        raise UsageError(file.path, "has both a frame and a time", "leave one of the two")
    if file.frame is not None:
        if partial and not numbers[0] <= file.frame <= numbers[-1]:
            beyond = file.frame - numbers[-1]
            return len(numbers) - 1 + beyond if beyond > 0 else file.frame - numbers[0]
        index = bisect_left(numbers, file.frame)
        if index == len(numbers) or numbers[index] != file.frame:
            span = f"{numbers[0]} to {numbers[-1]}"
            within = numbers[0] < file.frame < numbers[-1]
            problem = f"belongs to frame {file.frame}, but the film's frames are {span}"
            raise InputError(file.path, problem + (", with gaps" if within else ""), "name a frame of the film")
        return index
    if file.time is not None and frame_times is not None:
        index = frame_times.index_at(file.time)
        if not partial and not 0 <= index < len(numbers):
            span = f"{clock_text(frame_times.times[0])} to {clock_text(frame_times.stop)}"
            problem = f"belongs to {clock_text(file.time)}, but the film runs from {span}"
            raise InputError(file.path, problem, "name a time within the film")
        return index
    return None


class _FrameTimes:
    """Which frame is shown at a time."""

    def __init__(self, times: Sequence[Fraction]) -> None:
        self.times = times
        self.median_distance = median(b - a for a, b in pairwise(times)) if len(times) > 1 else ONE_FRAME
        self.stop = times[-1] + self.median_distance

    def index_at(self, time: Fraction) -> int:
        """Index of the frame; where there is none, an index below 0 or from F on."""
        if time >= self.stop:
            return len(self.times) - 1 + math.floor((time - self.times[-1]) / (self.median_distance or ONE_FRAME))
        index = bisect_right(self.times, time) - 1
        if index < 0:
            return math.floor((time - self.times[0]) / (self.median_distance or ONE_FRAME) + Fraction(1, 2))
        if index + 1 < len(self.times):
            current, following = self.times[index], self.times[index + 1]
            index += following - time <= min(self.median_distance, following - current) / 2
        return index


def _shot(file: ReferenceFile, frame: int | None, shots: Sequence[Shot]) -> int | None:
    """Index of the shot that a file belongs to: its frame's if it has a frame."""
    named = None if file.shot is None else file.shot - 1
    if named is not None and not 0 <= named < len(shots):
        available = f"the film has shots 1 to {len(shots)}" if shots else "the film has no shot list"
        raise InputError(file.path, f"belongs to shot {file.shot}, but {available}", "name a shot of the list")
    if frame is None:
        return named
    candidate = bisect_right([shot.start for shot in shots], frame) - 1
    shot_of_frame = candidate if candidate >= 0 and frame in shots[candidate] else None
    if named is not None and shot_of_frame != named:
        shot = shots[named]
        span = f"{shot.start} to {shot.stop - 1}" if shot.stop is not None else f"from {shot.start} on"
        problem = f"belongs to frame {frame}, which is not in its shot {file.shot} (frames {span})"
        raise InputError(file.path, problem, "correct the frame or the shot")
    return shot_of_frame
