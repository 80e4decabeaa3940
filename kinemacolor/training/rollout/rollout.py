"""A window colored like a film: block after block, each with the state left by the one before, with gradients.

The counterpart of ``kinemacolor.engine.network`` with gradients. What goes from block to block (propagated colors,
color memory, and the linkage subnet's memory between spans of blocks) is detached, so that the backward pass of a span
can run before the next one starts: the memory needed does not grow with the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.bank import Bank, entries
from kinemacolor.model.colorization import Propagated, color_spread
from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.linkage import LinkageMemory
from kinemacolor.model.network import Network
from kinemacolor.propagation.correspondence import BLEND, CONSISTENCY_WEIGHT, PREVIOUS_OUTPUT_DOUBT
from kinemacolor.training.config.sections import RolloutSection
from kinemacolor.training.data.samples import BatchTensors
from kinemacolor.training.losses.block import ColoredBlock

Value = TypeVar("Value")
_ROLLOUT_STREAM = 7
"""Separates the random draws of rollouts from those of samples, which have the same seed and index."""


class Rollout(Protocol):
    """The blocks of a batch, colored in order.

    Run the backward pass of the blocks up to each that ``ends_span`` before asking for the next, and
    ``backward_to_references`` after the last.
    """

    def __iter__(self) -> Iterator[ColoredBlock]: ...
    def backward_to_references(self) -> None:
        """Continues the backward passes of all blocks through what the blocks share."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RolloutDraws:
    """Random draws for each of B windows, (B,) bool.

    Attributes:
        dropped: the window gets no P.
        with_memory: its outputs join its bank (color memory).
    """

    dropped: Tensor
    with_memory: Tensor


def draw_rollout(
    options: RolloutSection, seed: int, indices: Sequence[int], device: torch.device | str = "cpu"
) -> RolloutDraws:
    """Draws for the samples of these indices, a function of seed and index alone."""
    chances = np.stack([np.random.default_rng((seed, index, _ROLLOUT_STREAM)).random(2) for index in indices])
    dropped, with_memory = chances[:, 0] < options.drop_propagated, chances[:, 1] < options.color_memory
    return RolloutDraws(torch.from_numpy(dropped).to(device), torch.from_numpy(with_memory).to(device))


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
    samples = functional.grid_sample(images, stacked, padding_mode="border", align_corners=True)
    return torch.unflatten(samples, 2, (count, -1)).movedim(2, 1)


