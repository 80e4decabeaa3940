"""Descriptors: features that were trained to match, beside those of the backbone. They are ours, not the paper's.

A small network reads luminance and the backbone's taps. Its output becomes one more tap of the heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

CONTEXT_STRIDE = 16
"""Side in pixels of a cell of the branch that sees far."""
FIRST_TAU = 0.03
"""Temperature of descriptors and taps before they are trained."""
_KERNEL = 7
_RESIDUAL_START = 0.1


class DepthwiseBlock(nn.Module):
    """x + a depthwise 7×7 convolution and two 1×1 convolutions of x: (n, C, h, w) → the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, _KERNEL, padding=_KERNEL // 2, groups=channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.reduce = nn.Conv2d(2 * channels, channels, 1)
        with torch.no_grad():
            self.reduce.weight.mul_(_RESIDUAL_START)

    def forward(self, features: Tensor) -> Tensor:
        """(n, C, h, w) → the same shape."""
        return features + self.reduce(functional.relu(self.expand(self.depthwise(features))))  # type: ignore[no-any-return]


class DescriptorNetwork(nn.Module):
    """Luminance and the backbone's taps → descriptors at /4.

    Args:
        tap_channels: of the taps; the first one is at /4, the others are coarser.
        width: channels at /4, and of the context branch at /16.
        blocks: number of residual blocks at /4 and at /16.
        channels: of the descriptors.

    Attributes:
        weight: of the descriptors beside the taps, each of unit length, where these match without heads.
        warmth: logarithm of the temperature at which they do, over ``FIRST_TAU``. Both are learned, and read where
            descriptors are trained alone.
    """

    def __init__(self, tap_channels: Sequence[int], width: int, blocks: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, width // 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(width // 4, width, 3, 2, 1))
        self.from_taps = nn.ModuleList(nn.Conv2d(count, width, 1, bias=False) for count in tap_channels)
        self.context = nn.Sequential(
            nn.Conv2d(width, width, 1), *(DepthwiseBlock(width) for _ in range(blocks[1])), nn.Conv2d(width, width, 1)
        )
        self.blocks = nn.Sequential(*(DepthwiseBlock(width) for _ in range(blocks[0])))
        self.to_descriptors = nn.Conv2d(width, channels, 1)
        self.weight = nn.Parameter(torch.ones(()))
        self.warmth = nn.Parameter(torch.zeros(()))

    @property
    def tau(self) -> Tensor:
        """Temperature at which descriptors and taps match without heads."""
        return FIRST_TAU * self.warmth.exp()

    def forward(self, luminance: Tensor, taps: Sequence[Tensor]) -> Tensor:
        """Luminance (n, 1, H, W) in [-1, 1], H and W multiples of 16, and taps (n, C, h, w) → (n, channels, H/4, W/4),
        not normalized."""
        # Of unit length, as the heads take them, times √C: each number about 1, whatever the backbone's scale.
        fine, *coarse = (
            layer(functional.normalize(tap, dim=1) * tap.shape[1] ** 0.5)
            for layer, tap in zip(self.from_taps, taps, strict=True)
        )
        features = self.image(luminance) + fine
        for part in coarse:
            features = features + _enlarged(part, features)
        features = functional.relu(features)
        context = self.context(functional.avg_pool2d(features, CONTEXT_STRIDE // 4))
        return self.to_descriptors(self.blocks(features + _enlarged(context, features)))  # type: ignore[no-any-return]


def _enlarged(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)
