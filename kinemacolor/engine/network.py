"""The engine of a trained network, whatever runs its three stages: ``encode``, ``represent`` and ``colorize``.

Propagation along the optical flow comes between the last two stages: it needs the frames' keys. All arrays are numpy's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kinemacolor.core.errors import UsageError
from kinemacolor.core.limits import Propagation
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.explanation import (
    CandidateMaps,
    Explanation,
    Observer,
    gray_candidate,
    warped_candidates,
)
from kinemacolor.engine.key_grid import cell_colors, pad
from kinemacolor.engine.propagator import PropagatedColor, Propagator, PropagatorState
from kinemacolor.engine.protocol import KEY_CELL, EngineState, ReferenceBank, StepResult, cells, check_block
from kinemacolor.model.config import PROPAGATED_INPUTS, NetworkConfig
from kinemacolor.propagation.correspondence import (
    PREVIOUS_FRAME,
    PREVIOUS_OUTPUT_DOUBT,
    SEVEN_FLOWS,
    PropagationPaths,
)

Tensors = dict[str, FloatArray]
NETWORK_PATHS: dict[Propagation, PropagationPaths | None] = {
    "full": SEVEN_FLOWS,
    "chained": PREVIOUS_FRAME,
    "off": None,
}
"""Paths over which coordinates come, by the setting ``propagation``."""


class Runner(Protocol):
    """Runs the stages of a network. ``kinemacolor.model.stages`` describes their inputs and outputs."""

    name: str
    config: NetworkConfig

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """Named arrays → named arrays; feeds that are no inputs of the stage are ignored."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class JointReferenceBank(ReferenceBank):
    """A bank whose references attend jointly with the frames: their keys are computed again in every step.

    ``keys`` holds, for their entries, the keys that the references have by themselves.

    Attributes:
        feeds: inputs of ``represent`` and ``colorize`` that describe the references, by name.
    """

    feeds: Tensors


@dataclass(frozen=True, slots=True, eq=False)
class NetworkState(EngineState):
    """The engine's state after a block.

    Attributes:
        linkage: i_t (M, d) and the number of blocks, or None without the linkage subnet.
        propagation: state of the propagation of colors along the flow.
        color_memory: past outputs.
    """

    linkage: tuple[FloatArray, FloatArray] | None
    propagation: PropagatorState
    color_memory: ColorMemory


