"""Color memory: frames colored before, as entries of the bank beside the references' (a switch, off by default)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.key_grid import cell_colors
from kinemacolor.engine.protocol import ReferenceBank

INTERVAL = 4
"""Frames between two that are remembered."""
CAPACITY = 2
"""Frames that are remembered; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True, eq=False)
class ColorMemory:
    """A value: what of the shot is remembered.

    Attributes:
        entries: of each remembered frame, keys (K, C) and ab (K, 2), newest last.
        age: frames since the newest.
    """

    entries: tuple[tuple[FloatArray, FloatArray], ...] = ()
    age: int = INTERVAL

    def added_to(self, bank: ReferenceBank) -> ReferenceBank:
        """The bank and what is remembered, as entries that belong to no still."""
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
        """After ``frames`` more frames, the last of which has keys (rows, columns, C), L* (H, W) and ab (H, W, 2)."""
        if self.age + frames <= INTERVAL:
            return replace(self, age=self.age + frames)
        whole = Reference(lightness, np.ascontiguousarray(ab), np.ones(lightness.shape, np.bool_))
        entry = (keys.reshape(-1, keys.shape[2]), cell_colors(whole)[0].reshape(-1, 2))
        return ColorMemory((*self.entries, entry)[-CAPACITY:], 0)
