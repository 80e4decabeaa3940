"""Toy networks derived from the shipped configurations, and blocks of noise to color with them."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import torch
from torch import Tensor

from kinemacolor.model.bank import Bank
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import NetworkConfig, load_config
from kinemacolor.model.network import Network

WIDTHS: dict[str, dict[str, Any]] = {
    "paper": {
        "feature_channels": 20,
        "token_channels": 24,
        "ffn_channels": 28,
        "residual_channels": 14,
        "key_channels": 12,
        "encoder_channels": (6, 8, 10),
    },
    "lite-full": {
        "feature_channels": 22,
        "token_channels": 12,
        "ffn_channels": 18,
        "residual_channels": 8,
        "key_channels": 10,
        "encoder_channels": (4, 6, 8),
    },
}
WIDTHS["lite"] = WIDTHS["lite-full"]
"""Numbers made small, switches as shipped. τ is raised: at 0.01 the softmax of random features has one winner."""


def toy_config(name: str, **changes: Any) -> NetworkConfig:
    return load_config(name).changed(**{**WIDTHS[name], "tau": 0.05, **changes})


def toy(name: str, seed: int = 0, **changes: Any) -> Network:
    """A network in double precision; those of ``lite`` with their ImageNet features, ``paper`` with random ones."""
    torch.manual_seed(seed)
    network = Network(toy_config(name, **changes), pretrained=name.startswith("lite")).double().eval()
    with torch.no_grad():  # what starts at zero, or so small that it hides the rest, is given something to say
        for key, parameter in network.named_parameters():
            if "linkage" in key:
                parameter.normal_(std=0.2)
            elif "colorization.last" in key:
                parameter.normal_(std=0.5)
            elif key.endswith("sharpness"):
                parameter.fill_(0.05)
    return network


@cache
def shared(name: str) -> Network:
    """``toy`` as shipped, for tests that do not change it."""
    return toy(name)


def own(name: str) -> Network:
    """A copy of ``shared`` to change, or to take gradients of."""
    return deepcopy(shared(name))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def luminance(batch: int, frames: int, height: int = 48, width: int = 64, seed: int = 0) -> Tensor:
    """Blobs rather than pixels of noise, (B, N, 1, H, W) in [-1, 1]."""
    coarse = noise(batch * frames, 1, -(-height // 4), -(-width // 4), seed=seed)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return fine.tanh().unflatten(0, (batch, frames))


def references(batch: int, count: int, height: int = 48, width: int = 64, seed: int = 7) -> tuple[Tensor, Tensor]:
    """Luminance and ab of references."""
    ab = 30 * luminance(batch, 2 * count, height, width, seed=seed + 1)
    return luminance(batch, count, height, width, seed=seed), ab.reshape(batch, count, 2, height, width)


def bank_of(network: Network, batch: int = 1, count: int = 1, height: int = 48, width: int = 64) -> Bank:
    return network.start(*references(batch, count, height, width))


def propagated(block: Tensor, seed: int = 9) -> Propagated:
    """Something carried to every pixel of a block."""
    ab = 20 * noise(*block.shape[:2], 2, *block.shape[3:], seed=seed)
    similarity = noise(*block.shape, seed=seed + 1).tanh()
    spread = 9 * noise(*block.shape, seed=seed + 3).abs()
    return Propagated(ab, similarity, (noise(*block.shape, seed=seed + 2) > 0).to(block.dtype), spread=spread)
