"""Where the cuts are: shots of a film from small pictures of its luma, in one pass and little memory.

Neighboring pictures are compared block by block at their best displacement, by normalized correlation: motion and
changes of brightness, even over a part of the picture, count for little. A cut is a mismatch well above that of the
neighbors around it which no pair of pictures across it undoes (a flash does). Pictures without contrast (black,
white) are left out, so that a fade is a cut between the last picture before and the first one after. A dissolve is a
stretch whose pictures are a weighted sum of the two at its ends, which have nothing else in common.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray, Shot

THUMBNAIL = 96 * 54
"""Pixels of a thumbnail, about."""
SMALLEST = 16
"""Smallest side of a thumbnail."""
SHORTEST = 4
"""Frames of the shortest shot; what differs for less is a flash."""

_AREA = 48 * 27  # of the pictures that are compared
_SMOOTHING = 0.7
_BLOCK = 9
_DARK = 0.12  # luma below which rows and columns at an edge are taken for a black border
_BLANK = 0.02  # standard deviation of luma below which a picture shows nothing
_AROUND = 4  # neighbors on each side that tell how much pictures differ hereabouts
_CUT = 0.16
_CUT_IN_MOTION = 1.0
_FADED = 0.6  # contrast against that of the shot below which a picture is part of a fade
_HALVES = (4, 8, 12, 18, 26)  # half lengths, in frames, of the dissolves looked for
_ALIKE = 0.8
_ENOUGH = 5.0
_DEEPEST = -1.2  # logarithm of what is left of the variance in the middle of a dissolve
_UNRELATED = 0.65  # a mismatch hardly ever exceeded


def thumbnail(luma: Array, maximum: int) -> FloatArray:
    """What ``find_shots`` wants of a frame.

    Args:
        luma: Y plane (H, W) of code values.
        maximum: the largest code value (``Coding.maximum``).

    Returns:
        (h, w) float32 in [0, 1]: area means, about 96 × 54 pixels of the frame's own shape; sides below 16 are kept.
    """
    height, width = luma.shape
    scale = min(1.0, (THUMBNAIL / luma.size) ** 0.5)
    size = [min(side, max(SMALLEST, round(side * scale))) for side in (width, height)]
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32) / np.float32(maximum)


def find_shots(lumas: Iterable[FloatArray], progress: Callable[[int], None] | None = None) -> tuple[Shot, ...]:
    """The shots of a film, which together are the whole film.

    Cuts, fades (one cut, between the two pictures) and dissolves (one cut, where the second picture begins to outweigh
    the first). A difference of up to three frames is no cut: no shot has less than 4 frames unless the film has. Black
    at the film's ends belongs to its first and last shot. Wipes are not looked for.

    Args:
        lumas: (h, w) float32 in [0, 1], all of one size of at least 16 × 16, of consecutive frames: ``thumbnail``.
        progress: called after each frame with the number of frames seen.

    Returns:
        Shots in order; none for a film without frames.

    Raises:
        ValueError: a picture of another size than the first, or too small.
    """
    finder = _Finder()
    for count, luma in enumerate(lumas, start=1):
        finder.take(luma)
        if progress:
            progress(count)
    return finder.finish()


@dataclass(slots=True, eq=False)
class _Picture:
    """A frame as it is compared: ``box`` is (top, bottom, left, right) within black borders."""

    index: int
    image: FloatArray
    box: tuple[int, int, int, int]
    contrast: float
    change: float = 0.0


class _Finder:
    """Told the frames one by one; remembers as many as the longest dissolve has."""

    def __init__(self) -> None:
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._pictures: deque[_Picture] = deque(maxlen=2 * _HALVES[-1] + 1 + SHORTEST)
        self._cuts: list[tuple[int, float]] = []
        self._dissolve: _Dissolve | None = None

    def take(self, luma: FloatArray) -> None:
        """The next frame."""
        if not self._count:
            self._shape = luma.shape
            if len(luma.shape) != 2 or min(luma.shape) < SMALLEST:
                raise ValueError(f"lumas: expected (h, w), both ≥ {SMALLEST}, got {luma.shape}")
        if luma.shape != self._shape:
            raise ValueError(f"lumas: expected shape {self._shape} as the first, got {luma.shape}")
        picture = _picture(luma, self._count)
        self._count += 1
        if picture.contrast < _BLANK:
            return
        if self._pictures:
            picture.change = _mismatch(self._pictures[-1], picture, enough=0.05)
        self._pictures.append(picture)
        self._judge_cut(len(self._pictures) - 1 - _AROUND)
        self._judge_dissolve(len(self._pictures) - 1 - _HALVES[-1] - _AROUND)

    def finish(self) -> tuple[Shot, ...]:
        """The shots, when all frames were told."""
        known = len(self._pictures)
        for position in range(known - _AROUND, known):
            self._judge_cut(position)
        for position in range(known - _HALVES[-1] - _AROUND, known):
            self._judge_dissolve(position)
        self._settle()
        starts = [0]
        for cut, _ in sorted(self._cuts, key=lambda cut: -cut[1]):
            if SHORTEST <= cut <= self._count - SHORTEST and all(abs(cut - other) >= SHORTEST for other in starts):
                starts.append(cut)
        starts.sort()
        return tuple(Shot(a, b) for a, b in zip(starts, [*starts[1:], self._count], strict=True) if b > a)

    # --- cuts --------------------

    def _judge_cut(self, position: int) -> None:
        """Whether the picture there begins a shot."""
        if position < 1:
            return
        pictures = self._pictures
        last = self._cuts[-1][0] if self._cuts else 0
        before = [p.change for p in islice(pictures, max(1, position - _AROUND), position) if p.index > last]
        after = [p.change for p in islice(pictures, position + 1, position + 1 + _AROUND)]
        sides = [float(np.mean(side)) for side in (before, after) if side]
        usual = sum(sides) / max(len(sides), 1)
        least = _CUT + _CUT_IN_MOTION * usual
        picture = pictures[position]
        if picture.change > least and self._stays(position, least):
            self._cuts.append((self._place(position), 1 + picture.change))

    def _stays(self, position: int, least: float) -> bool:
        """Whether no picture shortly before looks like one shortly after, as it does around a flash."""
        for gap in range(1, SHORTEST):
            for back in range(gap + 1):
                left, right = position - 1 - back, position + gap - back
                if left < 0 or right >= len(self._pictures):
                    continue
                if _mismatch(self._pictures[left], self._pictures[right], enough=least) <= least:
                    return False
        return True

    def _place(self, position: int) -> int:
        """Where among the blank frames before the picture the cut belongs."""
        pictures = self._pictures
        old, new = pictures[position - 1], pictures[position]
        if new.index == old.index + 1:
            return new.index
        shots = (islice(pictures, max(0, position - 12), position), islice(pictures, position, position + 12))
        usual = [max(p.contrast for p in side) for side in shots]
        out, into = old.contrast < _FADED * usual[0], new.contrast < _FADED * usual[1]
        if into:
            return (old.index + 1 + new.index) // 2 if out else old.index + 1
        return new.index

    # --- dissolves --------------------

    def _judge_dissolve(self, position: int) -> None:
        """Whether the picture there is in the middle of a dissolve."""
        if position < 0:
            return
        now = self._pictures[position].index
        if self._dissolve and now > self._dissolve.center + self._dissolve.half:
            self._settle()
        for half in _HALVES if now % 2 else _HALVES[:1]:
            if position < half or position + half >= len(self._pictures):
                return
            stretch = list(islice(self._pictures, position - half, position + half + 1))
            start, stop = stretch[0].index, stretch[-1].index
            if stop - start != 2 * half or any(start < cut <= stop for cut, _ in self._cuts[-2 * half :]):
                return
            score = _mixed(stretch)
            if score > 0:
                self._note(_Dissolve(score, now, half, start + _crossing(stretch)))

    def _note(self, found: _Dissolve) -> None:
        score = found.score
        if self._dissolve is None or found.score > self._dissolve.score:
            found.evidence = self._dissolve.evidence if self._dissolve else 0.0
            self._dissolve = found
        self._dissolve.evidence += score

    def _settle(self) -> None:
        """Takes the dissolve that was pending for a cut."""
        if self._dissolve and self._dissolve.evidence > _ENOUGH:
            self._cuts.append((self._dissolve.cut, self._dissolve.score / (1 + self._dissolve.score)))
        self._dissolve = None


@dataclass(slots=True)
class _Dissolve:
    """The stretch that looks most like a dissolve hereabouts; ``evidence``: sum of the scores of all that do."""

    score: float
    center: int
    half: int
    cut: int
    evidence: float = 0.0


# --- comparing pictures --------------------


def _picture(luma: FloatArray, index: int) -> _Picture:
    height, width = luma.shape
    scale = min(1.0, (_AREA / luma.size) ** 0.5)
    size = (max(SMALLEST, round(width * scale)), max(SMALLEST, round(height * scale)))
    image = cv2.GaussianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), (0, 0), _SMOOTHING)
    box = (*_extent(image.max(axis=1)), *_extent(image.max(axis=0)))
    return _Picture(index, image, box, float(image.std()))


def _extent(brightest: FloatArray) -> tuple[int, int]:
    """First and last but one of the rows (or columns) within black borders; all, where hardly any are."""
    bright = np.flatnonzero(brightest > _DARK)
    if len(bright) < SMALLEST // 2:
        return 0, len(brightest)
    return int(bright[0]), int(bright[-1]) + 1


def _within_borders(one: _Picture, other: _Picture, *more: _Picture) -> Iterator[FloatArray]:
    """The pictures without the black borders that the first two share."""
    a, b = one.box, other.box
    rows, columns = slice(min(a[0], b[0]), max(a[1], b[1])), slice(min(a[2], b[2]), max(a[3], b[3]))
    return (picture.image[rows, columns] for picture in (one, other, *more))


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def _mismatch(one: _Picture, other: _Picture, enough: float = 0.0) -> float:
    """How little two pictures show the same, 0 (the same) to about 0.6 (unrelated).

    One minus the normalized correlation of blocks at their best displacement, weighted by their contrast, in both
    directions. Where the pictures correlate as they are to within ``enough``, that is the answer.
    """
    a, b = _within_borders(one, other)
    still = 1 - _correlation(a, b)
    return still if still <= enough else 1 - (_blocks_found(a, b) + _blocks_found(b, a)) / 2


def _blocks_found(source: FloatArray, target: FloatArray) -> float:
    """Mean correlation of the source's blocks with the target, each where it fits best."""
    reach = max(2, round(max(source.shape) / 8))
    total = weights = 0.0
    for top, bottom in _steps(source.shape[0]):
        for left, right in _steps(source.shape[1]):
            block = source[top:bottom, left:right]
            weight = float(cv2.meanStdDev(block)[1][0, 0])
            if weight < 1e-3:
                continue
            window = target[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
            found = float(cv2.minMaxLoc(cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED))[1])
            total += weight * min(1.0, found)
            weights += weight
    return total / weights if weights else 1.0


