"""The support that each sampled frame of a film, once painted, would give the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.features import PROPAGATION_REACH, FrameFeatures, match_support, propagated_support

CHANGE_REACH = 0.3
"""Sum of new content, in lacking support of neighboring sampled frames, over which propagation falls by a factor e."""
COMPARED_IN_SHOT = 64
"""Number of sampled frames of its shot, evenly spread over it, that each frame is compared with."""
COMPARED_NEIGHBORS = 4
"""Number of sampled frames before and after it, in its shot, that each frame is compared with as well."""
COMPARED_ELSEWHERE = 8
"""Number of frames of other shots that each frame is compared with: the nearest by ``FrameFeatures.summary``."""


def propagation_positions(
    features: Sequence[FrameFeatures], frames: Sequence[int], shot_indices: Sequence[int]
) -> Array:
    """Positions of frames on the path of propagation, which is as long as time passes and content changes.

    By time alone, the shot of a still camera would need as many painted frames as a chase. What is new in a frame has
    no match in the frame before; where much is new, optical flow has nothing to propagate either.

    Args:
        features, frames, shot_indices: see ``SupportTable``.

    Returns:
        (N,) float64; their differences within a shot are the distances of ``propagated_support``.
    """
    new_content = [0.0]
    for index in range(1, len(features)):
        cut = shot_indices[index] != shot_indices[index - 1]
        new_content.append(0.0 if cut else 1 - float(match_support(features[index], [features[index - 1]]).mean()))
    positions: Array = np.asarray(frames, np.float64) / PROPAGATION_REACH + np.cumsum(new_content) / CHANGE_REACH
    return positions


class SupportTable:
    """A sparse table of the support that each sampled frame, once painted, would give the others.

    Args:
        features: of the sampled frames, all of one size.
        frames: their indices in the film, ascending.
        shot_indices: index of each frame's shot, ascending.
        progress: called with the number of frames compared so far and the number of frames.

    Attributes:
        cells: number n of cells of a frame.
        shot_indices: (N,), index of each frame's shot.
        rows: for each frame, the support of its cells, (n,) float16, by the frame that gives it.
        queries: for each frame, the frames that it gives support to.
    """

    def __init__(
        self,
        features: Sequence[FrameFeatures],
        frames: Sequence[int],
        shot_indices: Sequence[int],
        progress: ProgressCallback | None = None,
    ) -> None:
        self.cells = len(features[0].keys)
        self.shot_indices = np.asarray(shot_indices)
        positions = propagation_positions(features, frames, shot_indices)
        self.rows: list[dict[int, FloatArray]] = []
        self.queries: list[list[int]] = [[] for _ in features]
        summaries = np.stack([frame_features.summary for frame_features in features])
        for query, query_features in enumerate(features):
            candidates = self._candidates(query, summaries)
            cosines = match_support(query_features, [features[candidate] for candidate in candidates])
            row: dict[int, FloatArray] = {}
            for candidate, cosine in zip(candidates, cosines, strict=True):
                support = np.maximum(cosine, np.float32(0))
                if shot_indices[candidate] == shot_indices[query]:
                    support = propagated_support(cosine, abs(positions[candidate] - positions[query]))
                row[candidate] = support.astype(np.float16)
                self.queries[candidate].append(query)
            self.rows.append(row)
            if progress:
                progress(query + 1, len(features))

    def __len__(self) -> int:
        return len(self.rows)

    def _candidates(self, query: int, summaries: FloatArray) -> list[int]:
        """The frames that a frame is compared with: spread over its shot, next to it, and similar in other shots."""
        shot = np.flatnonzero(self.shot_indices == self.shot_indices[query])
        first, last = int(shot[0]), int(shot[-1])
        spread = {int(k) for k in np.unique(np.linspace(first, last, min(COMPARED_IN_SHOT, len(shot))).round())}
        neighbors = range(max(first, query - COMPARED_NEIGHBORS), min(last, query + COMPARED_NEIGHBORS) + 1)
        similarity = summaries @ summaries[query]
        similarity[shot] = -2
        similar = np.argsort(-similarity, kind="stable")[: min(COMPARED_ELSEWHERE, len(similarity) - len(shot))]
        return sorted(spread | set(neighbors) | {int(k) for k in similar})
