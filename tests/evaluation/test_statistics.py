"""The paired bootstrap against scipy and against all resamples of a few clips."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import bootstrap

from kinemacolor.evaluation.statistics import difference, interval, ranked_differences, ranking


def test_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(1).normal(0.7, 2, 13)
    low, high = interval(values.tolist()) or (0, 0)
    other = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2))
    spread = values.std()
    assert low == pytest.approx(other.confidence_interval.low, abs=0.04 * spread)
    assert high == pytest.approx(other.confidence_interval.high, abs=0.04 * spread)


def test_interval_against_every_resample_of_four_clips() -> None:
    values = [1.0, 2.0, 4.0, 8.5]
    means = [float(np.mean(drawn)) for drawn in product(values, repeat=4)]
    low, high = interval(values) or (0, 0)
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.26)
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.26)


def test_differences_are_paired() -> None:
    """What makes clips hard for both methods does not widen the interval."""
    hard = np.random.default_rng(3).uniform(15, 45, 12)
    one = difference(("a", "b"), (hard + 1).tolist(), hard.tolist(), higher_is_better=True)
    assert one.mean == pytest.approx(1)
    assert (one.low, one.high) == (pytest.approx(1), pytest.approx(1))
    assert (one.wins, one.clips, one.certain) == (12, 12, True)
    same = difference(("a", "a"), hard.tolist(), hard.tolist(), higher_is_better=True)
    assert (same.mean, same.low, same.high, same.wins, same.certain) == (0, 0, 0, 0, False)


def test_lower_may_be_better_and_one_clip_has_no_interval() -> None:
    one = difference(("a", "b"), [1.0, 2.0, 5.0], [2.0, 3.0, 4.0], higher_is_better=False)
    assert one.wins == 2
    assert one.mean == pytest.approx(-1 / 3)
    assert not one.certain
    alone = difference(("a", "b"), [1.0], [2.0], higher_is_better=True)
    assert (alone.low, alone.high, alone.certain) == (None, None, False)
    with pytest.raises(ValueError, match="each of the same clips"):
        difference(("a", "b"), [1.0], [1.0, 2.0], higher_is_better=True)


def test_the_interval_moves_with_the_values_and_is_the_same_each_time() -> None:
    values = [0.3, -1.0, 2.2, 0.9, 0.1]
    low, high = interval(values) or (0, 0)
    assert interval(values) == (low, high)
    moved = interval([3 * v + 5 for v in values]) or (0, 0)
    assert moved == (pytest.approx(3 * low + 5), pytest.approx(3 * high + 5))


def test_ranking_and_its_differences() -> None:
    values = {"x": [1.0, 2.0], "y": [5.0, 3.0], "z": [3.0, 3.0]}
    assert ranking(values, higher_is_better=True) == ["y", "z", "x"]
    assert ranking(values, higher_is_better=False) == ["x", "z", "y"]
    pairs = [(one.a, one.b) for one in ranked_differences(values, higher_is_better=True)]
    assert pairs == [("y", "z"), ("z", "x"), ("y", "x")]
    two = ranked_differences({"x": [1.0], "y": [2.0]}, higher_is_better=True)
    assert [(one.a, one.b) for one in two] == [("y", "x")]
