"""3D sine positions of the tokens of a block of frames (section 4, after VisTR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WAVELENGTH_RATIO = 10_000.0
"""Base of the wavelengths of VisTR's positions: the ratio of the longest wavelength to the shortest."""


def waves(index: Tensor, length: int, channels: int) -> Tensor:
    """Sine positions along one axis.

    Args:
        index: (n,), from 1.
        length: of the axis; index ``length`` lies at 2π.
        channels: even.

    Returns:
        (n, channels): channel 2c is sin(p / base^(2c / channels)), channel 2c + 1 its cosine, p = index / length · 2π,
        base = ``WAVELENGTH_RATIO``.
    """
    exponent = torch.arange(0, channels, 2, dtype=index.dtype, device=index.device) / channels
    angle = (index / length * (2 * math.pi)).unsqueeze(1) / WAVELENGTH_RATIO**exponent
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


def sine_positions(times: Tensor, duration: int, height: int, width: int, channels: int) -> Tensor:
    """Positions of F frames of ``height`` × ``width`` tokens.

    Args:
        times: (F,), time index of each frame, from 1; the result has its dtype and device.
        duration: length of the time axis.
        channels: a multiple of 6; a third each encodes t, y and x.

    Returns:
        (F · height · width, channels), in the order of ``tensor.flatten`` over (F, height, width).
    """
    third = channels // 3
    rows = torch.arange(1, height + 1, dtype=times.dtype, device=times.device)
    columns = torch.arange(1, width + 1, dtype=times.dtype, device=times.device)
    shape = (times.shape[0], height, width, third)
    along_t = waves(times, duration, third)[:, None, None].expand(shape)
    along_y = waves(rows, height, third)[None, :, None].expand(shape)
    along_x = waves(columns, width, third)[None, None, :].expand(shape)
    return torch.cat([along_t, along_y, along_x], dim=3).flatten(0, 2)
