"""Which frames of a film look like stills that are bound to others; the film is read a few times, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.propagation.correspondence import correlation

GOOD_FIT = 0.85
"""Correlation above which a still shows its frame, unless it shows the frame of another still."""
LIKELY_FIT = 0.7
"""Correlation above which another frame is named as the one that a still shows."""
NEAR_FRAMES = (1, 2, 3, 4, 6, 8, 12, 16, 24)
"""Distances of frames that are compared with a still that does not show its own."""
_NEAR_GAP = 8
SEARCHED_FRAMES = 64
"""Frames, spread over the shots, that are compared with such a still, about."""
SEARCHED_STILLS = 24
"""Stills for which more than their own surroundings is searched, at most; of further ones those are told that show
the frame of another still."""
_LEAD, _LEAD_OF_LACK = 0.02, 0.3  # by how much another frame fits better: at least, and of what is lacking to 1
_SURE_GAIN, _TIE = 0.02, 0.002  # of correlation: what tells frames apart, and what does not
_FLAT = 0.6  # standard deviation of L* below which a picture shows nothing


class PlaceSearch:
    """The frame that fits each still best: its own, the other stills', near by, and in the film.

    Each stage of the search reads the film once, in ascending order of frames: the last ones, four in all, only for
    stills that fit nothing before.

    Args:
        references: by number.
        frames: number of a reference → index of its frame, ascending.
        shots: that are colored.
        thumbnail: a small L* (h, w) of a frame, by index.

    Attributes:
        frames: as given.
        references: as given.
        shift: -1 or 1 where every still fits the frame before, or after, its own as well or better, and some clearly;
            else 0.
        best: number of a reference → the frame that fits it best apart from its own, or None.
        searched: stills for which more than the frames of stills was compared.
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
        self._compare((number, frame) for number in frames for frame in self._first_compared(number))
        self.shift = self._common_shift()
        self.best = {number: self._best(number, self._other_frames(number)) for number in frames}
        doubtful = [number for number in frames if self.own_fit(number) < GOOD_FIT and not self._found(number)]
        self.searched = frozenset(doubtful[:SEARCHED_STILLS])
        for candidates in (self._near, self._spread):
            self._widen({number: candidates(number) for number in self.searched if not self._found(number)})
        self._widen({number: self._around_best(number) for number in self.searched})

    def fit(self, number: int, frame: int) -> float:
        """How well a frame that was compared with a still fits it, in [-1, 1]."""
        return self._fits[number, frame]

    def own_fit(self, number: int) -> float:
        """How well the still's frame fits it, or the one that the common shift leads to."""
        frame = self.frames[number]
        return max(self.fit(number, frame), self.fit(number, frame + self.shift))

    def leads(self, number: int) -> bool:
        """Whether the still shows another frame than its own."""
        best, own = self.best[number], self.own_fit(number)
        if best is None:
            return False
        return self.fit(number, best) >= max(LIKELY_FIT, own + _LEAD + _LEAD_OF_LACK * (1 - own))

    def other_starts(self, frame: int) -> list[int]:
        """First frames of other shots than that of a frame, spread over the film."""
        shot = self._shot(frame)
        return [start for start in self._starts() if start not in shot]

    # --- stages of the search --------------------

    def _compare(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Compares stills, by number, with frames."""
        wanted = sorted({(frame, number) for number, frame in pairs if (number, frame) not in self._fits})
        for frame, group in groupby(wanted, itemgetter(0)):
            picture = self._thumbnail(frame)
            for _, number in group:
                self._fits[number, frame] = picture_fit(self.references[number], picture)

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
        """Frames of the other stills, but those next to the still's own."""
        return [other for other in self.frames.values() if abs(other - self.frames[number]) > 1]

    def _common_shift(self) -> int:
        best, best_gain = 0, 0.0
        for shift in (-1, 1):
            pairs = [
                (self.fit(number, frame), self.fit(number, frame + shift))
                for number, frame in self.frames.items()
                if self._exists(frame + shift)
            ]
            gains = [there - here for here, there in pairs]
            if len(pairs) < len(self.frames) or min(gains) < -_TIE:
                continue
            sure = any(there >= GOOD_FIT and there - here > _SURE_GAIN for here, there in pairs)
            likely = sum(there - here > max(_TIE, _LEAD_OF_LACK * (1 - here)) for here, there in pairs) >= 2
            if (sure or likely) and sum(gains) > best_gain:
                best, best_gain = shift, sum(gains)
        return best

    def _near(self, number: int) -> Iterator[int]:
        frame = self.frames[number]
        return filter(self._exists, (frame + side * step for step in NEAR_FRAMES for side in (-1, 1)))

    def _spread(self, _: int) -> Iterator[int]:
        """Frames that are spread over the film: the first one of shots, and where these are few, some of each."""
        for start in self._starts():
            shot = self._shot(start)
            yield from range(shot.start, self._stop(shot), self._step(shot))

    def _around_best(self, number: int) -> Iterator[int]:
        """All frames of a shot between the best one and those that were compared beside it."""
        best = self.best[number]
        if best is not None:
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


def surroundings(frames: Iterable[int], shots: Sequence[Shot]) -> list[int]:
    """Frames of stills and those beside them, as far as they are among the shots: what a search reads first."""
    near = {frame + step for frame in frames for step in (-1, 0, 1)}
    return sorted(frame for frame in near if _exists(frame, shots))


def _exists(frame: int, shots: Sequence[Shot]) -> bool:
    return shots[0].start <= frame < (shots[-1].stop or frame + 1)


def picture_fit(still: Reference, frame: FloatArray) -> float:
    """Correlation of a still's lightness with a frame's, L* (h, w), where the still gives color.

    Borders that only one of them has count for nothing. Two pictures without contrast fit each other; a still without
    any fits every frame.
    """
    size = (frame.shape[1], frame.shape[0])
    picture: FloatArray = cv2.resize(still.lightness, size, interpolation=cv2.INTER_AREA)
    if float(picture.std()) < _FLAT:
        return 1.0
    if not still.mask.all():
        opaque = cv2.resize(still.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        if opaque.sum() < 16:
            return 1.0
        return correlation(picture[opaque], frame[opaque])
    whole = correlation(picture, frame)
    if whole >= GOOD_FIT:
        return whole
    inner = [cv2.resize(_without_bars(image), size, interpolation=cv2.INTER_LINEAR) for image in (picture, frame)]
    return max(whole, correlation(np.asarray(inner[0]), np.asarray(inner[1])))


def _without_bars(image: FloatArray) -> FloatArray:
    """The picture within black borders; all of it where hardly anything is bright."""
    bright = image > 15
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if len(rows) < 8 or len(columns) < 8:
        return image
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
