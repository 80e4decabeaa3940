"""The engine ``matching``: nothing trained for colour. ImageNet features find the place in the reference (equations 1
to 3 without heads), and coordinates propagated along the flow keep its edges.

It is the zero-shot baseline that trained networks are measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from kinemacolor.engine.carrying import Carrier, Carrying
from kinemacolor.engine.colour_memory import ColourMemory
from kinemacolor.engine.grid import cell_colours, enlarge, pad
from kinemacolor.engine.protocol import CELL, Bank, Memory, Step, cells, check_block
from kinemacolor.engine.runtime import session_options
from kinemacolor.frames import BoolArray, FloatArray, Reference
from kinemacolor.propagation import CHAINED, FEW
from kinemacolor.weights import MATCHING

STRIDE = 16
"""Sides of the network's input are multiples of this."""
MARGIN = 0.15
"""How far below the best match the propagated place may be before the best match is preferred (cosine)."""
SHARPNESS = 0.05
"""Width of the gate's sigmoid (cosine). Both were chosen on twelve training clips."""
CARRY_TRUST = np.float32(0.95)
"""Largest share of carried colours where no reference is a frame of the shot: the match must be able to correct."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchingMemory(Memory):
    """What the next frame builds on.

    Attributes:
        carrying: along the flow.
        colours: past outputs.
    """

    carrying: Carrying
    colours: ColourMemory


class MatchingEngine:
    """Zero-shot exemplar colorization on ONNX Runtime.

    Args:
        propagate: chain the reference's coordinates along the flow as well; False leaves matching alone.
        shortcuts: let them come over longer hops and straight from the reference, too.
        color_memory: whether past outputs join the bank.
        threads: of ONNX Runtime; None lets it take the machine's cores.
    """

    name = "matching"
    block_size = 1

    def __init__(
        self,
        *,
        propagate: bool = True,
        shortcuts: bool = True,
        color_memory: bool = False,
        threads: int | None = None,
    ) -> None:
        self._session = onnxruntime.InferenceSession(
            MATCHING.load(), session_options(threads), providers=["CPUExecutionProvider"]
        )
        self._carrier = Carrier(FEW if shortcuts else CHAINED) if propagate else None
        self._remembers = color_memory

    def start(self, references: Sequence[Reference]) -> Bank:
        """See ``Engine.start``; the mean of equation 1 is taken for each reference over its own valid cells."""
        if not references:
            raise ValueError("references: expected at least one, got none")
        parts = [self._entries(reference) for reference in references]
        keys, ab, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Bank(keys, ab, valid, tuple(references))

    def _entries(self, reference: Reference) -> tuple[FloatArray, FloatArray, BoolArray]:
        ab, share = cell_colours(reference)
        valid = share >= 0.5
        nothing = Bank(np.zeros((1, 176), np.float32), np.zeros((1, 2), np.float32), np.ones(1, bool), ())
        keys, _, _ = self._run(reference.lightness, valid, nothing)
        return keys.reshape(-1, keys.shape[2]), ab.reshape(-1, 2), valid.reshape(-1)

    def step(self, luma_block: FloatArray, bank: Bank, memory: Memory | None = None) -> Step:
        """See ``Engine.step``. Frames do not look at one another: any division into blocks gives the same colours."""
        check_block(luma_block)
        if not (memory is None or isinstance(memory, MatchingMemory)):
            raise ValueError(f"memory: expected one of the engine {self.name}, got {type(memory).__name__}")
        steps = []
        for lightness in luma_block:
            ab, similarity, keys, memory = self._frame(lightness, bank, memory)
            steps.append((ab, similarity, keys))
        every_ab, every_similarity, every_keys = (np.stack(column) for column in zip(*steps, strict=True))
        assert memory is not None
        return Step(every_ab, every_similarity, every_keys, memory)

    def _frame(
        self, lightness: FloatArray, bank: Bank, memory: MatchingMemory | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, MatchingMemory]:
        carrying, colours = (memory.carrying, memory.colours) if memory else (Carrying(), ColourMemory())
        keys, ab_cells, cosine = self._run(lightness, None, colours.beside(bank))
        ab, similarity = enlarge(ab_cells, lightness.shape), enlarge(cosine, lightness.shape)
        if self._carrier:
            carried, carrying = self._carrier(lightness, keys, bank, carrying)
            if carried:
                share = gate(similarity, carried.similarity) * carried.given
                share *= 1 if carried.original else CARRY_TRUST * carried.agreement
                ab, similarity = mix(ab, carried.ab, share[..., None]), mix(similarity, carried.similarity, share)
        if self._remembers:
            colours = colours.after(1, keys, lightness, ab)
        return ab, similarity, keys, MatchingMemory(carrying.coloured(lightness, ab, similarity), colours)

    def _run(
        self, lightness: FloatArray, counts: BoolArray | None, bank: Bank
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
    """g = sigmoid((s_P − S + MARGIN) / SHARPNESS): how far to follow the flow rather than the match.

    The flow is trusted where the features at the end of it are about as similar as the best match.
    """
    share: FloatArray = 1 / (1 + np.exp(np.clip((similarity - propagated - MARGIN) / SHARPNESS, -50, 50)))
    return share


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """(1 − share) · a + share · b."""
    return a + share * (b - a)
