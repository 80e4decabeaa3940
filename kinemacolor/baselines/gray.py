"""``gray``: no color at all. What any colorizer must beat before another word is said about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinemacolor.baselines.cells import NoMemory, cell_bank, cell_keys, check_memory
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block


class GrayEngine:
    """a* = b* = 0 everywhere; supported by nothing, so similarity is 0."""

    name = "gray"
    block_size = 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        return cell_bank(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, memory: EngineState | None = None) -> StepResult:
        """See ``Engine.step``."""
        check_block(luma_block)
        check_memory(memory, NoMemory, self.name)
        keys = np.stack([cell_keys(lightness) for lightness in luma_block])
        ab = np.zeros((*luma_block.shape, 2), np.float32)
        return StepResult(ab, np.zeros(luma_block.shape, np.float32), keys, NoMemory())
