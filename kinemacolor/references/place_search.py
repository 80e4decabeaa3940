"""Which frames of a film look like stills that are bound to others; the film is read a few times, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.references.picture_fit import GOOD_FIT, part_fit, picture_fit

LIKELY_FIT = 0.7
"""Correlation above which another frame is named as the one that a still shows."""
_PLAUSIBLE_FIT = 0.6  # correlation above which frames around the best one are compared as well
_WHOLE_FIT = 0.9  # correlation below which that is in doubt where the still may be a part of its own frame
_PART_FIT = 0.8  # correlation above which it may be: stills and frames of other pictures reach 0.77
NEAR_FRAMES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
"""Distances of frames that are compared with a still that does not show its own."""
_NEAR_GAP = 8
_COMMON_DISTANCE = 12  # frames by which all stills may be off together
SEARCHED_FRAMES = 64
"""Frames, spread over the shots, that are compared with such a still, about."""
SEARCHED_STILLS = 24
"""Stills for which more than their own surroundings is searched, at most; of further ones those are told that show
the frame of another still."""
_LEAD, _LEAD_OF_LACK = 0.02, 0.3  # by how much another frame fits better: at least, and of what is lacking to 1
_SURE_GAIN, _TIE = 0.02, 0.002  # of correlation: what tells frames apart, and what does not
_CLOSE_FIT, _FAINT_GAIN, _HALVED = 0.995, 0.0003, 0.6  # of a faithful still: less tells frames apart that hardly move


class PlaceSearch:
    """The frame that fits each still best: its own, the other stills', near by, and in the film.

    Each stage of the search reads the film once, in ascending order of frames. There are four at most, the later
    ones for stills that fit nothing before, or that are all off.

    Args:
        references: by number.
        frames: number of a reference → index of its frame, ascending.
        shots: that are colored.
        thumbnail: a small L* (h, w) of a frame, by index.

    Attributes:
        frames: as given.
        references: as given.
        shift: distance in frames (-1 for the frame before) at which every still fits another frame as well as its own
            or better, and some clearly; 0 where that is so at none, or not beside their own.
        best: number of a reference → the frame that fits it best apart from its own, or None.
        searched: stills for which more than the frames of stills was compared, also left to right.
    """

    def __init__(
        self,
        references: Sequence[Reference],
        frames: Mapping[int, int],
        shots: Sequence[Shot],
        thumbnail: Callable[[int], FloatArray],
    ) -> None:
        self.references, self.frames = references, frames
        self._shots, self._thumbnail = shots, thumbnail
        self._fits: dict[tuple[int, int], float] = {}
        self._mirrored: dict[tuple[int, int], float] = {}
        self.searched: frozenset[int] = frozenset()
        self._compare((number, frame) for number in frames for frame in self._first_compared(number))
        self.shift = self._common_shift()
        self.best = {number: self._best(number, self._other_frames(number)) for number in frames}
        doubtful = [number for number in frames if self._is_doubtful(number)]
        self.searched = frozenset(doubtful[:SEARCHED_STILLS])
        self._widen({number: self._candidates(number) for number in self.searched})
        self._widen({number: self._around_best(number) for number in self.searched})

    def fit(self, number: int, frame: int) -> float:
        """How well a frame that was compared with a still fits it, in [-1, 1]."""
        return max(self._fits[number, frame], self._mirrored.get((number, frame), -1.0))

    def shows_mirrored(self, number: int, frame: int) -> bool:
        """Whether a frame that was compared with a still fits it left to right."""
        return self._mirrored.get((number, frame), -1.0) > self._fits[number, frame]

    def own_fit(self, number: int) -> float:
        """How well the still's frame fits it, or the one that the common shift leads to."""
        frame = self.frames[number]
        return max(self.fit(number, frame), self.fit(number, frame + self.shift))

    def leads(self, number: int) -> bool:
        """Whether the still shows another frame than its own."""
        best, own = self.best[number], self.own_fit(number)
        if best is None or self.fit(number, best) < max(LIKELY_FIT, own + _LEAD + _LEAD_OF_LACK * (1 - own)):
            return False
        return self.fit(number, best) >= _WHOLE_FIT or not self.shows_part(number)

    def shows_part(self, number: int) -> bool:
        """Whether the still may be a part of its own frame."""
        return part_fit(self.references[number], self._thumbnail(self.frames[number])) > _PART_FIT

    def other_starts(self, frame: int) -> list[int]:
        """First frames of other shots than that of a frame, spread over the film."""
        shot = self._shot(frame)
        return [start for start in self._starts() if start not in shot]

    # --- stages of the search --------------------

    def _compare(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Compares stills, by number, with frames."""
        wanted = sorted({(frame, number) for number, frame in pairs if not self._is_compared(number, frame)})
        for frame, group in groupby(wanted, itemgetter(0)):
            picture = self._thumbnail(frame)
            for _, number in group:
                self._fits[number, frame] = picture_fit(self.references[number], picture)
                if number in self.searched and frame != self.frames[number]:
                    self._mirrored[number, frame] = picture_fit(self.references[number].mirrored(), picture)

    def _is_compared(self, number: int, frame: int) -> bool:
        return (number, frame) in (self._mirrored if number in self.searched else self._fits)

    def _widen(self, candidates: Mapping[int, Iterable[int]]) -> None:
        """Compares stills with further frames, and chooses anew which fits best."""
        frames = {number: list(more) for number, more in candidates.items()}
        self._compare((number, frame) for number, more in frames.items() for frame in more)
        for number, more in frames.items():
            best = self.best[number]
            self.best[number] = self._best(number, more if best is None else [best, *more])

    def _first_compared(self, number: int) -> Iterator[int]:
        yield from surroundings([self.frames[number]], self._shots)
        yield from self._other_frames(number)

    def _other_frames(self, number: int) -> list[int]:
        """Frames of the other stills, and those next to the still's own."""
        others = [other for other in self.frames.values() if abs(other - self.frames[number]) > 1]
        return [*others, *self._neighbors(number)]

    def _neighbors(self, number: int) -> list[int]:
        return [frame for frame in surroundings([self.frames[number]], self._shots) if frame != self.frames[number]]

    def _is_doubtful(self, number: int) -> bool:
        """Whether a still fits its frame badly, or one next to it better, so that it may show one further away."""
        own = self.own_fit(number)
        if self._found(number) and self.leads(number) and self.best[number] not in self._neighbors(number):
            return False
        return own < GOOD_FIT or any(
            self.fit(number, frame) > own + _SURE_GAIN / 2 for frame in self._neighbors(number)
        )

    def _common_shift(self) -> int:
        """The first of the distances from 1 on beyond which stills together fit no better, to the side that is best."""
        gains = {side: self._common_gain(0, side) for side in (-1, 1)}
        side = max(gains, key=lambda side: gains[side])
        if gains[side] <= 0:
            return 0
        self._compare(
            (number, frame + side * distance)
            for number, frame in self.frames.items()
            for distance in range(2, _COMMON_DISTANCE + 1)
            if self._exists(frame + side * distance)
        )
        shift = side
        while abs(shift) < _COMMON_DISTANCE and self._common_gain(shift, shift + side) > 0:
            shift += side
        return shift

    def _common_gain(self, before: int, shift: int) -> float:
        """By how much stills fit better at a shift than at the one before; 0 where they do not all agree to that."""
        if not all(self._exists(frame + shift) for frame in self.frames.values()):
            return 0.0
        pairs = [
            (self.fit(number, frame + before), self.fit(number, frame + shift)) for number, frame in self.frames.items()
        ]
        gains = [there - here for here, there in pairs]
        sure = any(there >= GOOD_FIT and there - here > _SURE_GAIN for here, there in pairs)
        likely = sum(there - here > max(_TIE, _LEAD_OF_LACK * (1 - here)) for here, there in pairs) >= 2
        faint = min(gains) > -_FAINT_GAIN and sum(_closeness(there, here) for here, there in pairs) >= 2
        return sum(gains) if min(gains) >= -_TIE and (sure or likely or faint) else 0.0

    def _candidates(self, number: int) -> Iterator[int]:
        """Frames near by, and some that are spread over the film: of each shot its first one, or several."""
        frame = self.frames[number]
        yield from self._other_frames(number)
        yield from filter(self._exists, (frame + side * step for step in NEAR_FRAMES for side in (-1, 1)))
        for start in self._starts():
            shot = self._shot(start)
            yield from (index for index in range(shot.start, self._stop(shot), self._step(shot)) if index != frame)

    def _around_best(self, number: int) -> Iterator[int]:
        """All frames of a shot between the best one and those that were compared beside it."""
        best = self.best[number]
        if best is not None and self.fit(number, best) >= _PLAUSIBLE_FIT:
            shot, near = self._shot(best), abs(best - self.frames[number]) <= NEAR_FRAMES[-1]
            reach = _NEAR_GAP if near else self._step(shot)
            around = range(max(shot.start, best - reach), min(self._stop(shot), best + reach + 1))
            yield from (frame for frame in around if frame != self.frames[number])

    # --- frames and shots --------------------

    def _best(self, number: int, frames: Iterable[int]) -> int | None:
        return max(frames, key=lambda frame: self.fit(number, frame), default=None)

    def _found(self, number: int) -> bool:
        best = self.best[number]
        return best is not None and self.fit(number, best) >= GOOD_FIT

    def _exists(self, frame: int) -> bool:
        return _exists(frame, self._shots)

    def _starts(self) -> list[int]:
        """First frames of shots that are spread over the film."""
        spread = {round(k) for k in np.linspace(0, len(self._shots) - 1, min(SEARCHED_FRAMES, len(self._shots)))}
        return [self._shots[number].start for number in sorted(spread)]

    def _shot(self, frame: int) -> Shot:
        return next(shot for shot in self._shots if frame in shot)

    def _stop(self, shot: Shot) -> int:
        return shot.stop or shot.start + 1

    def _step(self, shot: Shot) -> int:
        """Distance of the frames of a shot that are compared first."""
        share = max(1, SEARCHED_FRAMES // len(self._shots))
        return max(1, -(-(self._stop(shot) - shot.start) // share))


def _closeness(fit: float, other: float) -> int:
    """How clearly a faithful still shows one frame rather than another one that differs little: 0, 1, or 2."""
    lack, other_lack = 1 - fit, 1 - other
    if fit < _CLOSE_FIT or fit - other < _FAINT_GAIN or lack > _HALVED * other_lack:
        return 0
    return 2 if lack < _HALVED**2 * other_lack and fit - other > 3 * _FAINT_GAIN else 1


def surroundings(frames: Iterable[int], shots: Sequence[Shot]) -> list[int]:
    """Frames of stills and those beside them, as far as they are among the shots: what a search reads first."""
    near = {frame + step for frame in frames for step in (-1, 0, 1)}
    return sorted(frame for frame in near if _exists(frame, shots))


def _exists(frame: int, shots: Sequence[Shot]) -> bool:
    return shots[0].start <= frame < (shots[-1].stop or frame + 1)
