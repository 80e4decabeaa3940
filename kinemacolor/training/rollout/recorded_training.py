"""Training from recorded inputs: crops of recorded blocks, and the colorization subnet run on them."""

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
from kinemacolor.training.losses.block import ColoredBlock
from kinemacolor.training.rollout.recorded_inputs import MapLayout, RecordedInputs

NOT_PROPAGATED = -0.999
"""Similarity up to which a pixel has no propagated color."""
_CROP_STREAM = 11
"""Separates the random draws of crops from those of samples, which have the same seed and index."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedCrop:
    """A part of a recorded block.

    Attributes:
        maps: (N, channels, H, W) float32, see ``MapLayout``.
        hidden: (N, h, w, d) float32.
        corner: (row, column) of the upper left token in the whole frame.
        tokens: (rows, columns) of the whole frame.
        name: of the window and the block.
    """

    maps: FloatArray
    hidden: FloatArray
    corner: tuple[int, int]
    tokens: tuple[int, int]
    name: str


class CropSampler:
    """Crops by number; no two calls depend on each other.

    Args:
        recorded: windows, all of one network.
        layout: of their maps.
        size: (H, W) of crops, multiples of the network's stride, at most those of the windows.
        augmentation: of which mirror, rotate and saturate apply here.
        seed: of all draws.
        drop_propagated: probability that a crop gets no P.

    Raises:
        UsageError: windows are smaller than ``size``.
    """

    def __init__(
        self,
        recorded: Sequence[RecordedInputs],
        layout: MapLayout,
        size: tuple[int, int],
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        drop_propagated: float = 0.0,
    ) -> None:
        self.recorded, self.layout, self.seed, self.drop_propagated = recorded, layout, seed, drop_propagated
        self.augmentation = augmentation or Augmentation()
        stride = layout.config.token_stride
        self._tokens = (size[0] // stride, size[1] // stride)
        for window in recorded:
            if min(have - want for have, want in zip(window.hidden.shape[2:4], self._tokens, strict=True)) < 0:
                have = "×".join(str(side) for side in window.maps.shape[3:])
                problem = f"{size[0]}×{size[1]} is larger than the recorded windows of {have}"
                raise UsageError("data.size", problem, "choose a smaller size")

    def sample(self, index: int) -> RecordedCrop:
        """Crop ``index`` ≥ 0."""
        noise = np.random.default_rng((self.seed, index, _CROP_STREAM))
        options, stride = self.augmentation, self.layout.config.token_stride
        number = int(noise.integers(len(self.recorded)))
        window = self.recorded[number]
        block = int(noise.integers(len(window.maps)))
        tokens = window.hidden.shape[2:4]
        row, column = (int(noise.integers(have - want + 1)) for have, want in zip(tokens, self._tokens, strict=True))
        rows, columns = (slice(at, at + n) for at, n in zip((row, column), self._tokens, strict=True))
        pixels = (slice(row * stride, rows.stop * stride), slice(column * stride, columns.stop * stride))
        maps = np.array(window.maps[block][..., pixels[0], pixels[1]], dtype=np.float32)
        hidden = np.array(window.hidden[block][:, rows, columns], dtype=np.float32)
        if noise.random() < options.mirror:
            maps, hidden = np.ascontiguousarray(maps[..., ::-1]), np.ascontiguousarray(hidden[:, :, ::-1])
        self._recolor(noise, maps)
        if self.layout.config.propagation and noise.random() < self.drop_propagated:
            self.layout.drop_propagated(maps)
        return RecordedCrop(maps, hidden, (row, column), (int(tokens[0]), int(tokens[1])), f"{number}, block {block}")

    def _recolor(self, noise: np.random.Generator, maps: FloatArray) -> None:
        """Rotates and scales the ab plane of candidates and truth, in place."""
        options = self.augmentation
        angle = noise.uniform(0, 2 * np.pi) if noise.random() < options.rotate else 0.0
        scale = noise.uniform(*options.saturation) if noise.random() < options.saturate else 1.0
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for first in self.layout.ab_channels:
            ab = maps[:, first : first + 2]
            maps[:, first : first + 2] = np.einsum("ij,njhw->nihw", matrix.astype(np.float32), ab)
        maps[:, self.layout.spread_channels] *= np.float32(scale)


@dataclass(frozen=True, slots=True, eq=False)
class CropBatch:
    """B crops.

    Attributes:
        maps: (B, N, channels, H, W) float32.
        hidden: (B, N, h, w, d) float32.
        corners, tokens: (B, 2) int64, see ``RecordedCrop``.
        names: of windows and blocks.
        indices: of the crops.
    """

    maps: FloatArray
    hidden: FloatArray
    corners: Array
    tokens: Array
    names: tuple[str, ...]
    indices: tuple[int, ...]

    def arrays(self) -> dict[str, Array]:
        """The arrays, by field: saved when a batch breaks a run."""
        return {"maps": self.maps, "hidden": self.hidden, "corners": self.corners, "tokens": self.tokens}


def stack_crops(crops: Sequence[RecordedCrop], indices: Sequence[int]) -> CropBatch:
    """Crops of one size as a batch."""
    return CropBatch(
        np.stack([crop.maps for crop in crops]),
        np.stack([crop.hidden for crop in crops]),
        np.array([crop.corner for crop in crops]),
        np.array([crop.tokens for crop in crops]),
        tuple(crop.name for crop in crops),
        tuple(indices),
    )


@dataclass(frozen=True, slots=True, eq=False)
class CropTensors:
    """A batch on its device, with the truth as the losses need it.

    Attributes:
        maps: (B, N, channels, H, W).
        hidden: ho_t (B, T, d), or None without the Transformer branch.
        positions: (B, T, d) of those tokens, or None.
        lightness: (B, N, 1, H, W), L* of the truth.
        ab: (B, N, 2, H, W), the truth.
        matches, flow, visible: None, since the blocks of a batch do not follow one another.
    """

    maps: Tensor
    hidden: Tensor | None
    positions: Tensor | None
    lightness: Tensor
    ab: Tensor
    matches: None = None
    flow: None = None
    visible: None = None


def crop_tensors(batch: CropBatch, layout: MapLayout, device: str | torch.device = "cpu") -> CropTensors:
    """A batch as tensors on a device."""
    maps, grid = torch.from_numpy(batch.maps).to(device), torch.from_numpy(batch.hidden).to(device)
    hidden = positions = None
    if grid.shape[4]:
        hidden, (count, rows, columns, width) = grid.flatten(1, 3), grid.shape[1:]
        crop_positions = []
        for (row, column), (height, breadth) in zip(batch.corners.tolist(), batch.tokens.tolist(), strict=True):
            times = torch.arange(1, count + 1, dtype=maps.dtype)
            whole = sine_positions(times, count, height, breadth, width).reshape(count, height, breadth, width)
            crop_positions.append(whole[:, row : row + rows, column : column + columns].reshape(-1, width))
        positions = torch.stack(crop_positions).to(device)
    truth = maps[:, :, layout.input_channels :]
    return CropTensors(maps, hidden, positions, 50 * (truth[:, :, :1] + 1), truth[:, :, 1:])


class RecordedRollout:
    """Crops, colored: a ``Rollout`` of one block.

    Args:
        network: whose colorization subnet learns.
        tensors: the crops.
        layout: of their maps.
        autocast: type of autocast, or None.
    """

    def __init__(
        self, network: Network, tensors: CropTensors, layout: MapLayout, autocast: torch.dtype | None = None
    ) -> None:
        self._network, self._tensors, self._layout, self._autocast = network, tensors, layout, autocast

    def __iter__(self) -> Iterator[ColoredBlock]:
        t, layout = self._tensors, self._layout
        candidates = layout.candidates(t.maps)
        with torch.autocast(t.maps.device.type, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            colors = self._network.colorization(layout.luminance(t.maps), candidates, None, t.hidden, t.positions)
        available = None
        if colors.logits is not None:
            available = torch.ones_like(colors.logits)
            for k, candidate in enumerate(candidates):
                if isinstance(candidate, Propagated):
                    available[:, :, k] = (candidate.similarity[:, :, 0] > NOT_PROPAGATED).to(available.dtype)
        frames = slice(0, t.maps.shape[1])
        yield ColoredBlock(frames, colors.ab.float(), None, colors.logits, colors.candidates, available, None, None)

    def backward_to_references(self) -> None:
        """Does nothing: references have no part in recorded inputs."""
