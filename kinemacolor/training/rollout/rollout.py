"""A window colored as a film is: block after block, with what each hands to the next, and gradients within blocks.

The counterpart of ``kinemacolor.engine.network`` with gradients. What goes from block to block (memory,
colors carried, colors remembered) is detached, so that losses of a block can go backward before the next one starts:
memory does not grow with the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.bank import Bank, entries
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.linkage import Memory
from kinemacolor.model.network import Network
from kinemacolor.propagation.correspondence import BLEND, CONSISTENCY_WEIGHT, PREVIOUS_OUTPUT_DOUBT
from kinemacolor.training.config.sections import RolloutPart
from kinemacolor.training.data.loader import Tensors

Value = TypeVar("Value")
_DRAWS = 7
"""Tells draws of rollouts from those of samples, which are made from the same seed and index."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """N frames of B windows, colored.

    Attributes:
        frames: which of the windows' they are.
        ab: (B, N, 2, H, W).
        before: ab of the frame before the block (B, 1, 2, H, W), detached; None for the first block.
        logits: of the gate (B, N, K, H, W), or None without one.
        candidates: what it chooses among (B, N, K, 2, H, W), see ``Colors``; or None.
        offered: (B, N, K, H, W), 0 where a candidate is no color; or None.
        keys: of the frames (B, N, heads · C, rows, columns); None in a replay.
        bank: that they were matched with; its first entries are the reference's, row by row. None in a replay.
    """

    frames: slice
    ab: Tensor
    before: Tensor | None
    logits: Tensor | None
    candidates: Tensor | None
    offered: Tensor | None
    keys: Tensor | None
    bank: Bank | None


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What chance does to each of B windows, (B,) bool.

    Attributes:
        dropped: gets no P.
        remembering: its outputs join its bank.
    """

    dropped: Tensor
    remembering: Tensor


def draw(options: RolloutPart, seed: int, indices: Sequence[int], device: torch.device | str = "cpu") -> Draws:
    """Draws for samples, a function of seed and index alone."""
    chances = np.stack([np.random.default_rng((seed, index, _DRAWS)).random(2) for index in indices])
    dropped, remembering = chances[:, 0] < options.drop_carried, chances[:, 1] < options.color_memory
    return Draws(torch.from_numpy(dropped).to(device), torch.from_numpy(remembering).to(device))


# --- the candidate P --------------------


def sample_at(images: Tensor, coordinates: Tensor) -> Tensor:
    """Bilinear samples, edges continued: ``kinemacolor.propagation.correspondence.sample`` for tensors.

    Args:
        images: (B, C, h, w).
        coordinates: (B, N, 2, H, W), (x, y) pixels.

    Returns:
        (B, N, C, H, W).
    """
    count = coordinates.shape[1]
    size = torch.tensor([images.shape[3] - 1, images.shape[2] - 1], dtype=images.dtype, device=images.device)
    grid = coordinates.movedim(2, 4) * (2 / size.clamp(min=1)) - 1  # (B, N, H, W, 2)
    stacked = grid.flatten(1, 2)  # frames below each other, so that one call samples them all
    found = functional.grid_sample(images, stacked, padding_mode="border", align_corners=True)
    return torch.unflatten(found, 2, (count, -1)).movedim(2, 1)