class NetworkEngine:
    """Exemplar-based colorization by a trained network.

    Args:
        runner: runs the network's stages.
        propagation: how colors are propagated along the flow, for a network that takes propagated colors.
        color_memory: whether past outputs become entries of the bank; None for the value of the configuration.
        block_size: number N of frames of a step; None for the value of the configuration.
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
        self.device: str = getattr(runner, "device", "")
        self.observer: Observer | None = None
        self.block_size = block_size or runner.config.block_size
        paths = NETWORK_PATHS[propagation] if runner.config.propagation else None
        self._propagator = Propagator(paths) if paths else None
        self._uses_color_memory = runner.config.color_memory if color_memory is None else color_memory

    # --- references --------------------

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine.start``.

        Raises:
            UsageError: references attend jointly with the frames and differ in size.
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
            weight = self._padded_marks(valid[None])
            linkage = self._linkage_feeds(None, luminance)
            representation = self._runner.run("represent", {**features, "weight": weight, **linkage})
            keys = _channels_last(representation["keys"], *valid.shape)[0]
            parts.append((keys.reshape(-1, keys.shape[2]), ab.reshape(-1, 2), valid.reshape(-1)))
        keys, ab, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
        return ReferenceBank(keys, ab, valid, tuple(references))

    def _start_joint(self, references: tuple[Reference, ...]) -> JointReferenceBank:
        size = references[0].size
        for reference in references:
            if reference.size != size:
                raise shape_error(size, reference.size)
        cell_maps = [cell_colors(reference) for reference in references]
        ab, valid = np.stack([ab for ab, _ in cell_maps]), np.stack([share >= 0.5 for _, share in cell_maps])
        mask = np.stack([reference.mask for reference in references])
        luminance = self._luminance(np.stack([reference.lightness for reference in references]))
        features = self._runner.run("encode", {"luminance": luminance})
        masked_ab = np.stack([reference.ab * reference.mask[..., None] for reference in references])
        stride, shape = self._config.token_stride, luminance.shape[2:]
        padded_mask = _pad_maps(mask[:, None].astype(np.float32), shape, mode="constant")
        tokens = padded_mask.reshape(len(references), shape[0] // stride, stride, shape[1] // stride, stride)
        feeds = {f"still_{name}": feature_map for name, feature_map in features.items()} | {
            "seen": tokens.any(axis=(2, 4)).astype(np.float32).reshape(-1),
            "still_valid": self._padded_marks(valid),
            "still_ab": _pad_maps(np.moveaxis(ab, 3, 1), (shape[0] // KEY_CELL, shape[1] // KEY_CELL)),
            "still_lab": np.concatenate([luminance, _pad_maps(np.moveaxis(masked_ab, 3, 1), shape)], axis=1),
        }
        linkage = self._linkage_feeds(None, luminance)
        representation = self._runner.run("represent", {**features, **feeds, "weight": feeds["still_valid"], **linkage})
        keys = _channels_last(representation["still_keys"], *valid.shape[1:])
        return JointReferenceBank(
            keys.reshape(-1, keys.shape[3]), ab.reshape(-1, 2), valid.reshape(-1), references, feeds=feeds
        )

    # --- frames --------------------

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine.step``. Frames of a block attend jointly; colors are propagated from frame to frame within it.

        Raises:
            UsageError: references attend jointly with the frames and differ from them in size.
        """
        check_block(luma_block)
        if not (state is None or isinstance(state, NetworkState)):
            raise ValueError(f"state: expected one of the engine {self.name}, got {type(state).__name__}")
        height, width = luma_block.shape[1:]
        rows, columns = cells(height, width)
        references = self._joint_feeds(bank, (height, width))
        luminance = self._luminance(luma_block)
        features = self._runner.run("encode", {"luminance": luminance})
        weight = self._padded_marks(np.ones((len(luma_block), rows, columns), np.bool_))
        linkage = self._linkage_feeds(state, luminance)
        representation = self._runner.run("represent", {**features, "weight": weight, **linkage, **references})
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
        if self._uses_color_memory:
            memory = memory.after(len(luma_block), keys[-1], luma_block[-1], ab[-1])
        if self.observer:
            keys_of_block = (representation, references, entries)
            self.observer(luma_block, lambda: self._explanation(luma_block, ab, keys_of_block, propagated))
        next_linkage = None
        if "next_blocks" in representation:
            next_linkage = (representation["next_information"], representation["next_blocks"])
        return StepResult(ab, similarity, keys, NetworkState(next_linkage, propagation, memory))

    def _explanation(
        self,
        luma_block: FloatArray,
        ab: FloatArray,
        matched: tuple[Tensors, Tensors, Tensors],
        propagated: Tensors,
    ) -> Explanation:
        """The candidates of a step, from what its stages got and gave."""
        representation, references, entries = matched
        config, shape = self._config, (luma_block.shape[1], luma_block.shape[2])
        keys, colors = entries["bank_keys"], entries["bank_ab"]
        valid = entries.get("bank_valid", np.ones(len(keys), np.float32))
        if references:
            joint = [np.moveaxis(maps, 1, 3) for maps in (representation["still_keys"], references["still_ab"])]
            keys = np.concatenate([joint[0].reshape(-1, keys.shape[1]), keys])
            colors = np.concatenate([joint[1].reshape(-1, 2), colors])
            valid = np.concatenate([references["still_valid"].reshape(-1), valid])
        strides = (1, config.augmented_stride // KEY_CELL)[: config.heads]
        candidates = warped_candidates(representation["keys"], (keys, colors, valid), config.tau, strides, shape)
        if propagated:
            similarity = propagated["carried_similarity"][:, 0, : shape[0], : shape[1]]
            candidates.append(CandidateMaps("P", _channels_last(propagated["carried_ab"], *shape), similarity))
        if config.neutral:
            candidates.append(gray_candidate(luma_block.shape))
        return Explanation(luma_block, tuple(candidates), ab)

    def _joint_feeds(self, bank: ReferenceBank, size: tuple[int, int]) -> Tensors:
        """Inputs of the stages that describe references which attend jointly with frames of ``size``."""
        if not isinstance(bank, JointReferenceBank):
            return {}
        if bank.references[0].size != size:
            raise shape_error(size, bank.references[0].size)
        return bank.feeds

    def _entries(self, bank: ReferenceBank) -> Tensors:
        """Inputs of ``colorize``: the entries whose keys do not depend on the frames."""
        keys, ab, valid = bank.keys, bank.ab, bank.valid
        if not isinstance(bank, JointReferenceBank):
            return {"bank_keys": keys[valid], "bank_ab": ab[valid]}
        joint = sum(int(np.prod(cells(*reference.size))) for reference in bank.references)
        keys, ab, valid = keys[joint:], ab[joint:], valid[joint:]
        if not len(keys):  # the graph needs at least one entry, so give it an invalid one
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
        """Inputs of ``colorize`` that hold propagated colors, at padded size, and the state after the block."""
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
        return dict(zip(PROPAGATED_INPUTS, np.split(padded, (2, 3, 4), axis=1), strict=True)), state

    # --- shapes --------------------

    def _luminance(self, lightness: FloatArray) -> FloatArray:
        """L* (F, H, W) → luminance (F, 1, H', W') in [-1, 1]."""
        return np.stack([pad(image, self._config.stride) for image in lightness])[:, None] / np.float32(50) - 1

    def _padded_marks(self, valid: np.ndarray) -> FloatArray:
        """Marks (F, rows, columns) of the key grid → (F, 1, H'/4, W'/4), 0 in the padding."""
        step = self._config.stride // KEY_CELL
        shape = tuple(-(-side // step) * step for side in valid.shape[1:])
        return _pad_maps(valid[:, None].astype(np.float32), shape, mode="constant")

    def _linkage_feeds(self, state: NetworkState | None, luminance: FloatArray) -> Tensors:
        """The linkage subnet's memory, or an empty one, for images (F, 1, H', W')."""
        if not self._config.linkage:
            return {}
        if state is None or state.linkage is None:
            width, cell = self._config.token_channels, self._config.token_stride
            tokens = luminance.size // cell**2
            return {"information": np.zeros((tokens, width), np.float32), "blocks": np.zeros((), np.float32)}
        return {"information": state.linkage[0], "blocks": state.linkage[1]}


def shape_error(expected: tuple[int, int], got: tuple[int, int]) -> UsageError:
    """The error for a reference whose (height, width) at network size does not suit joint attention."""
    sizes = [f"{width}×{height}" for height, width in (expected, got)]
    problem = f"this network attends to stills and frames jointly and needs {sizes[0]} where a still has {sizes[1]}"
    return UsageError("references", problem, "crop the still to the film's shape")


def candidate(propagated: PropagatedColor | None, shape: tuple[int, ...]) -> FloatArray:
    """The candidate P as the network takes it, (H, W, 5): ab, s_P, consistency and spread; 0, 0, −1, 0, 0 where there
    is none."""
    absent = np.zeros((*shape, 5), np.float32)
    absent[..., 2] = -1
    if propagated is None:
        return absent
    doubt = np.float32(0 if propagated.from_reference else PREVIOUS_OUTPUT_DOUBT)
    present = np.dstack([propagated.ab, propagated.similarity - doubt, propagated.consistency, propagated.spread])
    return np.where(propagated.coverage[..., None] > 0.5, present, absent)


def _channels_last(maps: FloatArray, height: int, width: int) -> FloatArray:
    """(F, C, H', W') → (F, H, W, C) without the padding."""
    return np.ascontiguousarray(np.moveaxis(maps[:, :, :height, :width], 1, 3))


def _pad_maps(maps: FloatArray, shape: tuple[int, ...], mode: str = "edge") -> FloatArray:
    """(F, C, h, w) → (F, C, *shape), padded at the right and the bottom."""
    border = ((0, 0), (0, 0), (0, shape[0] - maps.shape[2]), (0, shape[1] - maps.shape[3]))
    padded: FloatArray = np.pad(maps, border, mode=mode)  # type: ignore[call-overload]
    return padded
