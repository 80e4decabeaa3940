"""The engine ``matching``: nothing trained for colour. ImageNet features find the place in the reference (equations 1
to 3 without heads), and coordinates propagated along the flow keep its edges.

It is the zero-shot baseline that trained networks are measured against.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime

from kinemacolor.engine.protocol import CELL, Bank, Memory, Step, cells, check_block
from kinemacolor.flow import DisFlow
from kinemacolor.frames import BoolArray, FloatArray, Reference
from kinemacolor.propagation import Chain, Coloured, advance, carry, sample
from kinemacolor.weights import MATCHING

STRIDE = 16
"""Sides of the network's input are multiples of this."""
MARGIN = 0.04
"""How far below the best match the propagated place may be before the best match is preferred (cosine)."""
SHARPNESS = 0.01
"""Width of the gate's sigmoid (cosine)."""


CARRY_TRUST = np.float32(0.95)
"""Largest share of carried colours where no reference is a frame of the shot: the match must be able to correct."""


@dataclass(frozen=True, slots=True, eq=False)
class MatchingMemory(Memory):
    """What the next frame builds on.

    Attributes:
        chain: coordinates in a reference, or None while no frame of the shot looked like one.
        previous: the last frame and its colours.
    """

    chain: Chain | None
    previous: Coloured


class MatchingEngine:
    """Zero-shot exemplar colorization on ONNX Runtime.

    Args:
        propagate: chain the reference's coordinates along the flow as well; False leaves matching alone.
        threads: of ONNX Runtime; None lets it take the machine's cores.
    """

    name = "matching"
    block_size = 1

    def __init__(self, *, propagate: bool = True, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or os.cpu_count() or 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(MATCHING.load(), options, providers=["CPUExecutionProvider"])
        self._flow = DisFlow() if propagate else None

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
        keys, ab_cells, cosine = self._run(lightness, None, bank)
        ab, similarity = enlarge(ab_cells, lightness.shape), enlarge(cosine, lightness.shape)
        chain = None
        if self._flow:
            chain = advance(self._flow, memory.chain if memory else None, lightness, bank.references)
            if chain:
                propagated = key_similarity(keys, chain, bank)
                share = enlarge(gate(cosine, propagated), lightness.shape)
                propagated = enlarge(propagated, lightness.shape)
                colours, given = chain_colours(chain, bank)
                share = share * given
            elif memory:
                colours, propagated, agree = carry(self._flow, memory.previous, lightness)
                share = gate(similarity, propagated) * CARRY_TRUST * agree
            if chain or memory:
                ab, similarity = mix(ab, colours, share[..., None]), mix(similarity, propagated, share)
        return ab, similarity, keys, MatchingMemory(chain, Coloured(lightness, ab, similarity))

    def _run(
        self, lightness: FloatArray, counts: BoolArray | None, bank: Bank
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """One image through the graph: keys (rows, columns, C), warped ab (rows, columns, 2), S (rows, columns)."""
        height, width = lightness.shape
        rows, columns = cells(height, width)
        padded = np.pad(lightness, ((0, -height % STRIDE), (0, -width % STRIDE)), mode="edge")
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


def cell_colours(reference: Reference) -> tuple[FloatArray, FloatArray]:
    """Mean ab (rows, columns, 2) of each key cell over its unmasked pixels, and the share of those pixels in it."""
    height, width = reference.size
    rows, columns = cells(height, width)
    border = ((0, rows * CELL - height), (0, columns * CELL - width), (0, 0))
    mask = reference.mask[..., None].astype(np.float32)
    stack = np.pad(np.concatenate([reference.ab * mask, mask, np.ones_like(mask)], axis=2), border)
    total: FloatArray = cv2.resize(stack, (columns, rows), interpolation=cv2.INTER_AREA)
    ab = np.divide(total[..., :2], np.maximum(total[..., 2:3], 1e-6), dtype=np.float32)
    return ab, np.divide(total[..., 2], total[..., 3], dtype=np.float32)


def enlarge(cell_map: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A map on the key grid (rows, columns[, c]) → pixels (H, W[, c]), bilinear, cell centres kept in place."""
    rows, columns = cell_map.shape[:2]
    size = (columns * CELL, rows * CELL)
    large: FloatArray = cv2.resize(np.ascontiguousarray(cell_map), size, interpolation=cv2.INTER_LINEAR)
    return large[: shape[0], : shape[1]]


def gate(similarity: FloatArray, propagated: FloatArray) -> FloatArray:
    """g = sigmoid((s_P − S + MARGIN) / SHARPNESS): how far to follow the flow rather than the match.

    The flow is trusted where the features at the end of it are about as similar as the best match.
    """
    share: FloatArray = 1 / (1 + np.exp(np.clip((similarity - propagated - MARGIN) / SHARPNESS, -50, 50)))
    return share


def mix(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """(1 − share) · a + share · b."""
    return a + share * (b - a)


def chain_colours(chain: Chain, bank: Bank) -> tuple[FloatArray, FloatArray]:
    """P^ab (H, W, 2) sampled in the reference, and (H, W) in [0, 1]: whether the reference gives a colour there."""
    still = bank.references[chain.reference]
    mask = still.mask.astype(np.float32)
    return sample(still.ab * mask[..., None], chain.coordinates), sample(mask, chain.coordinates)


def key_similarity(keys: FloatArray, chain: Chain, bank: Bank) -> FloatArray:
    """s_P: cosine of each key (rows, columns, C) with the bank's key at the chain's coordinate, (rows, columns)."""
    first = sum(int(np.prod(cells(*r.size))) for r in bank.references[: chain.reference])
    rows, columns = cells(*bank.references[chain.reference].size)
    centre = CELL // 2
    at = chain.coordinates[centre::CELL, centre::CELL]
    short = (keys.shape[0] - at.shape[0], keys.shape[1] - at.shape[1])
    at = np.pad(at, ((0, short[0]), (0, short[1]), (0, 0)), mode="edge")
    x = np.clip(np.rint((at[..., 0] - centre) / CELL), 0, columns - 1).astype(np.intp)
    y = np.clip(np.rint((at[..., 1] - centre) / CELL), 0, rows - 1).astype(np.intp)
    entry = first + y * columns + x
    cosine: FloatArray = np.einsum("ijc,ijc->ij", keys, bank.keys[entry])
    return np.where(bank.valid[entry], cosine, np.float32(-1))
