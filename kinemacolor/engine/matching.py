"""The engine ``matching``, which is not trained for color: colors come from where ImageNet features match a reference
(equations 1 to 3 without heads), and from coordinates propagated along the optical flow, which keep edges sharp.

It is the zero-shot baseline for trained networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from kinemacolor.core.limits import Propagation
from kinemacolor.core.types import BoolArray, FloatArray, Reference
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.explanation import CandidateMaps, Explanation, Observer
from kinemacolor.engine.key_grid import cell_colors, enlarge, pad
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.engine.propagator import Propagator, PropagatorState
from kinemacolor.engine.protocol import KEY_CELL, EngineState, ReferenceBank, StepResult, cells, check_block
from kinemacolor.engine.weights import MATCHING
from kinemacolor.propagation.correspondence import PREVIOUS_FRAME, THREE_FLOWS, PropagationPaths

MATCHING_PATHS: dict[Propagation, PropagationPaths | None] = {
    "full": THREE_FLOWS,
    "chained": PREVIOUS_FRAME,
    "off": None,
}
"""Paths over which coordinates come, by the setting ``propagation``."""
MATCHING_STRIDE = 16
"""The sides of the feature network's input are multiples of this."""
GATE_MARGIN = 0.15
"""Propagated colors are preferred until their similarity is this much below that of the best match (cosine)."""
GATE_WIDTH = 0.05
"""Width of the gate's sigmoid (cosine). Both were chosen on twelve training clips."""
MAXIMUM_OUTPUT_SHARE = np.float32(0.95)
"""Maximum share of colors propagated from earlier outputs: the match must be able to correct them."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchingState(EngineState):
    """The engine's state after a frame.

    Attributes:
        propagation: state of the propagation of colors along the flow.
        color_memory: past outputs.
    """

    propagation: PropagatorState
    color_memory: ColorMemory


class MatchingEngine:
    """Zero-shot exemplar colorization on ONNX Runtime.

    Args:
        propagation: how the references' coordinates are propagated; with ``off`` matching alone gives the colors.
        color_memory: whether past outputs become entries of the bank.
        threads: of ONNX Runtime; None for the number of the machine's cores.
    """

    name = "matching"
    block_size = 1

    def __init__(
        self,
        *,
        propagation: Propagation = "full",
        color_memory: bool = False,
        threads: int | None = None,
    ) -> None:
        self._session = onnxruntime.InferenceSession(
            MATCHING.load(), session_options(threads), providers=["CPUExecutionProvider"]
        )
        paths = MATCHING_PATHS[propagation]
        self._propagator = Propagator(paths) if paths else None
        self._uses_color_memory = color_memory
        self.observer: Observer | None = None

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``. The mean in equation 1 is that of a reference's valid cells."""
        if not references:
            raise ValueError("references: expected at least one, got none")
        parts = [self._entries(reference) for reference in references]
        keys, ab, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ReferenceBank(keys, ab, valid, tuple(references))

    def _entries(self, reference: Reference) -> tuple[FloatArray, FloatArray, BoolArray]:
        ab, share = cell_colors(reference)
        valid = share >= 0.5
        empty = ReferenceBank(np.zeros((1, 176), np.float32), np.zeros((1, 2), np.float32), np.ones(1, bool), ())
        keys, _, _ = self._run(reference.lightness, valid, empty)
        return keys.reshape(-1, keys.shape[2]), ab.reshape(-1, 2), valid.reshape(-1)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``. Colors do not depend on how frames are divided into blocks."""
        check_block(luma_block)
        if not (state is None or isinstance(state, MatchingState)):
            raise ValueError(f"state: expected one of the engine {self.name}, got {type(state).__name__}")
        frames = []
        for lightness in luma_block:
            *maps, state = self._color_frame(lightness, bank, state)
            frames.append(maps)
        ab, similarity, keys = (np.stack(maps) for maps in zip(*frames, strict=True))
        assert state is not None
        return StepResult(ab, similarity, keys, state)

    def _color_frame(
        self, lightness: FloatArray, bank: ReferenceBank, state: MatchingState | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, MatchingState]:
        propagation, memory = (state.propagation, state.color_memory) if state else (PropagatorState(), ColorMemory())
        keys, ab_cells, cosine = self._run(lightness, None, memory.added_to(bank))
        ab, similarity = enlarge(ab_cells, lightness.shape), enlarge(cosine, lightness.shape)
        candidates = [CandidateMaps("W1", ab[None], similarity[None])]
        if self._propagator:
            propagated, propagation = self._propagator(lightness, keys, bank, propagation)
            if propagated:
                support = np.where(propagated.coverage > 0.5, propagated.similarity, np.float32(-1))
                candidates.append(CandidateMaps("P", propagated.ab[None], support[None]))
                share = gate(similarity, propagated.similarity) * propagated.coverage
                share *= 1 if propagated.from_reference else MAXIMUM_OUTPUT_SHARE * propagated.consistency
                ab, similarity = mix(ab, propagated.ab, share[..., None]), mix(similarity, propagated.similarity, share)
        if self.observer:
            block, result = lightness[None], ab
            self.observer(block, lambda: Explanation(block, tuple(candidates), result[None]))
        if self._uses_color_memory:
            memory = memory.after(1, keys, lightness, ab)
        return ab, similarity, keys, MatchingState(propagation.with_output(lightness, ab, similarity), memory)

    def _run(
        self, lightness: FloatArray, counted: BoolArray | None, bank: ReferenceBank
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Runs the graph on an image: keys (rows, columns, C), warped ab (rows, columns, 2), S (rows, columns).

        Args:
            lightness: (H, W), L*.
            counted: (rows, columns), the cells over which the mean of the features is taken; None for all.
            bank: the entries to match.
        """
        height, width = lightness.shape
        rows, columns = cells(height, width)
        padded = pad(lightness, MATCHING_STRIDE)
        grid = (padded.shape[0] // KEY_CELL, padded.shape[1] // KEY_CELL)
        weight = np.zeros(grid, np.float32)
        weight[:rows, :columns] = 1 if counted is None else counted
        feeds = {
            "luminance": (padded / 50 - 1)[None, None],
            "weight": weight[None, None],
            "bank_keys": bank.keys,
            "bank_ab": bank.ab,
            "bank_valid": bank.valid.astype(np.float32),
        }
        outputs = self._session.run(["keys", "ab", "similarity"], feeds)
        keys, ab, similarity = (np.reshape(output[0], (*grid, -1))[:rows, :columns] for output in outputs)
        return keys, ab, similarity[..., 0]


def gate(similarity: FloatArray, propagated: FloatArray) -> FloatArray:
    """g = sigmoid((s_P − S + GATE_MARGIN) / GATE_WIDTH): the share of propagated colors against matched ones.

    Propagated colors are preferred where the features at their correspondence are about as similar as the best match.

    Args:
        similarity: S (H, W), of the best match.
        propagated: s_P (H, W), of the propagated correspondence.
    """
    share: FloatArray = 1 / (1 + np.exp(np.clip((similarity - propagated - GATE_MARGIN) / GATE_WIDTH, -50, 50)))
    return share


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """(1 − share) · a + share · b."""
    return a + share * (b - a)
