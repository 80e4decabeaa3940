"""Which frame or shot of a film a colored still belongs to: what its name says, and what that means in the film.

A time is seconds from the film's first frame; a frame number counts from 0 there; a shot's number is its place in the
shot list, from 1, as people count. ``Binding`` alone is in the indices that the other modules use.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import BoolArray, Shot
from kinemacolor.references.image import Still, decode_image, read_still

STILL_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".jp2"})
"""Endings of the files in a folder that are taken for stills."""
CAMERA_WORD = re.compile(
    r"(?<![^\W\d_])(?:img|imgp|mg|cimg|dsc|dscn|dscf|pict|pxl|mvi|vid|dji|gopr|gp|pano|wp|scan|screenshot)(?![^\W\d_])",
    re.IGNORECASE,
)
"""Words in names that cameras, phones, scanners and screens number by themselves."""
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
_CLOCK = re.compile(r"(?:(?P<h>[0-9]+):)?(?P<m>[0-5]?[0-9]):(?P<s>[0-5]?[0-9])(?:[.,](?P<f>[0-9]{1,9}))?", re.ASCII)
_SHOT_FOLDER = re.compile(r"shot[-_ ]?([0-9]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A colored still's file, and what is said about its place.

    Attributes:
        path: the image file.
        frame: number of the film's frame it shows, from 0, or None.
        time: seconds from the film's first frame, or None.
        shot: number in the shot list, from 1, or None.
        mask: a gray image, white where the still gives color, on top of the still's transparency; None for none.
    """

    path: Path
    frame: int | None = None
    time: Fraction | None = None
    shot: int | None = None
    mask: Path | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """A colored still's place in the film.

    Attributes:
        file: the still.
        frame: index of the frame it belongs to, or None.
        shot: index of the shot, from 0; the frame's own shot where there is a frame; None for any shot.
    """

    file: ReferenceFile
    frame: int | None
    shot: int | None


# --- what names say --------------------


def name_binding(path: str | Path) -> tuple[int | None, Fraction | None]:
    """The frame number or the time (seconds) that a file's name says; at most one of the two.

    A time is ``hh-mm-ss``, with thousandths as ``.200`` or ``-200``, or ``00h12m07.2s``, on its own or beside words.
    Else the digits in which the name ends are the frame: at least four, alone or after ``_``, ``-`` or ``.``. A name
    with a camera's word (``IMG_2031``), a date (``20240511_101530``) or a year at its end (``metropolis-1927``) says
    nothing; ``frame_1927`` is a frame.

    Raises:
        InputError: it says a frame and a time, or two times.
    """
    path = Path(path)
    stem = path.stem
    if CAMERA_WORD.search(stem) or _DATE.search(stem):
        return None, None
    found = [match for pattern in _TIMES for match in pattern.finditer(stem)]
    if not found:
        return _frame_number(stem), None
    if len(found) > 1:
        raise InputError(path, "says two times in its name", "leave one")
    match = found[0]
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
    whole = 3600 * int(parts["h"] or 0) + 60 * int(parts["m"]) + int(parts["s"])
    return whole + Fraction(int(fraction), 10 ** len(fraction))


def clock_seconds(text: str) -> Fraction | None:
    """Seconds of ``[hh:]mm:ss[.sss]``, or None where the text is none."""
    match = _CLOCK.fullmatch(text.strip())
    return _seconds(match) if match else None


def clock_text(seconds: Fraction | float) -> str:
    """``h:mm:ss.sss``, rounded to thousandths."""
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


# --- files and folders --------------------


def reference_files(paths: Sequence[str | Path]) -> tuple[ReferenceFile, ...]:
    """The stills that files and folders mean, with what their names say.

    A folder means the images in it (endings in ``STILL_SUFFIXES``, hidden files left out) in natural order, ``a2``
    before ``a10``, then those of its subfolders named ``shot-0012`` or ``shot_12``, which belong to that shot; a folder
    of such a name given by itself, too. Other subfolders are not looked into.

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
    own = shot_of_folder(folder)
    files = [ReferenceFile(path, *name_binding(path), own) for path in _images(folder)]
    inner = [(path, shot_of_folder(path)) for path in folder.iterdir() if path.is_dir()]
    for path, shot in sorted(((p, n) for p, n in inner if n is not None), key=lambda item: (item[1], item[0].name)):
        files += [ReferenceFile(image, *name_binding(image), shot) for image in _images(path)]
    if not files:
        endings = ", ".join(sorted(STILL_SUFFIXES))
        raise InputError(folder, "is a folder without images", f"put colored stills into it ({endings})")
    return files


def _images(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix.lower() in STILL_SUFFIXES and path.is_file())
    return sorted((path for path in found if not path.name.startswith(".")), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Text and numbers in turn, numbers by their value, then the name itself."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if k % 2 else (0, part.casefold()) for k, part in enumerate(parts)] + [(0, path.name)]


def shot_of_folder(folder: Path) -> int | None:
    """The shot's number, from 1, that a folder's name says (``shot-0012``, ``shot_12``), or None."""
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

    A time means the frame shown then, or the next one where that begins at most half a frame later: half of the median
    distance between frames, or of the distance to the next one where that is shorter. (Times are written in
    thousandths, and read off players that are not exact.) The last frame is shown for a median distance.

    Args:
        files: from ``reference_files`` or a project.
        times: of the film's frames, seconds from the first, ascending.
        shots: of the film, ascending, without overlap.
        numbers: by which files call the frames, ascending, where these are not 0, 1, 2 …: those in the names of a
            film's images, or those of the film where ``times`` are a part of it.
        partial: ``times`` are a part of a film. A still that belongs to a frame before or after it gets an index below
            0 or from F on (reckoned with the median distance for a time) and no shot, instead of an error.

    Returns:
        A ``Binding`` a file, in their order.

    Raises:
        InputError: a frame, time or shot that the film does not have; two stills for one frame; a frame outside the
            shot that the same file names.
        UsageError: a file that says both a frame and a time.
        ValueError: no frames, or not one number a frame.
    """
    if not times or (numbers is not None and len(numbers) != len(times)):
        raise ValueError(f"times, numbers: expected one of each a frame, got {len(times)}, {numbers and len(numbers)}")
    clock = _FrameTimes(times) if any(file.time is not None for file in files) else None
    bound: dict[int, ReferenceFile] = {}
    bindings = []
    for file in files:
        frame = _frame(file, numbers or range(len(times)), clock, partial)
        if frame is not None:
            if not 0 <= frame < len(times):
                bindings.append(Binding(file, frame, None))
                continue
            if frame in bound:
                what = numbers[frame] if numbers else frame
                problem = f"belongs to frame {what}, and so does {bound[frame].path}"
                raise InputError(file.path, problem, "leave one of the two")
            bound[frame] = file
        bindings.append(Binding(file, frame, _shot(file, frame, shots)))
    return tuple(bindings)


