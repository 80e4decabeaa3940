"""What an engine chose from, for a block of frames: warped colors and similarities of each candidate (figure 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.protocol import KEY_CELL

GRAY_CANDIDATE = "gray"
"""Name of the candidate without color."""


@dataclass(frozen=True, slots=True, eq=False)
class CandidateMaps:
    """A candidate for the colors of a block of N frames.

    Attributes:
        name: ``W1`` (vanilla head), ``W2`` (augmented head), ``P`` (propagated along the optical flow), or ``gray``.
        ab: (N, H, W, 2), a* and b*.
        similarity: (N, H, W), S_1, S_2 or s_P; −1 where there is no color.
    """

    name: str
    ab: FloatArray
    similarity: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Candidates and result of a block of N frames.

    Attributes:
        lightness: L* (N, H, W).
        candidates: in the order of their names.
        ab: the result (N, H, W, 2).
    """

    lightness: FloatArray
    candidates: tuple[CandidateMaps, ...]
    ab: FloatArray

    def nearest(self) -> Array:
        """(N, H, W), the number of the candidate that the result is nearest to, whatever rule mixed them.

        A candidate without color somewhere, of similarity −1, is nearest nowhere there.
        """
        distances = [
            np.where(each.similarity <= -1, np.inf, np.linalg.norm(each.ab - self.ab, axis=3))
            for each in self.candidates
        ]
        numbers: Array = np.argmin(np.stack(distances), axis=0)
        return numbers

    def frame(self, index: int) -> Explanation:
        """Of one frame of the block."""
        part = slice(index, index + 1)
        maps = (CandidateMaps(each.name, each.ab[part], each.similarity[part]) for each in self.candidates)
        return Explanation(self.lightness[part], tuple(maps), self.ab[part])


Observer = Callable[[FloatArray, Callable[[], Explanation]], None]
"""Is called after each step with L* of the block (N, H, W), and with what computes its explanation."""


def warped_candidates(
    keys: FloatArray,
    entries: tuple[FloatArray, FloatArray, FloatArray],
    tau: float,
    strides: Sequence[int],
    shape: tuple[int, int],
) -> list[CandidateMaps]:
    """Equations 1 to 3 for each head, enlarged to pixels: W_k and S_k, as the network computes them.

    Args:
        keys: of the frames (N, heads · C, rows, columns), of unit length in each head.
        entries: keys (K, heads · C), ab (K, 2) and validity (K,) of the bank.
        tau: temperature of equation 2.
        strides: of each head, side in cells of the squares that are matched.
        shape: (H, W) of the frames.
    """
    bank_keys, bank_ab, valid = entries
    count, rows, columns = len(keys), keys.shape[2], keys.shape[3]
    maps = []
    pairs = zip(np.split(keys, len(strides), axis=1), np.split(bank_keys, len(strides), axis=1), strides, strict=True)
    for number, (head, head_bank, stride) in enumerate(pairs, 1):
        squares = head.reshape(count, head.shape[1], rows // stride, stride, columns // stride, stride).mean(
            axis=(3, 5)
        )
        queries = np.moveaxis(squares, 1, 3).reshape(-1, head.shape[1])
        if stride > 1:
            queries = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-12)
        cosine = queries @ head_bank[valid > 0].T
        similarity = cosine.max(axis=1)
        weights = np.exp((cosine - similarity[:, None]) / tau)
        ab = weights @ bank_ab[valid > 0] / weights.sum(axis=1, keepdims=True)
        grid = (count, rows // stride, columns // stride)
        factor = stride * KEY_CELL
        maps.append(
            CandidateMaps(
                f"W{number}",
                _enlarged(ab.reshape(*grid, 2), factor, shape),
                _enlarged(similarity.reshape(*grid, 1), factor, shape)[..., 0],
            )
        )
    return maps


def gray_candidate(shape: tuple[int, ...]) -> CandidateMaps:
    """No color (N, H, W), with similarity 0."""
    return CandidateMaps(GRAY_CANDIDATE, np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))


def _enlarged(cells: FloatArray, factor: int, shape: tuple[int, int]) -> FloatArray:
    """(N, h, w, c) → (N, H, W, c), bilinear."""
    size = (cells.shape[2] * factor, cells.shape[1] * factor)
    frames = [cv2.resize(np.ascontiguousarray(cell), size, interpolation=cv2.INTER_LINEAR) for cell in cells]
    stacked = np.stack(frames).reshape(len(cells), size[1], size[0], cells.shape[3])
    return np.asarray(stacked[:, : shape[0], : shape[1]], dtype=np.float32)
