"""Confidence of differences between methods: the paired bootstrap over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

RESAMPLES = 10_000
BOOTSTRAP_SEED = 0
CONFIDENCE_LEVEL = 0.95
FEWEST_CLIPS = 2
"""Resampling fewer clips than this makes no sense."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Method *a* minus method *b*, over the same clips.

    Attributes:
        a, b: names of the methods.
        mean: of the differences of all clips.
        low, high: bounds of the confidence interval of that mean; None with fewer than two clips.
        wins: number of clips on which *a* is better.
        clips: number of clips.
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
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of the mean (Efron 1979): 10,000 resamples of clips, seed 0.

    ``values`` are differences of pairs, so that a clip that is hard for both methods does not widen the interval. It
    tells how much the result depends on the choice of these clips, not how it would be on clips of another kind. None
    with fewer than two clips.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < FEWEST_CLIPS:
        return None
    resamples = np.random.default_rng(BOOTSTRAP_SEED).integers(0, len(sample), (RESAMPLES, len(sample)))
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(sample[resamples].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def difference(names: tuple[str, str], a: Sequence[float], b: Sequence[float], *, higher_is_better: bool) -> Difference:
    """Compares two methods by one figure for each clip.

    Raises:
        ValueError: the methods have different numbers of values, or none.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"a, b: expected a value for each of the same clips, got {len(a)} and {len(b)}")
    gaps = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    low, high = interval(gaps.tolist()) or (None, None)
    wins = int((gaps > 0).sum() if higher_is_better else (gaps < 0).sum())
    return Difference(*names, float(gaps.mean()), low, high, wins, len(gaps))


def ranking(values: Mapping[str, Sequence[float]], *, higher_is_better: bool) -> list[str]:
    """Names of methods, the best mean first; equal methods keep their order."""
    sign = -1 if higher_is_better else 1
    return sorted(values, key=lambda name: sign * float(np.mean(values[name])))


def ranked_differences(values: Mapping[str, Sequence[float]], *, higher_is_better: bool) -> list[Difference]:
    """Each method against the next in rank, and the best against the last."""
    order = ranking(values, higher_is_better=higher_is_better)
    pairs = list(pairwise(order))
    if len(order) > 2:
        pairs.append((order[0], order[-1]))
    return [difference((a, b), values[a], values[b], higher_is_better=higher_is_better) for a, b in pairs]
