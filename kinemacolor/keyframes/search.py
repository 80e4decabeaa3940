"""Which frames of a film to paint: the fewest that support every frame, or the best few.

A facility location problem over the network's features (``SupportTable``), solved greedily and then improved by
exchanges. A painted frame supports another as far as their features match; within a shot also because colors are
propagated along the flow, both ways in time: the more so the nearer the frames are and the less changes between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kinemacolor.core.types import FloatArray, Shot
from kinemacolor.engine.features import FrameFeatures
from kinemacolor.keyframes.support_table import SupportTable

THRESHOLD = 0.55
"""Support that every frame shall have where neither a threshold nor a budget is given."""
ROUNDS = 4
"""Times that every pick may be exchanged."""
FLOOR = 0.005
"""Lack of support that counts as none where quality is guessed."""
PRIORITY = 1e7
"""Weight of a frame's support up to the threshold beside its quality: whatever quality is gained, none may be lost."""
ENOUGH = 1e-6
"""Differences of support below this are none."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame to paint.

    Attributes:
        frame: index in the film.
        shot: index of its shot among those that were given.
        gain: by how much it raises the mean support of the sampled frames when it joins those before it.
        before, after: share of the sampled frames' cells supported at the threshold, without and with it.
        covers: sampled frames (indices in the film) that have their best support from it, among all picks.
    """

    frame: int
    shot: int
    gain: float
    before: float
    after: float
    covers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShotSupport:
    """How a shot fares with all picks.

    Attributes:
        shot: the shot.
        sampled: number of its frames that were sampled.
        picks: frames of it that are to be painted; may be none where another shot lends its colors.
        support: mean support of its sampled frames, in [0, 1].
        weakest: the sampled frame with the least support.
        lowest: that support.
        share: of its sampled frames' cells, supported at the threshold.
    """

    shot: Shot
    sampled: int
    picks: tuple[int, ...]
    support: float
    weakest: int
    lowest: float
    share: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """Frames to paint.

    Attributes:
        picks: in order of gain, so that any number of the first ones is a good choice, too.
        shots: one for each shot that was given and has a sampled frame.
        threshold: at which cells and frames count as supported.
        support: mean over the sampled frames with all picks, in [0, 1].
        share: of all cells, supported at the threshold with all picks.
        met: whether every sampled frame has the threshold's support.
    """

    picks: tuple[Pick, ...]
    shots: tuple[ShotSupport, ...]
    threshold: float
    support: float
    share: float
    met: bool


