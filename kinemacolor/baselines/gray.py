"""``gray``: no color at all, the least that any colorizer must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinemacolor.baselines.cells import NoState, cell_bank, cell_keys, check_state
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block


class GrayEngine:
    """a* = b* = 0 everywhere. No pixel is matched to a reference, so similarity is 0."""

    name = "gray"
    block_size = 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        return cell_bank(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``."""
        check_block(luma_block)
        check_state(state, NoState, self.name)
        keys = np.stack([cell_keys(lightness) for lightness in luma_block])
        ab = np.zeros((*luma_block.shape, 2), np.float32)
        return StepResult(ab, np.zeros(luma_block.shape, np.float32), keys, NoState())
