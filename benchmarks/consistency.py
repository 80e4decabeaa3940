"""What task-independent methods do to a film in which flicker was added to the truth.

    python benchmarks/consistency.py

A picture pans; its color is a function of its luminance; each frame after the first is tinted in four fields. Printed:
warping error × 10³ (the truth's own is the floor) and PSNR of the frames after the first, dB.
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from kinemacolor.consistency.blind import blind_consistency
from kinemacolor.consistency.deep_video_prior import PriorSettings, deep_video_prior
from kinemacolor.consistency.films import flow_of
from kinemacolor.core.types import Array
from kinemacolor.evaluation.metrics import psnr, warping_errors
from kinemacolor.evaluation.pictures import gray_of

SMALL_PRIOR = PriorSettings(channels=8, levels=3, epochs=30, rate=3e-3)


def flickering_film(frames: int = 5, height: int = 48, width: int = 64) -> tuple[Array, Array, Array]:
    """Gray film, truth, and the truth with flicker, each (T, H, W, 3) uint8."""
    levels = np.stack([_picture(height, width, shift) for shift in range(frames)])
    truth = np.stack([levels, 0.6 * levels + 40, 255 - levels], axis=3)
    tints = np.random.default_rng(0).normal(0, 25, (frames, 2, 2, 3)).repeat(height // 2, 1).repeat(width // 2, 2)
    tints[0] = 0
    films = [np.clip(np.rint(film), 0, 255).astype(np.uint8) for film in (truth, truth + tints)]
    return np.stack([gray_of(frame) for frame in films[0]]), films[0], films[1]


def _picture(height: int, width: int, shift: int) -> Array:
    """Fields of five levels with soft texture, displaced to the right."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x = x - shift
    field = (np.floor(x / 19) + np.floor(y / 17)).astype(int) % 5
    texture = 0.75 + 0.15 * np.sin(0.41 * x) * np.cos(0.33 * y) + 0.1 * np.sin(0.13 * (x + 2 * y))
    return np.asarray(cv2.GaussianBlur(np.array([100.0, 86.0, 119.0, 173.0, 102.0])[field] * texture, (0, 0), 0.7))


def main() -> None:
    """Prints a row for each film."""
    gray, truth, flicker = flickering_film()
    flow = flow_of(gray)
    print(f"{'film':28} {'WE':>7} {'PSNR':>7} {'s a frame':>10}")
    for name, make in {
        "truth": lambda: truth,
        "with flicker": lambda: flicker,
        "with flicker, +blind": lambda: blind_consistency(gray, flicker, flow),
        "with flicker, +dvp (small)": lambda: deep_video_prior(gray, flicker, SMALL_PRIOR),
    }.items():
        start = time.perf_counter()
        film = make()
        seconds = (time.perf_counter() - start) / len(film)
        error = 1000 * warping_errors([film], flow.flow, flow.visible).mean()
        quality = psnr(film[1:], truth[1:]).mean()
        print(f"{name:28} {error:7.3f} {quality:7.2f} {seconds:10.2f}")


if __name__ == "__main__":
    main()