class Search:
    """A set of picks that grows and is mended.

    Args:
        table: of supports.
        ceiling: support that every frame shall have, which comes first; None where only quality counts: color
            errors, in dB, fall with the logarithm of what is lacking.
    """

    def __init__(self, table: SupportTable, ceiling: float | None) -> None:
        self.table, self.ceiling = table, ceiling
        self.picks: list[int] = []
        self.cover = np.zeros((len(table), table.cells), np.float32)

    def worth(self, cover: FloatArray) -> float:
        """What the cover (m, n) of some frames is worth."""
        means = np.minimum(cover.mean(axis=1, dtype=np.float64), 1)
        quality = float(-np.log(1 - means + FLOOR).sum())
        if self.ceiling is None:
            return quality
        return quality + PRIORITY * float(np.minimum(means, self.ceiling).sum())

    def met(self) -> bool:
        """Whether every frame has the ceiling's support."""
        return self.ceiling is None or bool(self.cover.mean(axis=1).min() >= self.ceiling - ENOUGH)

    def gain(self, offer: int) -> float:
        """What an offer would add to the worth of the cover."""
        queries = self.table.queries[offer]
        old = self.cover[queries]
        given = np.stack([self.table.rows[query][offer] for query in queries])
        return self.worth(np.maximum(old, given)) - self.worth(old)

    def rise(self, offer: int) -> float:
        """By how much an offer would raise the sum of the frames' supports."""
        queries = self.table.queries[offer]
        given = np.stack([self.table.rows[query][offer] for query in queries])
        return float(np.maximum(given - self.cover[queries], 0).mean(axis=1, dtype=np.float64).sum())

    def around(self, offer: int) -> set[int]:
        """Offers whose gains change with this one."""
        return {other for query in self.table.queries[offer] for other in self.table.rows[query]}

    def add(self, offer: int) -> None:
        """Takes an offer."""
        self.picks.append(offer)
        for query in self.table.queries[offer]:
            np.maximum(self.cover[query], self.table.rows[query][offer], out=self.cover[query])

    def drop(self, offer: int) -> None:
        """Gives a pick back."""
        self.picks.remove(offer)
        for query in self.table.queries[offer]:
            row = self.table.rows[query]
            self.cover[query] = 0
            for pick in row.keys() & set(self.picks):
                np.maximum(self.cover[query], row[pick], out=self.cover[query])

    def fill(self, count: int) -> None:
        """Adds the offer of greatest gain until there are ``count`` picks, or nothing is gained any more."""
        gains = {offer: self.gain(offer) for offer in range(len(self.table))}
        while len(self.picks) < count and not (self.ceiling is not None and self.met()):
            best = max(gains, key=lambda offer: gains[offer])
            if gains[best] < ENOUGH:
                return
            self.add(best)
            for offer in self.around(best):
                gains[offer] = self.gain(offer)

    def exchange(self, shot: int | None = None) -> None:
        """Moves picks (of one shot, or all) to better frames of their shots, as long as that helps."""
        owners = self.table.owners
        for _ in range(ROUNDS):
            moved = False
            for pick in [pick for pick in self.picks if shot is None or owners[pick] == shot]:
                self.drop(pick)
                free = {int(k) for k in np.flatnonzero(owners == owners[pick])} - set(self.picks)
                gains = {offer: self.gain(offer) for offer in sorted(free)}
                best = max(gains, key=lambda offer: gains[offer])
                better = gains[best] > gains[pick] + ENOUGH
                self.add(best if better else pick)
                moved |= better
            if not moved:
                return

    def spread(self) -> None:
        """Tries, in each shot of several picks, to begin with equal spacing instead; the better of the two stays."""
        owners = self.table.owners
        for shot in sorted({int(owners[pick]) for pick in self.picks}):
            own = [pick for pick in self.picks if owners[pick] == shot]
            if len(own) < 2:
                continue
            before, kept = self.worth(self.cover), (list(self.picks), self.cover.copy())
            frames = np.flatnonzero(owners == shot)
            even = [int(frames[len(frames) * (2 * k + 1) // (2 * len(own))]) for k in range(len(own))]
            for pick in own:
                self.drop(pick)
            for pick in even:
                self.add(pick)
            self.exchange(shot)
            if self.worth(self.cover) < before + ENOUGH:
                self.picks, self.cover = kept

    def thin(self) -> None:
        """Takes picks away, and moves those that are left, as long as every frame keeps the ceiling's support."""
        owners = self.table.owners
        for shot in sorted({int(owners[pick]) for pick in self.picks}):
            while own := [pick for pick in self.picks if owners[pick] == shot]:
                kept = list(self.picks), self.cover.copy()
                self.drop(min(own, key=self._loss))
                if not self.met():
                    self.exchange(shot)
                if not self.met():
                    self.picks, self.cover = kept
                    break

    def _loss(self, pick: int) -> float:
        queries = self.table.queries[pick]
        with_it = self.worth(self.cover[queries])
        self.drop(pick)
        without = self.worth(self.cover[queries])
        self.add(pick)
        return with_it - without


def propose(
    features: Sequence[FrameFeatures],
    frames: Sequence[int],
    shots: Sequence[Shot],
    *,
    threshold: float | None = None,
    budget: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Proposal:
    """The frames to paint.

    With a threshold, the fewest that were found such that every sampled frame has at least that mean support; with a
    budget, at most so many, those with the best expected quality; with both, the first of the two to be reached.

    A pair of frames costs one ``match_support``; a frame is compared with at most 80 others (``SupportTable``).

    Args:
        features: of the sampled frames, all of one size.
        frames: their indices in the film, ascending.
        shots: of the film; every sampled frame lies in one.
        threshold: in [0, 1]; None for ``THRESHOLD`` where there is no budget.
        budget: frames to paint at most, ≥ 1.
        progress: called with the number of frames compared and their number.

    Raises:
        ValueError: an argument is not as described.
    """
    owners = _owners(features, frames, shots)
    if not ((threshold is None or 0 <= threshold <= 1) and (budget is None or budget >= 1)):
        raise ValueError(f"propose: expected a threshold in [0, 1] and a budget ≥ 1, got {threshold} and {budget}")
    level = THRESHOLD if threshold is None else threshold
    ceiling = level if budget is None or threshold is not None else None
    table = SupportTable(features, frames, owners, progress)
    search = Search(table, ceiling)
    search.fill(len(features) if budget is None else min(budget, len(features)))
    if ceiling is not None and search.met():
        search.thin()
    search.exchange()
    search.spread()
    return _proposal(table, search.picks, frames, shots, level)


def _owners(features: Sequence[FrameFeatures], frames: Sequence[int], shots: Sequence[Shot]) -> list[int]:
    """Index of each sampled frame's shot."""
    if not features or len(features) != len(frames):
        raise ValueError(
            f"propose: expected features of each of at least one frame, got {len(features)} for {len(frames)}"
        )
    if any(a >= b for a, b in pairwise(frames)):
        raise ValueError("frames: expected ascending indices, each once")
    owners = [next((i for i, shot in enumerate(shots) if frame in shot), -1) for frame in frames]
    if -1 in owners:
        raise ValueError(f"frames: expected each in a shot, got {frames[owners.index(-1)]}, which is in none")
    sizes = {frame_features.keys.shape for frame_features in features}
    if len(sizes) > 1:
        raise ValueError(f"features: expected one shape of keys, got {sorted(sizes)}")
    return owners


def _proposal(
    table: SupportTable, picks: Sequence[int], frames: Sequence[int], shots: Sequence[Shot], threshold: float
) -> Proposal:
    """The picks in order of what each adds to the mean support, and what they come to."""
    search, ordered, left = Search(table, None), [], sorted(picks)
    sums = {pick: search.rise(pick) for pick in left}
    while left:
        best = max(left, key=lambda pick: sums[pick])
        before = float((search.cover >= threshold).mean())
        search.add(best)
        left.remove(best)
        ordered.append((best, sums[best] / len(table), before, float((search.cover >= threshold).mean())))
        for pick in search.around(best) & set(left):
            sums[pick] = search.rise(pick)
    covers: dict[int, list[int]] = {pick: [] for pick in picks}
    for query, row in enumerate(table.rows):
        givers = row.keys() & covers.keys()
        if givers:
            covers[max(sorted(givers), key=lambda pick: float(row[pick].mean(dtype=np.float64)))].append(frames[query])
    means, shares = search.cover.mean(axis=1), (search.cover >= threshold).mean(axis=1)
    numbers = []
    for number, shot in enumerate(shots):
        own = np.flatnonzero(table.owners == number)
        if len(own):
            weakest = int(own[means[own].argmin()])
            numbers.append(
                ShotSupport(
                    shot=shot,
                    sampled=len(own),
                    picks=tuple(sorted(frames[pick] for pick in picks if table.owners[pick] == number)),
                    support=float(means[own].mean()),
                    weakest=frames[weakest],
                    lowest=float(means[weakest]),
                    share=float(shares[own].mean()),
                )
            )
    return Proposal(
        picks=tuple(
            Pick(frames[pick], int(table.owners[pick]), gain, before, after, tuple(covers[pick]))
            for pick, gain, before, after in ordered
        ),
        shots=tuple(numbers),
        threshold=threshold,
        support=float(means.mean()),
        share=float(shares.mean()),
        met=bool(means.min() >= threshold - ENOUGH),
    )
