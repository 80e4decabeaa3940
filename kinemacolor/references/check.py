"""Whether stills show the frames that they are bound to; if not, which frame of the film they do show.

Pictures are compared small, by the correlation of their lightness: what was painted in color keeps it. A still that
differs from its frame more than that allows may be a crop, a photograph or a film with more or less of a border; then
the engine's features decide. The search is bounded: frames near by, those of the other stills, and some of each shot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.features import extract_features, match_support
from kinemacolor.engine.protocol import Engine
from kinemacolor.propagation.correspondence import correlation

GOOD_FIT = 0.85
"""Correlation above which a still shows its frame, unless it shows the frame of another still."""
BAD_FIT = 0.5
"""Correlation below which a still does not show its frame, unless its features match there best."""
LIKELY_FIT = 0.7
"""Correlation above which another frame is named as the one that a still shows."""
NEAR_FRAMES = (2, 3, 4, 6, 8, 12, 16, 24)
"""Distances of frames that are compared with a still that does not show its own."""
SEARCHED_FRAMES = 64
"""Frames, spread over the shots, that are compared with such a still, about."""
SEARCHED_STILLS = 24
"""Stills for which more than their own surroundings is searched, at most; of further ones those are told that show
the frame of another still."""
_LEAD, _LEAD_OF_LACK = 0.02, 0.3  # by how much another frame fits better: at least, and of what is lacking to 1
_SURE_GAIN, _TIE = 0.02, 0.002  # of correlation: what tells frames apart, and what does not
_FEATURE_LEAD = 0.02  # of mean support (a cosine)
_FLAT = 0.6  # standard deviation of L* below which a picture shows nothing
_NAMED = 3  # stills that a line names


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A still that does not show its frame.

    Attributes:
        number: of the reference.
        frame: index of the frame it is bound to.
        fits: index of the frame that it does show, as far as one was found.
    """

    number: int
    frame: int
    fits: int | None


@dataclass(frozen=True, slots=True)
class PlaceCheck:
    """What the comparison of bound stills with their frames has shown.

    Attributes:
        misplaced: the stills that do not show their frames.
        shift: -1 or 1 where all bound stills show the frame before, or after, the one that they are bound to; else 0.
        bound: numbers of all stills that were compared.
    """

    misplaced: tuple[Misplaced, ...] = ()
    shift: int = 0
    bound: tuple[int, ...] = ()

    def lines(self, names: Sequence[str], frame_name: Callable[[int], int]) -> tuple[str, ...]:
        """What the user should know, a line each.

        Args:
            names: of the stills, by number.
            frame_name: the number by which people call the frame of an index.
        """
        lines = [self._shift_line(names)] if self.shift else []
        for still in self.misplaced:
            if still.fits is not None and still.fits == still.frame + self.shift:
                continue
            problem = f"{names[still.number]}: does not show frame {frame_name(still.frame)}, to which it is bound"
            if still.fits is None:
                lines.append(f"{problem}, nor any frame that was compared; check its name, or bind it to no frame")
            else:
                lines.append(f"{problem}, but fits frame {frame_name(still.fits)}; bind it to that frame")
        return tuple(lines)

    def _shift_line(self, names: Sequence[str]) -> str:
        listed = ", ".join(names[number] for number in self.bound[:_NAMED])
        more = f" and {len(self.bound) - _NAMED} more" if len(self.bound) > _NAMED else ""
        side, change = ("before", "lower") if self.shift < 0 else ("after", "higher")
        reason = " (ffmpeg numbers images from 1, frames count from 0)" if self.shift < 0 else ""
        what = "all bound stills show" if len(self.bound) > 1 else "shows"
        return f"{listed}{more}: {what} the frame {side} the one they name{reason}; make each number one {change}"


def check_places(
    engine: Engine,
    references: Sequence[Reference],
    frames: Mapping[int, int],
    shots: Sequence[Shot],
    lightness: Callable[[int], FloatArray],
    thumbnail: Callable[[int], FloatArray],
) -> PlaceCheck:
    """Compares stills with the frames that they are bound to.

    Args:
        engine: its features decide where lightness does not.
        references: at network size, none of them mirrored.
        frames: number of a reference → index of its frame; those outside of ``shots`` are passed over.
        shots: that are colored.
        lightness: L* (h, w) of a frame at network size, by index.
        thumbnail: the same, small; it may be called often for one frame.
    """
    inside = {number: frame for number, frame in frames.items() if any(frame in shot for shot in shots)}
    bound = dict(sorted(inside.items(), key=lambda item: item[1]))
    if not bound:
        return PlaceCheck()
    search = _PlaceSearch(references, bound, shots, thumbnail)
    shift = search.common_shift()
    misplaced: list[Misplaced] = []
    for number, frame in bound.items():
        thorough = search.searched < SEARCHED_STILLS
        still = search.judge(number, shift, thorough=thorough)
        if (
            still is not None
            and still.fits is None
            and (not thorough or _features_fit(engine, search, number, lightness))
        ):
            continue
        if still is not None:
            misplaced.append(still)
        elif shift and search.fit(number, frame) < GOOD_FIT:
            misplaced.append(Misplaced(number, frame, frame + shift))
    return PlaceCheck(tuple(misplaced), shift, tuple(bound))


