"""Shimmer of the colors on still areas, before and after ``kinemacolor.filters.temporal``, and what smoothing costs.

    python benchmarks/shimmer.py films FOLDER [--frames N]
    python benchmarks/shimmer.py clips FOLDER [--frames N] [--worn]
    python benchmarks/shimmer.py denoise FOLDER [--frames N]

``films``: stretches of three black-and-white films, colored by the engine ``matching`` from a painting of the first
frame: the one of ``examples/painted_still.py``, or a seeded random one. Still areas are found by their lightness.
``clips``: color clips, colored from their first frame; PSNR of RGB against the truth, of all pixels and of those that
move. ``denoise``: six worn clips (grain σ 8 of 255, flicker, scratches, dust), with and without
``kinemacolor.filters.denoise``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab, still_lightness, yuv_to_rgb
from kinemacolor.core.resample import resize
from kinemacolor.core.types import BoolArray, FloatArray, Matrix, Reference
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.filters.denoise import denoise, match_tone
from kinemacolor.filters.temporal import ChromaTemporalFilter
from kinemacolor.references.size import network_lightness, network_size, picture_aspect
from kinemacolor.video.reader import VideoReader

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from painted_still import AREAS

FILMS = {"his_girl_friday": 90, "abomb": 52, "chaplin": 100}
"""First frame of a stretch within one shot."""
CLIPS = (
    "sam2_bedroom", "opencv_vtest", "intel_asl_book", "pexels_koolshooters",
    "tuneav_rabbit-watermelon", "sports2d_walk", "tokenflow_woman-running", "udacity_vehicle",
)  # fmt: skip
DENOISED_CLIPS = (
    "sam2_bedroom", "opencv_vtest", "pyfeat_face", "tuneav_man-surfing", "flutter_butterfly", "tokenflow_woman-running",
)  # fmt: skip
STILL_LEVEL = 1.2
"""Standard deviation over time, in L* without grain and flicker, below which an area is still."""
MATRIX: Matrix = "bt709"
KINDS, COST = ("as colored", "smoothed", "along flow"), ("ms CPU", "along flow")


@dataclass(frozen=True, slots=True, eq=False)
class ColoredStretch:
    """A stretch at network size: L* (T, h, w), ab (T, h, w, 2), similarity (T, h, w)."""

    lightness: FloatArray
    ab: FloatArray
    similarity: FloatArray


def color(lightness: FloatArray, reference: Reference) -> ColoredStretch:
    engine = MatchingEngine()
    bank, state = engine.start([reference]), None
    results: list[tuple[FloatArray, FloatArray]] = []
    for image in lightness:
        step = engine.step(image[None], bank, state)
        state = step.state
        results.append((step.ab[0], step.similarity[0]))
    ab, similarity = (np.stack(part) for part in zip(*results, strict=True))
    return ColoredStretch(lightness, ab, similarity)


def smoothed(stretch: ColoredStretch, along_flow: bool) -> tuple[FloatArray, float]:
    """Colors (T, h, w, 2), and milliseconds of processor time a frame."""
    smooth, state = ChromaTemporalFilter(along_flow=along_flow), None
    film, times = [], []
    for lightness, ab, similarity in zip(stretch.lightness, stretch.ab, stretch.similarity, strict=True):
        start = time.process_time()
        ab, state = smooth(lightness, ab, similarity, state)
        times.append(time.process_time() - start)
        film.append(ab)
    return np.stack(film), 1e3 * statistics.median(times[1:])


def variants(stretch: ColoredStretch) -> tuple[list[FloatArray], list[float]]:
    """Colors as they are, smoothed, and smoothed along the flow; milliseconds of the latter two."""
    results = [smoothed(stretch, along_flow) for along_flow in (False, True)]
    return [stretch.ab, *(ab for ab, _ in results)], [spent for _, spent in results]


# --- films --------------------


def hand_painted(lightness: FloatArray) -> FloatArray:
    """ab (h, w, 2) of ``examples/painted_still.py`` at this size."""
    height, width = lightness.shape
    scale, ab = np.array([width / 640, height / 480]), np.zeros((height, width, 2), np.float32)
    for shade, polygon in AREAS:
        corners = np.rint(np.array(polygon) * scale).astype(np.int32)
        cover = cv2.GaussianBlur(cv2.fillPoly(np.zeros(lightness.shape, np.float32), [corners], 1.0), (0, 0), 1)
        ab += cover[..., None] * (np.array(shade, np.float32) - ab)
    return in_shade(ab, lightness)


def randomly_painted(lightness: FloatArray, seed: int = 7, areas: int = 28) -> FloatArray:
    """ab (h, w, 2) with a color of its own for each area: pixels near one picked at random in place and lightness."""
    height, width = lightness.shape
    random, seen = np.random.default_rng(seed), cv2.GaussianBlur(lightness, (0, 0), 2)
    places = np.stack([random.uniform(0, height, areas), random.uniform(0, width, areas)], axis=1)
    shades = random.uniform(-28, 28, (areas, 2)).astype(np.float32)
    y, x = np.mgrid[0:height, 0:width]
    far = [
        (np.square(y - row) + np.square(x - column)) / (0.25 * min(height, width)) ** 2
        + np.square((seen - seen[int(row), int(column)]) / 12)
        for row, column in places
    ]
    ab = cv2.GaussianBlur(shades[np.argmin(far, axis=0)], (0, 0), 1.5)
    return in_shade(ab, lightness)


def in_shade(ab: FloatArray, lightness: FloatArray) -> FloatArray:
    """Shadows hold little color."""
    return np.asarray(ab * np.clip(lightness / 40, 0, 1)[..., None], dtype=np.float32)


def still_areas(lightness: FloatArray, ab: FloatArray) -> BoolArray:
    """(h, w): where lightness, without grain and flicker, is the same over time within 4 pixels around, and colors
    (T, h, w, 2) are more than gray."""
    seen = [cv2.GaussianBlur(image, (0, 0), 2) for image in lightness]
    middle = seen[len(seen) // 2]
    steady_frames = [
        np.float32(gain) * image + np.float32(lift) for image in seen for gain, lift in [match_tone(image, middle)]
    ]
    moves = np.stack(steady_frames).std(axis=0)
    chroma = np.hypot(*np.moveaxis(ab.mean(axis=0), 2, 0))
    return np.asarray((cv2.dilate(moves, np.ones((9, 9), np.uint8)) < STILL_LEVEL) & (chroma > 4))


def shimmer(ab: FloatArray, where: BoolArray) -> tuple[float, float, float]:
    """Mean σ over time of a* and of b*, and root mean square step from frame to frame, in ab units."""
    a, b = ab.std(axis=0)[where].mean(axis=0)
    step = np.sqrt(np.square(np.diff(ab, axis=0)).sum(axis=3)[:, where].mean())
    return float(a), float(b), float(step)


def film_stretch(path: Path, start: int, count: int) -> FloatArray:
    with VideoReader(path) as reader:
        info = reader.info
        size = network_size(picture_aspect(info), 1)
        return np.stack([network_lightness(frame, size) for frame in islice(reader.frames(), start, start + count)])


def measure_films(folder: Path, count: int) -> None:
    print_row(
        "film",
        "still, %",
        "σ a*",
        "smoothed",
        "along flow",
        "σ b*",
        "smoothed",
        "along flow",
        "step",
        *KINDS[1:],
        *COST,
    )
    print_row("---", *["---:"] * 12)
    for name, start in FILMS.items():
        lightness = film_stretch(folder / f"{name}.mp4", start, count)
        paint = hand_painted if name == "his_girl_friday" else randomly_painted
        opaque = np.ones(lightness.shape[1:], np.bool_)
        stretch = color(lightness, Reference(lightness[0], paint(lightness[0]), opaque))
        versions, spent = variants(stretch)
        where = still_areas(lightness, stretch.ab)
        figures = zip(*(shimmer(ab, where) for ab in versions), strict=True)
        print_row(name, 100 * where.mean(), *(value for kind in figures for value in kind), *spent)


# --- clips with truth --------------------


def read_clip(path: Path, count: int) -> FloatArray:
    """R'G'B' (T, h, w, 3) at network size."""
    with VideoReader(path) as reader:
        info = reader.info
        size = network_size(picture_aspect(info), 1)
        images = []
        for frame in islice(reader.frames(chroma=True), count):
            assert frame.chroma is not None
            images.append(resize(yuv_to_rgb(frame.luma, *frame.chroma, frame.coding), size))
    return np.stack(images)


