"""What engines see of pictures, and which pictures support others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from kinemacolor.core.types import Array, BoolArray, FloatArray, Reference
from kinemacolor.engine import features as coverage
from kinemacolor.engine.features import (
    FrameFeatures,
    SupportTable,
    choose_references,
    extract_features,
    nearest,
    propagated_support,
    propagation_positions,
    support,
)
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult


def unit(vectors: Array) -> FloatArray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def a_look(keys: Array) -> FrameFeatures:
    keys = unit(np.asarray(keys, np.float64))
    signs = np.concatenate([np.maximum(keys, 0), np.maximum(-keys, 0)], axis=1)
    return FrameFeatures(keys, unit(np.sqrt(np.square(signs).mean(axis=0))))


def random_looks(count: int, cells: int = 23, channels: int = 7, seed: int = 0) -> list[FrameFeatures]:
    rng = np.random.default_rng(seed)
    return [a_look(rng.normal(size=(cells, channels))) for _ in range(count)]


class Eyes:
    """An engine whose keys are given, times two."""

    name = "eyes"
    block_size = 1

    def __init__(self, keys: FloatArray) -> None:
        self.keys = keys

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        (reference,) = references
        assert not reference.ab.any()
        rows, columns = (-(-side // 4) for side in reference.size)
        valid = np.array(
            [
                reference.mask[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean() >= 0.5
                for i in range(rows)
                for j in range(columns)
            ]
        )
        return ReferenceBank(2 * self.keys, np.zeros((len(valid), 2), np.float32), valid, tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, memory: EngineState | None = None) -> StepResult:
        raise NotImplementedError


HEIGHT, WIDTH, ROWS, COLUMNS = 35, 43, 9, 11


@pytest.fixture
def keys() -> FloatArray:
    return unit(np.random.default_rng(3).normal(size=(ROWS * COLUMNS, 13)))


def picture() -> FloatArray:
    return np.random.default_rng(5).uniform(0, 100, (HEIGHT, WIDTH)).astype(np.float32)


def pooled(keys: FloatArray, valid: BoolArray) -> Array:
    """Slow: the mean of the valid keys of each block of 2 × 2 cells, of unit length; blocks mostly invalid left out."""
    made = []
    for top in range(0, ROWS, 2):
        for left in range(0, COLUMNS, 2):
            inside = [(i, j) for i in (top, top + 1) for j in (left, left + 1) if i < ROWS and j < COLUMNS]
            counted = [keys[i * COLUMNS + j].astype(np.float64) for i, j in inside if valid[i, j]]
            if len(counted) > len(inside) / 2:
                mean = np.mean(counted, axis=0)
                made.append(mean / np.sqrt((mean**2).sum()))
    return np.array(made)


def test_a_look_pools_the_keys_of_two_by_two_cells(keys: FloatArray) -> None:
    seen = extract_features(Eyes(keys), picture())
    assert seen.keys.dtype == seen.summary.dtype == np.float32
    np.testing.assert_allclose(seen.keys, pooled(keys, np.ones((ROWS, COLUMNS), bool)), atol=1e-6)


def test_masked_cells_are_left_out(keys: FloatArray) -> None:
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[8:20, :16] = False  # cells 2 … 4 × 0 … 3
    valid = np.ones((ROWS, COLUMNS), bool)
    valid[2:5, :4] = False
    seen = extract_features(Eyes(keys), picture(), mask)
    expected = pooled(keys, valid)
    assert len(expected) < len(pooled(keys, np.ones((ROWS, COLUMNS), bool)))
    np.testing.assert_allclose(seen.keys, expected, atol=1e-6)


def test_a_small_island_of_color_still_has_a_look(keys: FloatArray) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:24, 24:28] = True  # the cell (5, 6) alone
    seen = extract_features(Eyes(keys), picture(), mask)
    np.testing.assert_allclose(seen.keys, keys[None, 5 * COLUMNS + 6], atol=1e-6)


def test_a_summary_tells_what_occurs_whatever_its_place(keys: FloatArray) -> None:
    seen = extract_features(Eyes(keys), picture())
    columns = seen.keys.astype(np.float64).T
    expected = [np.sqrt(np.mean([max(v, 0) ** 2 for v in column])) for column in columns]
    expected += [np.sqrt(np.mean([min(v, 0) ** 2 for v in column])) for column in columns]
    np.testing.assert_allclose(seen.summary, np.array(expected) / np.linalg.norm(expected), atol=1e-6)


def test_the_engine_sees_about_a_thousand_cells_and_finds_itself() -> None:
    engine = MatchingEngine(threads=1)
    rng = np.random.default_rng(1)
    lightness = np.repeat(np.repeat(rng.uniform(0, 100, (12, 20)), 9, axis=0), 10, axis=1).astype(np.float32)
    seen = extract_features(engine, lightness)  # 108 × 200
    assert seen.keys.shape == (14 * 25, 176)
    np.testing.assert_allclose(np.linalg.norm(seen.keys, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(support(seen, [seen])[0], 1, atol=1e-5)
    other = extract_features(engine, np.ascontiguousarray(lightness[:, ::-1]))
    turned = extract_features(engine, np.ascontiguousarray(100 - lightness))
    mirrored, negative = support(seen, [other, turned]).mean(axis=1)
    assert negative < mirrored < 0.999


def test_a_look_is_checked() -> None:
    with pytest.raises(ValueError, match=r"summary \(2C,\), got \(5, 3\) and \(3,\)"):
        FrameFeatures(np.ones((5, 3), np.float32), np.ones(3, np.float32))


# --- support --------------------


def test_support_is_the_best_cosine_of_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "CHUNK", 5)
    query, *offers = random_looks(4, cells=13)
    offers[1] = random_looks(1, cells=3, seed=9)[0]  # pictures of other sizes may offer, too
    found = support(query, offers)
    assert found.shape == (3, 13)
    assert found.dtype == np.float32
    for i, offer in enumerate(offers):
        for j, key in enumerate(query.keys):
            best = max(sum(float(a) * float(b) for a, b in zip(key, other, strict=True)) for other in offer.keys)
            assert found[i, j] == pytest.approx(best, abs=1e-6)


def test_support_without_offers_is_empty() -> None:
    assert support(random_looks(1)[0], []).shape == (0, 23)


def test_inside_a_shot_what_is_lacking_shrinks_with_nearness() -> None:
    cosine = np.array([-0.5, 0.0, 0.4, 1.0], np.float32)
    np.testing.assert_allclose(propagated_support(cosine, 0), 1)
    lack = np.array([1.0, 1.0, 0.6, 0.0])
    np.testing.assert_allclose(propagated_support(cosine, 7 / 11), 1 - lack * (1 - np.exp(-7 / 11)), rtol=1e-6)


def test_the_way_is_as_long_as_time_and_what_changes_in_it() -> None:
    """Unlike frames lie far apart, frames that are the same as far as time; a cut is no change."""
    one, other, third = random_looks(3)
    along = propagation_positions([one, one, other, other, third, one], [0, 4, 8, 20, 24, 28], [0, 0, 0, 0, 1, 1])
    steps = np.diff(along) - np.diff([0, 4, 8, 20, 24, 28]) / coverage.PROPAGATION_REACH
    new = [1 - float(support(*pair).mean()) for pair in ((other, [one]), (one, [third]))]
    assert min(new) > 0.1
    np.testing.assert_allclose(steps * coverage.CHANGE_REACH, [0, new[0], 0, 0, new[1]], atol=1e-6)


# --- choosing --------------------


def greedy(queries: list[FrameFeatures], offers: list[FrameFeatures], most: int, gain: float) -> list[int]:
    """Slow: every set is judged from scratch, in float64."""

    def value(chosen: list[int]) -> float:
        means = []
        for query in queries:
            cosines = [query.keys.astype(np.float64) @ offers[k].keys.astype(np.float64).T for k in chosen]
            means.append(np.max([c.max(axis=1) for c in cosines], axis=0).mean() if chosen else -1.0)
        return float(np.mean(means))

    chosen: list[int] = []
    while len(chosen) < most:
        rest = [k for k in range(len(offers)) if k not in chosen]
        best = max(rest, key=lambda k: value([*chosen, k]))
        if chosen and value([*chosen, best]) - value(chosen) < gain:
            break
        chosen.append(best)
    return chosen


@pytest.mark.parametrize(("most", "gain"), [(1, 0.0), (3, 0.0), (5, 0.03), (5, 0.5)])
def test_choose_is_greedy(most: int, gain: float) -> None:
    looks = random_looks(12, seed=2)
    assert list(choose_references(looks[:4], looks[4:], most, gain)) == greedy(looks[:4], looks[4:], most, gain)


def test_offers_that_complement_each_other_are_taken_together() -> None:
    parts = unit(np.random.default_rng(4).normal(size=(20, 30)))
    query = a_look(parts)
    left, right, most = a_look(parts[:10]), a_look(parts[10:]), a_look(parts[:14])
    assert choose_references([query], [left, right, most, left]) == (2, 1)
    assert choose_references([query], [left, query, right]) == (1,)


def test_nothing_is_taken_twice() -> None:
    looks = random_looks(3)
    assert choose_references(looks, [looks[0]] * 3, most=9, gain=0.0) == (0, 1, 2)


def test_of_many_offers_the_likeliest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    offers = []
    for kind in range(40):  # each with features of its own
        vectors = rng.normal(size=(11, 40)) * 0.1
        vectors[:, kind] += 1
        offers.append(a_look(vectors))
    compared = []
    whole = coverage.support
    monkeypatch.setattr(coverage, "support", lambda query, some: compared.append(len(some)) or whole(query, some))
    assert choose_references([offers[33], offers[7]], offers, most=2) in ((33, 7), (7, 33))
    assert compared == [coverage.COMPARED_REFERENCES] * 2


def test_nearest_takes_from_each_query_in_turn() -> None:
    vectors = np.eye(6)
    offers = [a_look(vectors[k : k + 1] + 0.01 * np.arange(6)) for k in range(6)]
    assert nearest(offers[2:3] + offers[4:5], offers, 2) == (2, 4)
    assert nearest(offers[:1], offers, 6) == tuple(range(6))


def test_choose_wants_something_to_choose_from() -> None:
    looks = random_looks(2)
    for queries, offers, most in (([], looks, 1), (looks, [], 1), (looks, looks, 0)):
        with pytest.raises(ValueError, match=r"^choose: expected"):
            choose_references(queries, offers, most)


# --- the table --------------------


def test_the_table_holds_supports_and_what_is_carried_in_a_shot() -> None:
    looks, frames, owners = random_looks(7), [0, 3, 7, 12, 20, 21, 29], [0, 0, 0, 0, 1, 1, 1]
    seen: list[tuple[int, int | None]] = []
    table = SupportTable(looks, frames, owners, lambda done, total: seen.append((done, total)))
    assert seen == [(k + 1, 7) for k in range(7)]
    along = propagation_positions(looks, frames, owners)
    for query in range(7):
        assert sorted(table.rows[query]) == list(range(7))
        for offer, worth in table.rows[query].items():
            cosine = np.maximum(support(looks[query], [looks[offer]])[0], 0)
            if owners[query] == owners[offer]:
                lack = 1 - np.exp(-abs(along[query] - along[offer]))
                cosine = 1 - (1 - cosine) * lack
            np.testing.assert_allclose(worth, cosine, atol=1e-3)
            assert query in table.queries[offer]


def test_in_long_films_frames_are_compared_along_the_shot_beside_and_with_those_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("ALONG", 5), ("BESIDE", 1), ("ELSEWHERE", 2)):
        monkeypatch.setattr(coverage, name, value)
    looks = random_looks(30, cells=3)
    looks[25], looks[28] = looks[4], looks[4]
    owners = [0] * 21 + [1] * 9
    table = SupportTable(looks, range(30), owners)
    assert sorted(table.rows[4]) == [0, 3, 4, 5, 10, 15, 20, 25, 28]
    for offer, queries in enumerate(table.queries):
        assert queries == [query for query in range(30) if offer in table.rows[query]]
    pairs = list(combinations(range(21), 2))
    assert sum(b in table.rows[a] for a, b in pairs) < len(pairs) / 2