@dataclass(slots=True, eq=False)
class _PlaceSearch:
    """Stills, and how well frames fit them.

    Attributes:
        references: by number.
        frames: number of a reference → index of its frame.
        shots: that are colored.
        thumbnail: of a frame, L*.
        fits: (number, frame) → fit, as far as compared.
        searched: number of stills for which more than their own surroundings was searched.
    """

    references: Sequence[Reference]
    frames: Mapping[int, int]
    shots: Sequence[Shot]
    thumbnail: Callable[[int], FloatArray]
    fits: dict[tuple[int, int], float] = field(default_factory=dict)
    searched: int = 0

    def fit(self, number: int, frame: int) -> float:
        """How well a frame fits a still, in [-1, 1]."""
        if (number, frame) not in self.fits:
            self.fits[number, frame] = picture_fit(self.references[number], self.thumbnail(frame))
        return self.fits[number, frame]

    def exists(self, frame: int) -> bool:
        """Whether a frame is among those that are colored."""
        return self.shots[0].start <= frame < (self.shots[-1].stop or frame + 1)

    def common_shift(self) -> int:
        """-1 or 1 where every still fits the frame before, or after, its own as well or better, and some clearly."""
        best, best_gain = 0, 0.0
        for shift in (-1, 1):
            pairs = [
                (self.fit(number, frame), self.fit(number, frame + shift))
                for number, frame in self.frames.items()
                if self.exists(frame + shift)
            ]
            gains = [there - here for here, there in pairs]
            if len(pairs) < len(self.frames) or min(gains) < -_TIE:
                continue
            sure = any(there >= GOOD_FIT and there - here > _SURE_GAIN for here, there in pairs)
            likely = sum(there - here > max(_TIE, _LEAD_OF_LACK * (1 - here)) for here, there in pairs) >= 2
            if (sure or likely) and sum(gains) > best_gain:
                best, best_gain = shift, sum(gains)
        return best

    def judge(self, number: int, shift: int, *, thorough: bool) -> Misplaced | None:
        """None for a still that shows its frame, or the one that the common shift leads to."""
        frame = self.frames[number]
        own = max(self.fit(number, frame), self.fit(number, frame + shift))
        others = [other for other in self.frames.values() if abs(other - frame) > 1]
        best = self._best(number, others)
        if own < GOOD_FIT and thorough and not self._good(number, best):
            self.searched += 1
            near = [frame + side * step for step in (1, *NEAR_FRAMES) for side in (-1, 1)]
            best = self._best(number, [*others, *filter(self.exists, near)])
            if not self._good(number, best):
                spread = self._spread()
                best = self._best(number, [*others, *filter(self.exists, near), *spread])
                best = self._refined(number, best)
        if self._leads(number, best, own):
            return Misplaced(number, frame, best)
        return Misplaced(number, frame, None) if own < BAD_FIT else None

    def _best(self, number: int, frames: Iterable[int]) -> int | None:
        return max(frames, key=lambda frame: self.fit(number, frame), default=None)

    def _good(self, number: int, frame: int | None) -> bool:
        return frame is not None and self.fit(number, frame) >= GOOD_FIT

    def _leads(self, number: int, best: int | None, own: float) -> bool:
        if best is None:
            return False
        fit = self.fit(number, best)
        return fit >= LIKELY_FIT and fit - own > _LEAD + _LEAD_OF_LACK * (1 - own)

    def starts(self) -> list[int]:
        """First frames of shots that are spread over the film."""
        spread = {round(k) for k in np.linspace(0, len(self.shots) - 1, min(SEARCHED_FRAMES, len(self.shots)))}
        return [self.shots[number].start for number in sorted(spread)]

    def _spread(self) -> list[int]:
        """The same, and where there are few shots, frames that are spread over each of them."""
        share = max(1, SEARCHED_FRAMES // len(self.shots))
        return sorted({frame for start in self.starts() for frame in self._shot_frames(start, share)})

    def _shot_frames(self, start: int, count: int) -> range:
        shot = self._shot(start)
        return range(shot.start, shot.stop or start + 1, self._step(shot, count))

    def _shot(self, frame: int) -> Shot:
        return next(shot for shot in self.shots if frame in shot)

    def _step(self, shot: Shot, count: int) -> int:
        return max(1, -(-((shot.stop or shot.start + 1) - shot.start) // count))

    def _refined(self, number: int, frame: int | None) -> int | None:
        """The frame that fits best around a frame, in its shot: one in ``step``, then nearer ones."""
        if frame is None:
            return None
        shot = self._shot(frame)
        best, step = frame, self._step(shot, max(4, SEARCHED_FRAMES // len(self.shots)))
        if len(self.shots) > SEARCHED_FRAMES // 4:
            best = self._best(number, [frame, *self._shot_frames(frame, 4)]) or frame
        while step >= 1:
            nearer = [other for other in (best, best - step, best + step) if other in shot]
            step = step // 2 if (moved := self._best(number, nearer) or best) == best else step
            best = moved
        return best


# --- two pictures --------------------


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


def _features_fit(engine: Engine, search: _PlaceSearch, number: int, lightness: Callable[[int], FloatArray]) -> bool:
    """Whether the engine's features match a still to its own frame, and to frames of other shots less."""
    frame, reference = search.frames[number], search.references[number]
    starts = [start for start in search.starts() if not any(frame in s and start in s for s in search.shots)]
    others = starts[:: max(1, -(-len(starts) // 4))]
    if not others:
        return False
    still = extract_features(engine, reference.lightness, reference.mask)
    support = [
        float(match_support(still, [extract_features(engine, lightness(index))]).mean()) for index in (frame, *others)
    ]
    return support[0] > max(support[1:]) + _FEATURE_LEAD
