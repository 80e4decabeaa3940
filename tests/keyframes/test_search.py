"""Which frames are proposed to be painted."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.features import FrameFeatures
from kinemacolor.keyframes import search as keyframes
from kinemacolor.keyframes import support_table
from kinemacolor.keyframes.proposal import Proposal
from kinemacolor.keyframes.search import NEGLIGIBLE_LACK, Search, propose
from kinemacolor.keyframes.support_table import SupportTable
from tests.engine.synthetic_features import features_of, unit

CELLS, CHANNELS = 11, 17


def view(*parts: Array) -> FrameFeatures:
    """A picture whose cells are shared out among kinds of things."""
    return features_of(np.stack([parts[k % len(parts)] for k in range(CELLS)]))


@pytest.fixture
def things() -> FloatArray:
    """Features without likeness: orthogonal."""
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(CHANNELS, CHANNELS)))
    return unit(q)


def drifting(count: int, seed: int, speed: float = 0.3) -> list[FrameFeatures]:
    """A shot whose picture changes step by step."""
    rng = np.random.default_rng(seed)
    keys = rng.normal(size=(CELLS, CHANNELS))
    features = []
    for _ in range(count):
        features.append(features_of(keys))
        keys = keys + speed * rng.normal(size=keys.shape)
    return features


def supports(table: SupportTable, picks: tuple[int, ...]) -> Array:
    """Slow: mean support of each frame, float64."""
    means = []
    for row in table.rows:
        best = np.zeros(table.cells)
        for pick in picks:
            if pick in row:
                best = np.maximum(best, row[pick].astype(np.float64))
        means.append(best.mean())
    return np.array(means)


def frames_of(proposal: Proposal) -> list[int]:
    return sorted(pick.frame for pick in proposal.picks)


# --- thresholds --------------------


def test_a_frame_for_each_thing_that_is_seen_and_none_twice(things: FloatArray) -> None:
    """Two shots of one room need a single frame; what is seen nowhere else needs its own."""
    room, street = view(things[0], things[1]), view(things[2])
    shots = [Shot(0, 9), Shot(9, 20), Shot(20, 30)]
    proposal = propose([room, room, street, street, room], [4, 6, 10, 15, 25], shots, threshold=0.9)
    assert len(proposal.picks) == 2
    assert proposal.met
    assert proposal.support == pytest.approx(1, abs=1e-3)
    assert {tuple(sorted(pick.covers)) for pick in proposal.picks} == {(4, 6, 25), (10, 15)}
    assert [len(shot.picks) for shot in proposal.shots].count(0) == 1
    assert {pick.shot for pick in proposal.picks} in ({0, 1}, {1, 2})


def test_one_frame_that_shows_all_beats_two_that_show_parts(things: FloatArray) -> None:
    a, b = view(things[0]), view(things[1])
    both = view(things[0], things[1])
    shots = [Shot(k * 500, k * 500 + 1) for k in range(5)]
    proposal = propose([a, a, both, b, b], [0, 500, 1000, 1500, 2000], shots, threshold=0.95)
    assert frames_of(proposal) == [1000]


@pytest.mark.parametrize("seed", range(6))
def test_the_fewest_are_found_in_small_shots(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against all sets; every frame is supported, and no smaller set would do."""
    monkeypatch.setattr(support_table, "PROPAGATION_REACH", 8.0)
    features, frames, threshold = drifting(11, seed, 0.6), [5 * k for k in range(11)], 0.87
    table = SupportTable(features, frames, [0] * 11)
    fewest = next(
        size
        for size in range(1, 12)
        if any(supports(table, picks).min() >= threshold for picks in combinations(range(11), size))
    )
    proposal = propose(features, frames, [Shot(0, 60)], threshold=threshold)
    picks = tuple(frames.index(pick.frame) for pick in proposal.picks)
    assert 1 < fewest < 8
    assert len(picks) == fewest
    assert supports(table, picks).min() >= threshold - 1e-6
    assert proposal.met


