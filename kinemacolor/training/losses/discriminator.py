"""The discriminator of Deep Exemplar-based Video Colorization (Zhang et al. 2019), which the paper adopts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from kinemacolor.training.config.sections import DISCRIMINATOR_MINIMUM_SIDE

DISCRIMINATOR_CHANNELS = (64, 64, 128, 256, 512, 1024)


class SelfAttention(nn.Module):
    """Self-attention over positions (Zhang et al. 2018, SAGAN), added with a learned weight that starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = spectral_norm(nn.Conv2d(channels, inner, 1))
        self.key = spectral_norm(nn.Conv2d(channels, inner, 1))
        self.value = spectral_norm(nn.Conv2d(channels, channels, 1))
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        q, k, v = (layer(features).flatten(2).transpose(1, 2)[:, None] for layer in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(q, k, v, scale=1.0)  # SAGAN's energies are not scaled
        residual: Tensor = self.weight * torch.unflatten(mixed[:, 0].transpose(1, 2), 2, features.shape[2:])
        return features + residual


class Discriminator(nn.Module):
    """Rates how real two consecutive frames look: six 4×4 convolutions of stride 2, self-attention after the second,
    and a mean.

    Spectral normalization on every convolution; InstanceNorm from the second on; LeakyReLU 0.2.

    Args:
        channels: of each convolution.
    """

    def __init__(self, channels: tuple[int, ...] = DISCRIMINATOR_CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for number, width in enumerate(channels):
            layers.append(spectral_norm(nn.Conv2d(before, width, 4, stride=2, padding=1)))
            if number > 0:
                layers.append(nn.InstanceNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            if number == 1:
                layers.append(SelfAttention(width))
            before = width
        self.layers = nn.Sequential(*layers)
        self.last = spectral_norm(nn.Conv2d(before, 1, 3, padding=1))

    def forward(self, lightness: Tensor, ab: Tensor) -> Tensor:
        """Rates pairs of frames.

        Args:
            lightness: L* (B, 2, 1, H, W) in [0, 100]; H and W at least 128.
            ab: (B, 2, 2, H, W), Lab units.

        Returns:
            (B,), unbounded; larger is more real.
        """
        size = tuple(ab.shape[3:])
        if ab.shape[1:3] != (2, 2) or lightness.shape != (*ab.shape[:2], 1, *size):
            raise ValueError(
                f"ab: expected (B, 2, 2, H, W) and lightness (B, 2, 1, H, W), got {tuple(ab.shape)} and "
                f"{tuple(lightness.shape)}"
            )
        if min(size) < DISCRIMINATOR_MINIMUM_SIDE:
            least = DISCRIMINATOR_MINIMUM_SIDE
            raise ValueError(f"ab: expected at least {least}x{least} pixels, got {size[0]}x{size[1]}")
        pair = torch.cat([lightness / 50 - 1, ab / 128], dim=2).flatten(1, 2)
        return self.last(self.layers(pair)).mean(dim=(1, 2, 3))  # type: ignore[no-any-return]
