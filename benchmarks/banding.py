"""Banding of chroma at 8 and 10 bits: a film of one soft gradient, colored softly, through the whole pipeline.

    python benchmarks/banding.py [--width N] [--codec ffv1]

The table is about the middle row of U and V as decoded from the colored film: distinct codes, the largest step between
neighbors in 8-bit codes, and the widest band of one code in chroma samples.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import kinemacolor
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, cells
from kinemacolor.video.reader import VideoReader


class GradientEngine:
    """An engine whose colors change softly from left to right."""

    name, block_size = "gradient", 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return ReferenceBank(
            np.zeros((1, 1), np.float32), np.zeros((1, 2), np.float32), np.ones(1, np.bool_), tuple(references)
        )

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        count, height, width = luma_block.shape
        across = np.linspace(0, 1, width, dtype=np.float32)
        ab = np.stack([5 + 25 * across, 20 - 30 * across], axis=1)
        colors = np.broadcast_to(ab, (count, height, width, 2)).copy()
        keys = np.zeros((count, *cells(height, width), 1), np.float32)
        return StepResult(colors, np.ones((count, height, width), np.float32), keys, state or EngineState())


def gradient_film(path: Path, depth: int, size: tuple[int, int]) -> None:
    """Two gray frames, black level to white level 30 % to 60 %, lossless."""
    height, width = size
    ramp = np.linspace(0.3, 0.6, width) * (219 << (depth - 8)) + (16 << (depth - 8))
    plane: Any = np.tile(np.rint(ramp), (height, 1)).astype(np.uint8 if depth == 8 else np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(24))
        stream.width, stream.height = width, height
        stream.pix_fmt = "gray" if depth == 8 else "gray10le"
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(plane, format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def chroma_planes(path: Path) -> list[tuple[Array, Array]]:
    """U and V of each frame."""
    with VideoReader(path) as reader:
        return [frame.chroma for frame in reader.frames(chroma=True) if frame.chroma is not None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--codec", choices=("ffv1", "h264", "h265"), default="ffv1")
    options = parser.parse_args()
    size = (options.width * 9 // 32 * 2, options.width)
    print("| bits | plane | distinct codes | largest step, 8-bit codes | widest band, samples |")
    print("| --- | --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        still = np.full((108, 192, 3), (40, 90, 160), np.uint8)
        cv2.imwrite(str(folder / "still.png"), still)
        for depth in (8, 10):
            film, colored = (folder / f"{part}{depth}.mkv" for part in ("film", "colored"))
            gradient_film(film, depth, size)
            engine = GradientEngine()
            kinemacolor.colorize(film, folder / "still.png", colored, engine=engine, codec=options.codec, shots="none")
            for plane, codes in zip("UV", chroma_planes(colored)[1], strict=True):
                row = codes[codes.shape[0] // 2].astype(int)
                widest = max(len(list(run)) for _, run in groupby(row))
                step = int(np.abs(np.diff(row)).max()) / (1 << (depth - 8))
                print(f"| {depth} | {plane} | {len(np.unique(row))} | {step:.2f} | {widest} |")


if __name__ == "__main__":
    main()
