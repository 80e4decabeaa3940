"""The first look at a film: which frames it has, when they are shown, and where its shots begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import FloatArray, Shot
from kinemacolor.shots.detection import find_shots, thumbnail
from kinemacolor.shots.lists import read_shots
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader


@dataclass(frozen=True, slots=True, eq=False)
class FilmAnalysis:
    """What is colored of a film.

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

    def numbers(self, info: VideoInfo) -> Sequence[int]:
        """By which people call the frames: those in the names of the film's images, else their indices."""
        if info.numbers is None:
            return range(self.first, self.first + self.frames)
        return [info.numbers[position] for position in self.pts]

    def restore_frame_times(self, reader: VideoReader) -> VideoReader:
        """A reader of the same film, told the frames' times where these are all of them: it finds places sooner."""
        if self.whole:
            reader.recall(None if self.repaired else [int(one) * self.time_base for one in self.pts])
        return reader


def analyze_film(
    reader: VideoReader,
    start: float | None,
    end: float | None,
    shots: Literal["auto", "none"] | Path | Sequence[Shot],
    clock: StageTimer,
    looking: Callable[[int, int | None], None] | None,
) -> FilmAnalysis:
    """The first look, with the shots that were asked for."""
    expected = expected_frames(reader.info, start, end)
    report = (lambda seen: looking(seen, expected)) if looking else None
    known = None if shots == "auto" else [Shot(0)] if isinstance(shots, str | Path) else shots
    with clock.stage("look"):
        found = scan_frames(reader, start=start, end=end, shots=known, report=report)
        if isinstance(shots, Path):
            count = found.frames if found.whole else sum(1 for _ in reader.frames())
            listed = read_shots(shots, count, reader.info.rate)
            inside = shots_within(listed, found.first, found.first + found.frames)
            skipped = sum(shot.stop is not None and shot.stop <= found.first for shot in listed)
            found = replace(found, shots=tuple(inside), skipped=skipped)
    return found


def expected_frames(info: VideoInfo, start: float | None, end: float | None) -> int | None:
    """Frames between ``start`` and ``end`` (seconds), as far as the container tells."""
    if info.frames is None:
        return None
    rate = float(info.rate)
    first, last = (math.ceil(seconds * rate - 1e-6) for seconds in (start or 0.0, end or 0.0))
    return max(0, (info.frames if end is None else min(info.frames, last)) - first)


def scan_frames(
    reader: VideoReader,
    *,
    start: float | None = None,
    end: float | None = None,
    shots: Sequence[Shot] | None = None,
    report: Callable[[int], None] | None = None,
) -> FilmAnalysis:
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
        placed = shots_within(shots, first[0], first[0] + len(pts))
    return FilmAnalysis(
        first[0],
        np.array(pts, np.int64),
        reader.info.time_base,
        tuple(placed),
        whole := start is None and end is None,
        repaired=whole and reader.times() is None,
        damage=reader.damage,
    )


EMPTY = np.zeros((0, 0), np.float32)


def shots_within(shots: Sequence[Shot], start: int, stop: int) -> list[Shot]:
    """The parts of shots that lie in frames ``start`` … ``stop`` − 1; what no shot covers joins the one before."""
    kept = [shot for shot in shots if shot.start < stop and (shot.stop is None or shot.stop > start)]
    begins = [start, *(shot.start for shot in kept if shot.start > start)]
    return [Shot(first, last) for first, last in zip(begins, [*begins[1:], stop], strict=True)]