@pytest.mark.parametrize("seed", range(4))
def test_quality_is_never_bought_with_frames_below_the_threshold(seed: int) -> None:
    features, frames = drifting(30, seed, 0.5), [5 * k for k in range(30)]
    proposal = propose(features, frames, [Shot(0, 75), Shot(75, 150)], threshold=0.7)
    table = SupportTable(features, frames, [0] * 15 + [1] * 15)
    assert proposal.met
    assert supports(table, tuple(frames.index(pick.frame) for pick in proposal.picks)).min() >= 0.7 - 2e-6


def test_a_higher_threshold_takes_more_frames() -> None:
    features, frames = drifting(19, 3, 0.6), [5 * k for k in range(19)]
    counts = [len(propose(features, frames, [Shot(0, 100)], threshold=level).picks) for level in (0.4, 0.7, 0.9, 1.0)]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[2] < counts[3] == 19


# --- budgets --------------------


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_budget_is_spent_as_well_as_it_can_be(seed: int, count: int) -> None:
    """Against all sets, by the expected quality."""
    features, frames = drifting(12, seed), [5 * k for k in range(12)]
    table = SupportTable(features, frames, [0] * 12)

    def quality(picks: tuple[int, ...]) -> float:
        return float(-np.log(1 - supports(table, picks) + NEGLIGIBLE_LACK).sum())

    every = sorted(quality(picks) for picks in combinations(range(12), count))
    proposal = propose(features, frames, [Shot(0, 60)], budget=count)
    found = quality(tuple(frames.index(pick.frame) for pick in proposal.picks))
    assert len(proposal.picks) == count
    assert found >= every[-max(1, len(every) // 50)] - 1e-6  # an exchange of one can stop short of the very best
    assert every[0] < found - 0.1


def test_two_frames_for_an_even_drift_lie_at_the_quarters() -> None:
    """Greedy choice alone would take the middle first and keep it."""
    features, frames = drifting(40, 1), [20 * k for k in range(40)]
    first, second = frames_of(propose(features, frames, [Shot(0, 800)], budget=2))
    assert first < 320
    assert second > 480


def test_where_nothing_differs_nearness_in_time_decides(things: FloatArray) -> None:
    """Supports of .5 all over the shot: the frame in the middle carries its colors furthest."""
    features = [view(things[0], things[k + 1]) for k in range(9)]  # half of each is the same everywhere
    assert frames_of(propose(features, [10 * k for k in range(9)], [Shot(0, 90)], budget=1)) == [40]
    shots = [Shot(10 * k, 10 * k + 10) for k in range(9)]
    lone = propose(features, [10 * k for k in range(9)], shots, budget=1)  # across cuts nothing is carried
    assert lone.shots[0].support == pytest.approx(lone.shots[8].support, abs=0.6)


def test_a_budget_and_a_threshold_stop_at_the_first_to_be_reached(things: FloatArray) -> None:
    features, frames = [view(things[k // 2]) for k in range(8)], [100 * k for k in range(8)]
    shots = [Shot(200 * k, 200 * k + 200) for k in range(4)]
    assert len(propose(features, frames, shots, threshold=0.9, budget=8).picks) == 4
    few = propose(features, frames, shots, threshold=0.9, budget=3)
    assert len(few.picks) == 3
    assert not few.met
    assert sum(not shot.picks for shot in few.shots) == 1
    assert len(propose(features, frames, shots, budget=99).picks) <= 8


# --- what is told --------------------


def test_the_figures_of_a_proposal() -> None:
    features, frames = drifting(6, 4) + drifting(5, 5), [0, 7, 14, 21, 28, 35, 40, 47, 54, 61, 68]
    shots = [Shot(0, 40), Shot(40, 75)]
    proposal = propose(features, frames, shots, threshold=0.7, budget=3)
    table = SupportTable(features, frames, [0] * 6 + [1] * 5)
    picks = [frames.index(pick.frame) for pick in proposal.picks]

    def cells(some: list[int]) -> Array:
        best = np.zeros((11, CELLS))
        for query, row in enumerate(table.rows):
            for pick in set(some) & set(row):
                best[query] = np.maximum(best[query], row[pick])
        return best

    for k, pick in enumerate(proposal.picks):
        before, after = cells(picks[:k]), cells(picks[: k + 1])
        assert pick.gain == pytest.approx(after.mean() - before.mean(), abs=1e-5)
        assert (pick.before, pick.after) == pytest.approx(((before >= 0.7).mean(), (after >= 0.7).mean()))
        assert pick.frame in pick.covers
        assert pick.frame in shots[pick.shot]
    assert sorted(frame for pick in proposal.picks for frame in pick.covers) == frames
    gains = [pick.gain for pick in proposal.picks]
    assert gains == sorted(gains, reverse=True)
    final = cells(picks)
    assert proposal.support == pytest.approx(final.mean(), abs=1e-5)
    assert proposal.share == pytest.approx((final >= 0.7).mean())
    for shot, own in zip(proposal.shots, (slice(0, 6), slice(6, 11)), strict=True):
        assert shot.sampled == own.stop - own.start
        assert shot.support == pytest.approx(final[own].mean(), abs=1e-5)
        means = final[own].mean(axis=1)
        assert shot.lowest == pytest.approx(means.min(), abs=1e-5)
        assert shot.weakest == frames[own][int(means.argmin())]
        assert shot.share == pytest.approx((final[own] >= 0.7).mean())
        assert list(shot.picks) == [frame for frame in frames_of(proposal) if frame in shot.shot]


def test_giving_a_pick_back_undoes_taking_it() -> None:
    table = SupportTable(drifting(9, 6), [4 * k for k in range(9)], [0] * 5 + [1] * 4)
    search = Search(table, None)
    for offer in (2, 6, 4):
        search.add(offer)
    gain, before = search.gain(7), search.cover.copy()
    search.add(7)
    assert search.objective(search.cover) - search.objective(before) == pytest.approx(gain)
    search.drop(7)
    np.testing.assert_array_equal(search.cover, before)
    np.testing.assert_allclose(search.cover.mean(axis=1), supports(table, (2, 6, 4)), atol=1e-3)


def test_the_same_is_proposed_every_time_and_progress_told() -> None:
    features, frames, shots = drifting(9, 7), [4 * k for k in range(9)], [Shot(0, None)]
    told: list[tuple[int, int | None]] = []
    assert propose(features, frames, shots, budget=3, progress=lambda *done: told.append(done)) == propose(
        features, frames, shots, budget=3
    )
    assert told[-1] == (9, 9)


def test_without_a_threshold_or_a_budget_there_is_a_threshold() -> None:
    features, frames, shots = drifting(9, 8), [9 * k for k in range(9)], [Shot(0, 81)]
    assert propose(features, frames, shots) == propose(features, frames, shots, threshold=keyframes.DEFAULT_THRESHOLD)


def test_arguments_are_checked(things: FloatArray) -> None:
    features, shots = [view(things[0])] * 2, [Shot(0, 5)]
    with pytest.raises(ValueError, match="expected features of each"):
        propose(features, [1], shots)
    with pytest.raises(ValueError, match="expected features of each of at least one"):
        propose([], [], shots)
    with pytest.raises(ValueError, match="ascending"):
        propose(features, [3, 3], shots)
    with pytest.raises(ValueError, match="got 5, which is in none"):
        propose(features, [3, 5], shots)
    with pytest.raises(ValueError, match="one shape"):
        propose([features[0], features_of(np.ones((3, CHANNELS)))], [1, 2], shots)
    for threshold, budget in ((1.2, None), (None, 0)):
        with pytest.raises(ValueError, match="expected a threshold"):
            propose(features, [1, 2], shots, threshold=threshold, budget=budget)
