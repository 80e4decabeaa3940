"""The trained network as an engine, whatever runs its three stages: ``encode``, ``represent``, ``colorize``.

Between the second and the third the frames' keys judge what was propagated along the flow. Everything here is numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.key_grid import cell_colors, pad
from kinemacolor.engine.propagator import PropagatedColor, Propagator, PropagatorState
from kinemacolor.engine.protocol import CELL, EngineState, ReferenceBank, StepResult, cells, check_block
from kinemacolor.engine.registry import Propagation
from kinemacolor.model.config import NetworkConfig
from kinemacolor.propagation.correspondence import (
    PREVIOUS_FRAME,
    PREVIOUS_OUTPUT_DOUBT,
    SEVEN_FLOWS,
    PropagationPaths,
)

Tensors = dict[str, FloatArray]
PATHS: dict[Propagation, PropagationPaths | None] = {"full": SEVEN_FLOWS, "chained": PREVIOUS_FRAME, "off": None}


class Runner(Protocol):
    """Runs the stages of a network. What goes in and comes out of each is told by ``kinemacolor.model.stages``."""

    name: str
    config: NetworkConfig

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """Named arrays → named arrays; feeds that the stage does not know are ignored."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class JointReferenceBank(ReferenceBank):
    """A bank whose references attend with the frames: their keys are made anew in every step.

    ``keys`` holds, for their entries, those that the references have by themselves.

    Attributes:
        feeds: what ``represent`` and ``colorize`` are given of them, by name.
    """

    feeds: Tensors


@dataclass(frozen=True, slots=True, eq=False)
class NetworkState(EngineState):
    """What the next block builds on.

    Attributes:
        linkage: i_t (M, d) and the number of blocks, or None without the linkage subnet.
        propagation: of colors along the flow.
        color_memory: past outputs.
    """

    linkage: tuple[FloatArray, FloatArray] | None
    propagation: PropagatorState
    color_memory: ColorMemory


