"""``flow``: the reference's colors warped on from frame to frame along optical flow; no matching at all.

The first frame takes its colors from the reference along the flow between the two (for the reference's own frame, the
identity); each next frame takes those of the frame before. Interpolation and drift add up, and what the reference does
not show gets the color of its neighbor: that is the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.baselines.cells import cell_bank, cell_keys, check_memory
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions

SAME_PICTURE = 0.95
"""Least correlation of lightness for a frame to start anew from another reference than the one its colors are from."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowMemory(EngineState):
    """The frame before.

    Attributes:
        lightness: (H, W) float32, L*.
        ab: (H, W, 2) float32, the colors it was given.
        support: (H, W) float32 in [0, 1], share of flow and back flow that agreed on the way from the reference.
        reference: index of the reference that the colors come from.
        correlation: of the frame that last took its colors straight from that reference.
    """

    lightness: FloatArray
    ab: FloatArray
    support: FloatArray
    reference: int
    correlation: float


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two pictures of one size; 0 where one is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.square(a).sum(dtype=np.float64) * np.square(b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / scale if scale > 0 else 0.0


def fitted(reference: Reference, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Lightness (H, W) and a*, b*, weight (H, W, 3) of a reference at the frame's size; masked pixels weigh nothing."""
    mask = reference.mask.astype(np.float32)[..., None]
    color = np.concatenate([reference.ab * mask, mask], axis=2)
    if reference.size == size:
        return reference.lightness, color
    height, width = size
    lightness: FloatArray = cv2.resize(reference.lightness, (width, height), interpolation=cv2.INTER_LINEAR)
    large: FloatArray = cv2.resize(color, (width, height), interpolation=cv2.INTER_LINEAR)
    return lightness, large


def warped(image: FloatArray, came_from: FloatArray) -> FloatArray:
    """``image`` sampled at (x, y) ``came_from`` (H, W, 2), bilinear, edges continued."""
    samples: FloatArray = cv2.remap(image, came_from, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples


class FlowEngine:
    """Color chained along DIS flow.

    With several references a shot starts from the one most like its first frame, and starts anew from another as soon
    as a frame looks more like that one (correlation of lightness, at least ``SAME_PICTURE``). Similarity is the support
    of ``FlowMemory``.
    """

    name = "flow"
    block_size = 1

    def __init__(self) -> None:
        self._flow = DisFlow()

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        return cell_bank(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, memory: EngineState | None = None) -> StepResult:
        """See ``Engine.step``. Any division into blocks gives the same colors."""
        check_block(luma_block)
        check_memory(memory, FlowMemory, self.name)
        ab, support, keys = [], [], []
        for lightness in luma_block:
            assert memory is None or isinstance(memory, FlowMemory)
            memory = self._frame(lightness, bank, memory)
            ab.append(memory.ab)
            support.append(memory.support)
            keys.append(cell_keys(lightness))
        assert memory is not None
        return StepResult(np.stack(ab), np.stack(support), np.stack(keys), memory)

    def _frame(self, lightness: FloatArray, bank: ReferenceBank, memory: FlowMemory | None) -> FlowMemory:
        size = (lightness.shape[0], lightness.shape[1])
        stills = {k: fitted(still, size) for k, still in enumerate(bank.references) if still.mask.any()}
        alike = {k: correlation(lightness, still[0]) for k, still in stills.items()}
        best = max(alike, key=lambda k: alike[k])
        if memory is None or _nearer(alike, best, memory):
            still, color = stills[best]
            came_from, agree = self._hop(lightness, still)
            given = warped(color, came_from)
            return FlowMemory(lightness, given[..., :2], agree * given[..., 2], best, alike[best])
        came_from, agree = self._hop(lightness, memory.lightness)
        ab, support = warped(memory.ab, came_from), warped(memory.support, came_from)
        return FlowMemory(lightness, ab, support * agree, memory.reference, memory.correlation)

    def _hop(self, lightness: FloatArray, source: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where in ``source`` each pixel comes from, and 1 where flow and back flow agree, else 0."""
        hop = self._flow(lightness, source)
        agree = consistent(hop, self._flow(source, lightness))
        return pixel_positions(*lightness.shape) + hop, agree.astype(np.float32)


def _nearer(alike: dict[int, float], best: int, memory: FlowMemory) -> bool:
    """Whether a frame had better start anew from ``best``, its own reference coming nearer again or another."""
    if alike[best] < SAME_PICTURE:
        return False
    return best != memory.reference or alike[best] > memory.correlation
