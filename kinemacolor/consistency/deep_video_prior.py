"""Deep video prior (Lei et al., NeurIPS 2020 and TPAMI 2022): a network that is trained on the one film.

A network learns to make each processed frame of its gray frame. It learns what is the same in all frames before it
learns how they differ, so that it is stopped early. With iteratively reweighted training (IRT) it has two outputs: each
pixel counts for the main one where that is the nearer, so that a second mode of the colors does not mix with the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.consistency.films import check_films
from kinemacolor.core.types import Array

CLOSE_ENOUGH = 0.02
"""A distance to the main output below which a pixel counts for it in any case, R'G'B' in [0, 1]."""


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """Size and training of the network.

    Attributes:
        channels: of the first level; they double from level to level.
        levels: of the U-Net, each with half the sides.
        epochs: times that every frame is seen.
        rate: learning rate of Adam.
        seed: of the weights and of the order of frames.
    """

    channels: int = 32
    levels: int = 5
    epochs: int = 25
    rate: float = 1e-4
    seed: int = 0


PAPER_PRIOR = PriorSettings()
"""The settings of the paper for colorization: 25 epochs, one frame at a time, Adam with 1e-4."""
FAST_PRIOR = PriorSettings(channels=12, levels=4, epochs=12, rate=1e-3)
"""Ours, for CPUs."""


class PriorNetwork(nn.Module):
    """A U-Net from a gray frame to two colored ones.

    Args:
        channels, levels: see ``PriorSettings``.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            _convolutions(before, width) for before, width in zip([1, *widths[:-1]], widths, strict=True)
        )
        pairs = pairwise(widths)
        self.up = nn.ModuleList(_convolutions(wide + width, width) for width, wide in pairs)
        self.last = nn.Conv2d(widths[0], 6, 1)

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 1, H, W) in [0, 1] → main and minor output (n, 3, H, W)."""
        skips: list[Tensor] = []
        features = gray
        for level, block in enumerate(self.down):
            features = block(functional.avg_pool2d(features, 2, ceil_mode=True) if level else features)
            skips.append(features)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            larger = functional.interpolate(features, size=skip.shape[2:], mode="bilinear", align_corners=False)
            features = block(torch.cat([larger, skip], dim=1))
        main, minor = self.last(features).chunk(2, dim=1)
        return gray + main, gray + minor


def _convolutions(before: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def reweighted_loss(main: Tensor, minor: Tensor, processed: Tensor) -> Tensor:
    """IRT: the mean distance of each pixel to the output it counts for, (n, 3, H, W) each.

    A pixel counts for the main output where that is nearer than the minor one, or nearer than ``CLOSE_ENOUGH``.
    """
    distances = [(output - processed).abs().mean(dim=1) for output in (main, minor)]
    confident = (distances[0] <= distances[1].clamp(min=CLOSE_ENOUGH)).detach().to(main.dtype)
    return (confident * distances[0] + (1 - confident) * distances[1]).mean()


def deep_video_prior(gray: Array, colored: Array, settings: PriorSettings = PAPER_PRIOR) -> Array:
    """A film without flicker, on a GPU if there is one.

    Args:
        gray: input of the method that colored the film, R'G'B' (T, H, W, 3) uint8.
        colored: its results (T, H, W, 3) uint8.
        settings: of the network.

    Returns:
        (T, H, W, 3) uint8, the network's main output.

    Raises:
        ValueError: the films do not fit each other.
    """
    check_films(gray, colored)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = PriorNetwork(settings.channels, settings.levels).to(device)
    order = np.random.default_rng(settings.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.rate)
    inputs = torch.from_numpy(np.ascontiguousarray(gray[..., 0])).to(device)[:, None]
    targets = torch.from_numpy(np.ascontiguousarray(np.moveaxis(colored, 3, 1))).to(device)
    for _ in range(settings.epochs):
        for index in order.permutation(len(gray)):
            part = slice(int(index), int(index) + 1)
            main, minor = network(inputs[part].float() / 255)
            loss = reweighted_loss(main, minor, targets[part].float() / 255)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    film = np.empty_like(colored)
    with torch.inference_mode():
        for index in range(len(gray)):
            main, _ = network(inputs[index : index + 1].float() / 255)
            codes = (main[0].clamp(0, 1) * 255).round().byte()
            film[index] = np.moveaxis(codes.cpu().numpy(), 0, 2)
    return film
