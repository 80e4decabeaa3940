"""The support that painted frames give each other: against slow computations, and which frames are compared."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from kinemacolor.engine.features import PROPAGATION_REACH, match_support
from kinemacolor.keyframes import support_table
from kinemacolor.keyframes.support_table import CHANGE_REACH, SupportTable, propagation_positions
from tests.engine.synthetic_features import random_features


def test_the_path_is_as_long_as_time_passes_and_content_changes() -> None:
    """Different frames lie far apart, equal frames as far as time passes between them; a cut adds no change."""
    first, second, third = random_features(3)
    frames, shot_indices = [0, 4, 8, 20, 24, 28], [0, 0, 0, 0, 1, 1]
    positions = propagation_positions([first, first, second, second, third, first], frames, shot_indices)
    steps = np.diff(positions) - np.diff(frames) / PROPAGATION_REACH
    new_content = [1 - float(match_support(*pair).mean()) for pair in ((second, [first]), (first, [third]))]
    assert min(new_content) > 0.1
    np.testing.assert_allclose(steps * CHANGE_REACH, [0, new_content[0], 0, 0, new_content[1]], atol=1e-6)


def test_the_table_holds_support_and_propagated_support_within_a_shot() -> None:
    features, frames, shot_indices = random_features(7), [0, 3, 7, 12, 20, 21, 29], [0, 0, 0, 0, 1, 1, 1]
    calls: list[tuple[int, int | None]] = []
    table = SupportTable(features, frames, shot_indices, lambda done, total: calls.append((done, total)))
    assert calls == [(k + 1, 7) for k in range(7)]
    assert len(table) == 7
    assert table.cells == 23
    positions = propagation_positions(features, frames, shot_indices)
    for query in range(7):
        assert sorted(table.rows[query]) == list(range(7))
        for candidate, support in table.rows[query].items():
            expected = np.maximum(match_support(features[query], [features[candidate]])[0], 0)
            if shot_indices[query] == shot_indices[candidate]:
                lack = 1 - np.exp(-abs(positions[query] - positions[candidate]))
                expected = 1 - (1 - expected) * lack
            np.testing.assert_allclose(support, expected, atol=1e-3)
            assert query in table.queries[candidate]


def test_in_long_films_frames_are_compared_across_the_shot_with_neighbors_and_with_similar_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("COMPARED_IN_SHOT", 5), ("COMPARED_NEIGHBORS", 1), ("COMPARED_ELSEWHERE", 2)):
        monkeypatch.setattr(support_table, name, value)
    features = random_features(30, cells=3)
    features[25], features[28] = features[4], features[4]
    shot_indices = [0] * 21 + [1] * 9
    table = SupportTable(features, range(30), shot_indices)
    assert sorted(table.rows[4]) == [0, 3, 4, 5, 10, 15, 20, 25, 28]
    for candidate, queries in enumerate(table.queries):
        assert queries == [query for query in range(30) if candidate in table.rows[query]]
    pairs = list(combinations(range(21), 2))
    assert sum(b in table.rows[a] for a, b in pairs) < len(pairs) / 2
