"""The first look at a film: which frames it has, when they are shown, and where its shots begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from kinemacolor.frames import FloatArray, Shot
from kinemacolor.shots import find_shots, thumbnail
from kinemacolor.video import VideoReader


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What is coloured of a film.

    Attributes:
        first: index of the first frame in the film.
        pts: (T,) int64, presentation times of the frames, in units of ``time_base``.
        time_base: seconds in one unit.
        shots: in frames of the film; they cover ``first`` … ``first`` + T − 1 without gaps.
        whole: whether these are all the film's frames.
        repaired: whether times are not those of the film's packets, some of which were missing or out of order.
        skipped: shots of a list that lie before the first frame, by which its numbers are off.
        damage: None, or where and how the film broke off.
    """

    first: int
    pts: NDArray[np.int64]
    time_base: Fraction
    shots: tuple[Shot, ...]
    whole: bool = False
    repaired: bool = False
    skipped: int = 0
    damage: str | None = None

    @property
    def frames(self) -> int:
        """T."""
        return len(self.pts)

    def times(self, origin: Fraction) -> list[Fraction]:
        """Seconds from ``origin`` at which the frames are shown."""
        return [int(one) * self.time_base - origin for one in self.pts]

    def told(self, reader: VideoReader) -> VideoReader:
        """A reader of the same film, told the frames' times where these are all of them: it finds places sooner."""
        if self.whole:
            reader.recall(None if self.repaired else [int(one) * self.time_base for one in self.pts])
        return reader


def survey(
    reader: VideoReader,
    *,
    start: float | None = None,
    end: float | None = None,
    shots: Sequence[Shot] | None = None,
    report: Callable[[int], None] | None = None,
) -> Survey:
    """Looks at every frame between ``start`` and ``end`` (seconds).

    Args:
        reader: the film.
        start, end: see ``VideoReader.frames``.
        shots: of the whole film, where they are known; None for finding them.
        report: told how many frames were seen.
    """
    pts: list[int] = []
    first: list[int] = []

    def lumas() -> Iterator[FloatArray]:
        for frame in reader.frames(start=start, end=end):
            if not first:
                first.append(frame.index)
            pts.append(frame.pts)
            if report:
                report(len(pts))
            yield thumbnail(frame.luma, frame.coding.maximum) if shots is None else EMPTY

    if shots is None:
        found = find_shots(lumas())
        placed = [Shot(shot.start + first[0], (shot.stop or len(pts)) + first[0]) for shot in found]
    else:
        for _ in lumas():
            pass
        placed = within(shots, first[0], first[0] + len(pts))
    return Survey(
        first[0],
        np.array(pts, np.int64),
        reader.info.time_base,
        tuple(placed),
        whole := start is None and end is None,
        repaired=whole and reader.times() is None,
        damage=reader.damage,
    )


EMPTY = np.zeros((0, 0), np.float32)


def within(shots: Sequence[Shot], start: int, stop: int) -> list[Shot]:
    """The parts of shots that lie in frames ``start`` … ``stop`` − 1; what no shot covers joins the one before."""
    kept = [shot for shot in shots if shot.start < stop and (shot.stop is None or shot.stop > start)]
    begins = [start, *(shot.start for shot in kept if shot.start > start)]
    return [Shot(first, last) for first, last in zip(begins, [*begins[1:], stop], strict=True)]
