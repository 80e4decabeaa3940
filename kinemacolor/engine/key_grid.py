"""Between pixels and the key grid, whose cells are ``CELL`` × ``CELL`` pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import CELL, ReferenceBank, cells
from kinemacolor.propagation.correspondence import Correspondence


def cell_colors(reference: Reference) -> tuple[FloatArray, FloatArray]:
    """Mean ab (rows, columns, 2) of each key cell over its unmasked pixels, and the share of those pixels in it."""
    height, width = reference.size
    rows, columns = cells(height, width)
    border = ((0, rows * CELL - height), (0, columns * CELL - width), (0, 0))
    mask = reference.mask[..., None].astype(np.float32)
    stack = np.pad(np.concatenate([reference.ab * mask, mask, np.ones_like(mask)], axis=2), border)
    total: FloatArray = cv2.resize(stack, (columns, rows), interpolation=cv2.INTER_AREA)
    ab = np.divide(total[..., :2], np.maximum(total[..., 2:3], 1e-6), dtype=np.float32)
    return ab, np.divide(total[..., 2], total[..., 3], dtype=np.float32)


def enlarge(cell_map: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A map on the key grid (rows, columns[, c]) → pixels (H, W[, c]), bilinear, cell centers kept in place."""
    rows, columns = cell_map.shape[:2]
    size = (columns * CELL, rows * CELL)
    large: FloatArray = cv2.resize(np.ascontiguousarray(cell_map), size, interpolation=cv2.INTER_LINEAR)
    return large[: shape[0], : shape[1]]


def pad(image: FloatArray, stride: int) -> FloatArray:
    """(H, W) → sides that are multiples of ``stride``, continued at the right and the bottom."""
    return np.pad(image, ((0, -image.shape[0] % stride), (0, -image.shape[1] % stride)), mode="edge")


def correspondence_similarity(keys: FloatArray, correspondence: Correspondence, bank: ReferenceBank) -> FloatArray:
    """s_P (H, W): cosine of a frame's keys with the bank's keys at the places its pixels come from.

    Args:
        keys: (rows, columns, C) of unit length times √heads, or any length l where those of the bank have l too.
        correspondence: of the frame's pixels; that of a cell is its middle pixel's.
        bank: its invalid entries give −1.
    """
    middle = CELL // 2
    cell_middles = (slice(middle, None, CELL), slice(middle, None, CELL))
    at, index = correspondence.coordinates[cell_middles], correspondence.reference_index[cell_middles]
    short = (keys.shape[0] - at.shape[0], keys.shape[1] - at.shape[1])
    at = np.pad(at, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge")
    index = np.pad(index, ((0, short[0]), (0, short[1])), mode="edge")
    first, rows, columns = _grids(bank.references)
    x = np.clip(np.rint((at[..., 0] - middle) / CELL), 0, columns[index] - 1).astype(np.intp)
    y = np.clip(np.rint((at[..., 1] - middle) / CELL), 0, rows[index] - 1).astype(np.intp)
    entry = first[index] + y * columns[index] + x
    cosine: FloatArray = np.einsum("ijc,ijc->ij", keys, bank.keys[entry]) / np.square(keys).sum(axis=2)
    return enlarge(np.where(bank.valid[entry], cosine, np.float32(-1)), correspondence.reference_index.shape)


def _grids(references: Sequence[Reference]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First entry, rows and columns of each reference's part of a bank."""
    sizes = np.array([cells(*reference.size) for reference in references])
    ends = np.cumsum(sizes.prod(axis=1))
    return ends - sizes.prod(axis=1), sizes[:, 0], sizes[:, 1]
