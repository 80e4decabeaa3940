"""The engine ``matching``: nothing trained for color. ImageNet features find the place in the reference (equations 1
to 3 without heads), and coordinates propagated along the flow keep its edges.

It is the zero-shot baseline that trained networks are measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from kinemacolor.core.types import BoolArray, FloatArray, Reference
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.key_grid import cell_colors, enlarge, pad
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.engine.propagator import Propagator, PropagatorState
from kinemacolor.engine.protocol import CELL, EngineState, ReferenceBank, StepResult, cells, check_block
from kinemacolor.engine.registry import Propagation
from kinemacolor.engine.weights import MATCHING
from kinemacolor.propagation.correspondence import PREVIOUS_FRAME, THREE_FLOWS, PropagationPaths

PATHS: dict[Propagation, PropagationPaths | None] = {"full": THREE_FLOWS, "chained": PREVIOUS_FRAME, "off": None}
STRIDE = 16
"""Sides of the network's input are multiples of this."""
GATE_MARGIN = 0.15
"""How far below the best match the propagated place may be before the best match is preferred (cosine)."""
GATE_WIDTH = 0.05
"""Width of the gate's sigmoid (cosine). Both were chosen on twelve training clips."""
PROPAGATION_TRUST = np.float32(0.95)
"""Largest share of carried colors where no reference is a frame of the shot: the match must be able to correct."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchingState(EngineState):
    """What the next frame builds on.

    Attributes:
        propagation: of colors along the flow.
        color_memory: past outputs.
    """

    propagation: PropagatorState
    color_memory: ColorMemory


class MatchingEngine:
    """Zero-shot exemplar colorization on ONNX Runtime.

    Args:
        propagation: of the reference's coordinates along the flow; ``off`` leaves matching alone.
        color_memory: whether past outputs join the bank.
        threads: of ONNX Runtime; None lets it take the machine's cores.
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
        paths = PATHS[propagation]
        self._propagator = Propagator(paths) if paths else None
        self._remembers_outputs = color_memory

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``; the mean of equation 1 is taken for each reference over its own valid cells."""
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
        """See ``Engine.step``. Frames do not look at one another: any division into blocks gives the same colors."""
        check_block(luma_block)
        if not (state is None or isinstance(state, MatchingState)):
            raise ValueError(f"state: expected one of the engine {self.name}, got {type(state).__name__}")
        steps = []
        for lightness in luma_block:
            ab, similarity, keys, state = self._frame(lightness, bank, state)
            steps.append((ab, similarity, keys))
        every_ab, every_similarity, every_keys = (np.stack(column) for column in zip(*steps, strict=True))
        assert state is not None
        return StepResult(every_ab, every_similarity, every_keys, state)

    def _frame(
        self, lightness: FloatArray, bank: ReferenceBank, state: MatchingState | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, MatchingState]:
        propagation, memory = (state.propagation, state.color_memory) if state else (PropagatorState(), ColorMemory())
        keys, ab_cells, cosine = self._run(lightness, None, memory.added_to(bank))
        ab, similarity = enlarge(ab_cells, lightness.shape), enlarge(cosine, lightness.shape)
        if self._propagator:
            propagated, propagation = self._propagator(lightness, keys, bank, propagation)
            if propagated:
                share = gate(similarity, propagated.similarity) * propagated.coverage
                share *= 1 if propagated.from_reference else PROPAGATION_TRUST * propagated.consistency
                ab, similarity = mix(ab, propagated.ab, share[..., None]), mix(similarity, propagated.similarity, share)
        if self._remembers_outputs:
            memory = memory.after(1, keys, lightness, ab)
        return ab, similarity, keys, MatchingState(propagation.with_output(lightness, ab, similarity), memory)

    def _run(
        self, lightness: FloatArray, counts: BoolArray | None, bank: ReferenceBank
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """One image through the graph: keys (rows, columns, C), warped ab (rows, columns, 2), S (rows, columns)."""
        height, width = lightness.shape
        rows, columns = cells(height, width)
        padded = pad(lightness, STRIDE)
        grid = (padded.shape[0] // CELL, padded.shape[1] // CELL)
        weight = np.zeros(grid, np.float32)
        weight[:rows, :columns] = 1 if counts is None else counts
        feeds = {
            "luminance": (padded / 50 - 1)[None, None],
            "weight": weight[None, None],
            "bank_keys": bank.keys,
            "bank_ab": bank.ab,
            "bank_valid": bank.valid.astype(np.float32),
        }
        outputs = self._session.run(["keys", "ab", "similarity"], feeds)
        keys, ab, similarity = (np.reshape(out[0], (*grid, -1))[:rows, :columns] for out in outputs)
        return keys, ab, similarity[..., 0]


def gate(similarity: FloatArray, propagated: FloatArray) -> FloatArray:
    """g = sigmoid((s_P − S + GATE_MARGIN) / GATE_WIDTH): how far to follow the flow rather than the match.

    The flow is trusted where the features at the end of it are about as similar as the best match.
    """
    share: FloatArray = 1 / (1 + np.exp(np.clip((similarity - propagated - GATE_MARGIN) / GATE_WIDTH, -50, 50)))
    return share


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """(1 − share) · a + share · b."""
    return a + share * (b - a)
