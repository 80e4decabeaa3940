"""How good the matches of a trained network are by themselves: each head, and both as one, beside the untrained taps.

    python benchmarks/matches.py CACHE run/network.safetensors [more.safetensors …] --clips mdn_flower,flutter_butterfly

Of each clip frames 4, 14, 29 and 45 are colored from frame 0 by equations 1 to 3 alone. What is printed is
−10 log₁₀ of the mean squared error of a*, b* (Lab units), the mean over clips: 1 is 1 dB, larger is better.
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
from kinemacolor.training.validation.validation import HeldOut, held_out

DISTANCES = (4, 14, 29, 45)
UNTRAINED_TAU = 0.03


def keys(network: Network, luminance: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Keys (n, positions, C) of single pictures (n, 1, H', W') in different ways, and the temperature of each."""
    heads, tau = network.config.heads, network.config.tau
    plain = centered_taps(network, luminance).flatten(2).transpose(1, 2)
    alone = luminance.unsqueeze(1)  # each picture a block of its own
    own = network.represent(network.encode(alone), network.inside(alone)).keys
    parts = [entries(part) for part in own.chunk(heads, dim=2)]
    found = {"taps": (centered_unit(plain, torch.ones(plain.shape[:2])), UNTRAINED_TAU)}
    found |= {f"head {k + 1}": (part, tau) for k, part in enumerate(parts)}
    return found | {"heads as one": (torch.cat(parts, dim=2) / heads**0.5, tau)}


def errors(network: Network, clip: HeldOut) -> Iterator[tuple[str, int, float]]:
    """(way, distance, figure) for each distance that the clip has."""
    indices = [0, *(k for k in DISTANCES if k < len(clip.film))]
    lab = rgb_to_lab(clip.film[indices].astype(np.float32) / 255)
    ab = torch.from_numpy(lab[..., 1:]).permute(0, 3, 1, 2)
    height, width = ab.shape[2:]
    luminance = network.pad(torch.from_numpy(clip.lightness[indices] / 50 - 1)[:, None, None])[:, 0]
    still = network.pad(ab[:1, None])[:, 0]
    colors, _ = cell_colors(still, torch.ones_like(still[:, :1]), KEY_STRIDE)
    grid = colors.shape[2:]
    for way, (known, tau) in keys(network, luminance).items():
        for number, index in enumerate(indices[1:], start=1):
            warped, _ = match(known[number : number + 1], known[0], entries(colors[None])[0], None, tau)
            maps = warped.transpose(1, 2).unflatten(2, grid)
            large = functional.interpolate(maps, scale_factor=float(KEY_STRIDE), mode="bilinear", align_corners=False)
            error = (large[0, :, :height, :width] - ab[number]).square().sum(dim=0).mean()
            yield way, index, float(-10 * torch.log10(error + 0.05))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="of kinemacolor train")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--clips", required=True, help="names of sources, with commas between")
    parser.add_argument("--side", type=int, default=144, help="short side, pixels")
    asked = parser.parse_args()
    clips = held_out(open_cache(asked.cache), asked.clips.split(","), max(DISTANCES) + 1, asked.side)
    print(f"| {len(clips)} clips | | " + " | ".join(f"frame {k}" for k in DISTANCES) + " |\n|---|---|" + "--:|" * 4)
    for path in asked.weights:
        network, figures = load_network(path), {}
        with torch.inference_mode():
            for clip in clips:
                for way, distance, figure in errors(network, clip):
                    figures.setdefault(way, {}).setdefault(distance, []).append(figure)
        for way, row in figures.items():
            values = " | ".join(f"{np.mean(row[k]):.2f}" if k in row else "–" for k in DISTANCES)
            print(f"| {path.parent.name}/{path.stem} | {way} | {values} |", flush=True)


if __name__ == "__main__":
    main()
