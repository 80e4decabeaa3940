"""What worn film and long shots cost: colors with worn and clean luminance, and the error of still areas over time.

    python benchmarks/robustness.py worn ../shared/data/bench [-m lite,matching,flow] [--frames 40]
    python benchmarks/robustness.py drift ../shared/data/bench [-m lite,matching] [--frames 500] [--clips NAME,NAME]

``worn``: engines see the luminance with grain (σ 8 of 255), flicker, blur and scratches, the same for all (seeded); the
reference, which is the first frame, stays clean. The table gives mean PSNR with the colors on the clean luminance, so
that only colors count. ``drift``: the first 25 frames of each clip are played back and forth as one shot. The table
gives the mean difference of a*, b* from the truth in still areas, around frame 50 and around the last one; a clip
without such areas is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import FloatArray
from kinemacolor.evaluation.clips import ClipTruth, find_clips, load_clip
from kinemacolor.evaluation.exemplars import parse_choice, references_of
from kinemacolor.evaluation.measure import PSNR_CEILING
from kinemacolor.evaluation.methods import Method, parse_methods
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.evaluation.protocol import load_protocol
from kinemacolor.training.config.augmentation import FilmWear
from kinemacolor.training.data.film_degradation import degrade

GRAIN = 8 / 2.55
"""One σ, in L*."""
TURN = 25
"""Frames after which a clip plays backward."""
STILL_LEVEL = 1.0
"""Standard deviation over time, in L* of 5 × 5 pixels, below which a pixel is still."""
LEAST_STILL_SHARE = 0.05
"""Share of still pixels below which a clip is left out."""


def worn(lightness: FloatArray, seed: int) -> FloatArray:
    """Lightness (T, H, W) with all the damage named above."""
    noise = np.random.default_rng((seed, 8))
    wear = FilmWear(blur=1, blur_sigma=1.0, tone=0, flicker=1, flicker_level=0.05, grain=0, scratches=1, dust=0)
    film = degrade(lightness, noise, wear)
    film += noise.standard_normal(film.shape, dtype=np.float32) * np.float32(GRAIN)
    return np.clip(film, 0, 100, out=film)


def color_frames(
    method: Method, truth: ClipTruth, seen: FloatArray, order: list[int]
) -> Iterator[tuple[int, FloatArray]]:
    """Frame number and a*, b* of each frame of ``order``, engines seeing ``seen``."""
    engine = method.open(2)
    references, _ = references_of(truth, parse_choice("first"))
    bank, state = engine.start(references), None
    for start in range(0, len(order), engine.block_size):
        block = order[start : start + engine.block_size]
        step = engine.step(np.stack([seen[index] for index in block]), bank, state)
        state = step.state
        yield from zip(block, step.ab, strict=True)


def mean_psnr(method: Method, truth: ClipTruth, seen: FloatArray) -> float:
    """Mean PSNR of frames, dB, each at most as much as in ``kinemacolor benchmark``."""
    film = [truth.colored(index, ab) for index, ab in color_frames(method, truth, seen, list(range(len(truth))))]
    return float(np.mean(np.minimum(psnr(np.stack(film), truth.rgb), PSNR_CEILING)))


def drift(method: Method, truth: ClipTruth, frames: int) -> tuple[float, float] | None:
    """Error of still areas around frame 50 and around the last; None if nothing is still."""
    small = np.stack([cv2.blur(frame, (5, 5)) for frame in truth.lightness[:TURN]])
    still = small.std(axis=0) < STILL_LEVEL
    if still.mean() < LEAST_STILL_SHARE or len(truth) < TURN:
        return None
    there_and_back = [*range(TURN), *range(TURN - 2, 0, -1)]
    order = [there_and_back[k % len(there_and_back)] for k in range(frames)]
    true = rgb_to_lab(truth.rgb[:TURN].astype(np.float32) / 255)[..., 1:]
    errors = [
        float(np.abs(ab - true[index])[still].mean())
        for index, ab in color_frames(method, truth, truth.lightness, order)
    ]
    cycle = len(there_and_back)
    return float(np.mean(errors[50 - cycle // 2 : 50 + cycle // 2])), float(np.mean(errors[-cycle:]))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("worn", "drift"))
    parser.add_argument("data", type=Path, help="folder of clips in color")
    parser.add_argument("--methods", "-m", default="lite,matching")
    parser.add_argument("--frames", type=int, help="of each clip; default 40 for worn, 500 for drift")
    parser.add_argument("--clips", default="", help="only these, with commas between")
    options = parser.parse_args()
    methods = parse_methods(options.methods)
    frames = options.frames or (40 if options.what == "worn" else 500)
    names = ("clean", "worn", "loss") if options.what == "worn" else ("around 50", "at the end", "growth, %")
    print("| clip | " + " | ".join(f"{m.name}: {n}" for m in methods for n in names) + " |")
    print("|---|" + "--:|" * (len(methods) * len(names)))
    rows = []
    for seed, clip in enumerate(find_clips(options.data)):
        if options.clips and clip.name not in options.clips.split(","):
            continue
        truth = load_clip(clip, load_protocol("network", frames=frames if options.what == "worn" else TURN))
        row: list[float] = []
        for method in methods:
            if options.what == "worn":
                clean, damaged = (mean_psnr(method, truth, x) for x in (truth.lightness, worn(truth.lightness, seed)))
                row += [clean, damaged, clean - damaged]
            elif errors := drift(method, truth, frames):
                row += [*errors, 100 * (errors[1] / max(errors[0], 1e-6) - 1)]
        if row:
            rows.append(row)
            print(f"| {clip.name} | " + " | ".join(f"{x:.2f}" for x in row) + " |", flush=True)
    if not rows:
        raise SystemExit("no clip has enough still areas")
    print("| **mean** | " + " | ".join(f"{x:.2f}" for x in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