def correspondence_similarity(
    keys: Tensor, coordinates: Tensor, bank: Bank, size: tuple[int, int], heads: int
) -> Tensor:
    """s_P: cosine of frames' keys with the reference's keys at the places their pixels come from.

    ``kinemacolor.engine.key_grid.correspondence_similarity`` with gradients, to the keys of both.

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
    bank_keys = bank.keys.gather(1, entry.unsqueeze(2).expand(-1, -1, bank.keys.shape[2]))
    cosine = (entries(keys) * bank_keys).sum(dim=2) / heads
    cosine = torch.where(bank.validity().gather(1, entry) > 0, cosine, -1.0)
    grid = cosine.reshape(-1, 1, *keys.shape[3:])
    enlarged = functional.interpolate(grid, scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False)
    return torch.unflatten(enlarged[..., :height, :width], 0, keys.shape[:2])


# --- a window --------------------


class WindowRollout:
    """The blocks of B windows in order, see ``Rollout``.

    Args:
        network: in training mode or not.
        tensors: the windows.
        draws: random draws for them.
        block: N; the last block may be shorter.
        autocast: type of autocast of the network's stages, or None.
        colored: False leaves out the third stage, where only keys are learned: blocks are gray then.
        gradient_blocks: blocks of a span, through which gradients pass by way of the linkage subnet's memory.
    """

    def __init__(
        self,
        network: Network,
        tensors: BatchTensors,
        draws: RolloutDraws,
        block: int,
        autocast: torch.dtype | None = None,
        *,
        colored: bool = True,
        gradient_blocks: int = 1,
    ) -> None:
        self._network, self._tensors, self._draws, self._block = network, tensors, draws, block
        self._autocast, self._colored, self._gradient_blocks = autocast, colored, gradient_blocks
        with self._casting():
            self._bank = network.start(tensors.reference_luminance, tensors.reference_ab, tensors.reference_mask)
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def _casting(self) -> torch.autocast:
        device = self._tensors.luminance.device.type
        return torch.autocast(device, self._autocast or torch.bfloat16, enabled=self._autocast is not None)

    def __iter__(self) -> Iterator[ColoredBlock]:
        length, with_memory = self._tensors.luminance.shape[1], self._draws.with_memory
        bank = _as_leaves(self._bank, self._leaves)
        memory: LinkageMemory | None = None
        last: tuple[Tensor, Tensor] | None = None  # ab and similarity of the last colored frame
        for number, first in enumerate(range(0, length, self._block), 1):
            frames = slice(first, min(first + self._block, length))
            with self._casting():
                block, similarity, keys, memory = self._color(frames, bank, memory, last)
            ends_span = number % self._gradient_blocks == 0 or frames.stop == length
            yield replace(block, ends_span=ends_span)
            if memory is not None and ends_span:
                memory = memory.detached()
            last = block.ab[:, -1].detach(), similarity[:, -1].detach()
            if bool(with_memory.any()):
                valid = with_memory.to(keys.dtype).view(-1, 1, 1, 1, 1).expand(-1, 1, 1, *keys.shape[3:])
                bank = bank.with_past_outputs(keys[:, -1:].detach(), block.ab[:, -1:].detach(), valid)

    def backward_to_references(self) -> None:
        """Runs the backward pass through the references' bank, which all blocks share."""
        pairs = [(tensor, leaf.grad) for tensor, leaf in self._leaves if leaf.grad is not None]
        if pairs:
            torch.autograd.backward([tensor for tensor, _ in pairs], [grad for _, grad in pairs])
        self._leaves.clear()

    def _color(
        self, frames: slice, bank: Bank, memory: LinkageMemory | None, last: tuple[Tensor, Tensor] | None
    ) -> tuple[ColoredBlock, Tensor, Tensor, LinkageMemory | None]:
        """The block, its similarity, keys, and the memory after it: ``Network.step``, with P weighted by the keys."""
        network, luma = self._network, self._tensors.luminance[:, frames]
        luminance, (height, width) = network.pad(luma), luma.shape[3:]
        representation = network.represent(network.encode(luminance), network.inside(luma), memory, bank.references)
        rows, columns = (-(-side // KEY_STRIDE) for side in (height, width))
        keys = representation.keys[..., :rows, :columns]
        if not self._colored:
            gray = torch.zeros_like(self._tensors.ab[:, frames])
            block = ColoredBlock(frames, gray, None, None, None, None, keys, bank)
            return block, gray[:, :, :1], keys, representation.memory
        propagated = has_propagated = None
        if network.config.propagation and self._tensors.coordinates is not None:
            propagated, has_propagated = self._propagated(frames, keys, bank, last)
            propagated = propagated.map_each(network.pad)
        colors, similarity = network.colorize(luminance, representation, bank, propagated)
        ab = colors.ab[..., :height, :width].float()
        logits = candidates = available = None
        if colors.logits is not None and colors.candidates is not None:
            logits, candidates = colors.logits[..., :height, :width], colors.candidates[..., :height, :width]
            available = torch.ones_like(logits)
            if network.config.propagation:
                available[:, :, network.config.heads] = 0 if has_propagated is None else has_propagated[:, :, 0]
        before = None if last is None else last[0].unsqueeze(1)
        block = ColoredBlock(frames, ab, before, logits, candidates, available, keys, bank)
        return block, similarity[..., :height, :width].float(), keys, representation.memory

    def _propagated(
        self, frames: slice, keys: Tensor, bank: Bank, last: tuple[Tensor, Tensor] | None
    ) -> tuple[Propagated, Tensor]:
        """P of a block, and 1 where there is one, else 0 (B, N, 1, H, W)."""
        t, heads = self._tensors, self._network.config.heads
        assert t.coordinates is not None
        assert t.consistency is not None
        coordinates, path_consistency = t.coordinates[:, frames], t.consistency[:, frames]
        mask = t.reference_mask[:, 0]
        colors = torch.cat([t.reference_ab[:, 0] * mask, mask], dim=1)
        size = (mask.shape[2], mask.shape[3])
        paths = coordinates.unbind(2)
        similarities = [correspondence_similarity(keys, path, bank, size, heads) for path in paths]
        path_similarity = torch.stack(similarities, dim=2).to(colors.dtype)
        shares = torch.softmax((path_similarity + CONSISTENCY_WEIGHT * path_consistency) / BLEND, dim=2)
        path_colors = torch.stack([sample_at(colors, path) for path in paths], dim=2)
        maps = (path_colors, path_similarity, path_consistency)
        masked_ab, similarity, consistency = ((shares * path_map).sum(dim=2) for path_map in maps)
        ab, exists = masked_ab[:, :, :2], (masked_ab[:, :, 2:] > 0.5).to(masked_ab.dtype)
        mean_square = (shares * path_colors[:, :, :, :2].square().sum(dim=3, keepdim=True)).sum(dim=2)
        spread = color_spread(ab, mean_square)
        chained = t.chained.view(-1, 1, 1, 1, 1)
        if last is None:
            exists = exists * chained
        else:  # without a chain, the colors of the frame before the block are propagated
            previous = sample_at(torch.cat(last, dim=1), coordinates[:, :, 0])
            ab = torch.where(chained, ab, previous[:, :, :2])
            similarity = torch.where(chained, similarity, previous[:, :, 2:] - PREVIOUS_OUTPUT_DOUBT)
            exists = torch.where(chained, exists, 1.0)
            spread = torch.where(chained, spread, 0.0)
        exists = exists * ~self._draws.dropped.view(-1, 1, 1, 1, 1)
        nothing = Propagated.nothing(t.luminance[:, frames])
        parts = ((ab, nothing.ab), (similarity, nothing.similarity), (consistency, nothing.consistency))
        candidate = Propagated(*(torch.where(exists > 0, a, b) for a, b in parts), spread=spread * exists)
        return candidate, exists


def _as_leaves(value: Value, leaves: list[tuple[Tensor, Tensor]]) -> Value:
    """A record whose tensors are leaves of a graph of their own; ``leaves`` gets pairs of a tensor and its leaf."""
    changes: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        parts = value._asdict()
    for name, part in parts.items():
        if isinstance(part, Tensor):
            if part.requires_grad:
                leaf = part.detach().requires_grad_()
                leaves.append((part, leaf))
                changes[name] = leaf
        elif part is not None:
            changes[name] = _as_leaves(part, leaves)
    if isinstance(value, tuple) and hasattr(value, "_replace"):
        return value._replace(**changes)  # type: ignore[no-any-return]
    return replace(value, **changes)  # type: ignore[type-var]
