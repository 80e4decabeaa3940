"""Features of pictures as an engine computes them, and which pictures support others best.

The *support* of a cell of a picture by another picture is the cosine of its best match there: the S of the paper's
equation 3. It needs no colors, so it is known before any still is painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinemacolor.core.types import Array, BoolArray, FloatArray, Reference
from kinemacolor.engine.protocol import Engine, cells

POOLING = 2
"""Cells of the engine's key grid along each side that are pooled into one of ``FrameFeatures``."""
MINIMUM_GAIN = 0.01
"""Minimum gain of mean support (a cosine) for which ``choose_references`` takes another reference."""
COMPARED_REFERENCES = 16
"""Number of candidates that ``choose_references`` compares; of more, those nearest by ``FrameFeatures.summary``."""
PROPAGATION_REACH = 60.0
"""Number of frames over which support by propagation falls by a factor e, where nothing changes."""
CHUNK = 512
"""Rows of a similarity matrix that are in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameFeatures:
    """An engine's features of a picture.

    Attributes:
        keys: (n, C) float32, features of unit length, pooled over ``POOLING`` × ``POOLING`` cells of the key grid
            (n = 1296 at 384 × 216 pixels); cells that are masked for the most part are left out.
        summary: (2C,) float32 of unit length: root mean square of each feature's positive and negative parts.
    """

    keys: FloatArray
    summary: FloatArray

    def __post_init__(self) -> None:
        if self.keys.ndim != 2 or not len(self.keys) or self.summary.shape != (2 * self.keys.shape[1],):
            shapes = f"{self.keys.shape} and {self.summary.shape}"
            raise ValueError(f"features: expected keys (n, C), n ≥ 1, and summary (2C,), got {shapes}")


def extract_features(engine: Engine, lightness: FloatArray, mask: BoolArray | None = None) -> FrameFeatures:
    """The engine's features of a picture; takes less than half the time of a step.

    Args:
        engine: any; the features are the keys that it gives a reference.
        lightness: (H, W) float32, L* in [0, 100] at network size.
        mask: (H, W) bool, False where the picture gives no color; None if it gives colors everywhere.

    Raises:
        ValueError: the picture is masked entirely.
    """
    if mask is None:
        mask = np.ones(lightness.shape, np.bool_)
    bank = engine.start([Reference(lightness, np.zeros((*lightness.shape, 2), np.float32), mask)])
    rows, columns = cells(*lightness.shape)
    count = rows * columns
    valid = bank.valid[:count]
    keys = _pool(_unit(bank.keys[:count]), valid, rows, columns)
    signs = np.concatenate([np.maximum(keys, 0), np.maximum(-keys, 0)], axis=1)
    return FrameFeatures(keys, _unit(np.sqrt(np.square(signs).mean(axis=0))))


def _pool(keys: FloatArray, valid: BoolArray, rows: int, columns: int) -> FloatArray:
    """Means of unit features (rows · columns, C) over blocks of valid cells, again of unit length."""
    grid = np.zeros((rows + rows % POOLING, columns + columns % POOLING, keys.shape[1]), np.float32)
    grid[:rows, :columns] = np.where(valid[:, None], keys, np.float32(0)).reshape(rows, columns, -1)
    valid_cells = np.zeros(grid.shape[:2], np.float32)
    valid_cells[:rows, :columns] = valid.reshape(rows, columns)
    all_cells = np.zeros(grid.shape[:2], np.float32)
    all_cells[:rows, :columns] = 1
    sums, valid_counts, counts = (_block_sums(cell_map) for cell_map in (grid, valid_cells, all_cells))
    kept = valid_counts > counts / 2
    if not kept.any():  # every block is masked for the most part
        kept = valid_counts == valid_counts.max()
    return _unit(sums[kept])


def _block_sums(grid: FloatArray) -> FloatArray:
    """(rows, columns[, C]) → sums over blocks, (rows / 2, columns / 2[, C])."""
    height, width = grid.shape[0] // POOLING, grid.shape[1] // POOLING
    sums: FloatArray = grid.reshape(height, POOLING, width, POOLING, *grid.shape[2:]).sum(axis=(1, 3))
    return sums


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    unit: FloatArray = (vectors / np.maximum(length, np.float32(1e-6))).astype(np.float32)
    return unit


def match_support(query: FrameFeatures, candidates: Sequence[FrameFeatures]) -> FloatArray:
    """How well each cell of a picture is matched by other pictures.

    A pair at 384 × 216 pixels takes 0.6 GFLOP, about 10 ms on a core; a quarter of the area, a sixteenth of that.

    Args:
        query: features of the picture that needs colors.
        candidates: features, by the same engine, of pictures that could give them.

    Returns:
        (len(candidates), n) float32, the best cosine in each candidate for each cell of the query, in [-1, 1].
    """
    best = np.empty((len(candidates), len(query.keys)), np.float32)
    for row, candidate in zip(best, candidates, strict=True):
        for start in range(0, len(row), CHUNK):
            (query.keys[start : start + CHUNK] @ candidate.keys.T).max(axis=1, out=row[start : start + CHUNK])
    return np.clip(best, -1, 1, out=best)


def nearest_by_summary(
    queries: Sequence[FrameFeatures], candidates: Sequence[FrameFeatures], count: int
) -> tuple[int, ...]:
    """Ascending indices of at most ``count`` candidates, those nearest to the queries, which add one in turn."""
    if len(candidates) <= count:
        return tuple(range(len(candidates)))
    query_summaries = np.stack([query.summary for query in queries])
    similarity = query_summaries @ np.stack([candidate.summary for candidate in candidates]).T
    ranked = np.argsort(-similarity, axis=1, kind="stable")
    selected: set[int] = set()
    for index in ranked.T.ravel():
        selected.add(int(index))
        if len(selected) == count:
            break
    return tuple(sorted(selected))


def choose_references(
    queries: Sequence[FrameFeatures],
    candidates: Sequence[FrameFeatures],
    most: int = 3,
    gain: float = MINIMUM_GAIN,
) -> tuple[int, ...]:
    """The references that together support the frames of a shot best, chosen greedily.

    The objective is the mean over the queries of the mean over their cells of the best support among the chosen
    references. The greedy choice reaches at least 1 − 1/e of the optimum (Nemhauser, Wolsey and Fisher 1978).

    Args:
        queries: features of frames of a shot.
        candidates: features of references; of more than ``COMPARED_REFERENCES``, those nearest by ``summary`` count.
        most: maximum number of references, ≥ 1.
        gain: minimum gain of the mean support for which another reference is taken.

    Returns:
        Indices of candidates in order of choice: at least one.

    Raises:
        ValueError: there are no queries or no candidates, or ``most`` is below 1.
    """
    if not queries or not candidates or most < 1:
        counts = f"{len(queries)}, {len(candidates)} and {most}"
        raise ValueError(f"choose_references: expected queries, candidates and most ≥ 1, got {counts}")
    compared = nearest_by_summary(queries, candidates, COMPARED_REFERENCES)
    tables = [match_support(query, [candidates[index] for index in compared]) for query in queries]
    support = [np.full(table.shape[1], -1, np.float32) for table in tables]
    chosen: list[int] = []
    while len(chosen) < min(most, len(compared)):
        pairs = list(zip(tables, support, strict=True))
        gains = np.mean([(np.maximum(table, level) - level).mean(axis=1) for table, level in pairs], axis=0)
        gains[[compared.index(index) for index in chosen]] = -1
        best = int(gains.argmax())
        if chosen and gains[best] < gain:
            break
        chosen.append(compared[best])
        support = [np.maximum(table[best], level) for table, level in pairs]
    return tuple(chosen)


def propagated_support(cosine: FloatArray, distance: float | Array) -> FloatArray:
    """Support within a shot, in [0, 1]: the cosine S, plus exp(−distance) of what it lacks to 1.

    Args:
        cosine: best match of each cell.
        distance: of propagation between the two frames, ≥ 0, without a unit; one for all cells or one for each.
    """
    matched = np.maximum(cosine, np.float32(0))
    support: FloatArray = matched + (1 - matched) * np.exp(-np.asarray(distance, np.float32))
    return support
