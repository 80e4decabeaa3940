"""What strokes give: true colors painted as strokes on a frame of a clip, the still, and the clip colored from it.

    python benchmarks/strokes.py ../shared/data/train/clips/*.mp4 --strokes 30 100 300 [--film] [--frames 40]

Each stroke is a line of 1/40 of the frame's width at a seeded random place and angle, in the median of the true colors
under it (as a person, it knows one color a stroke and nothing of edges). PSNR in dB at network size, against the frame
in color; ``gray`` is the frame without any. With ``--film``, the clip's first frames are colored from the still by the
engine ``lite``; the last columns are the mean PSNR of those frames. Choose nothing on clips that only measure.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import (
    luma_to_gray_lightness,
    rgb_to_lab,
    rgb_to_luma,
    yuv_to_rgb,
)
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.registry import open_engine
from kinemacolor.references.size import network_size
from kinemacolor.strokes.constraints import stroke_constraints
from kinemacolor.strokes.picture import full_size_colors
from kinemacolor.strokes.records import Stroke
from kinemacolor.strokes.spreading import begin_spread, painted_ab, spread_strokes
from kinemacolor.video.reader import VideoReader

SEED = 7


def clip_frames(path: Path, most: int) -> tuple[list[FloatArray], str]:
    """R'G'B' (h, w, 3) of a clip's first frames at network size, and the film's matrix."""
    frames = []
    with VideoReader(path) as reader:
        matrix = reader.info.coding.matrix
        shape = network_size(reader.info.width, reader.info.height)
        for frame in reader.frames(chroma=True, last=most):
            if frame.chroma is None:
                raise SystemExit(f"{path}: has no color")
            frames.append(np.clip(resize(yuv_to_rgb(frame.luma, *frame.chroma, frame.coding), shape), 0, 1))
    return frames, matrix


def true_strokes(rgb: FloatArray, count: int, rng: np.random.Generator) -> list[Stroke]:
    """Strokes of the frame's own colors at seeded places."""
    height, width = rgb.shape[:2]
    length = width / 40
    strokes = []
    for number in range(count):
        x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, np.pi)
        step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        points = [(x - step[0], y - step[1]), (x + step[0], y + step[1])]
        mask = np.zeros((height, width), np.uint8)
        cv2.line(mask, *[tuple(int(v) for v in point) for point in points], 1, 2)
        under = rgb[mask > 0] if mask.any() else rgb[int(y), int(x)][None]
        lab = rgb_to_lab(under)
        middle = under[int(np.abs(lab[:, 1:] - np.median(lab[:, 1:], axis=0)).sum(axis=1).argmin())]
        color = "#" + "".join(f"{round(float(part) * 255):02x}" for part in middle)
        strokes.append(Stroke(id=f"s{number}", kind="color", color=color, points=tuple(points), width=2))
    return strokes


def psnr(picture: Array, truth: Array) -> float:
    return float(-10 * np.log10(np.mean(np.square(np.clip(picture, 0, 1) - truth))))


def painted_still(rgb: FloatArray, strokes: Sequence[Stroke], matrix: str) -> tuple[FloatArray, FloatArray, float]:
    """The still, its a* and b*, and the seconds that a solution from nothing takes."""
    luma = rgb_to_luma(rgb, matrix)  # type: ignore[arg-type]
    size = (rgb.shape[0], rgb.shape[1])
    state = begin_spread(luma)
    begin = time.perf_counter()
    ab = painted_ab(spread_strokes(state, stroke_constraints(strokes, size, size)))
    return full_size_colors(luma, ab, matrix), ab, time.perf_counter() - begin  # type: ignore[arg-type]


def film_psnr(frames: Sequence[FloatArray], ab: FloatArray, matrix: str) -> float:
    """Mean PSNR of the frames, colored by ``lite`` from a still over the first one."""
    engine = open_engine("lite")
    lightness = [luma_to_gray_lightness(rgb_to_luma(frame, matrix)) for frame in frames]  # type: ignore[arg-type]
    bank = engine.start([Reference(lightness[0], ab, np.ones(ab.shape[:2], np.bool_))])
    state, values = None, []
    for start in range(0, len(frames), engine.block_size):
        block = lightness[start : start + engine.block_size]
        step = engine.step(np.stack(block), bank, state)
        state = step.state
        for frame, colors in zip(frames[start:], step.ab, strict=False):
            luma = rgb_to_luma(frame, matrix)  # type: ignore[arg-type]
            values.append(psnr(full_size_colors(luma, colors, matrix), frame))  # type: ignore[arg-type]
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--strokes", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--film", action="store_true", help="color the clip from the still, too")
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    columns = [f"{count} strokes" for count in options.strokes]
    films = [f"film, {count}" for count in options.strokes] if options.film else []
    print("| clip | gray | " + " | ".join([*columns, *films]) + " |")
    print("| --- |" + " ---: |" * (1 + len(columns) + len(films)))
    rows, seconds = [], []
    for path in options.clips:
        frames, matrix = clip_frames(path, options.frames if options.film else 1)
        truth = frames[0]
        luma = rgb_to_luma(truth, matrix)  # type: ignore[arg-type]
        row = [psnr(np.repeat(luma[..., None], 3, axis=2), truth)]
        still_values, film_values = [], []
        for count in options.strokes:
            strokes = true_strokes(truth, count, np.random.default_rng(SEED))
            still, ab, taken = painted_still(truth, strokes, matrix)
            seconds.append(taken)
            still_values.append(psnr(still, truth))
            if options.film:
                film_values.append(film_psnr(frames, ab, matrix))
        rows.append([*row, *still_values, *film_values])
        print(f"| {path.stem} | " + " | ".join(f"{value:.2f}" for value in rows[-1]) + " |", flush=True)
    print("| **mean** | " + " | ".join(f"{value:.2f}" for value in np.mean(rows, axis=0)) + " |")
    print(f"\na solution from nothing: {np.median(seconds):.2f} s (median), {np.max(seconds):.2f} s (worst)")


if __name__ == "__main__":
    main()
