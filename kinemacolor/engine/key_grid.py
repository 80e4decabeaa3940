"""Conversion between pixels and the key grid, whose cells are ``KEY_CELL`` × ``KEY_CELL`` pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import KEY_CELL, ReferenceBank, cells
from kinemacolor.propagation.correspondence import Correspondence


def cell_colors(reference: Reference) -> tuple[FloatArray, FloatArray]:
    """Mean ab (rows, columns, 2) of each key cell over its unmasked pixels, and their share (rows, columns)."""
    height, width = reference.size
    rows, columns = cells(height, width)
    border = ((0, rows * KEY_CELL - height), (0, columns * KEY_CELL - width), (0, 0))
    mask = reference.mask[..., None].astype(np.float32)
    stack = np.pad(np.concatenate([reference.ab * mask, mask, np.ones_like(mask)], axis=2), border)
    total: FloatArray = cv2.resize(stack, (columns, rows), interpolation=cv2.INTER_AREA)
    ab = np.divide(total[..., :2], np.maximum(total[..., 2:3], 1e-6), dtype=np.float32)
    return ab, np.divide(total[..., 2], total[..., 3], dtype=np.float32)


def enlarge(cell_map: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A map on the key grid (rows, columns[, c]) → pixels (H, W[, c]), bilinear, cell centers kept in place."""
    rows, columns = cell_map.shape[:2]
    size = (columns * KEY_CELL, rows * KEY_CELL)
    pixel_map: FloatArray = cv2.resize(np.ascontiguousarray(cell_map), size, interpolation=cv2.INTER_LINEAR)
    return pixel_map[: shape[0], : shape[1]]


def pad(image: FloatArray, stride: int) -> FloatArray:
    """(H, W) → sides that are multiples of ``stride``, by repeating the right and the bottom edge."""
    return np.pad(image, ((0, -image.shape[0] % stride), (0, -image.shape[1] % stride)), mode="edge")


def correspondence_similarity(keys: FloatArray, correspondence: Correspondence, bank: ReferenceBank) -> FloatArray:
    """s_P (H, W): cosine of a frame's keys and the bank's keys at the pixels' correspondence.

    Args:
        keys: (rows, columns, C), all of one length, which is also that of the bank's keys.
        correspondence: of the frame's pixels; that of a cell is that of its center pixel.
        bank: its invalid entries give −1.
    """
    center = KEY_CELL // 2
    cell_centers = (slice(center, None, KEY_CELL), slice(center, None, KEY_CELL))
    coordinates, index = correspondence.coordinates[cell_centers], correspondence.reference_index[cell_centers]
    missing = (keys.shape[0] - coordinates.shape[0], keys.shape[1] - coordinates.shape[1])
    coordinates = np.pad(coordinates, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    index = np.pad(index, ((0, missing[0]), (0, missing[1])), mode="edge")
    first, rows, columns = _grids(bank.references)
    x = np.clip(np.rint((coordinates[..., 0] - center) / KEY_CELL), 0, columns[index] - 1).astype(np.intp)
    y = np.clip(np.rint((coordinates[..., 1] - center) / KEY_CELL), 0, rows[index] - 1).astype(np.intp)
    entry = first[index] + y * columns[index] + x
    cosine: FloatArray = np.einsum("ijc,ijc->ij", keys, bank.keys[entry]) / np.square(keys).sum(axis=2)
    return enlarge(np.where(bank.valid[entry], cosine, np.float32(-1)), correspondence.reference_index.shape)


def _grids(references: Sequence[Reference]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the first entry, rows and columns of each reference in a bank."""
    sizes = np.array([cells(*reference.size) for reference in references])
    ends = np.cumsum(sizes.prod(axis=1))
    return ends - sizes.prod(axis=1), sizes[:, 0], sizes[:, 1]