def _frame(file: ReferenceFile, numbers: Sequence[int], clock: _FrameTimes | None, partial: bool) -> int | None:
    """Index of the frame that a file means; outside of the frames there are only where these are a part."""
    if file.frame is not None and file.time is not None:
        raise UsageError(file.path, "is given a frame and a time", "leave one of the two")
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
    if file.time is not None and clock is not None:
        index = clock.shown(file.time)
        if not partial and not 0 <= index < len(numbers):
            span = f"{clock_text(clock.times[0])} to {clock_text(clock.stop)}"
            problem = f"belongs to {clock_text(file.time)}, but the film runs from {span}"
            raise InputError(file.path, problem, "name a time within the film")
        return index
    return None


class _FrameTimes:
    """Which frame is shown when."""

    def __init__(self, times: Sequence[Fraction]) -> None:
        self.times = times
        self.usual = median(b - a for a, b in pairwise(times)) if len(times) > 1 else ONE_FRAME
        self.stop = times[-1] + self.usual

    def shown(self, time: Fraction) -> int:
        """Index of the frame; reckoned, below 0 or from F on, where there is none."""
        if time >= self.stop:
            return len(self.times) - 1 + math.floor((time - self.times[-1]) / (self.usual or ONE_FRAME))
        index = bisect_right(self.times, time) - 1
        if index < 0:
            return math.floor((time - self.times[0]) / (self.usual or ONE_FRAME) + Fraction(1, 2))
        if index + 1 < len(self.times):
            now, after = self.times[index], self.times[index + 1]
            index += after - time <= min(self.usual, after - now) / 2
        return index


def _shot(file: ReferenceFile, frame: int | None, shots: Sequence[Shot]) -> int | None:
    """Index of the shot that a file means, its frame's where it has one."""
    said = None if file.shot is None else file.shot - 1
    if said is not None and not 0 <= said < len(shots):
        have = f"the film has shots 1 to {len(shots)}" if shots else "the film has no shot list"
        raise InputError(file.path, f"belongs to shot {file.shot}, but {have}", "name a shot of the list")
    if frame is None:
        return said
    home = bisect_right([shot.start for shot in shots], frame) - 1
    found = home if home >= 0 and frame in shots[home] else None
    if said is not None and found != said:
        shot = shots[said]
        span = f"{shot.start} to {shot.stop - 1}" if shot.stop is not None else f"from {shot.start} on"
        problem = f"belongs to frame {frame}, which is not in its shot {file.shot} (frames {span})"
        raise InputError(file.path, problem, "correct the frame or the shot")
    return found


# --- pictures --------------------


def read_reference(file: ReferenceFile) -> Still:
    """The still, with its mask applied on top of its transparency.

    Raises:
        InputError: the still or its mask cannot be used, they differ in size, or nothing that gives color is left.
    """
    still = read_still(file.path)
    if file.mask is None:
        return still
    mask = _read_mask(file.mask)
    if mask.shape != still.mask.shape:
        sizes = [f"{width}x{height}" for height, width in (mask.shape, still.mask.shape)]
        raise InputError(file.mask, f"is {sizes[0]}, its still {file.path} {sizes[1]}", "give both one size")
    both = still.mask & mask
    if not both.any():
        raise InputError(file.mask, f"leaves nothing of {file.path}", "paint white where the still gives color")
    return Still(still.rgb, both, still.name)


def _read_mask(path: Path) -> BoolArray:
    """(H, W) bool, True where a gray image is at least half white."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give a gray image as mask") from error
    picture, opacity = decode_image(path, content)
    white: BoolArray = picture.mean(axis=2) * opacity >= 0.5
    return white