def moving(lightness: FloatArray) -> BoolArray:
    """(T − 1, h, w): where lightness changed since the frame before."""
    seen = np.stack([cv2.GaussianBlur(image, (0, 0), 1.5) for image in lightness])
    return np.asarray(np.abs(np.diff(seen, axis=0)) > 1.5)


def psnr(rgb: FloatArray, ab: FloatArray, where: BoolArray | None = None) -> float:
    """Mean over frames but the first; the truth's own L* with the colors ``ab``; dB of R'G'B' as 8-bit values."""
    scores = []
    for number in range(1, len(rgb)):
        lab = np.concatenate([rgb_to_lab(rgb[number])[..., :1], ab[number]], axis=2)
        result, truth = (np.rint(np.clip(image, 0, 1) * 255.0) for image in (lab_to_rgb(lab), rgb[number]))
        error = np.square(result - truth)
        part = error if where is None else error[where[number - 1]]
        if part.size > 300:
            scores.append(10 * np.log10(255**2 / max(float(part.mean()), 1e-3)))
    return statistics.fmean(scores) if scores else float("nan")


def worn(lightness: FloatArray, seed: int = 3) -> FloatArray:
    """Grain of σ 8/255 of white, flicker (gain σ 4 %), two scratches and dust."""
    random = np.random.default_rng(seed)
    film = lightness * random.normal(1, 0.04, (len(lightness), 1, 1)).astype(np.float32)
    film += random.normal(0, 800 / 255, film.shape).astype(np.float32)
    for column in random.integers(0, film.shape[2], 2):
        for image in film:
            image[:, (column + random.integers(-1, 2)) % film.shape[2]] += 35
    for image in film:
        for _ in range(4):
            center = (int(random.integers(film.shape[2])), int(random.integers(film.shape[1])))
            cv2.circle(image, center, int(random.integers(1, 4)), float(random.choice([5, 95])), -1)
    return np.clip(film, 0, 100)


