"""The quality of a trained network's matches alone: of its taps, its descriptors, each head, and both as one.

    python benchmarks/matches.py CACHE run/network.safetensors [more.safetensors …] --clips mdn_flower,flutter_butterfly

Frames 4, 14, 29 and 45 of each clip are colored from frame 0 by equations 1 to 3 alone. The figures are −10 log₁₀ of
the mean squared error of a*, b* (Lab units), as means over clips: 1 is 1 dB, larger is better.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from kinemacolor.model.checkpoint import load_network
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import open_cache
from kinemacolor.training.validation.matches import KeysByName, head_keys, measure_matches, tap_keys
from kinemacolor.training.validation.validation import held_out_clips


def all_keys(network: Network, luminance: Tensor) -> KeysByName:
    """Keys of single pictures (n, 1, H', W') with and without heads."""
    return {**tap_keys(network, luminance), **head_keys(network, luminance)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache", type=Path, help="cache of kinemacolor train")
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--clips", required=True, help="names of sources, separated by commas")
    parser.add_argument("--side", type=int, default=144, help="short side, pixels")
    parser.add_argument("--distances", default="4,14,29,45", help="frames from the reference, separated by commas")
    options = parser.parse_args()
    distances = [int(number) for number in options.distances.split(",")]
    clips = held_out_clips(open_cache(options.cache), options.clips.split(","), max(distances) + 1, options.side)
    header = " | ".join(f"frame {k}" for k in distances)
    print(f"| {len(clips)} clips | | {header} | mean |\n|---|---|" + "--:|" * (len(distances) + 1))
    for path in options.weights:
        for name, figures in measure_matches(load_network(path), clips, all_keys, distances).items():
            values = [f"{figures.by_distance[k]:.2f}" if k in figures.by_distance else "–" for k in distances]
            cells = (f"{path.parent.name}/{path.stem}", name, *values, f"{figures.mean:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
