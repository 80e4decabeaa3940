"""The trained network as an engine, whatever runs its three stages: ``encode``, ``represent``, ``colorize``.

Between the second and the third the frames' keys judge what was carried along the flow. Everything here is numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from kinemacolor.engine.carrying import Carried, Carrier, Carrying
from kinemacolor.engine.colour_memory import ColourMemory
from kinemacolor.engine.grid import cell_colours, pad
from kinemacolor.engine.protocol import CELL, Bank, Memory, Step, cells, check_block
from kinemacolor.errors import UsageError
from kinemacolor.frames import FloatArray, Reference
from kinemacolor.model.config import NetworkConfig
from kinemacolor.propagation import CHAINED, DOUBT, MANY

Tensors = dict[str, FloatArray]


class Runner(Protocol):
    """Runs the stages of a network. What goes in and comes out of each is told by ``kinemacolor.model.stages``."""

    name: str
    config: NetworkConfig

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """Named arrays → named arrays; feeds that the stage does not know are ignored."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class JointBank(Bank):
    """A bank whose references attend with the frames: their keys are made anew in every step.

    ``keys`` holds, for their entries, those that the references have by themselves.

    Attributes:
        stills: what ``represent`` and ``colorize`` are told of them, by name.
    """

    stills: Tensors


@dataclass(frozen=True, slots=True, eq=False)
class NetworkMemory(Memory):
    """What the next block builds on.

    Attributes:
        linkage: i_t (M, d) and the number of blocks, or None without the linkage subnet.
        carrying: along the flow.
        colours: past outputs.
    """

    linkage: tuple[FloatArray, FloatArray] | None
    carrying: Carrying
    colours: ColourMemory


