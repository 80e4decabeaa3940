"""How well pictures support one another in the eyes of an engine, and which of them support others best together.

A cell of a picture is supported by another picture as far as its best match there is alike: the S of the paper's
equation 3, without colors. What is measured here needs none, so it can be asked before anything is painted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kinemacolor.core.types import Array, BoolArray, FloatArray, Reference
from kinemacolor.engine.protocol import Engine, cells

POOLING = 2
"""Cells of the engine's key grid, along each side, that become one of a ``FrameFeatures``."""
MINIMUM_GAIN = 0.01
"""Least rise of the mean support (cosine) for which ``choose_references`` takes another offer."""
COMPARED_REFERENCES = 16
"""Offers above which ``choose_references`` looks only at those whose ``summary`` is nearest to a query's."""
PROPAGATION_REACH = 60.0
"""Frames after which carrying along the flow has lost 1 − 1/e of its worth where nothing changes."""
CHANGE_REACH = 0.3
"""Sum of what neighboring sampled frames lack in support of one another, after which it has lost as much."""
COMPARED_IN_SHOT = 64
"""Sampled frames of its shot, evenly spread over it, that each frame is compared with."""
COMPARED_NEIGHBORS = 4
"""Sampled frames right before and after it that each frame is compared with as well."""
COMPARED_ELSEWHERE = 8
"""Sampled frames of other shots that each frame is compared with: those nearest by ``FrameFeatures.summary``."""
CHUNK = 512
"""Rows of a similarity matrix that are held at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameFeatures:
    """What an engine sees of a picture.

    Attributes:
        keys: (n, C) float32, features of unit length on the key grid thinned to every second cell each way (n = 1296
            at 384 × 216 pixels); cells that are masked for the most part are left out.
        summary: (2C,) float32 of unit length: how strongly each feature occurs with either sign, wherever it does.
    """

    keys: FloatArray
    summary: FloatArray

    def __post_init__(self) -> None:
        if self.keys.ndim != 2 or not len(self.keys) or self.summary.shape != (2 * self.keys.shape[1],):
            raise ValueError(
                f"look: expected keys (n, C), n ≥ 1, and summary (2C,), got {self.keys.shape} and {self.summary.shape}"
            )


def extract_features(engine: Engine, lightness: FloatArray, mask: BoolArray | None = None) -> FrameFeatures:
    """The engine's view of a picture; costs less than half a step of the engine.

    Args:
        engine: any; what it makes of a reference is what counts.
        lightness: (H, W) float32, L* in [0, 100] at network size.
        mask: (H, W) bool, False where the picture gives no color; None for nowhere.

    Raises:
        ValueError: nothing is left unmasked.
    """
    if mask is None:
        mask = np.ones(lightness.shape, np.bool_)
    bank = engine.start([Reference(lightness, np.zeros((*lightness.shape, 2), np.float32), mask)])
    rows, columns = cells(*lightness.shape)
    count = rows * columns
    valid = bank.valid[:count]
    keys = _pooled(_unit(bank.keys[:count]), valid, rows, columns)
    signs = np.concatenate([np.maximum(keys, 0), np.maximum(-keys, 0)], axis=1)
    return FrameFeatures(keys, _unit(np.sqrt(np.square(signs).mean(axis=0))))


def _pooled(keys: FloatArray, valid: BoolArray, rows: int, columns: int) -> FloatArray:
    """Means of unit features (rows · columns, C) over blocks of cells, of unit length again; invalid cells left out."""
    grid = np.zeros((rows + rows % POOLING, columns + columns % POOLING, keys.shape[1]), np.float32)
    grid[:rows, :columns] = np.where(valid[:, None], keys, np.float32(0)).reshape(rows, columns, -1)
    counted = np.zeros(grid.shape[:2], np.float32)
    counted[:rows, :columns] = valid.reshape(rows, columns)
    present = np.zeros(grid.shape[:2], np.float32)
    present[:rows, :columns] = 1
    total, share, whole = (_blocks(part) for part in (grid, counted, present))
    kept = share > whole / 2
    if not kept.any():  # small islands of color in every block
        kept = share == share.max()
    return _unit(total[kept])


def _blocks(grid: FloatArray) -> FloatArray:
    """(rows, columns[, C]) → sums over blocks, (rows / 2, columns / 2[, C])."""
    height, width = grid.shape[0] // POOLING, grid.shape[1] // POOLING
    sums: FloatArray = grid.reshape(height, POOLING, width, POOLING, *grid.shape[2:]).sum(axis=(1, 3))
    return sums


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    unit: FloatArray = (vectors / np.maximum(length, np.float32(1e-6))).astype(np.float32)
    return unit


def support(query: FrameFeatures, offers: Sequence[FrameFeatures]) -> FloatArray:
    """How well each cell of a picture is matched by others.

    A pair at 384 × 216 pixels costs 0.6 GFLOP: about 10 ms on a core; a quarter of the area, a sixteenth of it.

    Args:
        query: the picture that wants colors.
        offers: pictures that could give them, looks of the same engine.

    Returns:
        (len(offers), n) float32, the best cosine in each offer for each cell of the query, in [-1, 1].
    """
    best = np.empty((len(offers), len(query.keys)), np.float32)
    for row, offer in zip(best, offers, strict=True):
        for start in range(0, len(row), CHUNK):
            (query.keys[start : start + CHUNK] @ offer.keys.T).max(axis=1, out=row[start : start + CHUNK])
    return np.clip(best, -1, 1, out=best)


def nearest(queries: Sequence[FrameFeatures], offers: Sequence[FrameFeatures], count: int) -> tuple[int, ...]:
    """At most ``count`` offers, those nearest to a query by ``summary``; each query in turn adds one; ascending."""
    if len(offers) <= count:
        return tuple(range(len(offers)))
    likeness = np.stack([query.summary for query in queries]) @ np.stack([offer.summary for offer in offers]).T
    ranked = np.argsort(-likeness, axis=1, kind="stable")
    found: dict[int, None] = {}
    for offer in ranked.T.ravel():
        found[int(offer)] = None
        if len(found) == count:
            break
    return tuple(sorted(found))


def choose_references(
    queries: Sequence[FrameFeatures], offers: Sequence[FrameFeatures], most: int = 3, gain: float = MINIMUM_GAIN
) -> tuple[int, ...]:
    """The offers that support the queries best together, chosen greedily.

    What counts is the mean over the queries of the mean over their cells of the best support among the chosen. Greedy
    choice comes within 1 − 1/e of the best one (Nemhauser, Wolsey and Fisher 1978).

    Args:
        queries: frames of a shot.
        offers: references; where there are more than ``COMPARED_REFERENCES``, those nearest by ``summary`` are compared.
        most: references at most, ≥ 1.
        gain: least rise of the mean support for which another one is taken.

    Returns:
        Indices of offers in order of choice: at least one.

    Raises:
        ValueError: there are no queries or no offers, or ``most`` is below 1.
    """
    if not queries or not offers or most < 1:
        raise ValueError(f"choose: expected queries, offers and most ≥ 1, got {len(queries)}, {len(offers)} and {most}")
    candidates = nearest(queries, offers, COMPARED_REFERENCES)
    tables = [support(query, [offers[index] for index in candidates]) for query in queries]
    covered = [np.full(table.shape[1], -1, np.float32) for table in tables]
    chosen: list[int] = []
    while len(chosen) < min(most, len(candidates)):
        pairs = list(zip(tables, covered, strict=True))
        gains = np.mean([(np.maximum(table, level) - level).mean(axis=1) for table, level in pairs], axis=0)
        gains[[candidates.index(index) for index in chosen]] = -1
        best = int(gains.argmax())
        if chosen and gains[best] < gain:
            break
        chosen.append(candidates[best])
        covered = [np.maximum(table[best], level) for table, level in pairs]
    return tuple(chosen)


def propagated_support(cosine: FloatArray, away: float | Array) -> FloatArray:
    """Support inside a shot: the cosine S, and of what it lacks to 1 the share exp(−away), in [0, 1].

    Args:
        cosine: best match of each cell.
        away: how far colors are carried between the two, ≥ 0, without a unit, one for all or one for each.
    """
    matched = np.maximum(cosine, np.float32(0))
    worth: FloatArray = matched + (1 - matched) * np.exp(-np.asarray(away, np.float32))
    return worth


def propagation_positions(looks: Sequence[FrameFeatures], frames: Sequence[int], owners: Sequence[int]) -> Array:
    """Where each frame of a shot lies on the way that colors are carried: by time, and by what changes.

    Time alone would have a still camera's shot painted as often as a chase. What is new in a frame has no match in the
    one before; where much is, flow has nothing to carry either.

    Args:
        looks, frames, owners: see ``SupportTable``.

    Returns:
        (N,) float64; differences inside a shot are what ``propagated_support`` calls away.
    """
    new = [0.0]
    for number in range(1, len(looks)):
        alone = owners[number] != owners[number - 1]
        new.append(0.0 if alone else 1 - float(support(looks[number], [looks[number - 1]]).mean()))
    along: Array = np.asarray(frames, np.float64) / PROPAGATION_REACH + np.cumsum(new) / CHANGE_REACH
    return along


class SupportTable:
    """What each sampled frame, painted, would give to the others: a sparse table of supports.

    Args:
        looks, frames: see ``propose``.
        owners: index of each frame's shot, ascending.
        progress: see ``propose``.

    Attributes:
        cells: n of a look.
        rows: for each frame, what it would be given: by offering frame, (n,) float16 of its cells.
        queries: for each frame, those that it would give to.
    """

    def __init__(
        self,
        looks: Sequence[FrameFeatures],
        frames: Sequence[int],
        owners: Sequence[int],
        progress: Callable[[int, int | None], None] | None = None,
    ) -> None:
        self.cells = len(looks[0].keys)
        self.owners = np.asarray(owners)
        along = propagation_positions(looks, frames, owners)
        self.rows: list[dict[int, FloatArray]] = []
        self.queries: list[list[int]] = [[] for _ in looks]
        summaries = np.stack([extract_features.summary for extract_features in looks])
        for query, extract_features in enumerate(looks):
            offers = self._offers(query, summaries)
            found = support(extract_features, [looks[offer] for offer in offers])
            row: dict[int, FloatArray] = {}
            for offer, cosine in zip(offers, found, strict=True):
                worth = np.maximum(cosine, np.float32(0))
                if owners[offer] == owners[query]:
                    worth = propagated_support(cosine, abs(along[offer] - along[query]))
                row[offer] = worth.astype(np.float16)
                self.queries[offer].append(query)
            self.rows.append(row)
            if progress:
                progress(query + 1, len(looks))

    def __len__(self) -> int:
        return len(self.rows)

    def _offers(self, query: int, summaries: FloatArray) -> list[int]:
        """The frames that a frame is compared with: along its shot, beside it, and those like it in other shots."""
        own = np.flatnonzero(self.owners == self.owners[query])
        first, last = int(own[0]), int(own[-1])
        along = {int(k) for k in np.unique(np.linspace(first, last, min(COMPARED_IN_SHOT, len(own))).round())}
        beside = range(max(first, query - COMPARED_NEIGHBORS), min(last, query + COMPARED_NEIGHBORS) + 1)
        likeness = summaries @ summaries[query]
        likeness[own] = -2
        alike = np.argsort(-likeness, kind="stable")[: min(COMPARED_ELSEWHERE, len(likeness) - len(own))]
        return sorted(along | set(beside) | {int(k) for k in alike})
