"""Matching without training: the paper's correspondence (equations 1 to 3) on ImageNet features, without the heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.correspondence import centered_unit, match
from kinemacolor.model.features import Lite0Features

UNTRAINED_TAU = 0.03
"""Temperature for untrained features (the paper's 0.01 belongs to trained heads)."""


class ZeroShotMatching(nn.Module):
    """Taps at /4, /8 and /16, each normalized, upsampled to /4, centered and matched with a bank."""

    def __init__(self, features: Lite0Features, tau: float = UNTRAINED_TAU) -> None:
        super().__init__()
        self.features = features
        self.tau = tau

    def encode(self, luminance: Tensor, weight: Tensor) -> Tensor:
        """Keys of frames.

        Args:
            luminance: (B, 1, H, W) in [-1, 1], H and W multiples of 16.
            weight: (B, 1, H/4, W/4), 1 where a cell counts toward the mean, 0 where it is padding or masked.

        Returns:
            (B, H/4 · W/4, 176) centered unit features.
        """
        taps = [functional.normalize(tap, dim=1) for tap in self.features(luminance)]
        fine = taps[0]
        for factor, tap in zip((2, 4), taps[1:], strict=True):
            upsampled = functional.interpolate(tap, scale_factor=float(factor), mode="bilinear", align_corners=False)
            fine = torch.cat([fine, upsampled], dim=1)
        return centered_unit(fine.flatten(2).transpose(1, 2), weight.flatten(1))

    def forward(
        self, luminance: Tensor, weight: Tensor, bank_keys: Tensor, bank_ab: Tensor, bank_valid: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Frames and bank → keys (B, T, 176), warped ab (B, T, 2) at /4 and similarity (B, T), T = H/4 · W/4."""
        keys = self.encode(luminance, weight)
        warped, similarity = match(keys, bank_keys, bank_ab, bank_valid, self.tau)
        return keys, warped, similarity
