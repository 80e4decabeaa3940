"""The first pass through a film: which frames it has, when they are shown, and where its shots begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.errors import InputError
from kinemacolor.core.pipelining import StageTimer, prefetch
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray
from kinemacolor.shots.cards import PlainFrameScan, ShotMark, card_picture
from kinemacolor.shots.detection import find_shots, thumbnail
from kinemacolor.shots.lists import ShotList, read_list, read_shot_list
from kinemacolor.shots.picture_comparison import MINIMUM_THUMBNAIL_SIDE
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

ShotChoice = Literal["auto", "none"] | Path | Sequence[Shot]
"""Found, one for the whole film, a list's path, or the shots themselves."""
EMPTY = np.zeros((0, 0), np.float32)


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
        remark: what else the user should know of its frames, or None.
        marks: for each shot, what is known of its colors; empty where nothing is known of any.
    """

    first: int
    pts: NDArray[np.int64]
    time_base: Fraction
    shots: tuple[Shot, ...]
    whole: bool = False
    repaired: bool = False
    skipped: int = 0
    damage: str | None = None
    remark: str | None = None
    marks: tuple[ShotMark, ...] = ()

    @property
    def neutral_shots(self) -> tuple[int, ...]:
        """Indices of the shots that stay gray, as far as the film or its list says so."""
        return tuple(number for number, mark in enumerate(self.marks) if mark in ("card", "blank", "neutral"))

    @property
    def frames(self) -> int:
        """T."""
        return len(self.pts)

    def times(self, origin: Fraction) -> list[Fraction]:
        """Seconds from ``origin`` at which the frames are shown."""
        return [int(pts) * self.time_base - origin for pts in self.pts]

    def numbers(self, info: VideoInfo) -> Sequence[int]:
        """By which people call the frames: those in the names of the film's images, else their indices."""
        if info.numbers is None:
            return range(self.first, self.first + self.frames)
        return [info.numbers[position] for position in self.pts]

    def restore_frame_times(self, reader: VideoReader) -> VideoReader:
        """Gives a reader of the same film the frames' times where these are all of them: it then seeks faster."""
        if self.whole:
            reader.recall(None if self.repaired else [int(pts) * self.time_base for pts in self.pts])
        return reader


def analyze_film(
    reader: VideoReader,
    *,
    start: float | Fraction | None = None,
    end: float | Fraction | None = None,
    shots: ShotChoice = "auto",
    find_cards: bool = True,
    timer: StageTimer | None = None,
    progress: ProgressCallback | None = None,
) -> FilmAnalysis:
    """Reads every frame between ``start`` and ``end`` (seconds) and finds, or places, the shots.

    Args:
        reader: of the film.
        start, end: seconds; None for the film's own.
        shots: which shots it has.
        find_cards: whether to mark title cards and blank leader; leader between shots that are found becomes a shot.
        timer: its stage ``analyze`` is timed.
        progress: called with the number of frames read and expected, None where unknown.

    Raises:
        InputError: the film or the list cannot be used.
    """
    begin, stop = (None if time is None else float(time) for time in (start, end))
    expected = expected_frames(reader.info, begin, stop)
    report = (lambda count: progress(count, expected)) if progress else None
    if isinstance(shots, str) and shots not in ("auto", "none"):
        shots = Path(shots)
    if isinstance(shots, Path):
        read_list(shots)  # what is wrong with the file is told before the film is read
    size = (reader.info.width, reader.info.height)
    if shots == "auto" and min(size) < MINIMUM_THUMBNAIL_SIDE:
        problem = f"is {size[0]}x{size[1]} pixels, too small for its cuts to be found"
        raise InputError(reader.info.path, problem, f"enlarge it to sides of at least {MINIMUM_THUMBNAIL_SIDE} pixels")
    placed = None if shots == "auto" else [Shot(0)] if isinstance(shots, str | Path) else shots
    cards = PlainFrameScan() if find_cards and shots != "none" else None
    with (timer or StageTimer()).stage("analyze"):
        analysis = scan_frames(reader, start=begin, end=stop, shots=placed, cards=cards, report=report)
        if isinstance(shots, Path):
            count = analysis.frames if analysis.whole else sum(1 for _ in reader.frames())
            listed = read_shot_list(shots, count, reader.info.rate)
            inside = shots_within(listed.shots, analysis.first, analysis.first + analysis.frames)
            skipped = sum(shot.stop is not None and shot.stop <= analysis.first for shot in listed.shots)
            analysis = replace(analysis, shots=tuple(inside), skipped=skipped, marks=())
            analysis = replace(analysis, marks=_merge_marks(analysis, listed, cards))
    return analysis


def _merge_marks(analysis: FilmAnalysis, listed: ShotList, cards: PlainFrameScan | None) -> tuple[ShotMark, ...]:
    """What the list says of each shot, else what was found; empty where nothing is known."""
    found = _found_marks(cards, analysis.shots, analysis.first)
    inside = listed.marks[analysis.skipped : analysis.skipped + len(analysis.shots)]
    marks = [mark or (found[number] if found else mark) for number, mark in enumerate(inside)]
    return tuple(marks) if any(marks) else ()


def _found_marks(cards: PlainFrameScan | None, shots: Sequence[Shot], first: int) -> tuple[ShotMark, ...]:
    """What was found of each shot; empty where nothing was."""
    if cards is None:
        return ()
    marks = cards.marked([_moved(shot, -first) for shot in shots])
    return marks if any(marks) else ()


def _moved(shot: Shot, by: int) -> Shot:
    return Shot(shot.start + by, None if shot.stop is None else shot.stop + by)


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
    cards: PlainFrameScan | None = None,
    report: Callable[[int], None] | None = None,
) -> FilmAnalysis:
    """Reads every frame between ``start`` and ``end`` (seconds).

    Args:
        reader: of the film.
        start, end: see ``VideoReader.frames``.
        shots: of the whole film, where they are known; None for finding them.
        cards: looks for title cards and blank leader, or None.
        report: called with the number of frames read.
    """
    pts: list[int] = []
    indices: list[int] = []

    def lumas() -> Generator[FloatArray, None, None]:
        for frame in reader.frames(start=start, end=end):
            if not indices:
                indices.append(frame.index)
            pts.append(frame.pts)
            if report:
                report(len(pts))
            if cards is not None:
                cards.add(card_picture(frame.luma, frame.coding.maximum))
            yield thumbnail(frame.luma, frame.coding.maximum) if shots is None else EMPTY

    if shots is None:
        with closing(prefetch(lumas())) as decoded:  # decoding runs beside the search
            detected = find_shots(decoded)
        if cards is not None:
            detected = cards.with_leader(detected)
        placed = [_moved(shot, indices[0]) for shot in detected]
    else:
        for _ in lumas():
            pass
        placed = shots_within(shots, indices[0], indices[0] + len(pts))
    return FilmAnalysis(
        indices[0],
        np.array(pts, np.int64),
        reader.info.time_base,
        tuple(placed),
        whole := start is None and end is None,
        repaired=whole and reader.times() is None,
        damage=reader.damage,
        remark=reader.remark,
        marks=_found_marks(cards, placed, indices[0]),
    )


def shots_within(shots: Sequence[Shot], start: int, stop: int) -> list[Shot]:
    """The parts of shots that lie in frames ``start`` … ``stop`` − 1; what no shot covers joins the one before."""
    kept = [shot for shot in shots if shot.start < stop and (shot.stop is None or shot.stop > start)]
    begins = [start, *(shot.start for shot in kept if shot.start > start)]
    return [Shot(first, last) for first, last in zip(begins, [*begins[1:], stop], strict=True)]
