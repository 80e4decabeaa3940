"""Shot detection: the cuts of a film from small pictures of its luma, in one pass and little memory.

Neighboring pictures are compared block by block at their best displacement, by normalized correlation: motion and
changes of brightness, even in a part of the picture, count for little. A cut is a mismatch well above that of the
neighboring pairs, if no pair of pictures across it matches (as around a flash). Pictures without contrast (black,
white) are skipped, so that a fade is a cut between the last picture before and the first one after. A dissolve is a
stretch whose pictures are weighted sums of the two at its ends, which have nothing else in common.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.shots.picture_comparison import (
    MINIMUM_THUMBNAIL_SIDE,
    ComparedPicture,
    compared_picture,
    dissolve_crossing,
    dissolve_score,
    picture_mismatch,
)

THUMBNAIL_AREA = 96 * 54
"""Area of a thumbnail in pixels, about."""
SHORTEST_SHOT = 4
"""Frames of the shortest shot; a shorter change is a flash."""

_BLANK = 0.02  # standard deviation of luma below which a picture shows nothing
_NEIGHBORS = 4  # pairs on each side that tell how much pictures usually differ here
_CUT = 0.16  # mismatch of a cut where nothing moves
_CUT_IN_MOTION = 1.0  # further mismatch of a cut for each unit of the neighbors' mismatch
_FADED = 0.6  # contrast relative to that of the shot below which a picture is part of a fade
_HALF_LENGTHS = (4, 8, 12, 18, 26)  # of dissolves, in frames
_DISSOLVE_EVIDENCE = 5.0  # sum of scores above which a stretch is a dissolve


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


class _ShotDetector:
    """Takes the frames one by one; keeps as many as the longest dissolve has."""

    def __init__(self) -> None:
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._pictures: deque[ComparedPicture] = deque(maxlen=2 * _HALF_LENGTHS[-1] + 1 + SHORTEST_SHOT)
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
        picture = compared_picture(luma, self._count)
        self._count += 1
        if picture.contrast < _BLANK:
            return
        if self._pictures:
            picture.change = picture_mismatch(self._pictures[-1], picture, tolerance=0.05)
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
                if picture_mismatch(self._pictures[left], self._pictures[right], tolerance=threshold) <= threshold:
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
            score = dissolve_score(stretch)
            if score > 0:
                self._keep_dissolve(_Dissolve(score, center, half, start + dissolve_crossing(stretch)))

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
