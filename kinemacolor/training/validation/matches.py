"""The quality of matches alone: frames colored from the first one by equations 1 to 3, without propagation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.model.bank import cell_colors, entries
from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.correspondence import centered_unit, match
from kinemacolor.model.network import Network
from kinemacolor.model.zero_shot import UNTRAINED_TAU
from kinemacolor.training.validation.key_init import centered_taps
from kinemacolor.training.validation.validation import HeldOutClip

MATCH_DISTANCES = (4, 14, 29, 45)
"""Frames from the reference at which matches are judged."""
_LEAST_ERROR = 0.05  # of the squared error, Lab units: an exact frame does not count without limit

KeysByName = Mapping[str, tuple[Tensor, float]]
"""Unit keys (n, positions, C) of n pictures by name, each with the temperature at which they match."""


@dataclass(frozen=True, slots=True)
class MatchFigures:
    """−10 log₁₀ of the mean squared error of a*, b* (Lab units): 1 is 1 dB, larger is better.

    Attributes:
        by_distance: means over clips, by the distance from the reference.
    """

    by_distance: dict[int, float]

    @property
    def mean(self) -> float:
        """Over the distances."""
        return float(np.mean(list(self.by_distance.values())))

    def __str__(self) -> str:
        return f"{self.mean:.2f} dB (" + ", ".join(f"{k}: {value:.2f}" for k, value in self.by_distance.items()) + ")"


def tap_keys(network: Network, luminance: Tensor) -> KeysByName:
    """Keys of pictures (n, 1, H', W') without heads: the backbone's taps, and with the descriptors beside them.

    Both match at one temperature, so that figures compare features: the one that descriptors learn is that of matches
    in doubt.
    """
    features = centered_taps(network, luminance, learned_weight=True)
    count = sum(network.correspondence.tap_channels) - network.config.descriptor_channels
    keys = {"taps": (_keys(features[:, :count]), UNTRAINED_TAU)}
    if network.config.descriptor_channels:
        keys["taps and descriptors"] = (_keys(features), UNTRAINED_TAU)
    return keys


def head_keys(network: Network, luminance: Tensor) -> KeysByName:
    """Keys of pictures (n, 1, H', W') by each head, and of all heads as one."""
    heads, tau = network.config.heads, network.config.tau
    alone = luminance.unsqueeze(1)  # each picture a block of its own
    keys = network.represent(network.encode(alone), network.inside(alone)).keys
    parts = [entries(part) for part in keys.chunk(heads, dim=2)]
    by_name = {f"head {k + 1}": (part, tau) for k, part in enumerate(parts)}
    return by_name | {"heads as one": (torch.cat(parts, dim=2) / heads**0.5, tau)}


def measure_matches(
    network: Network,
    clips: Sequence[HeldOutClip],
    keys: Callable[[Network, Tensor], KeysByName],
    distances: Sequence[int] = MATCH_DISTANCES,
) -> dict[str, MatchFigures]:
    """Figures of each kind of keys.

    Args:
        network: in evaluation mode.
        clips: films whose first frame is the reference.
        keys: gives keys by name.
        distances: see ``MATCH_DISTANCES``; a clip counts where it is long enough.
    """
    errors: dict[str, dict[int, list[float]]] = {}
    device = next(network.parameters()).device
    with torch.inference_mode():
        for clip in clips:
            for name, distance, figure in _clip_figures(network, clip, keys, distances, device):
                errors.setdefault(name, {}).setdefault(distance, []).append(figure)
    return {
        name: MatchFigures({distance: float(np.mean(values)) for distance, values in sorted(row.items())})
        for name, row in errors.items()
    }


def _clip_figures(
    network: Network,
    clip: HeldOutClip,
    keys: Callable[[Network, Tensor], KeysByName],
    distances: Sequence[int],
    device: torch.device,
) -> Iterator[tuple[str, int, float]]:
    """(name of the keys, distance, figure) for each distance that the clip has."""
    indices = [0, *(k for k in distances if k < len(clip.film))]
    lab = rgb_to_lab(clip.film[indices].astype(np.float32) / 255)
    ab = torch.from_numpy(lab[..., 1:]).permute(0, 3, 1, 2).to(device)
    height, width = ab.shape[2:]
    lightness = torch.from_numpy(clip.lightness[indices]).to(device)
    luminance = network.pad(lightness[:, None, None] / 50 - 1)[:, 0]
    still = network.pad(ab[:1, None])[:, 0]
    colors, _ = cell_colors(still, torch.ones_like(still[:, :1]), KEY_STRIDE)
    grid = colors.shape[2:]
    for name, (features, tau) in keys(network, luminance).items():
        for number, index in enumerate(indices[1:], start=1):
            warped, _ = match(features[number : number + 1], features[0], entries(colors[None])[0], None, tau)
            maps = torch.unflatten(warped.transpose(1, 2), 2, grid)
            large = functional.interpolate(maps, scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False)
            error = (large[0, :, :height, :width] - ab[number]).square().sum(dim=0).mean()
            yield name, index, float(-10 * torch.log10(error + _LEAST_ERROR))


def _keys(features: Tensor) -> Tensor:
    cells = features.flatten(2).transpose(1, 2)
    return centered_unit(cells, torch.ones(cells.shape[:2], device=cells.device))
