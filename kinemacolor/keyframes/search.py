"""Which frames of a film to paint: the fewest that support every frame, or the best few.

A facility location problem over the network's features (``SupportTable``), solved greedily and then improved by
exchanges. A painted frame supports another as far as their features match; within a shot also because colors are
propagated along the flow, both ways in time: the more so the nearer the frames are and the less changes between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.features import FrameFeatures
from kinemacolor.keyframes.proposal import Pick, Proposal, ShotSupport
from kinemacolor.keyframes.support_table import SupportTable

DEFAULT_THRESHOLD = 0.55
"""Support that every frame should have where neither a threshold nor a budget is given."""
EXCHANGE_ROUNDS = 4
"""Number of times that every pick may be exchanged."""
NEGLIGIBLE_LACK = 0.005
"""Lack of support that counts as none where quality is estimated."""
THRESHOLD_WEIGHT = 1e7
"""Weight of a frame's support up to the threshold beside its quality: no gain in quality may cost support."""
SUPPORT_TOLERANCE = 1e-6
"""Differences of support below this count as none."""


class Search:
    """A set of picks that grows and is improved.

    Args:
        table: of supports.
        ceiling: support that every frame should have, which comes first; None where only quality counts: color
            errors, in dB, fall with the logarithm of the lack of support.
    """

    def __init__(self, table: SupportTable, ceiling: float | None) -> None:
        self.table, self.ceiling = table, ceiling
        self.picks: list[int] = []
        self.cover = np.zeros((len(table), table.cells), np.float32)

    def objective(self, cover: FloatArray) -> float:
        """The objective for the support (m, n) of the cells of some frames."""
        means = np.minimum(cover.mean(axis=1, dtype=np.float64), 1)
        quality = float(-np.log(1 - means + NEGLIGIBLE_LACK).sum())
        if self.ceiling is None:
            return quality
        return quality + THRESHOLD_WEIGHT * float(np.minimum(means, self.ceiling).sum())

    def met(self) -> bool:
        """Whether every frame has the ceiling's support."""
        return self.ceiling is None or bool(self.cover.mean(axis=1).min() >= self.ceiling - SUPPORT_TOLERANCE)

    def gain(self, candidate: int) -> float:
        """What a candidate would add to the objective."""
        queries = self.table.queries[candidate]
        old = self.cover[queries]
        offered = np.stack([self.table.rows[query][candidate] for query in queries])
        return self.objective(np.maximum(old, offered)) - self.objective(old)

    def support_gain(self, candidate: int) -> float:
        """By how much a candidate would raise the sum of the frames' supports."""
        queries = self.table.queries[candidate]
        offered = np.stack([self.table.rows[query][candidate] for query in queries])
        return float(np.maximum(offered - self.cover[queries], 0).mean(axis=1, dtype=np.float64).sum())

    def affected_candidates(self, candidate: int) -> set[int]:
        """Candidates whose gains change with this one."""
        return {other for query in self.table.queries[candidate] for other in self.table.rows[query]}

    def add(self, candidate: int) -> None:
        """Adds a candidate to the picks."""
        self.picks.append(candidate)
        for query in self.table.queries[candidate]:
            np.maximum(self.cover[query], self.table.rows[query][candidate], out=self.cover[query])

    def drop(self, candidate: int) -> None:
        """Removes a pick."""
        self.picks.remove(candidate)
        for query in self.table.queries[candidate]:
            row = self.table.rows[query]
            self.cover[query] = 0
            for pick in row.keys() & set(self.picks):
                np.maximum(self.cover[query], row[pick], out=self.cover[query])

    def add_greedily(self, count: int) -> None:
        """Adds the candidate of greatest gain until there are ``count`` picks, or no candidate gains anything."""
        gains = {candidate: self.gain(candidate) for candidate in range(len(self.table))}
        while len(self.picks) < count and not (self.ceiling is not None and self.met()):
            best = max(gains, key=lambda candidate: gains[candidate])
            if gains[best] < SUPPORT_TOLERANCE:
                return
            self.add(best)
            for candidate in self.affected_candidates(best):
                gains[candidate] = self.gain(candidate)

    def exchange(self, shot: int | None = None) -> None:
        """Moves picks (of one shot, or all) to better frames of their shots, as long as that helps."""
        shot_indices = self.table.shot_indices
        for _ in range(EXCHANGE_ROUNDS):
            moved = False
            for pick in [pick for pick in self.picks if shot is None or shot_indices[pick] == shot]:
                self.drop(pick)
                free = {int(k) for k in np.flatnonzero(shot_indices == shot_indices[pick])} - set(self.picks)
                gains = {candidate: self.gain(candidate) for candidate in sorted(free)}
                best = max(gains, key=lambda candidate: gains[candidate])
                better = gains[best] > gains[pick] + SUPPORT_TOLERANCE
                self.add(best if better else pick)
                moved |= better
            if not moved:
                return

    def try_even_spacing(self) -> None:
        """Tries, in each shot with several picks, to start from equal spacing; the better of the two stays."""
        shot_indices = self.table.shot_indices
        for shot in sorted({int(shot_indices[pick]) for pick in self.picks}):
            picks = [pick for pick in self.picks if shot_indices[pick] == shot]
            if len(picks) < 2:
                continue
            before, kept = self.objective(self.cover), (list(self.picks), self.cover.copy())
            frames = np.flatnonzero(shot_indices == shot)
            even = [int(frames[len(frames) * (2 * k + 1) // (2 * len(picks))]) for k in range(len(picks))]
            for pick in picks:
                self.drop(pick)
            for pick in even:
                self.add(pick)
            self.exchange(shot)
            if self.objective(self.cover) < before + SUPPORT_TOLERANCE:
                self.picks, self.cover = kept

    def remove_redundant(self) -> None:
        """Removes picks, and moves the others, as long as every frame keeps the ceiling's support."""
        shot_indices = self.table.shot_indices
        for shot in sorted({int(shot_indices[pick]) for pick in self.picks}):
            while picks := [pick for pick in self.picks if shot_indices[pick] == shot]:
                kept = list(self.picks), self.cover.copy()
                self.drop(min(picks, key=self._loss))
                if not self.met():
                    self.exchange(shot)
                if not self.met():
                    self.picks, self.cover = kept
                    break

    def _loss(self, pick: int) -> float:
        queries = self.table.queries[pick]
        with_pick = self.objective(self.cover[queries])
        self.drop(pick)
        without = self.objective(self.cover[queries])
        self.add(pick)
        return with_pick - without


def propose(
    features: Sequence[FrameFeatures],
    frames: Sequence[int],
    shots: Sequence[Shot],
    *,
    threshold: float | None = None,
    budget: int | None = None,
    progress: ProgressCallback | None = None,
) -> Proposal:
    """The frames to paint.

    With a threshold, the fewest that were found such that every sampled frame has at least that mean support; with a
    budget, at most that number, those with the best expected quality; with both, the first of the two to be reached.

    A pair of frames costs one ``match_support``; a frame is compared with at most 80 others (``SupportTable``).

    Args:
        features: of the sampled frames, all of one size.
        frames: their indices in the film, ascending.
        shots: of the film; every sampled frame lies in one.
        threshold: in [0, 1]; None for ``DEFAULT_THRESHOLD`` where there is no budget.
        budget: frames to paint at most, ≥ 1.
        progress: called with the number of frames compared and their number.

    Raises:
        ValueError: an argument is not as described.
    """
    shot_indices = _shot_indices(features, frames, shots)
    if not ((threshold is None or 0 <= threshold <= 1) and (budget is None or budget >= 1)):
        raise ValueError(f"propose: expected a threshold in [0, 1] and a budget ≥ 1, got {threshold} and {budget}")
    level = DEFAULT_THRESHOLD if threshold is None else threshold
    ceiling = level if budget is None or threshold is not None else None
    table = SupportTable(features, frames, shot_indices, progress)
    search = Search(table, ceiling)
    search.add_greedily(len(features) if budget is None else min(budget, len(features)))
    if ceiling is not None and search.met():
        search.remove_redundant()
    search.exchange()
    search.try_even_spacing()
    return _proposal(table, search.picks, frames, shots, level)


def _shot_indices(features: Sequence[FrameFeatures], frames: Sequence[int], shots: Sequence[Shot]) -> list[int]:
    """Index of each sampled frame's shot."""
    if not features or len(features) != len(frames):
        raise ValueError(
            f"propose: expected features of each of at least one frame, got {len(features)} for {len(frames)}"
        )
    if any(a >= b for a, b in pairwise(frames)):
        raise ValueError("frames: expected ascending indices, each once")
    shot_indices = [next((i for i, shot in enumerate(shots) if frame in shot), -1) for frame in frames]
    if -1 in shot_indices:
        raise ValueError(f"frames: expected each in a shot, got {frames[shot_indices.index(-1)]}, which is in none")
    sizes = {frame_features.keys.shape for frame_features in features}
    if len(sizes) > 1:
        raise ValueError(f"features: expected one shape of keys, got {sorted(sizes)}")
    return shot_indices


def _proposal(
    table: SupportTable, picks: Sequence[int], frames: Sequence[int], shots: Sequence[Shot], threshold: float
) -> Proposal:
    """The picks in order of what each adds to the mean support, and the support that they give together."""
    search, ordered = Search(table, None), []
    remaining = sorted(picks)
    gains = {pick: search.support_gain(pick) for pick in remaining}
    while remaining:
        best = max(remaining, key=lambda pick: gains[pick])
        before = float((search.cover >= threshold).mean())
        search.add(best)
        remaining.remove(best)
        ordered.append((best, gains[best] / len(table), before, float((search.cover >= threshold).mean())))
        for pick in search.affected_candidates(best) & set(remaining):
            gains[pick] = search.support_gain(pick)
    covers = _covered_frames(table, picks, frames)
    means, shares = search.cover.mean(axis=1), (search.cover >= threshold).mean(axis=1)
    return Proposal(
        picks=tuple(
            Pick(frames[pick], int(table.shot_indices[pick]), gain, before, after, tuple(covers[pick]))
            for pick, gain, before, after in ordered
        ),
        shots=_shot_supports(table, picks, frames, shots, means, shares),
        threshold=threshold,
        support=float(means.mean()),
        share=float(shares.mean()),
        met=bool(means.min() >= threshold - SUPPORT_TOLERANCE),
    )


def _covered_frames(table: SupportTable, picks: Sequence[int], frames: Sequence[int]) -> dict[int, list[int]]:
    """For each pick the frames that have their best support from it."""
    covers: dict[int, list[int]] = {pick: [] for pick in picks}
    for query, row in enumerate(table.rows):
        givers = row.keys() & covers.keys()
        if givers:
            best = max(sorted(givers), key=lambda pick: float(row[pick].mean(dtype=np.float64)))
            covers[best].append(frames[query])
    return covers


def _shot_supports(
    table: SupportTable,
    picks: Sequence[int],
    frames: Sequence[int],
    shots: Sequence[Shot],
    means: FloatArray,
    shares: FloatArray,
) -> tuple[ShotSupport, ...]:
    """Of each shot with a sampled frame; ``means`` and ``shares`` (N,) are those of the sampled frames."""
    supports = []
    for number, shot in enumerate(shots):
        sampled = np.flatnonzero(table.shot_indices == number)
        if len(sampled):
            weakest = int(sampled[means[sampled].argmin()])
            supports.append(
                ShotSupport(
                    shot=shot,
                    sampled=len(sampled),
                    picks=tuple(sorted(frames[pick] for pick in picks if table.shot_indices[pick] == number)),
                    support=float(means[sampled].mean()),
                    weakest=frames[weakest],
                    lowest=float(means[weakest]),
                    share=float(shares[sampled].mean()),
                )
            )
    return tuple(supports)
