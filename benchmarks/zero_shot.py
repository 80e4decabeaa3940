"""The zero-shot engine over a folder of clips, under the protocol of the design's first table.

First 40 frames of each clip, the first frame as reference, about 384×216 at the clip's own aspect (area means of the
decoded RGB), L* of the truth kept, ab from the engine; PSNR on RGB uint8, mean over frames, then over clips; in
brackets the last 20 frames. A frame counts for at most 58.9 dB, what rounding to uint8 leaves of an exact answer.

    python benchmarks/zero_shot.py DATA [--frames 40] [--engine matching]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from kinemacolor.color import lab_to_rgb, rgb_to_lab, yuv_to_rgb
from kinemacolor.engine import open_engine
from kinemacolor.evaluation.metrics import colorfulness, psnr
from kinemacolor.frames import Reference
from kinemacolor.references import network_size
from kinemacolor.upsample import resize
from kinemacolor.video import VideoReader

CEILING = 10 * np.log10(255**2 * 12)


def load(path: Path, frames: int) -> np.ndarray:
    """RGB uint8 (T, H, W, 3) at network size."""
    film = []
    with VideoReader(path) as reader:
        for frame in reader.frames(chroma=True):
            assert frame.chroma
            rgb = yuv_to_rgb(frame.luma, *frame.chroma, frame.coding)
            film.append(to_codes(resize(rgb, network_size(*frame.luma.shape[::-1]))))
            if len(film) == frames:
                break
    return np.stack(film)


def to_codes(rgb: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def coloured(engine_name: str, propagate: bool, lab: np.ndarray) -> tuple[np.ndarray, float]:
    """RGB uint8 of the film with the engine's colours, and seconds a frame."""
    engine = open_engine(engine_name, propagate=propagate)
    lightness, ab = np.ascontiguousarray(np.clip(lab[..., 0], 0, 100)), lab[..., 1:]
    reference = Reference(lightness[0], np.ascontiguousarray(ab[0]), np.ones(lightness[0].shape, np.bool_))
    bank, memory, film = engine.start([reference]), None, []
    begin = time.perf_counter()
    for frame in lightness:
        step = engine.step(frame[None], bank, memory)
        memory = step.memory
        film.append(to_codes(lab_to_rgb(np.concatenate([frame[..., None], step.ab[0]], axis=2))))
    return np.stack(film), (time.perf_counter() - begin) / len(film)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--engine", default="matching")
    options = parser.parse_args()
    print("| clip | grey | alone | propagated | colourfulness, propagated / truth | s a frame, propagated |")
    print("|---|--:|--:|--:|--:|--:|")
    rows = []
    for path in sorted(options.data.glob("*.mp4")):
        truth = load(path, options.frames)
        lab = np.stack([rgb_to_lab(frame.astype(np.float32) / 255) for frame in truth])
        grey = to_codes(lab_to_rgb(lab * np.array([1, 0, 0], np.float32)))
        films = [grey]
        seconds = 0.0
        for propagate in (False, True):
            film, seconds = coloured(options.engine, propagate, lab)
            films.append(film)
        values = [np.minimum(psnr(film, truth), CEILING) for film in films]
        ratio = float(colorfulness(films[-1]).mean() / colorfulness(truth).mean())
        rows.append([*(v.mean() for v in values), *(v[-20:].mean() for v in values), ratio, seconds])
        print(line(path.stem, rows[-1]), flush=True)
    print(line("**mean**", list(np.mean(rows, axis=0))))


def line(name: str, row: list[float]) -> str:
    pairs = " | ".join(f"{row[i]:.2f} ({row[i + 3]:.2f})" for i in range(3))
    return f"| {name} | {pairs} | {row[6]:.2f} | {row[7]:.2f} |"


if __name__ == "__main__":
    main()
