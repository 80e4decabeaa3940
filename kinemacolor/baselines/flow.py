"""``flow``: the reference's colors, warped from frame to frame along optical flow, without any matching.

The first frame takes its colors from the reference along the flow between the two (for the reference's own frame, the
identity); each later frame takes those of the frame before. Interpolation and drift add up, and areas that the
reference does not show get the color of their neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.baselines.cells import cell_bank, cell_keys, check_state
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, check_block
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions

RESTART_CORRELATION = 0.95
"""A frame takes its colors directly from a reference if their lightness correlates at least so much."""


@dataclass(frozen=True, slots=True, eq=False)
class FlowState(EngineState):
    """The previous frame.

    Attributes:
        lightness: (H, W) float32, L*.
        ab: (H, W, 2) float32, its colors.
        support: (H, W) float32 in [0, 1], how consistent forward and backward flow were on the way from the reference.
        reference: index of the reference that the colors come from.
        correlation: with that reference, of the frame that last took its colors directly from it.
    """

    lightness: FloatArray
    ab: FloatArray
    support: FloatArray
    reference: int
    correlation: float


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two images of one size, summed in float64; 0 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.square(a).sum(dtype=np.float64) * np.square(b).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / scale if scale > 0 else 0.0


def resized(reference: Reference, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Lightness (H, W) and a*, b*, weight (H, W, 3) of a reference at the frame's size; masked pixels have weight 0."""
    mask = reference.mask.astype(np.float32)[..., None]
    color = np.concatenate([reference.ab * mask, mask], axis=2)
    if reference.size == size:
        return reference.lightness, color
    height, width = size
    lightness: FloatArray = cv2.resize(reference.lightness, (width, height), interpolation=cv2.INTER_LINEAR)
    large: FloatArray = cv2.resize(color, (width, height), interpolation=cv2.INTER_LINEAR)
    return lightness, large


def warped(image: FloatArray, origin: FloatArray) -> FloatArray:
    """``image`` sampled at the points (x, y) ``origin`` (H, W, 2), bilinear, edges repeated."""
    samples: FloatArray = cv2.remap(image, origin, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples


class FlowEngine:
    """Color chained along DIS flow.

    With several references a shot starts from the one most similar to its first frame (by correlation of lightness).
    It restarts from a reference when a frame is more similar to it, and their correlation is at least
    ``RESTART_CORRELATION``. Similarity is the support of ``FlowState``.
    """

    name = "flow"
    block_size = 1

    def __init__(self) -> None:
        self._flow = DisFlow()

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``."""
        return cell_bank(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``. Any division into blocks gives the same colors."""
        check_block(luma_block)
        check_state(state, FlowState, self.name)
        ab, support, keys = [], [], []
        for lightness in luma_block:
            assert state is None or isinstance(state, FlowState)
            state = self._frame(lightness, bank, state)
            ab.append(state.ab)
            support.append(state.support)
            keys.append(cell_keys(lightness))
        assert state is not None
        return StepResult(np.stack(ab), np.stack(support), np.stack(keys), state)

    def _frame(self, lightness: FloatArray, bank: ReferenceBank, state: FlowState | None) -> FlowState:
        size = (lightness.shape[0], lightness.shape[1])
        stills = {k: resized(still, size) for k, still in enumerate(bank.references) if still.mask.any()}
        correlations = {k: correlation(lightness, still[0]) for k, still in stills.items()}
        best = max(correlations, key=lambda k: correlations[k])
        if state is None or _restarts(correlations, best, state):
            still, color = stills[best]
            origin, consistency = self._origin(lightness, still)
            ab_and_weight = warped(color, origin)
            support = consistency * ab_and_weight[..., 2]
            return FlowState(lightness, ab_and_weight[..., :2], support, best, correlations[best])
        origin, consistency = self._origin(lightness, state.lightness)
        ab, support = warped(state.ab, origin), warped(state.support, origin)
        return FlowState(lightness, ab, support * consistency, state.reference, state.correlation)

    def _origin(self, lightness: FloatArray, source: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The point (x, y) in ``source`` that each pixel comes from, and 1 where both flows are consistent, else 0."""
        flow = self._flow(lightness, source)
        consistency = consistent(flow, self._flow(source, lightness))
        return pixel_positions(*lightness.shape) + flow, consistency.astype(np.float32)


def _restarts(correlations: dict[int, float], best: int, state: FlowState) -> bool:
    """Whether a frame takes its colors directly from the reference ``best``, be it the current one or another."""
    if correlations[best] < RESTART_CORRELATION:
        return False
    return best != state.reference or correlations[best] > state.correlation
