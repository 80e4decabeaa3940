"""Helpers of the baselines: keys of lightness and texture on the key grid, and the bank made of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.types import BoolArray, FloatArray, Reference
from kinemacolor.engine.protocol import KEY_CELL, EngineState, ReferenceBank, cells


class NoState(EngineState):
    """The state of an engine that colors each frame by itself."""

    __slots__ = ()


def check_state(state: EngineState | None, kind: type[EngineState], engine: str) -> None:
    """Raises ValueError if ``state`` belongs to another engine."""
    if not (state is None or isinstance(state, kind)):
        raise ValueError(f"state: expected one of the engine {engine}, got {type(state).__name__}")


def cell_means(image: FloatArray, weight: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Weighted means of ``image`` (H, W, c ≤ 3) over the cells of the key grid.

    Args:
        image: any map.
        weight: (H, W) ≥ 0, or None for ones.

    Returns:
        (rows, columns, c), 0 where a cell has no weight, and (rows, columns), the mean weight of a cell's pixels.
    """
    height, width = image.shape[:2]
    rows, columns = cells(height, width)
    inside = np.ones((height, width, 1), np.float32)
    weights = inside if weight is None else np.asarray(weight, np.float32)[..., None]
    border = ((0, rows * KEY_CELL - height), (0, columns * KEY_CELL - width), (0, 0))
    stack = np.pad(np.concatenate([image * weights, weights, inside], axis=2), border)
    total = np.stack(
        [cv2.resize(channel, (columns, rows), interpolation=cv2.INTER_AREA) for channel in np.moveaxis(stack, 2, 0)],
        axis=2,
    )
    mean = np.divide(total[..., :-2], np.maximum(total[..., -2:-1], 1e-6), dtype=np.float32)
    return mean, np.divide(total[..., -2], total[..., -1], dtype=np.float32)


def cell_keys(lightness: FloatArray) -> FloatArray:
    """(rows, columns, 2) float32: mean and standard deviation of L* over each cell, in units of 100."""
    unit = lightness / np.float32(100)
    moments, _ = cell_means(np.stack([unit, np.square(unit)], axis=2))
    mean = moments[..., 0]
    spread = np.sqrt(np.maximum(moments[..., 1] - np.square(mean), 0))
    return np.stack([mean, spread], axis=2)


def cell_bank(references: Sequence[Reference]) -> ReferenceBank:
    """A bank of ``cell_keys``; a cell is valid if at least half of its pixels have a color.

    Raises:
        ValueError: there is no reference, or every cell is invalid.
    """
    if not references:
        raise ValueError("references: expected at least one, got none")
    keys, colors, valid = [], [], []
    for reference in references:
        ab, share = cell_means(reference.ab, reference.mask.astype(np.float32))
        keys.append(cell_keys(reference.lightness).reshape(-1, 2))
        colors.append(ab.reshape(-1, 2))
        valid.append((share >= 0.5).reshape(-1))
    return ReferenceBank(np.concatenate(keys), np.concatenate(colors), np.concatenate(valid), tuple(references))


def unmasked_references(bank: ReferenceBank) -> list[tuple[Reference, BoolArray]]:
    """The references that have a color anywhere, with their masks."""
    return [(reference, reference.mask) for reference in bank.references if reference.mask.any()]