def place_similarity(keys: Tensor, coordinates: Tensor, bank: Bank, size: tuple[int, int], heads: int) -> Tensor:
    """s_P: cosine of frames' keys with the reference's at the places their pixels come from.

    ``kinemacolor.engine.key_grid.place_similarity`` with gradients, to the keys of both.

    Args:
        keys: (B, N, heads · C, rows, columns), of unit length in each head.
        coordinates: (B, N, 2, H, W), (x, y) pixels in the reference.
        bank: whose first entries are the reference's, row by row.
        size: (height, width) of the reference.
        heads: of the keys.

    Returns:
        (B, N, 1, H, W); −1 where the entry is invalid.
    """
    middle, height, width = KEY_STRIDE // 2, coordinates.shape[3], coordinates.shape[4]
    rows, columns = (-(-side // KEY_STRIDE) for side in size)
    at = coordinates[..., middle::KEY_STRIDE, middle::KEY_STRIDE]
    short = (0, keys.shape[4] - at.shape[4], 0, keys.shape[3] - at.shape[3])
    at = torch.unflatten(functional.pad(at.flatten(0, 1), short, mode="replicate"), 0, keys.shape[:2])
    cell = torch.round((at - middle) / KEY_STRIDE)
    x, y = cell[:, :, 0].clamp(0, columns - 1), cell[:, :, 1].clamp(0, rows - 1)
    entry = (y * columns + x).long().flatten(1)  # (B, N · rows · columns)
    known = bank.keys.gather(1, entry.unsqueeze(2).expand(-1, -1, bank.keys.shape[2]))
    cosine = (entries(keys) * known).sum(dim=2) / heads
    cosine = torch.where(bank.marks().gather(1, entry) > 0, cosine, -1.0)
    grid = cosine.reshape(-1, 1, *keys.shape[3:])
    grown = functional.interpolate(grid, scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False)
    return torch.unflatten(grown[..., :height, :width], 0, keys.shape[:2])


# --- a window --------------------


class Window:
    """The blocks of B windows in order. Go backward from each before asking for the next, then call ``finish``.

    Args:
        network: in training mode or not.
        tensors: the windows.
        draws: what chance does to them.
        block: N; the last block may be shorter.
        autocast: type of autocast of the network's stages, or None.
        colored: False leaves the third stage out, where only keys are learned: blocks are gray then.
    """

    def __init__(
        self,
        network: Network,
        tensors: Tensors,
        draws: Draws,
        block: int,
        autocast: torch.dtype | None = None,
        *,
        colored: bool = True,
    ) -> None:
        self._network, self._tensors, self._draws, self._block = network, tensors, draws, block
        self._autocast, self._colored = autocast, colored
        with self._casting():
            self._bank = network.start(tensors.reference_luminance, tensors.reference_ab, tensors.reference_mask)
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def _casting(self) -> torch.autocast:
        device = self._tensors.luminance.device.type
        return torch.autocast(device, self._autocast or torch.bfloat16, enabled=self._autocast is not None)

    def __iter__(self) -> Iterator[Block]:
        t = self._tensors
        bank = _cut(self._bank, self._leaves)
        memory: Memory | None = None
        last: tuple[Tensor, Tensor] | None = None  # ab and similarity of the last frame colored
        for first in range(0, t.luminance.shape[1], self._block):
            frames = slice(first, min(first + self._block, t.luminance.shape[1]))
            with self._casting():
                block, similarity, keys, memory = self._color(frames, bank, memory, last)
            yield block
            memory = memory.detached() if memory else None
            last = block.ab[:, -1].detach(), similarity[:, -1].detach()
            if bool(self._draws.remembering.any()):
                marks = self._draws.remembering.to(keys.dtype).view(-1, 1, 1, 1, 1)
                marks = marks.expand(-1, 1, 1, *keys.shape[3:])
                bank = bank.remembering(keys[:, -1:].detach(), block.ab[:, -1:].detach(), marks)

    def finish(self) -> None:
        """Goes backward through the reference, after all blocks."""
        pairs = [(made, leaf.grad) for made, leaf in self._leaves if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([made for made, _ in pairs], [grad for _, grad in pairs])
        self._leaves.clear()

    def _color(
        self, frames: slice, bank: Bank, memory: Memory | None, last: tuple[Tensor, Tensor] | None
    ) -> tuple[Block, Tensor, Tensor, Memory | None]:
        """The block, its similarity, keys, and the memory after it: ``Network.step`` with P judged by the keys."""
        network, luma = self._network, self._tensors.luminance[:, frames]
        luminance, (height, width) = network.pad(luma), luma.shape[3:]
        found = network.represent(network.encode(luminance), network.inside(luma), memory, bank.stills)
        rows, columns = (-(-side // KEY_STRIDE) for side in (height, width))
        keys = found.keys[..., :rows, :columns]
        if not self._colored:
            gray = torch.zeros_like(self._tensors.ab[:, frames])
            return Block(frames, gray, None, None, None, None, keys, bank), gray[:, :, :1], keys, found.memory
        propagated = given = None
        if network.config.propagation and self._tensors.coordinates is not None:
            propagated, given = self._carried(frames, keys, bank, last)
            parts = (propagated.ab, propagated.similarity, propagated.agreement)
            propagated = Propagated(*(network.pad(part) for part in parts))
        colors, similarity = network.colorize(luminance, found, bank, propagated)
        ab = colors.ab[..., :height, :width].float()
        logits = candidates = offered = None
        if colors.logits is not None and colors.candidates is not None:
            logits, candidates = colors.logits[..., :height, :width], colors.candidates[..., :height, :width]
            offered = torch.ones_like(logits)
            if network.config.propagation:
                offered[:, :, network.config.heads] = 0 if given is None else given[:, :, 0]
        before = None if last is None else last[0].unsqueeze(1)
        block = Block(frames, ab, before, logits, candidates, offered, keys, bank)
        return block, similarity[..., :height, :width].float(), keys, found.memory

    def _carried(
        self, frames: slice, keys: Tensor, bank: Bank, last: tuple[Tensor, Tensor] | None
    ) -> tuple[Propagated, Tensor]:
        """P of a block, and where there is one (B, N, 1, H, W)."""
        t, heads = self._tensors, self._network.config.heads
        assert t.coordinates is not None
        assert t.agreement is not None
        coordinates, agreement = t.coordinates[:, frames], t.agreement[:, frames]
        mask = t.reference_mask[:, 0]
        colors = torch.cat([t.reference_ab[:, 0] * mask, mask], dim=1)
        size = (mask.shape[2], mask.shape[3])
        similarities = [place_similarity(keys, each, bank, size, heads) for each in coordinates.unbind(2)]
        support = torch.stack(similarities, dim=2).to(colors.dtype)
        shares = torch.softmax((support + CONSISTENCY_WEIGHT * agreement) / BLEND, dim=2)
        samples = torch.stack([sample_at(colors, each) for each in coordinates.unbind(2)], dim=2)
        found, similarity, agreement = ((shares * x).sum(dim=2) for x in (samples, support, agreement))
        ab, given = found[:, :, :2], (found[:, :, 2:] > 0.5).to(found.dtype)
        chained = t.chained.view(-1, 1, 1, 1, 1)
        if last is None:
            given = given * chained
        else:  # without a chain, what the frame before the block was given is carried on
            previous = sample_at(torch.cat(last, dim=1), coordinates[:, :, 0])
            ab = torch.where(chained, ab, previous[:, :, :2])
            similarity = torch.where(chained, similarity, previous[:, :, 2:] - PREVIOUS_OUTPUT_DOUBT)
            given = torch.where(chained, given, 1.0)
        given = given * ~self._draws.dropped.view(-1, 1, 1, 1, 1)
        there = given > 0
        nothing = Propagated.nothing(t.luminance[:, frames])
        parts = ((ab, nothing.ab), (similarity, nothing.similarity), (agreement, nothing.agreement))
        return Propagated(*(torch.where(there, a, b) for a, b in parts)), given


def _cut(value: Value, leaves: list[tuple[Tensor, Tensor]]) -> Value:
    """A value whose tensors are leaves of their own graph; ``leaves`` gets pairs of those made and their leaves."""
    changes: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: getattr(value, one.name) for one in fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        parts = value._asdict()
    for name, part in parts.items():
        if isinstance(part, Tensor):
            if part.requires_grad:
                leaf = part.detach().requires_grad_()
                leaves.append((part, leaf))
                changes[name] = leaf
        elif part is not None:
            changes[name] = _cut(part, leaves)
    if isinstance(value, tuple) and hasattr(value, "_replace"):
        return value._replace(**changes)  # type: ignore[no-any-return]
    return replace(value, **changes)  # type: ignore[type-var]