def read_truths(
    folder: Path, count: int, names: Sequence[str] = CLIPS
) -> Iterator[tuple[str, FloatArray, FloatArray, Reference]]:
    """Name, R'G'B', L* as film shows it, and the first frame as reference."""
    for name in names:
        rgb = read_clip(folder / f"{name}.mp4", count)
        lightness = np.stack([still_lightness(image, MATRIX) for image in rgb])
        opaque = np.ones(lightness.shape[1:], np.bool_)
        ab = np.ascontiguousarray(rgb_to_lab(rgb[0])[..., 1:])
        yield name, rgb, lightness, Reference(lightness[0], ab, opaque)


def measure_clips(folder: Path, count: int, wear: bool) -> None:
    print_row("clip", "PSNR", *KINDS[1:], "of what moves", *KINDS[1:], "step", *KINDS[1:], *COST)
    print_row("---", *["---:"] * 11)
    table = []
    for name, rgb, clean, reference in read_truths(folder, count):
        stretch = color(worn(clean) if wear else clean, reference)
        versions, spent = variants(stretch)
        moves, everywhere = moving(clean), np.ones(clean.shape[1:], np.bool_)
        values = [psnr(rgb, ab, where) for where in (None, moves) for ab in versions]
        table.append([*values, *(shimmer(ab, everywhere)[2] for ab in versions), *spent])
        print_row(name, *table[-1])
    print_row("**mean**", *(float(np.nanmean(column)) for column in zip(*table, strict=True)))


def denoised(lightness: FloatArray) -> FloatArray:
    frames, state = [], None
    for image in lightness:
        clean, state = denoise(image, state)
        frames.append(clean)
    return np.stack(frames)


def measure_denoising(folder: Path, count: int) -> None:
    print_row("clip", "clean, dB", "denoised", "worn, dB", "denoised", "σ of L* error", "denoised")
    print_row("---", *["---:"] * 6)
    table = []
    for name, rgb, clean, reference in read_truths(folder, count, DENOISED_CLIPS):
        damaged = worn(clean)
        images = [clean, denoised(clean), damaged, denoised(damaged)]
        plain = color(clean, reference).ab
        colors = [plain if np.array_equal(image, clean) else color(image, reference).ab for image in images]
        values = [psnr(rgb, ab) for ab in colors]
        table.append([*values, float((damaged - clean).std()), float((images[3] - clean).std())])
        print_row(name, *table[-1])
    print_row("**mean**", *(statistics.fmean(column) for column in zip(*table, strict=True)))


def print_row(*cells: object) -> None:
    print(
        "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("films", "clips", "denoise"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=56)
    parser.add_argument("--worn", action="store_true", help="clips: the engine sees worn lightness")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    run: dict[str, Callable[[], None]] = {
        "films": lambda: measure_films(options.folder, options.frames),
        "clips": lambda: measure_clips(options.folder, options.frames, options.worn),
        "denoise": lambda: measure_denoising(options.folder, options.frames),
    }
    run[options.what]()


if __name__ == "__main__":
    main()
