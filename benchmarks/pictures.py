"""A sheet of frames as an engine colors them, beside the still and the truth.

    python benchmarks/pictures.py CLIP[:FRAME[:STILL]] … --output SHEET.jpg [--engine lite] [--caption TEXT …]

Each CLIP gets a row: the still (frame STILL, 0 by default), the frame in gray, as colored from the still on, and in
truth. Without FRAME the sheet shows the frame with the largest error among the first 60, and its number is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array, Reference
from kinemacolor.engine.registry import open_engine
from kinemacolor.evaluation.clips import BenchmarkClip, ClipTruth, load_clip
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.evaluation.protocol import load_protocol
from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet

SEARCHED_FRAMES = 60
"""Frames among which the one with the largest error is searched."""


def color_from_still(engine_name: str, truth: ClipTruth, first: int, stop: int) -> dict[int, Array]:
    """R'G'B' of the frames from the still on, by number."""
    engine = open_engine(engine_name)
    lab = rgb_to_lab(truth.rgb[first].astype(np.float32) / 255)
    still = Reference(truth.lightness[first], np.ascontiguousarray(lab[..., 1:]), np.ones(lab.shape[:2], np.bool_))
    bank, state = engine.start([still]), None
    frames: dict[int, Array] = {}
    for start in range(first, stop, engine.block_size):
        block = range(start, min(start + engine.block_size, stop))
        step = engine.step(np.ascontiguousarray(truth.lightness[block.start : block.stop]), bank, state)
        state = step.state
        frames.update((index, truth.colored(index, ab)) for index, ab in zip(block, step.ab, strict=True))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--engine", default="lite")
    parser.add_argument("--caption", action="append", default=[], help="caption of a row, in the order of the clips")
    parser.add_argument("--width", type=int, default=300)
    options = parser.parse_args()
    pictures: list[tuple[str, Array]] = []
    for number, text in enumerate(options.clips):
        name, *places = text.split(":")
        path = Path(name)
        chosen = int(places[0]) if places and places[0] else None
        first = int(places[1]) if len(places) > 1 else 0
        stop = (first + SEARCHED_FRAMES) if chosen is None else chosen + 1
        truth = load_clip(BenchmarkClip(path.stem, path), load_protocol("network", frames=stop))
        frames = color_from_still(options.engine, truth, first, len(truth))
        quality = {k: float(psnr(frames[k][None], truth.rgb[k][None])[0]) for k in frames if k != first}
        frame = min(quality, key=quality.__getitem__) if chosen is None else chosen
        gray = np.clip(truth.lightness[frame] * 2.55, 0, 255).astype(np.uint8)
        print(
            f"{path.stem}: frame {frame}, {quality[frame]:.2f} dB; mean {np.mean(list(quality.values())):.2f}",
            flush=True,
        )
        caption = options.caption[number] if number < len(options.caption) else f"frame {frame}"
        pictures += [(f"{path.stem}, {first}", truth.rgb[first]), (caption, gray)]
        pictures += [(f"colored, {quality[frame]:.1f} dB", frames[frame]), ("truth", truth.rgb[frame])]
    write_contact_sheet(options.output, contact_sheet(pictures, columns=4, width=options.width))


if __name__ == "__main__":
    main()