class NetworkEngine:
    """Exemplar-based colorization by a trained network.

    Args:
        runner: of its stages.
        propagate: whether colours are carried along the flow, for a network that takes them.
        shortcuts: whether they come over longer hops and straight from the reference, too.
        color_memory: whether past outputs join the bank; None for what the configuration says.
        block_size: frames N of a step; None for what the configuration says.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        propagate: bool = True,
        shortcuts: bool = True,
        color_memory: bool | None = None,
        block_size: int | None = None,
    ) -> None:
        self._runner, self._config = runner, runner.config
        self.name = runner.name
        self.block_size = block_size or runner.config.block_size
        carries = propagate and runner.config.propagation
        self._carrier = Carrier(MANY if shortcuts else CHAINED) if carries else None
        self._remembers = runner.config.color_memory if color_memory is None else color_memory

    # --- references --------------------

    def start(self, references: Sequence[Reference]) -> Bank:
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
            ab, share = cell_colours(reference)
            valid = share >= 0.5
            luminance = self._luminance(reference.lightness[None])
            features = self._runner.run("encode", {"luminance": luminance})
            weight = self._cells(valid[None])
            fresh = self._memory_feeds(None, luminance)
            made = self._runner.run("represent", {**features, "weight": weight, **fresh})
            keys = _channels_last(made["keys"], *valid.shape)[0]
            parts.append((keys.reshape(-1, keys.shape[2]), ab.reshape(-1, 2), valid.reshape(-1)))
        keys, ab, valid = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Bank(keys, ab, valid, tuple(references))

    def _start_joint(self, references: tuple[Reference, ...]) -> JointBank:
        size = references[0].size
        for reference in references:
            if reference.size != size:
                raise shape_error(size, reference.size)
        grids = [cell_colours(reference) for reference in references]
        ab, valid = np.stack([g[0] for g in grids]), np.stack([g[1] >= 0.5 for g in grids])
        lightness, mask = np.stack([r.lightness for r in references]), np.stack([r.mask for r in references])
        luminance = self._luminance(lightness)
        features = self._runner.run("encode", {"luminance": luminance})
        colours = np.moveaxis(np.stack([r.ab * r.mask[..., None] for r in references]), 3, 1)
        stride, shape = self._config.token_stride, luminance.shape[2:]
        marks = _pad_maps(mask[:, None].astype(np.float32), shape, mode="constant")
        tokens = marks.reshape(len(marks), shape[0] // stride, stride, shape[1] // stride, stride)
        stills = {f"still_{name}": part for name, part in features.items()} | {
            "seen": tokens.any(axis=(2, 4)).astype(np.float32).reshape(-1),
            "still_valid": self._cells(valid),
            "still_ab": _pad_maps(np.moveaxis(ab, 3, 1), (shape[0] // CELL, shape[1] // CELL)),
            "still_lab": np.concatenate([luminance, _pad_maps(colours, shape)], axis=1),
        }
        fresh = self._memory_feeds(None, luminance)
        made = self._runner.run("represent", {**features, **stills, "weight": stills["still_valid"], **fresh})
        keys = _channels_last(made["still_keys"], *valid.shape[1:])
        return JointBank(
            keys.reshape(-1, keys.shape[3]), ab.reshape(-1, 2), valid.reshape(-1), references, stills=stills
        )

    # --- frames --------------------

    def step(self, luma_block: FloatArray, bank: Bank, memory: Memory | None = None) -> Step:
        """See ``Engine.step``. Frames of a block attend jointly; carried colours go from frame to frame in it.

        Raises:
            UsageError: references attend with the frames and are not of their size.
        """
        check_block(luma_block)
        if not (memory is None or isinstance(memory, NetworkMemory)):
            raise ValueError(f"memory: expected one of the engine {self.name}, got {type(memory).__name__}")
        height, width = luma_block.shape[1:]
        rows, columns = cells(height, width)
        stills = self._stills(bank, (height, width))
        luminance = self._luminance(luma_block)
        features = self._runner.run("encode", {"luminance": luminance})
        inside = self._cells(np.ones((len(luma_block), rows, columns), np.bool_))
        linkage = self._memory_feeds(memory, luminance)
        found = self._runner.run("represent", {**features, "weight": inside, **linkage, **stills})
        keys = _channels_last(found["keys"], rows, columns)
        carrying = memory.carrying if memory else Carrying()
        carried, carrying = self._carry(luma_block, keys, bank, carrying, luminance.shape[2:])
        colours = memory.colours if memory else ColourMemory()
        offered = self._offered(colours.beside(bank))
        made = self._runner.run("colorize", {"luminance": luminance, **found, **stills, **offered, **carried})
        ab, similarity = _channels_last(made["ab"], height, width), made["similarity"][:, 0, :height, :width]
        if self._carrier:
            carrying = carrying.coloured(luma_block[-1], np.ascontiguousarray(ab[-1]), similarity[-1].copy())
        if self._remembers:
            colours = colours.after(len(luma_block), keys[-1], luma_block[-1], ab[-1])
        kept = (found["next_information"], found["next_blocks"]) if "next_blocks" in found else None
        return Step(ab, similarity, keys, NetworkMemory(kept, carrying, colours))

    def _stills(self, bank: Bank, size: tuple[int, int]) -> Tensors:
        """What the stages are told of references that attend with the frames."""
        if not isinstance(bank, JointBank):
            return {}
        if bank.references[0].size != size:
            raise shape_error(size, bank.references[0].size)
        return bank.stills

    def _offered(self, bank: Bank) -> Tensors:
        """The entries that may be matched and whose keys are known beforehand."""
        keys, ab, valid = bank.keys, bank.ab, bank.valid
        if not isinstance(bank, JointBank):
            return {"bank_keys": keys[valid], "bank_ab": ab[valid]}
        own = sum(int(np.prod(cells(*reference.size))) for reference in bank.references)
        keys, ab, valid = keys[own:], ab[own:], valid[own:]
        if not len(keys):  # a graph wants at least one: an invalid one will do
            keys, ab, valid = bank.keys[:1], bank.ab[:1], np.zeros(1, np.bool_)
        return {"bank_keys": keys, "bank_ab": ab, "bank_valid": valid.astype(np.float32)}

    def _carry(
        self, luma_block: FloatArray, keys: FloatArray, bank: Bank, state: Carrying, shape: tuple[int, ...]
    ) -> tuple[Tensors, Carrying]:
        """What ``colorize`` is told of carried colours, at padded size, and the state after the block."""
        if not self._config.propagation:
            return {}, state
        frames = []
        for lightness, own in zip(luma_block, keys, strict=True):
            carried = None
            if self._carrier:
                carried, state = self._carrier(lightness, own, bank, state)
            frames.append(candidate(carried, lightness.shape))
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

    def _memory_feeds(self, memory: NetworkMemory | None, luminance: FloatArray) -> Tensors:
        """The linkage subnet's memory, or one of no blocks, for images (F, 1, H', W')."""
        if not self._config.linkage:
            return {}
        if memory is None or memory.linkage is None:
            width, cell = self._config.token_channels, self._config.token_stride
            tokens = luminance.size // cell**2
            return {"information": np.zeros((tokens, width), np.float32), "blocks": np.zeros((), np.float32)}
        return {"information": memory.linkage[0], "blocks": memory.linkage[1]}


def shape_error(expected: tuple[int, int], got: tuple[int, int]) -> UsageError:
    """For references of another (height, width) at network size than a network that attends to them can take."""
    sides = [f"{width}×{height}" for height, width in (expected, got)]
    problem = f"this network attends to stills and frames together and needs {sides[0]} where a still has {sides[1]}"
    return UsageError("--reference", problem, "crop the still to the film's shape")


def candidate(carried: Carried | None, shape: tuple[int, ...]) -> FloatArray:
    """The candidate P as the network takes it: (H, W, 4) of ab, s_P and agreement; 0, 0, −1, 0 where there is none."""
    nothing = np.zeros((*shape, 4), np.float32)
    nothing[..., 2] = -1
    if carried is None:
        return nothing
    doubt = np.float32(0 if carried.original else DOUBT)
    given = np.dstack([carried.ab, carried.similarity - doubt, carried.agreement])
    return np.where(carried.given[..., None] > 0.5, given, nothing)


def _channels_last(maps: FloatArray, height: int, width: int) -> FloatArray:
    """(F, C, H', W') → (F, H, W, C) without the padding."""
    return np.ascontiguousarray(np.moveaxis(maps[:, :, :height, :width], 1, 3))


def _pad_maps(maps: FloatArray, shape: tuple[int, ...], mode: str = "edge") -> FloatArray:
    """(F, C, h, w) → (F, C, *shape)."""
    border = ((0, 0), (0, 0), (0, shape[0] - maps.shape[2]), (0, shape[1] - maps.shape[3]))
    padded: FloatArray = np.pad(maps, border, mode=mode)  # type: ignore[call-overload]
    return padded
