"""How sure a difference between two methods is: the paired bootstrap over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

RESAMPLES = 10_000
SEED = 0
LEVEL = 0.95
FEWEST = 2
"""Clips below which there is nothing to resample."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Method *a* minus method *b*, over the same clips.

    Attributes:
        a, b: names.
        mean: of the clips' differences.
        low, high: of the confidence interval of that mean, or None with fewer than two clips.
        wins: clips on which a is better.
        clips: compared.
    """

    a: str
    b: str
    mean: float
    low: float | None
    high: float | None
    wins: int
    clips: int

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean (Efron 1979): 10,000 resamples of clips, seed 0.

    Differences of pairs go in, so that what makes a clip hard for both does not widen the interval. It tells how much
    the answer hangs on the choice of these clips, not how it would be on clips of another kind. None below two clips.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < FEWEST:
        return None
    drawn = np.random.default_rng(SEED).integers(0, len(sample), (RESAMPLES, len(sample)))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(sample[drawn].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def difference(names: tuple[str, str], a: Sequence[float], b: Sequence[float], *, higher_is_better: bool) -> Difference:
    """Compares two methods by a figure a clip each.

    Raises:
        ValueError: not one value a clip, or none.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"a, b: expected a value for each of the same clips, got {len(a)} and {len(b)}")
    gaps = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    low, high = interval(gaps.tolist()) or (None, None)
    wins = int((gaps > 0).sum() if higher_is_better else (gaps < 0).sum())
    return Difference(*names, float(gaps.mean()), low, high, wins, len(gaps))


def ranking(values: Mapping[str, Sequence[float]], *, higher_is_better: bool) -> list[str]:
    """Names of methods, best mean first; equals keep their order."""
    sign = -1 if higher_is_better else 1
    return sorted(values, key=lambda name: sign * float(np.mean(values[name])))


def ranked_differences(values: Mapping[str, Sequence[float]], *, higher_is_better: bool) -> list[Difference]:
    """Each method against the next in rank, and the best against the last."""
    order = ranking(values, higher_is_better=higher_is_better)
    pairs = list(pairwise(order))
    if len(order) > 2:
        pairs.append((order[0], order[-1]))
    return [difference((a, b), values[a], values[b], higher_is_better=higher_is_better) for a, b in pairs]
