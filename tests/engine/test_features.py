"""Features that an engine gives pictures, how well pictures support each other, and the choice of references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kinemacolor.core.types import Array, BoolArray, FloatArray, Reference
from kinemacolor.engine import features as features_module
from kinemacolor.engine.features import (
    COMPARED_REFERENCES,
    FrameFeatures,
    choose_references,
    extract_features,
    match_support,
    nearest_by_summary,
    propagated_support,
)
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult
from tests.engine.synthetic_features import features_of, random_features, unit


class KeyEngine:
    """An engine that gives every reference the same keys, times two."""

    name = "keys"
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

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        raise NotImplementedError


HEIGHT, WIDTH, ROWS, COLUMNS = 35, 43, 9, 11


@pytest.fixture
def keys() -> FloatArray:
    return unit(np.random.default_rng(3).normal(size=(ROWS * COLUMNS, 13)))


def picture() -> FloatArray:
    return np.random.default_rng(5).uniform(0, 100, (HEIGHT, WIDTH)).astype(np.float32)


def pooled(keys: FloatArray, valid: BoolArray) -> Array:
    """Slow: the mean of the valid keys of each block of 2 × 2 cells, of unit length; mostly invalid blocks left out."""
    means = []
    for top in range(0, ROWS, 2):
        for left in range(0, COLUMNS, 2):
            inside = [(i, j) for i in (top, top + 1) for j in (left, left + 1) if i < ROWS and j < COLUMNS]
            counted = [keys[i * COLUMNS + j].astype(np.float64) for i, j in inside if valid[i, j]]
            if len(counted) > len(inside) / 2:
                mean = np.mean(counted, axis=0)
                means.append(mean / np.sqrt((mean**2).sum()))
    return np.array(means)


def test_features_pool_the_keys_of_two_by_two_cells(keys: FloatArray) -> None:
    features = extract_features(KeyEngine(keys), picture())
    assert features.keys.dtype == features.summary.dtype == np.float32
    np.testing.assert_allclose(features.keys, pooled(keys, np.ones((ROWS, COLUMNS), bool)), atol=1e-6)


def test_masked_cells_are_left_out(keys: FloatArray) -> None:
    mask = np.ones((HEIGHT, WIDTH), np.bool_)
    mask[8:20, :16] = False  # cells 2 … 4 × 0 … 3
    valid = np.ones((ROWS, COLUMNS), bool)
    valid[2:5, :4] = False
    features = extract_features(KeyEngine(keys), picture(), mask)
    expected = pooled(keys, valid)
    assert len(expected) < len(pooled(keys, np.ones((ROWS, COLUMNS), bool)))
    np.testing.assert_allclose(features.keys, expected, atol=1e-6)


def test_a_small_island_of_color_still_has_features(keys: FloatArray) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[20:24, 24:28] = True  # the cell (5, 6) alone
    features = extract_features(KeyEngine(keys), picture(), mask)
    np.testing.assert_allclose(features.keys, keys[None, 5 * COLUMNS + 6], atol=1e-6)


def test_the_summary_describes_what_occurs_regardless_of_place(keys: FloatArray) -> None:
    features = extract_features(KeyEngine(keys), picture())
    columns = features.keys.astype(np.float64).T
    expected = [np.sqrt(np.mean([max(value, 0) ** 2 for value in column])) for column in columns]
    expected += [np.sqrt(np.mean([min(value, 0) ** 2 for value in column])) for column in columns]
    np.testing.assert_allclose(features.summary, np.array(expected) / np.linalg.norm(expected), atol=1e-6)


def test_a_picture_matches_itself_best_with_the_matching_engine() -> None:
    engine = MatchingEngine(threads=1)
    rng = np.random.default_rng(1)
    lightness = np.repeat(np.repeat(rng.uniform(0, 100, (12, 20)), 9, axis=0), 10, axis=1).astype(np.float32)
    features = extract_features(engine, lightness)  # 108 × 200
    assert features.keys.shape == (14 * 25, 176)
    np.testing.assert_allclose(np.linalg.norm(features.keys, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(match_support(features, [features])[0], 1, atol=1e-5)
    mirrored = extract_features(engine, np.ascontiguousarray(lightness[:, ::-1]))
    negative = extract_features(engine, np.ascontiguousarray(100 - lightness))
    mirrored_support, negative_support = match_support(features, [mirrored, negative]).mean(axis=1)
    assert negative_support < mirrored_support < 0.999


def test_features_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^features: expected .*summary \(2C,\), got \(5, 3\) and \(3,\)"):
        FrameFeatures(np.ones((5, 3), np.float32), np.ones(3, np.float32))


# --- support --------------------


def test_support_is_the_best_cosine_of_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "CHUNK", 5)
    query, *candidates = random_features(4, cells=13)
    candidates[1] = random_features(1, cells=3, seed=9)[0]  # pictures may differ in size
    support = match_support(query, candidates)
    assert support.shape == (3, 13)
    assert support.dtype == np.float32
    for i, candidate in enumerate(candidates):
        for j, key in enumerate(query.keys):
            cosines = [sum(float(a) * float(b) for a, b in zip(key, other, strict=True)) for other in candidate.keys]
            assert support[i, j] == pytest.approx(max(cosines), abs=1e-6)


def test_support_without_candidates_is_empty() -> None:
    assert match_support(random_features(1)[0], []).shape == (0, 23)


def test_within_a_shot_lacking_support_shrinks_with_nearness() -> None:
    cosine = np.array([-0.5, 0.0, 0.4, 1.0], np.float32)
    np.testing.assert_allclose(propagated_support(cosine, 0), 1)
    lack = np.array([1.0, 1.0, 0.6, 0.0])
    np.testing.assert_allclose(propagated_support(cosine, 7 / 11), 1 - lack * (1 - np.exp(-7 / 11)), rtol=1e-6)


# --- choice of references --------------------


def greedy(queries: list[FrameFeatures], candidates: list[FrameFeatures], most: int, gain: float) -> list[int]:
    """Slow: the value of every set is computed from scratch, in float64."""

    def value(chosen: list[int]) -> float:
        means = []
        for query in queries:
            cosines = [query.keys.astype(np.float64) @ candidates[k].keys.astype(np.float64).T for k in chosen]
            means.append(np.max([c.max(axis=1) for c in cosines], axis=0).mean() if chosen else -1.0)
        return float(np.mean(means))

    chosen: list[int] = []
    while len(chosen) < most:
        rest = [k for k in range(len(candidates)) if k not in chosen]
        best = max(rest, key=lambda k: value([*chosen, k]))
        if chosen and value([*chosen, best]) - value(chosen) < gain:
            break
        chosen.append(best)
    return chosen


@pytest.mark.parametrize(("most", "gain"), [(1, 0.0), (3, 0.0), (5, 0.03), (5, 0.5)])
def test_references_are_chosen_greedily(most: int, gain: float) -> None:
    features = random_features(12, seed=2)
    queries, candidates = features[:4], features[4:]
    assert list(choose_references(queries, candidates, most, gain)) == greedy(queries, candidates, most, gain)


def test_references_that_complement_each_other_are_chosen_together() -> None:
    vectors = unit(np.random.default_rng(4).normal(size=(20, 30)))
    query = features_of(vectors)
    first_half, second_half, most = features_of(vectors[:10]), features_of(vectors[10:]), features_of(vectors[:14])
    assert choose_references([query], [first_half, second_half, most, first_half]) == (2, 1)
    assert choose_references([query], [first_half, query, second_half]) == (1,)


def test_no_reference_is_chosen_twice() -> None:
    features = random_features(3)
    assert choose_references(features, [features[0]] * 3, most=9, gain=0.0) == (0, 1, 2)


def test_of_many_candidates_the_nearest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    candidates = []
    for kind in range(40):  # each with features of its own
        vectors = rng.normal(size=(11, 40)) * 0.1
        vectors[:, kind] += 1
        candidates.append(features_of(vectors))
    counts = []

    def counted(query: FrameFeatures, compared: Sequence[FrameFeatures]) -> FloatArray:
        counts.append(len(compared))
        return match_support(query, compared)

    monkeypatch.setattr(features_module, "match_support", counted)
    assert choose_references([candidates[33], candidates[7]], candidates, most=2) in ((33, 7), (7, 33))
    assert counts == [COMPARED_REFERENCES] * 2


def test_the_nearest_are_taken_for_each_query_in_turn() -> None:
    vectors = np.eye(6)
    candidates = [features_of(vectors[k : k + 1] + 0.01 * np.arange(6)) for k in range(6)]
    assert nearest_by_summary(candidates[2:3] + candidates[4:5], candidates, 2) == (2, 4)
    assert nearest_by_summary(candidates[:1], candidates, 6) == tuple(range(6))


def test_an_empty_choice_is_refused() -> None:
    features = random_features(2)
    for queries, candidates, most in (([], features, 1), (features, [], 1), (features, features, 0)):
        with pytest.raises(ValueError, match=r"^choose_references: expected"):
            choose_references(queries, candidates, most)
