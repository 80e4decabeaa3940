"""Whether stills show the frames that they are bound to; if not, which frame of the film they do show.

Pictures are compared small, by the correlation of their lightness: what was painted in color keeps it. A still that
differs from its frame more than that allows may be a crop, a photograph or a film with more or less of a border; then
the engine's features decide. The search is bounded: frames near by, those of the other stills, and some of each shot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.features import FrameFeatures, extract_features, match_support
from kinemacolor.engine.protocol import Engine
from kinemacolor.references.picture_fit import GOOD_FIT
from kinemacolor.references.place_search import PlaceSearch

BAD_FIT = 0.5
"""Correlation below which a still does not show its frame, unless its features match there best."""
_FEATURE_LEAD = 0.02  # of mean support (a cosine)
_NAMED = 3  # stills that a line names


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A still that does not show its frame.

    Attributes:
        number: of the reference.
        frame: index of the frame it is bound to.
        fits: index of the frame that it does show, as far as one was found.
        mirrored: whether it shows that frame left to right.
    """

    number: int
    frame: int
    fits: int | None
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class PlaceCheck:
    """What the comparison of bound stills with their frames has shown.

    Attributes:
        misplaced: the stills that do not show their frames.
        shift: where all bound stills show a frame at one distance from those that they are bound to, that distance in
            frames, -1 for the one before; else 0.
        bound: numbers of all stills that were compared.
        frames: those to which they are bound.
    """

    misplaced: tuple[Misplaced, ...] = ()
    shift: int = 0
    bound: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()

    def lines(
        self, names: Sequence[str], frame_name: Callable[[int], int], by_time: Collection[int] = ()
    ) -> tuple[str, ...]:
        """What the user should know, a line each; stills that are off by the same number are named together.

        Args:
            names: of the stills, by number.
            frame_name: the number by which people call the frame of an index.
            by_time: numbers of the stills that are bound by a time.
        """
        groups: dict[int | None, list[Misplaced]] = {}
        for still in self.misplaced:
            if self.shift == 0 or still.fits != still.frame + self.shift:
                step = None if still.fits is None else frame_name(still.fits) - frame_name(still.frame)
                groups.setdefault(step, []).append(still)
        lines = []
        if self.shift:
            steps = {frame_name(frame + self.shift) - frame_name(frame) for frame in self.frames}
            numbered = len(steps) == 1 and not set(by_time) & set(self.bound)
            lines.append(_step_line(names, self.bound, steps.pop(), numbered=numbered, everyone=True))
        for step, stills in groups.items():
            numbers = [still.number for still in stills]
            if len(stills) == 1:
                lines.append(_still_line(names, stills[0], frame_name))
            elif step is None:
                problem = "do not show the frames to which they are bound, nor any frame that was compared"
                lines.append(f"{_listed(names, numbers)}: {problem}; check their names, or bind them to no frame")
            else:
                lines.append(_step_line(names, numbers, step, numbered=not set(by_time) & set(numbers)))
        return tuple(lines)


def _listed(names: Sequence[str], numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
    return ", ".join(names[number] for number in numbers[:_NAMED]) + more


def _still_line(names: Sequence[str], still: Misplaced, frame_name: Callable[[int], int]) -> str:
    problem = f"{names[still.number]}: does not show frame {frame_name(still.frame)}, to which it is bound"
    if still.fits is None:
        return f"{problem}, nor any frame that was compared; check its name, or bind it to no frame"
    turned = ", mirrored" if still.mirrored else ""
    return f"{problem}, but fits frame {frame_name(still.fits)}{turned}; bind it to that frame"


def _step_line(
    names: Sequence[str], numbers: Sequence[int], step: int, *, numbered: bool, everyone: bool = False
) -> str:
    """A line about stills that show frames at one distance, in numbers of frames, from those they are bound to."""
    count = "one" if abs(step) == 1 else str(abs(step))
    side, change = ("before", "lower") if step < 0 else ("after", "higher")
    place = side if abs(step) == 1 or not numbered else f"{count} {side}"
    reason = " (ffmpeg numbers images from 1, frames count from 0)" if step == -1 and numbered else ""
    what = "shows" if len(numbers) == 1 else "all bound stills show" if everyone else "show"
    remedy = f"make each number {count} {change}" if numbered else f"bind each to the frame {place} it"
    return f"{_listed(names, numbers)}: {what} the frame {place} the one they name{reason}; {remedy}"


def check_places(
    engine: Engine,
    references: Sequence[Reference],
    frames: Mapping[int, int],
    shots: Sequence[Shot],
    lightness: Callable[[int], FloatArray],
    thumbnail: Callable[[int], FloatArray],
) -> PlaceCheck:
    """Compares stills with the frames that they are bound to.

    Both functions are called in ascending order of frames, from the film's start again five times at most.

    Args:
        engine: its features decide where lightness does not.
        references: at network size, none of them mirrored.
        frames: number of a reference → index of its frame; those outside of ``shots`` are passed over.
        shots: that are colored.
        lightness: L* (h, w) of a frame at network size, by index.
        thumbnail: the same, small.
    """
    inside = {number: frame for number, frame in frames.items() if any(frame in shot for shot in shots)}
    bound = dict(sorted(inside.items(), key=lambda item: item[1]))
    if not bound:
        return PlaceCheck()
    search = PlaceSearch(references, bound, shots, thumbnail)
    misplaced: dict[int, Misplaced] = {}
    unknown: list[int] = []  # stills that fit no frame, as far as their lightness tells
    for number, frame in bound.items():
        own = search.own_fit(number)
        best = search.best[number]
        if best is not None and search.leads(number):
            misplaced[number] = Misplaced(number, frame, best, search.shows_mirrored(number, best))
        elif own < BAD_FIT:
            if number in search.searched and not search.shows_part(number):
                unknown.append(number)
        elif search.shift and search.fit(number, frame) < GOOD_FIT:
            misplaced[number] = Misplaced(number, frame, frame + search.shift)
    fitting = _feature_fits(engine, search, unknown, lightness)
    misplaced |= {number: Misplaced(number, bound[number], None) for number in unknown if number not in fitting}
    found = tuple(misplaced[number] for number in bound if number in misplaced)
    return PlaceCheck(found, search.shift, tuple(bound), tuple(bound.values()))


def _feature_fits(
    engine: Engine, search: PlaceSearch, stills: Collection[int], lightness: Callable[[int], FloatArray]
) -> set[int]:
    """Those of some stills which the engine's features match to their own frame, and to frames of other shots less."""
    compared: dict[int, list[int]] = {}
    for number in stills:
        others = search.other_starts(search.frames[number])
        if others:
            compared[number] = [search.frames[number], *others[:: max(1, -(-len(others) // 4))]]
    keys = {number: _still_features(engine, search.references[number]) for number in compared}
    support: dict[tuple[int, int], float] = {}
    for frame in sorted({frame for frames in compared.values() for frame in frames}):
        features = [extract_features(engine, lightness(frame))]
        for number, frames in compared.items():
            if frame in frames:
                support[number, frame] = float(match_support(keys[number], features).mean())
    return {
        number
        for number, (own, *others) in compared.items()
        if support[number, own] > max(support[number, other] for other in others) + _FEATURE_LEAD
    }


def _still_features(engine: Engine, still: Reference) -> FrameFeatures:
    return extract_features(engine, still.lightness, still.mask)
