"""Chroma upsampling measured on films: PSNR of RGB against bilinear, bicubic and a textbook guided filter, and time.

    python benchmarks/upsampling.py DATA [--frames N]

DATA holds color films, ``bench/*.mp4`` (or ``*.mp4``). Each frame's true a*, b* are averaged to network size and
upsampled by a method to a 4:2:0 frame in code values, whose RGB is compared with the frame's. The network size is the
film's over 10/3 and over 5, as 384×216 is to 720p and to 1080p. Films whose own chroma is half size flatter blurry
methods, so the frames are also measured at half size, where chroma is as sharp as luma.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from kinemacolor.core import color
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, Coding, FloatArray
from kinemacolor.filters import chroma_upsample

CODING, GRID = Coding(), (2, 2)
Method = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def guided_filter(low: FloatArray, guide_low: FloatArray, guide: FloatArray) -> FloatArray:
    """He and Sun's fast guided filter (r = 1, eps = 0.001) with one back-projection, as in textbooks."""
    pair, size = np.dstack([guide_low, guide_low]), (guide.shape[0], guide.shape[1])
    mean, mean_low = cv2.blur(pair, (3, 3)), cv2.blur(low, (3, 3))
    slope = (cv2.blur(pair * low, (3, 3)) - mean * mean_low) / (cv2.blur(pair * pair, (3, 3)) - mean * mean + 1e-3)
    offset = cv2.blur(mean_low - slope * mean, (3, 3))
    high = resize(cv2.blur(slope, (3, 3)), size, cv2.INTER_LINEAR) * guide[..., None]
    high += resize(offset, size, cv2.INTER_LINEAR)
    return high + resize(low - resize(high, low.shape[:2]), size, cv2.INTER_CUBIC)


METHODS: dict[str, Method] = {
    "bilinear": lambda low, _, guide: resize(low, guide.shape[:2], cv2.INTER_LINEAR),
    "bicubic": lambda low, _, guide: resize(low, guide.shape[:2], cv2.INTER_CUBIC),
    "guided filter": guided_filter,
    "fast": lambda low, guide_low, guide: chroma_upsample.upsample(low, guide_low, guide),
    "best": lambda low, guide_low, guide: chroma_upsample.upsample(low, guide_low, guide, quality="best"),
}


def read_frames(path: Path, count: int) -> Iterator[FloatArray]:
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        chosen = {round((i + 0.5) * (stream.frames or 30) / count) for i in range(count)}
        for index, frame in enumerate(film.decode(stream)):
            if index in chosen:
                yield np.asarray(frame.to_ndarray(format="rgb24") / np.float32(255), dtype=np.float32)


def psnr(result: FloatArray, truth: FloatArray) -> float:
    error = np.rint(result.astype(np.float64) * 255) - np.rint(truth.astype(np.float64) * 255)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


class Case:
    """A frame, and what the network would give for it."""

    def __init__(self, rgb: FloatArray, factor: float) -> None:
        self.rgb, self.plane = rgb, color.rgb_to_codes(rgb, CODING)[0]
        self.luma = color.codes_to_luma(self.plane, CODING)
        small = round(self.luma.shape[0] / factor), round(self.luma.shape[1] / factor)
        self.ab = color.rgb_to_lab(resize(rgb, small))[..., 1:]
        self.luma_low = resize(self.luma, small)

    def score(self, chroma: FloatArray) -> float:
        planes = color.chroma_to_codes(chroma, CODING)
        return psnr(color.yuv_to_rgb(self.plane, *planes, CODING), self.rgb)

    def on_grid(self, method: Method) -> float:
        """Cb, Cr at network size, upsampled to the chroma grid: what the tool does."""
        low = color.ab_to_chroma(self.luma_low, self.ab, CODING.matrix)
        size = self.luma.shape[:2]
        aligned = [chroma_upsample.align_to_chroma_grid(image, size, GRID, "left") for image in (low, self.luma_low)]
        guide = color.to_chroma_grid(self.luma, GRID)
        return self.score(color.fit_gamut(guide, method(aligned[0], aligned[1], guide), CODING.matrix))

    def every_pixel(self, method: Method) -> FloatArray:
        """a*, b* upsampled to every pixel of the film, made Cb, Cr there, averaged to the chroma grid."""
        ab = method(self.ab, self.luma_low, self.luma)
        chroma = color.fit_gamut(self.luma, color.ab_to_chroma(self.luma, ab, CODING.matrix), CODING.matrix)
        return color.to_chroma_grid(chroma, GRID)


def print_row(*cells: object) -> None:
    print(
        "| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def print_quality(films: dict[str, list[FloatArray]]) -> None:
    for factor in (10 / 3, 5.0):
        for halved in (False, True):
            print(f"\nPSNR of RGB, dB; network at 1/{factor:.2f} of {'halved' if halved else 'whole'} frames\n")
            print_row("film", *METHODS, "fast, every pixel")
            print_row("---", *["---:"] * (len(METHODS) + 1))
            table = []
            for name, images in films.items():
                if halved:
                    images = [resize(rgb, (rgb.shape[0] // 4 * 2, rgb.shape[1] // 4 * 2)) for rgb in images]
                cases = [Case(rgb, factor) for rgb in images]
                scores = [statistics.fmean(case.on_grid(method) for case in cases) for method in METHODS.values()]
                scores.append(statistics.fmean(case.score(case.every_pixel(METHODS["fast"])) for case in cases))
                print_row(name, *scores)
                table.append(scores)
            print_row("**mean**", *(statistics.fmean(column) for column in zip(*table, strict=True)))


def milliseconds(work: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[2:])


def print_speed(rgb: FloatArray) -> None:
    print("\nms a frame, 4:2:0, network at 384×216; the first four with fit_gamut and codes\n")
    print_row("film", "bicubic", "guided filter", "fast", "best", "ab_to_chroma", "chroma_planes, all", "every pixel")
    print_row("---", *["---:"] * 7)
    for height, width in ((720, 1280), (1080, 1920)):
        case = Case(np.clip(resize(rgb, (height, width), cv2.INTER_CUBIC), 0, 1), height / 216)
        guide = color.to_chroma_grid(case.luma, GRID)
        low = color.ab_to_chroma(case.luma_low, case.ab, CODING.matrix)

        def planes(method: Method, low: Array = low, case: Case = case, guide: FloatArray = guide) -> None:
            fitted = color.fit_gamut(guide, method(low, case.luma_low, guide), CODING.matrix)
            color.chroma_to_codes(fitted, CODING)

        times = [
            milliseconds(lambda name=name, planes=planes: planes(METHODS[name]))  # type: ignore[misc]
            for name in ("bicubic", "guided filter", "fast", "best")
        ]
        times += [
            milliseconds(lambda case=case: color.ab_to_chroma(case.luma_low, case.ab, CODING.matrix)),  # type: ignore[misc]
            milliseconds(lambda case=case: chroma_upsample.chroma_planes(case.ab, case.plane, CODING)),  # type: ignore[misc]
            milliseconds(lambda case=case: case.every_pixel(METHODS["fast"]), 3),  # type: ignore[misc]
        ]
        print_row(f"{width}×{height}", *times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=2, help="frames measured of each film")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(options.data.glob("bench/*.mp4")) or sorted(options.data.glob("*.mp4"))
    if not paths:
        parser.error(f"{options.data}: no bench/*.mp4 and no *.mp4")
    films = {path.stem: list(read_frames(path, options.frames)) for path in paths}
    print_quality(films)
    print_speed(next(iter(films.values()))[0])


if __name__ == "__main__":
    main()
