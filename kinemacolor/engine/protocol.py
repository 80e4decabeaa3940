"""The protocol of colorization engines: ``start`` turns references into a bank, ``step`` colors a block of frames.

An engine holds weights and work space, never a film's state. Bank and state are values: the caller owns them, may save
them, reuse them, or drop them (at a cut). All arrays have channels last; H and W are any sizes of at least 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.types import BoolArray, FloatArray, Reference

KEY_CELL = 4
"""Side in pixels of a cell of the key grid: keys have stride 4 (the paper's H/4 × W/4)."""


def cells(height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of the key grid that covers ``height`` × ``width`` pixels."""
    return -(-height // KEY_CELL), -(-width // KEY_CELL)


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceBank:
    """The entries that frames are matched to: K of them, one for each cell of each reference.

    Attributes:
        keys: (K, C) float32, features of the entries.
        ab: (K, 2) float32, mean a*, b* of the cell, over its unmasked pixels.
        valid: (K,) bool, False where an entry must never be matched.
        references: the stills themselves; each has rows · columns entries, in row-major order, one still after the
            other. Entries after those of the last still belong to none (color memory).
    """

    keys: FloatArray
    ab: FloatArray
    valid: BoolArray
    references: tuple[Reference, ...]

    def __post_init__(self) -> None:
        entries = len(self.keys)
        if self.ab.shape != (entries, 2) or self.valid.shape != (entries,):
            raise ValueError(
                f"bank: expected ab {(entries, 2)} and valid {(entries,)}, got {self.ab.shape} and {self.valid.shape}"
            )
        if not self.valid.any():
            raise ValueError("bank: expected at least one valid entry, got none (every reference is masked entirely)")


class EngineState:
    """Base class of an engine's state after a frame; an immutable value, opaque to the caller."""

    __slots__ = ()


class StepResult(NamedTuple):
    """The result of ``step`` for a block of N frames.

    Attributes:
        ab: (N, H, W, 2) float32, a* and b*.
        similarity: (N, H, W) float32 in [-1, 1], how well each pixel is supported by a reference.
        keys: (N, rows, columns, C) float32, the frames' own features on the key grid.
        state: to be passed to the next step of the same shot.
    """

    ab: FloatArray
    similarity: FloatArray
    keys: FloatArray
    state: EngineState


@runtime_checkable
class Engine(Protocol):
    """A colorizer of blocks of frames."""

    @property
    def name(self) -> str:
        """Short name, as in the registry."""
        ...

    @property
    def block_size(self) -> int:
        """The number of frames that a step should get."""
        ...

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """The bank of references at network size.

        Raises:
            ValueError: there are no references, or all are masked entirely.
        """
        ...

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """Colors consecutive frames of one shot.

        Args:
            luma_block: (N, H, W) float32, L* in [0, 100], N ≥ 1.
            bank: from ``start`` of the same engine.
            state: from the step before, or None at the start of a shot.

        Raises:
            ValueError: wrong shape, dtype, range or an empty block, naming the expected and the actual one.
        """
        ...


def check_block(luma_block: FloatArray) -> None:
    """Raises ValueError unless ``luma_block`` is what ``Engine.step`` takes."""
    shape = luma_block.shape
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < MINIMUM_SIDE:
        raise ValueError(f"luma_block: expected (N, H, W), N ≥ 1, H and W ≥ {MINIMUM_SIDE}, got {shape}")
    if luma_block.dtype != np.float32:
        raise ValueError(f"luma_block: expected dtype float32, got {luma_block.dtype}")
    low, high = float(luma_block.min()), float(luma_block.max())
    if not (low >= -0.01 and high <= 100.01):
        raise ValueError(f"luma_block: expected L* in [0, 100], got [{low}, {high}]")
