"""The quality of a trained network's matches alone: of each head, of both as one, and of the untrained taps.

    python benchmarks/matches.py CACHE run/network.safetensors [more.safetensors …] --clips mdn_flower,flutter_butterfly

Frames 4, 14, 29 and 45 of each clip are colored from frame 0 by equations 1 to 3 alone. The figures are −10 log₁₀ of
the mean squared error of a*, b* (Lab units), as means over clips: 1 is 1 dB, larger is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.model.bank import cell_colors, entries
from kinemacolor.model.checkpoint import load_network
from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.correspondence import centered_unit, match
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import open_cache
from kinemacolor.training.validation.key_init import centered_taps
from kinemacolor.training.validation.validation import HeldOutClip, held_out_clips

DISTANCES = (4, 14, 29, 45)
UNTRAINED_TAU = 0.03


def keys(network: Network, luminance: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Keys (n, positions, C) of single pictures (n, 1, H', W') by name, each with its temperature."""
    heads, tau = network.config.heads, network.config.tau
    plain = centered_taps(network, luminance).flatten(2).transpose(1, 2)
    alone = luminance.unsqueeze(1)  # each picture a block of its own
    network_keys = network.represent(network.encode(alone), network.inside(alone)).keys
    parts = [entries(part) for part in network_keys.chunk(heads, dim=2)]
    by_name = {"taps": (centered_unit(plain, torch.ones(plain.shape[:2])), UNTRAINED_TAU)}
    by_name |= {f"head {k + 1}": (part, tau) for k, part in enumerate(parts)}
    return by_name | {"heads as one": (torch.cat(parts, dim=2) / heads**0.5, tau)}


def errors(network: Network, clip: HeldOutClip) -> Iterator[tuple[str, int, float]]:
    """(name of the keys, distance, figure) for each distance that the clip has."""
    indices = [0, *(k for k in DISTANCES if k < len(clip.film))]
    lab = rgb_to_lab(clip.film[indices].astype(np.float32) / 255)
    ab = torch.from_numpy(lab[..., 1:]).permute(0, 3, 1, 2)
    height, width = ab.shape[2:]
    luminance = network.pad(torch.from_numpy(clip.lightness[indices] / 50 - 1)[:, None, None])[:, 0]
    still = network.pad(ab[:1, None])[:, 0]
    colors, _ = cell_colors(still, torch.ones_like(still[:, :1]), KEY_STRIDE)
    grid = colors.shape[2:]
    for name, (features, tau) in keys(network, luminance).items():
        for number, index in enumerate(indices[1:], start=1):
            warped, _ = match(features[number : number + 1], features[0], entries(colors[None])[0], None, tau)
            maps = warped.transpose(1, 2).unflatten(2, grid)
            large = functional.interpolate(maps, scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False)
            error = (large[0, :, :height, :width] - ab[number]).square().sum(dim=0).mean()
            yield name, index, float(-10 * torch.log10(error + 0.05))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="cache of kinemacolor train")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--clips", required=True, help="names of sources, separated by commas")
    parser.add_argument("--side", type=int, default=144, help="short side, pixels")
    options = parser.parse_args()
    clips = held_out_clips(open_cache(options.cache), options.clips.split(","), max(DISTANCES) + 1, options.side)
    print(f"| {len(clips)} clips | | " + " | ".join(f"frame {k}" for k in DISTANCES) + " |\n|---|---|" + "--:|" * 4)
    for path in options.weights:
        network, figures = load_network(path), {}
        with torch.inference_mode():
            for clip in clips:
                for name, distance, figure in errors(network, clip):
                    figures.setdefault(name, {}).setdefault(distance, []).append(figure)
        for name, row in figures.items():
            values = " | ".join(f"{np.mean(row[k]):.2f}" if k in row else "–" for k in DISTANCES)
            print(f"| {path.parent.name}/{path.stem} | {name} | {values} |", flush=True)


if __name__ == "__main__":
    main()