def _steps(side: int) -> list[tuple[int, int]]:
    """A side in blocks: first and last but one of each."""
    count = max(1, round(side / _BLOCK))
    return [(side * k // count, side * (k + 1) // count) for k in range(count)]


def _weights(first: FloatArray, middle: FloatArray, last: FloatArray) -> tuple[float, float, float]:
    """a, b and the share of variance explained of middle ≈ a · first + b · last + c, by least squares."""
    x, y, z = (image.ravel() - image.mean() for image in (first, middle, last))
    xx, zz, xz, xy, zy, yy = (float(np.vdot(*pair)) for pair in ((x, x), (z, z), (x, z), (x, y), (z, y), (y, y)))
    determinant = max(xx * zz - xz * xz, 1e-9)
    a, b = (xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant
    return a, b, (a * xy + b * zy) / max(yy, 1e-9)


def _mixed(stretch: list[_Picture]) -> float:
    """Above 0 where the pictures look like sums of the first and the last, the middle one of both.

    The evidence is added with the weights of a logistic regression: share of variance explained at the quarters,
    mismatch of the ends, how well one is found anywhere in the other, and how far contrast dips in the middle.
    """
    half = len(stretch) // 2
    first, last, *inner = _within_borders(stretch[0], stretch[-1], *(stretch[k * half // 2] for k in (1, 2, 3)))
    if _correlation(first, last) > _ALIKE:
        return 0.0
    middle = inner[1]
    dip = max(_DEEPEST, float(np.log((middle.var() + 1e-6) / ((first.var() + last.var()) / 2))))
    if dip > 0.2:
        return 0.0
    parts = [_weights(first, picture, last) for picture in inner]
    a, b, _ = parts[1]
    explained = float(np.mean([share for _, _, share in parts]))
    if explained < 0.4 or a + b < 0.4 or min(a, b) < 0.1 * (a + b):
        return 0.0
    evidence = 10 * explained - 6 * dip - 10
    if evidence + 10 * _UNRELATED <= 0:
        return 0.0
    evidence -= 8 * max(_found_far(first, last), _found_far(last, first))
    return evidence + 10 * _mismatch(stretch[0], stretch[-1])


def _found_far(source: FloatArray, target: FloatArray) -> float:
    """Correlation of the best fitting large part of one picture anywhere in the other, as after a pan."""
    height, width = source.shape
    parts = [source[:, : width * 3 // 5], source[:, width * 2 // 5 :]]
    parts += [source[: height * 3 // 5], source[height * 2 // 5 :]]
    return max(float(cv2.matchTemplate(target, part, cv2.TM_CCOEFF_NORMED).max()) for part in parts)


def _crossing(stretch: list[_Picture]) -> int:
    """Which of the pictures is the first that the last one outweighs."""
    for number, picture in enumerate(stretch[1:-1], start=1):
        first, last, now = _within_borders(stretch[0], stretch[-1], picture)
        a, b, _ = _weights(first, now, last)
        if b >= a:
            return number
    return len(stretch) - 1
