"""Color memory: past outputs as additional entries of the bank (optional, off by default)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.key_grid import cell_colors
from kinemacolor.engine.protocol import ReferenceBank

MEMORY_INTERVAL = 4
"""Number of frames from one stored frame to the next."""
MEMORY_CAPACITY = 2
"""Number of stored frames; a new one replaces the oldest."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorMemory:
    """The stored frames of a shot; an immutable value.

    Attributes:
        entries: keys (K, C) and ab (K, 2) of each stored frame, newest last.
        age: number of frames since the newest.
    """

    entries: tuple[tuple[FloatArray, FloatArray], ...] = ()
    age: int = MEMORY_INTERVAL

    def added_to(self, bank: ReferenceBank) -> ReferenceBank:
        """The bank with the stored entries appended; they belong to no still."""
        if not self.entries:
            return bank
        keys, ab = (np.concatenate(column) for column in zip(*self.entries, strict=True))
        return replace(
            bank,
            keys=np.concatenate([bank.keys, keys]),
            ab=np.concatenate([bank.ab, ab]),
            valid=np.concatenate([bank.valid, np.ones(len(keys), np.bool_)]),
        )

    def after(self, frames: int, keys: FloatArray, lightness: FloatArray, ab: FloatArray) -> ColorMemory:
        """The memory after ``frames`` more frames.

        Args:
            frames: how many.
            keys: (rows, columns, C) of the last of them.
            lightness: (H, W), its L*.
            ab: (H, W, 2), its colors.
        """
        if self.age + frames <= MEMORY_INTERVAL:
            return replace(self, age=self.age + frames)
        output = Reference(lightness, np.ascontiguousarray(ab), np.ones(lightness.shape, np.bool_))
        entry = (keys.reshape(-1, keys.shape[2]), cell_colors(output)[0].reshape(-1, 2))
        return ColorMemory((*self.entries, entry)[-MEMORY_CAPACITY:], 0)
