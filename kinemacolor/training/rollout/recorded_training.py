"""Learning from traces: crops of blocks that were colored as in use, and the colorization subnet at work on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.network import Network
from kinemacolor.model.positions import sine_positions
from kinemacolor.training.config.augmentation import Augmentation
from kinemacolor.training.rollout.recorded_inputs import Layout, RecordedInputs
from kinemacolor.training.rollout.rollout import Block

NOTHING = -0.999
"""Similarity up to which nothing was carried."""
_DRAWS = 11
"""Tells draws of replays from those of samples, which are made from the same seed and index."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of a block of a trace.

    Attributes:
        maps: (N, channels, H, W) float32, see ``Layout``.
        hidden: (N, h, w, d) float32.
        corner: (row, column) of the token at the upper left, in the trace.
        tokens: (rows, columns) of the trace.
        name: of the trace and block.
    """

    maps: FloatArray
    hidden: FloatArray
    corner: tuple[int, int]
    tokens: tuple[int, int]
    name: str


class Replays:
    """Crops by number; no two calls depend on each other.

    Args:
        traces: of one network.
        layout: of their maps.
        size: (H, W) of crops, multiples of the network's stride, at most that of the traces.
        augmentation: of which mirror, rotate and saturate count here.
        seed: of all that is drawn.
        drop_carried: probability that a crop gets no P.

    Raises:
        UsageError: traces are smaller than ``size``.
    """

    def __init__(
        self,
        traces: Sequence[RecordedInputs],
        layout: Layout,
        size: tuple[int, int],
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        drop_carried: float = 0.0,
    ) -> None:
        self.traces, self.layout, self.seed, self.drop_carried = traces, layout, seed, drop_carried
        self.augmentation = augmentation or Augmentation()
        stride = layout.config.token_stride
        self._shape = (size[0] // stride, size[1] // stride)
        for trace in traces:
            if min(have - want for have, want in zip(trace.hidden.shape[2:4], self._shape, strict=True)) < 0:
                have = "×".join(str(side) for side in trace.maps.shape[3:])
                raise UsageError("data.size", f"{size[0]}×{size[1]} is larger than traces of {have}", "take less")

    def sample(self, index: int) -> Crop:
        """Crop ``index`` ≥ 0."""
        noise = np.random.default_rng((self.seed, index, _DRAWS))
        options, stride = self.augmentation, self.layout.config.token_stride
        number = int(noise.integers(len(self.traces)))
        trace = self.traces[number]
        block = int(noise.integers(len(trace.maps)))
        tokens = trace.hidden.shape[2:4]
        row, column = (int(noise.integers(have - want + 1)) for have, want in zip(tokens, self._shape, strict=True))
        rows, columns = (slice(at, at + n) for at, n in zip((row, column), self._shape, strict=True))
        pixels = (slice(row * stride, rows.stop * stride), slice(column * stride, columns.stop * stride))
        maps = np.array(trace.maps[block][..., pixels[0], pixels[1]], dtype=np.float32)
        hidden = np.array(trace.hidden[block][:, rows, columns], dtype=np.float32)
        if noise.random() < options.mirror:
            maps, hidden = np.ascontiguousarray(maps[..., ::-1]), np.ascontiguousarray(hidden[:, :, ::-1])
        angle = noise.uniform(0, 2 * np.pi) if noise.random() < options.rotate else 0.0
        scale = noise.uniform(*options.saturation) if noise.random() < options.saturate else 1.0
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for first in self.layout.colors:
            maps[:, first : first + 2] = np.einsum("ij,njhw->nihw", turn.astype(np.float32), maps[:, first : first + 2])
        if self.layout.config.propagation and noise.random() < self.drop_carried:
            self.layout.without_carried(maps)
        return Crop(maps, hidden, (row, column), (int(tokens[0]), int(tokens[1])), f"{number}, block {block}")


@dataclass(frozen=True, slots=True, eq=False)
class ReplayBatch:
    """B crops.

    Attributes:
        maps: (B, N, channels, H, W) float32.
        hidden: (B, N, h, w, d) float32.
        corners, tokens: (B, 2) int64, see ``Crop``.
        names: of traces and blocks.
        indices: of the crops.
    """

    maps: FloatArray
    hidden: FloatArray
    corners: Array
    tokens: Array
    names: tuple[str, ...]
    indices: tuple[int, ...]

    def arrays(self) -> dict[str, Array]:
        """The arrays, by field: what to save of a batch that broke a run."""
        return {"maps": self.maps, "hidden": self.hidden, "corners": self.corners, "tokens": self.tokens}


def stack_crops(crops: Sequence[Crop], indices: Sequence[int]) -> ReplayBatch:
    """Crops of one size as a batch."""
    return ReplayBatch(
        np.stack([one.maps for one in crops]),
        np.stack([one.hidden for one in crops]),
        np.array([one.corner for one in crops]),
        np.array([one.tokens for one in crops]),
        tuple(one.name for one in crops),
        tuple(indices),
    )


@dataclass(frozen=True, slots=True, eq=False)
class ReplayTensors:
    """A batch on its device, with the truth as the losses ask for it.

    Attributes:
        maps: (B, N, channels, H, W).
        hidden: ho_t (B, T, d), or None without the Transformer branch.
        positions: (B, T, d) of those tokens, or None.
        lightness: (B, N, 1, H, W), L* of the truth.
        ab: (B, N, 2, H, W), the truth.
        matches, flow, visible: None; blocks of a batch do not follow one another.
    """

    maps: Tensor
    hidden: Tensor | None
    positions: Tensor | None
    lightness: Tensor
    ab: Tensor
    matches: None = None
    flow: None = None
    visible: None = None


def replay_tensors(batch: ReplayBatch, layout: Layout, device: str | torch.device = "cpu") -> ReplayTensors:
    """A batch as tensors on a device."""
    maps, grid = torch.from_numpy(batch.maps).to(device), torch.from_numpy(batch.hidden).to(device)
    hidden = positions = None
    if grid.shape[4]:
        hidden, (count, rows, columns, width) = grid.flatten(1, 3), grid.shape[1:]
        found = []
        for (row, column), (height, breadth) in zip(batch.corners.tolist(), batch.tokens.tolist(), strict=True):
            times = torch.arange(1, count + 1, dtype=maps.dtype)
            whole = sine_positions(times, count, height, breadth, width).reshape(count, height, breadth, width)
            found.append(whole[:, row : row + rows, column : column + columns].reshape(-1, width))
        positions = torch.stack(found).to(device)
    truth = maps[:, :, layout.given :]
    return ReplayTensors(maps, hidden, positions, 50 * (truth[:, :, :1] + 1), truth[:, :, 1:])


class Replay:
    """Crops, colored: as ``rollout.Window``, an iterable of blocks, here one.

    Args:
        network: whose colorization subnet learns.
        tensors: the crops.
        layout: of their maps.
        autocast: type of autocast, or None.
    """

    def __init__(
        self, network: Network, tensors: ReplayTensors, layout: Layout, autocast: torch.dtype | None = None
    ) -> None:
        self._network, self._tensors, self._layout, self._autocast = network, tensors, layout, autocast

    def __iter__(self) -> Iterator[Block]:
        t, layout = self._tensors, self._layout
        candidates = layout.candidates(t.maps)
        with torch.autocast(t.maps.device.type, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            made = self._network.colorization(layout.luminance(t.maps), candidates, None, t.hidden, t.positions)
        offered = None
        if made.logits is not None:
            offered = torch.ones_like(made.logits)
            for k, one in enumerate(candidates):
                if isinstance(one, Propagated):
                    offered[:, :, k] = (one.similarity[:, :, 0] > NOTHING).to(offered.dtype)
        frames = slice(0, t.maps.shape[1])
        yield Block(frames, made.ab.float(), None, made.logits, made.candidates, offered, None, None)

    def finish(self) -> None:
        """Nothing is left to go backward through."""