class NetworkEngine:
    """Exemplar-based colorization by a trained network.

    Args:
        runner: of its stages.
        propagation: of colors along the flow, for a network that takes them.
        color_memory: whether past outputs join the bank; None for what the configuration says.
        block_size: frames N of a step; None for what the configuration says.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        propagation: Propagation = "full",
        color_memory: bool | None = None,
        block_size: int | None = None,
    ) -> None:
        self._runner, self._config = runner, runner.config
        self.name = runner.name
        self.block_size = block_size or runner.config.block_size
        paths = PATHS[propagation] if runner.config.propagation else None
        self._propagator = Propagator(paths) if paths else None
        self._remembers_outputs = runner.config.color_memory if color_memory is None else color_memory

    # --- references --------------------

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``.

        Raises:
            UsageError: references attend with the frames and are not all of one size.
        """
        if not references:
            raise ValueError("references: expected at least one, got none")
        if self._config.reference_block == "joint":
            return self._start_joint(tuple(references))
        parts = []
        for reference in references:
            ab, share = cell_colors(reference)
            valid = share >= 0.5
            luminance = self._luminance(reference.lightness[None])
            features = self._runner.run("encode", {"luminance": luminance})
            weight = self._cells(valid[None])
            fresh = self._linkage_feeds(None, luminance)
            representation = self._runner.run("represent", {**features, "weight": weight, **fresh})
            keys = _channels_last(representation["keys"], *valid.shape)[0]
            parts.append((keys.reshape(-1, keys.shape[2]), ab.reshape(-1, 2), valid.reshape(-1)))
        keys, ab, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ReferenceBank(keys, ab, valid, tuple(references))

    def _start_joint(self, references: tuple[Reference, ...]) -> JointReferenceBank:
        size = references[0].size
        for reference in references:
            if reference.size != size:
                raise shape_error(size, reference.size)
        grids = [cell_colors(reference) for reference in references]
        ab, valid = np.stack([g[0] for g in grids]), np.stack([g[1] >= 0.5 for g in grids])
        lightness, mask = np.stack([r.lightness for r in references]), np.stack([r.mask for r in references])
        luminance = self._luminance(lightness)
        features = self._runner.run("encode", {"luminance": luminance})
        colors = np.moveaxis(np.stack([r.ab * r.mask[..., None] for r in references]), 3, 1)
        stride, shape = self._config.token_stride, luminance.shape[2:]
        marks = _pad_maps(mask[:, None].astype(np.float32), shape, mode="constant")
        tokens = marks.reshape(len(marks), shape[0] // stride, stride, shape[1] // stride, stride)
        feeds = {f"still_{name}": part for name, part in features.items()} | {
            "seen": tokens.any(axis=(2, 4)).astype(np.float32).reshape(-1),
            "still_valid": self._cells(valid),
            "still_ab": _pad_maps(np.moveaxis(ab, 3, 1), (shape[0] // CELL, shape[1] // CELL)),
            "still_lab": np.concatenate([luminance, _pad_maps(colors, shape)], axis=1),
        }
        fresh = self._linkage_feeds(None, luminance)
        representation = self._runner.run("represent", {**features, **feeds, "weight": feeds["still_valid"], **fresh})
        keys = _channels_last(representation["still_keys"], *valid.shape[1:])
        return JointReferenceBank(
            keys.reshape(-1, keys.shape[3]), ab.reshape(-1, 2), valid.reshape(-1), references, feeds=feeds
        )

    # --- frames --------------------

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``. Frames of a block attend jointly; propagated colors go from frame to frame in it.

        Raises:
            UsageError: references attend with the frames and are not of their size.
        """
        check_block(luma_block)
        if not (state is None or isinstance(state, NetworkState)):
            raise ValueError(f"state: expected one of the engine {self.name}, got {type(state).__name__}")
        height, width = luma_block.shape[1:]
        rows, columns = cells(height, width)
        references = self._joint_feeds(bank, (height, width))
        luminance = self._luminance(luma_block)
        features = self._runner.run("encode", {"luminance": luminance})
        inside = self._cells(np.ones((len(luma_block), rows, columns), np.bool_))
        linkage = self._linkage_feeds(state, luminance)
        representation = self._runner.run("represent", {**features, "weight": inside, **linkage, **references})
        keys = _channels_last(representation["keys"], rows, columns)
        propagation = state.propagation if state else PropagatorState()
        propagated, propagation = self._propagate(luma_block, keys, bank, propagation, luminance.shape[2:])
        memory = state.color_memory if state else ColorMemory()
        entries = self._entries(memory.added_to(bank))
        feeds = {"luminance": luminance, **representation, **references, **entries, **propagated}
        output = self._runner.run("colorize", feeds)
        ab, similarity = _channels_last(output["ab"], height, width), output["similarity"][:, 0, :height, :width]
        if self._propagator:
            propagation = propagation.with_output(luma_block[-1], np.ascontiguousarray(ab[-1]), similarity[-1].copy())
        if self._remembers_outputs:
            memory = memory.after(len(luma_block), keys[-1], luma_block[-1], ab[-1])
        information = None
        if "next_blocks" in representation:
            information = (representation["next_information"], representation["next_blocks"])
        return StepResult(ab, similarity, keys, NetworkState(information, propagation, memory))

    def _joint_feeds(self, bank: ReferenceBank, size: tuple[int, int]) -> Tensors:
        """What the stages are told of references that attend with the frames."""
        if not isinstance(bank, JointReferenceBank):
            return {}
        if bank.references[0].size != size:
            raise shape_error(size, bank.references[0].size)
        return bank.feeds

    def _entries(self, bank: ReferenceBank) -> Tensors:
        """The entries that may be matched and whose keys are known beforehand."""
        keys, ab, valid = bank.keys, bank.ab, bank.valid
        if not isinstance(bank, JointReferenceBank):
            return {"bank_keys": keys[valid], "bank_ab": ab[valid]}
        own = sum(int(np.prod(cells(*reference.size))) for reference in bank.references)
        keys, ab, valid = keys[own:], ab[own:], valid[own:]
        if not len(keys):  # a graph wants at least one: an invalid one will do
            keys, ab, valid = bank.keys[:1], bank.ab[:1], np.zeros(1, np.bool_)
        return {"bank_keys": keys, "bank_ab": ab, "bank_valid": valid.astype(np.float32)}

    def _propagate(
        self,
        luma_block: FloatArray,
        keys: FloatArray,
        bank: ReferenceBank,
        state: PropagatorState,
        shape: tuple[int, ...],
    ) -> tuple[Tensors, PropagatorState]:
        """What ``colorize`` is given of propagated colors, at padded size, and the state after the block."""
        if not self._config.propagation:
            return {}, state
        frames = []
        for lightness, frame_keys in zip(luma_block, keys, strict=True):
            propagated = None
            if self._propagator:
                propagated, state = self._propagator(lightness, frame_keys, bank, state)
            frames.append(candidate(propagated, lightness.shape))
        maps = np.moveaxis(np.stack(frames), 3, 1)
        padded = _pad_maps(maps, shape)
        names = ("carried_ab", "carried_similarity", "carried_agreement")
        return dict(zip(names, np.split(padded, (2, 3), axis=1), strict=True)), state

    # --- shapes --------------------

    def _luminance(self, lightness: FloatArray) -> FloatArray:
        """L* (F, H, W) → luminance (F, 1, H', W') in [-1, 1]."""
        return np.stack([pad(image, self._config.stride) for image in lightness])[:, None] / np.float32(50) - 1

    def _cells(self, valid: np.ndarray) -> FloatArray:
        """Marks (F, rows, columns) of the key grid → (F, 1, H'/4, W'/4), 0 in the padding."""
        step = self._config.stride // CELL
        shape = tuple(-(-side // step) * step for side in valid.shape[1:])
        return _pad_maps(valid[:, None].astype(np.float32), shape, mode="constant")

    def _linkage_feeds(self, state: NetworkState | None, luminance: FloatArray) -> Tensors:
        """The linkage subnet's memory, or one of no blocks, for images (F, 1, H', W')."""
        if not self._config.linkage:
            return {}
        if state is None or state.linkage is None:
            width, cell = self._config.token_channels, self._config.token_stride
            tokens = luminance.size // cell**2
            return {"information": np.zeros((tokens, width), np.float32), "blocks": np.zeros((), np.float32)}
        return {"information": state.linkage[0], "blocks": state.linkage[1]}


def shape_error(expected: tuple[int, int], got: tuple[int, int]) -> UsageError:
    """For references of another (height, width) at network size than a network that attends to them can take."""
    sides = [f"{width}×{height}" for height, width in (expected, got)]
    problem = f"this network attends to stills and frames together and needs {sides[0]} where a still has {sides[1]}"
    return UsageError("references", problem, "crop the still to the film's shape")


def candidate(propagated: PropagatedColor | None, shape: tuple[int, ...]) -> FloatArray:
    """The candidate P as the network takes it: (H, W, 4) of ab, s_P and consistency; 0, 0, −1, 0 where there is none."""
    absent = np.zeros((*shape, 4), np.float32)
    absent[..., 2] = -1
    if propagated is None:
        return absent
    doubt = np.float32(0 if propagated.from_reference else PREVIOUS_OUTPUT_DOUBT)
    present = np.dstack([propagated.ab, propagated.similarity - doubt, propagated.consistency])
    return np.where(propagated.coverage[..., None] > 0.5, present, absent)


def _channels_last(maps: FloatArray, height: int, width: int) -> FloatArray:
    """(F, C, H', W') → (F, H, W, C) without the padding."""
    return np.ascontiguousarray(np.moveaxis(maps[:, :, :height, :width], 1, 3))


def _pad_maps(maps: FloatArray, shape: tuple[int, ...], mode: str = "edge") -> FloatArray:
    """(F, C, h, w) → (F, C, *shape)."""
    border = ((0, 0), (0, 0), (0, shape[0] - maps.shape[2]), (0, shape[1] - maps.shape[3]))
    padded: FloatArray = np.pad(maps, border, mode=mode)  # type: ignore[call-overload]
    return padded
