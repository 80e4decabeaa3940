"""Shot detection: the cuts of a film from small pictures of its luma, in one pass and little memory.

Neighboring pictures are compared block by block at their best displacement, by normalized correlation: motion and
changes of brightness, even in a part of the picture, count for little. A cut is a mismatch well above that of the
neighboring pairs, if no pair of pictures across it matches (as around a flash). Pictures without contrast (black,
white) are skipped, so that a fade is a cut between the last picture before and the first one after. A dissolve is a
stretch whose pictures are weighted sums of the two at its ends, which have nothing else in common.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray

THUMBNAIL_AREA = 96 * 54
"""Area of a thumbnail in pixels, about."""
MINIMUM_THUMBNAIL_SIDE = 16
"""Smallest side of a thumbnail in pixels."""
SHORTEST_SHOT = 4
"""Frames of the shortest shot; a shorter change is a flash."""

_COMPARED_AREA = 48 * 27  # of the pictures that are compared, in pixels
_SMOOTHING = 0.7  # standard deviation of the blur of compared pictures, in pixels
_BLOCK = 9  # side of a block that is compared, in pixels, about
_DARK = 0.12  # luma below which rows and columns at an edge count as a black border
_BLANK = 0.02  # standard deviation of luma below which a picture shows nothing
_NEIGHBORS = 4  # pairs on each side that tell how much pictures usually differ here
_CUT = 0.16  # mismatch of a cut where nothing moves
_CUT_IN_MOTION = 1.0  # further mismatch of a cut for each unit of the neighbors' mismatch
_FADED = 0.6  # contrast relative to that of the shot below which a picture is part of a fade
_HALF_LENGTHS = (4, 8, 12, 18, 26)  # of dissolves, in frames
_SIMILAR = 0.8  # correlation above which two pictures are not the ends of a dissolve
_DISSOLVE_EVIDENCE = 5.0  # sum of scores above which a stretch is a dissolve
_DEEPEST_DIP = -1.2  # logarithm of the share of variance that remains in the middle of a dissolve, at least
_UNRELATED = 0.65  # a mismatch that is hardly ever exceeded


def thumbnail(luma: Array, maximum: int) -> FloatArray:
    """A small picture of a frame, as ``find_shots`` takes it.

    Args:
        luma: Y plane (H, W) of code values.
        maximum: the largest code value (``Coding.maximum``).

    Returns:
        (h, w) float32 in [0, 1]: area means, about 96 × 54 pixels in the frame's own shape; sides below 16 are kept.
    """
    height, width = luma.shape
    scale = min(1.0, (THUMBNAIL_AREA / luma.size) ** 0.5)
    size = [min(side, max(MINIMUM_THUMBNAIL_SIDE, round(side * scale))) for side in (width, height)]
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32) / np.float32(maximum)


def find_shots(lumas: Iterable[FloatArray], progress: Callable[[int], None] | None = None) -> tuple[Shot, ...]:
    """The shots of a film, which together are the whole film.

    It finds cuts, fades (one cut, between the two pictures) and dissolves (one cut, where the second picture begins to
    outweigh the first). A change of up to three frames is no cut: no shot has fewer than 4 frames unless the film has.
    Black at the film's ends belongs to its first and last shot. Wipes are not detected.

    Args:
        lumas: (h, w) float32 in [0, 1], all of one size of at least 16 × 16, of consecutive frames; see ``thumbnail``.
        progress: called after each frame with the number of frames seen.

    Returns:
        Shots in order; none for a film without frames.

    Raises:
        ValueError: a picture is too small, or of another size than the first.
    """
    detector = _ShotDetector()
    for count, luma in enumerate(lumas, start=1):
        detector.add(luma)
        if progress:
            progress(count)
    return detector.finish()


@dataclass(slots=True, eq=False)
class _Picture:
    """A frame as it is compared.

    Attributes:
        index: of the frame.
        image: (h, w) its blurred luma.
        box: (top, bottom, left, right) of the picture within black borders.
        contrast: standard deviation of its luma.
        change: mismatch with the picture before.
    """

    index: int
    image: FloatArray
    box: tuple[int, int, int, int]
    contrast: float
    change: float = 0.0


class _ShotDetector:
    """Takes the frames one by one; keeps as many as the longest dissolve has."""

    def __init__(self) -> None:
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._pictures: deque[_Picture] = deque(maxlen=2 * _HALF_LENGTHS[-1] + 1 + SHORTEST_SHOT)
        self._cuts: list[tuple[int, float]] = []
        self._dissolve: _Dissolve | None = None

    def add(self, luma: FloatArray) -> None:
        """Adds the next frame."""
        if not self._count:
            self._shape = luma.shape
            if len(luma.shape) != 2 or min(luma.shape) < MINIMUM_THUMBNAIL_SIDE:
                raise ValueError(f"lumas: expected (h, w), both ≥ {MINIMUM_THUMBNAIL_SIDE}, got {luma.shape}")
        if luma.shape != self._shape:
            raise ValueError(f"lumas: expected shape {self._shape} as the first, got {luma.shape}")
        picture = _picture(luma, self._count)
        self._count += 1
        if picture.contrast < _BLANK:
            return
        if self._pictures:
            picture.change = _mismatch(self._pictures[-1], picture, tolerance=0.05)
        self._pictures.append(picture)
        self._judge_cut(len(self._pictures) - 1 - _NEIGHBORS)
        self._judge_dissolve(len(self._pictures) - 1 - _HALF_LENGTHS[-1] - _NEIGHBORS)

    def finish(self) -> tuple[Shot, ...]:
        """The shots, after all frames were added."""
        count = len(self._pictures)
        for position in range(count - _NEIGHBORS, count):
            self._judge_cut(position)
        for position in range(count - _HALF_LENGTHS[-1] - _NEIGHBORS, count):
            self._judge_dissolve(position)
        self._accept_dissolve()
        starts = [0]
        for cut, _ in sorted(self._cuts, key=lambda cut: -cut[1]):
            if SHORTEST_SHOT <= cut <= self._count - SHORTEST_SHOT and all(
                abs(cut - other) >= SHORTEST_SHOT for other in starts
            ):
                starts.append(cut)
        starts.sort()
        return tuple(Shot(a, b) for a, b in zip(starts, [*starts[1:], self._count], strict=True) if b > a)

    # --- cuts --------------------

    def _judge_cut(self, position: int) -> None:
        """Records a cut if a shot begins with the picture at ``position``."""
        if position < 1:
            return
        pictures = self._pictures
        last_cut = self._cuts[-1][0] if self._cuts else 0
        before = [p.change for p in islice(pictures, max(1, position - _NEIGHBORS), position) if p.index > last_cut]
        after = [p.change for p in islice(pictures, position + 1, position + 1 + _NEIGHBORS)]
        sides = [float(np.mean(side)) for side in (before, after) if side]
        usual_change = sum(sides) / max(len(sides), 1)
        threshold = _CUT + _CUT_IN_MOTION * usual_change
        picture = pictures[position]
        if picture.change > threshold and self._is_permanent(position, threshold):
            self._cuts.append((self._cut_frame(position), 1 + picture.change))

    def _is_permanent(self, position: int, threshold: float) -> bool:
        """Whether no picture shortly before matches one shortly after, as they do around a flash."""
        for gap in range(1, SHORTEST_SHOT):
            for back in range(gap + 1):
                left, right = position - 1 - back, position + gap - back
                if left < 0 or right >= len(self._pictures):
                    continue
                if _mismatch(self._pictures[left], self._pictures[right], tolerance=threshold) <= threshold:
                    return False
        return True

    def _cut_frame(self, position: int) -> int:
        """The first frame of the new shot: the picture at ``position``, or one of the blank frames before it."""
        pictures = self._pictures
        old, new = pictures[position - 1], pictures[position]
        if new.index == old.index + 1:
            return new.index
        shots = (islice(pictures, max(0, position - 12), position), islice(pictures, position, position + 12))
        contrast = [max(p.contrast for p in side) for side in shots]
        fades_out, fades_in = old.contrast < _FADED * contrast[0], new.contrast < _FADED * contrast[1]
        if fades_in:
            return (old.index + 1 + new.index) // 2 if fades_out else old.index + 1
        return new.index

    # --- dissolves --------------------

    def _judge_dissolve(self, position: int) -> None:
        """Keeps the dissolve, if any, whose middle is the picture at ``position``."""
        if position < 0:
            return
        center = self._pictures[position].index
        if self._dissolve and center > self._dissolve.center + self._dissolve.half:
            self._accept_dissolve()
        for half in _HALF_LENGTHS if center % 2 else _HALF_LENGTHS[:1]:
            if position < half or position + half >= len(self._pictures):
                return
            stretch = list(islice(self._pictures, position - half, position + half + 1))
            start, stop = stretch[0].index, stretch[-1].index
            if stop - start != 2 * half or any(start < cut <= stop for cut, _ in self._cuts[-2 * half :]):
                return
            score = _dissolve_score(stretch)
            if score > 0:
                self._keep_dissolve(_Dissolve(score, center, half, start + _crossing(stretch)))

    def _keep_dissolve(self, dissolve: _Dissolve) -> None:
        score = dissolve.score
        if self._dissolve is None or dissolve.score > self._dissolve.score:
            dissolve.evidence = self._dissolve.evidence if self._dissolve else 0.0
            self._dissolve = dissolve
        self._dissolve.evidence += score

    def _accept_dissolve(self) -> None:
        """Records the pending dissolve as a cut if there is enough evidence for it."""
        if self._dissolve and self._dissolve.evidence > _DISSOLVE_EVIDENCE:
            self._cuts.append((self._dissolve.cut, self._dissolve.score / (1 + self._dissolve.score)))
        self._dissolve = None


@dataclass(slots=True)
class _Dissolve:
    """The stretch that looks most like a dissolve among overlapping ones.

    Attributes:
        score: how much it looks like one.
        center, half: its middle frame, and the number of frames on each side of it.
        cut: first frame of the new shot.
        evidence: sum of the scores of all overlapping stretches.
    """

    score: float
    center: int
    half: int
    cut: int
    evidence: float = 0.0


# --- comparing pictures --------------------


def _picture(luma: FloatArray, index: int) -> _Picture:
    height, width = luma.shape
    scale = min(1.0, (_COMPARED_AREA / luma.size) ** 0.5)
    size = (max(MINIMUM_THUMBNAIL_SIDE, round(width * scale)), max(MINIMUM_THUMBNAIL_SIDE, round(height * scale)))
    image = cv2.GaussianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), (0, 0), _SMOOTHING)
    box = (*_extent(image.max(axis=1)), *_extent(image.max(axis=0)))
    return _Picture(index, image, box, float(image.std()))


def _extent(brightest: FloatArray) -> tuple[int, int]:
    """(start, stop) of the rows, or columns, within black borders; all of them if hardly any are bright."""
    bright = np.flatnonzero(brightest > _DARK)
    if len(bright) < MINIMUM_THUMBNAIL_SIDE // 2:
        return 0, len(brightest)
    return int(bright[0]), int(bright[-1]) + 1


def _without_borders(first: _Picture, second: _Picture, *more: _Picture) -> Iterator[FloatArray]:
    """The pictures without the black borders that the first two share."""
    a, b = first.box, second.box
    rows, columns = slice(min(a[0], b[0]), max(a[1], b[1])), slice(min(a[2], b[2]), max(a[3], b[3]))
    return (picture.image[rows, columns] for picture in (first, second, *more))


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(np.vdot(a, b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-6))


def _mismatch(first: _Picture, second: _Picture, tolerance: float = 0.0) -> float:
    """How different two pictures are, from 0 (equal) to about 0.6 (unrelated).

    One minus the normalized correlation of blocks at their best displacement, weighted by their contrast, in both
    directions. If the mismatch without displacement is at most ``tolerance``, that one is returned.
    """
    a, b = _without_borders(first, second)
    undisplaced = 1 - _correlation(a, b)
    return undisplaced if undisplaced <= tolerance else 1 - (_block_match(a, b) + _block_match(b, a)) / 2


def _block_match(source: FloatArray, target: FloatArray) -> float:
    """Mean correlation of the source's blocks with the target, each at its best displacement."""
    reach = max(2, round(max(source.shape) / 8))
    total = weights = 0.0
    for top, bottom in _block_edges(source.shape[0]):
        for left, right in _block_edges(source.shape[1]):
            block = source[top:bottom, left:right]
            weight = float(cv2.meanStdDev(block)[1][0, 0])
            if weight < 1e-3:
                continue
            window = target[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
            best = float(cv2.minMaxLoc(cv2.matchTemplate(window, block, cv2.TM_CCOEFF_NORMED))[1])
            total += weight * min(1.0, best)
            weights += weight
    return total / weights if weights else 1.0


def _block_edges(side: int) -> list[tuple[int, int]]:
    """(start, stop) of each block along a side."""
    count = max(1, round(side / _BLOCK))
    return [(side * k // count, side * (k + 1) // count) for k in range(count)]


def _mixing_weights(first: FloatArray, middle: FloatArray, last: FloatArray) -> tuple[float, float, float]:
    """a, b and the explained share of variance of middle ≈ a · first + b · last + c, by least squares."""
    x, y, z = (image.ravel() - image.mean() for image in (first, middle, last))
    xx, zz, xz, xy, zy, yy = (float(np.vdot(*pair)) for pair in ((x, x), (z, z), (x, z), (x, y), (z, y), (y, y)))
    determinant = max(xx * zz - xz * xz, 1e-9)
    a, b = (xy * zz - zy * xz) / determinant, (zy * xx - xy * xz) / determinant
    return a, b, (a * xy + b * zy) / max(yy, 1e-9)


def _dissolve_score(stretch: list[_Picture]) -> float:
    """Above 0 if the pictures look like weighted sums of the first and the last one, the middle one of both.

    A logistic regression over the share of variance explained at the quarters, the mismatch of the ends, how well one
    end matches anywhere in the other, and how far contrast dips in the middle.
    """
    half = len(stretch) // 2
    first, last, *inner = _without_borders(stretch[0], stretch[-1], *(stretch[k * half // 2] for k in (1, 2, 3)))
    if _correlation(first, last) > _SIMILAR:
        return 0.0
    middle = inner[1]
    dip = max(_DEEPEST_DIP, float(np.log((middle.var() + 1e-6) / ((first.var() + last.var()) / 2))))
    if dip > 0.2:
        return 0.0
    parts = [_mixing_weights(first, picture, last) for picture in inner]
    a, b, _ = parts[1]
    explained = float(np.mean([share for _, _, share in parts]))
    if explained < 0.4 or a + b < 0.4 or min(a, b) < 0.1 * (a + b):
        return 0.0
    evidence = 10 * explained - 6 * dip - 10
    if evidence + 10 * _UNRELATED <= 0:
        return 0.0
    evidence -= 8 * max(_far_match(first, last), _far_match(last, first))
    return evidence + 10 * _mismatch(stretch[0], stretch[-1])


def _far_match(source: FloatArray, target: FloatArray) -> float:
    """Correlation of the best large part of one picture anywhere in the other, as after a pan."""
    height, width = source.shape
    parts = [source[:, : width * 3 // 5], source[:, width * 2 // 5 :]]
    parts += [source[: height * 3 // 5], source[height * 2 // 5 :]]
    return max(float(cv2.matchTemplate(target, part, cv2.TM_CCOEFF_NORMED).max()) for part in parts)


def _crossing(stretch: list[_Picture]) -> int:
    """Number of the first picture in which the last one outweighs the first."""
    for number, picture in enumerate(stretch[1:-1], start=1):
        first, last, mixed = _without_borders(stretch[0], stretch[-1], picture)
        a, b, _ = _mixing_weights(first, mixed, last)
        if b >= a:
            return number
    return len(stretch) - 1
