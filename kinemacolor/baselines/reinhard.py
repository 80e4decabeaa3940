"""``reinhard``: global color transfer by the statistics of the whole picture.

Reinhard, Ashikhmin, Gooch and Shirley, "Color Transfer between Images" (2001), give an image the reference's mean and
standard deviation, channel by channel: x' = (x − μ_t) σ_r/σ_t + μ_r. The chroma of a gray image has σ_t = 0, so there
is nothing to scale: taken literally, every pixel gets the reference's mean a*, b*. The covariance of lightness and
chroma, which the channel-by-channel form ignores (Xiao and Ma, "Color transfer in correlated color space", 2006), tells
more: the lightness is transferred by the formula above, and chroma is its mean at that lightness under a Gaussian of
the reference's mean and covariance,

    ab = μ_ab + Σ_ab,L / σ_r² · (L' − μ_r) = μ_ab + Σ_ab,L / σ_r · (L − μ_t) / σ_t.

Where lightness and chroma are uncorrelated, this is the literal form. Lab is CIELAB here, instead of the paper's Lαβ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinemacolor.baselines.cells import NoState, cell_bank, cell_keys, check_state, unmasked_references
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block


@dataclass(frozen=True, slots=True, eq=False)
class StatisticsBank(ReferenceBank):
    """A bank with the statistics of all pixels that have a color, over all references together.

    Attributes:
        mean_ab: (2,) float32, μ_ab.
        slope: (2,) float32, Σ_ab,L / σ_L: change of a*, b* per standard deviation of lightness; 0 where the reference
            is flat.
    """

    mean_ab: FloatArray
    slope: FloatArray


class ReinhardEngine:
    """Global statistics, frame by frame. No pixel is matched to a reference, so similarity is 0."""

    name = "reinhard"
    block_size = 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        bank = cell_bank(references)
        pixels = np.concatenate(
            [
                np.concatenate([still.lightness[mask][:, None], still.ab[mask]], axis=1).astype(np.float64)
                for still, mask in unmasked_references(bank)
            ]
        )
        mean = pixels.mean(axis=0)
        centered = pixels - mean
        spread = float(np.sqrt(np.square(centered[:, 0]).mean()))
        slope = (centered[:, :1] * centered[:, 1:]).mean(axis=0) / spread if spread > 0 else np.zeros(2)
        return StatisticsBank(
            bank.keys, bank.ab, bank.valid, bank.references, mean[1:].astype(np.float32), slope.astype(np.float32)
        )

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``."""
        check_block(luma_block)
        check_state(state, NoState, self.name)
        if not isinstance(bank, StatisticsBank):
            raise ValueError(f"bank: expected one of the engine {self.name}, got {type(bank).__name__}")
        ab, keys = [], []
        for lightness in luma_block:
            spread = float(lightness.std(dtype=np.float64))
            centered = lightness - np.float32(lightness.mean(dtype=np.float64))
            standard = centered / np.float32(spread) if spread > 0 else np.zeros_like(lightness)
            ab.append(np.clip(bank.mean_ab + bank.slope * standard[..., None], -128, 128))
            keys.append(cell_keys(lightness))
        return StepResult(np.stack(ab), np.zeros(luma_block.shape, np.float32), np.stack(keys), NoState())
