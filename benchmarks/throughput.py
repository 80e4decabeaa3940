"""Frames a second by stage, and peak memory, at 1280×720 and 1920×1080.

    python benchmarks/throughput.py [CLIP] [--frames N]

CLIP is a color film, which is enlarged; without it, discs are drawn. Each film is colored from its first frame in a
process of its own. A stage's figure is frames over the seconds it was busy, while the other stages ran beside it;
"all but network" is one over the sum of the other stages' times. The rows "idle" use an engine that costs nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from films import make_film

import kinemacolor
from kinemacolor.cli.installation import processor_name
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult

SIZES = ((1280, 720), (1920, 1080))
STAGES = ("read", "network", "upsample", "write")


class IdleEngine:
    """An engine that returns the same smooth colors at once."""

    name = "idle"
    block_size = 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return ReferenceBank(
            np.zeros((1, 1), np.float32), np.zeros((1, 2), np.float32), np.ones(1, bool), tuple(references)
        )

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        count, height, width = luma_block.shape
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        ab = np.broadcast_to(25 * np.sin(np.stack([x, y], axis=2) / 30), (count, height, width, 2)).astype(np.float32)
        return StepResult(
            ab, np.ones((count, height, width), np.float32), np.zeros((count, 1, 1, 1), np.float32), EngineState()
        )


def peak_memory() -> float:
    """Largest resident set of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def color(film: str, still: str, output: str, engine: str) -> None:
    """Colors a film and prints the measurement as JSON; for a process of its own."""
    summary = kinemacolor.colorize(film, [still], output, engine=IdleEngine() if engine == "idle" else engine)
    print(
        json.dumps(
            {
                "frames": summary.frames,
                "seconds": summary.seconds,
                "stages": summary.stage_seconds,
                "network_size": summary.network_size,
                "peak": peak_memory(),
            }
        )
    )


def measure_speed(film: Path, still: Path, output: Path, engine: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", str(film), str(still), str(output), engine]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    record: dict[str, Any] = json.loads(run.stdout)
    return record


def print_row(*cells: object) -> None:
    print(
        "| " + " | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        color(*options.worker)
        return
    print(f"\n{processor_name()}; frames a second; {options.frames} frames, H.264 in and out\n")
    print_row("film", "engine", "network at", *STAGES, "all but network", "whole", "peak RSS, MiB")
    print_row("---", "---", "---", *["---:"] * (len(STAGES) + 3))
    with tempfile.TemporaryDirectory() as name:
        for width, height in SIZES:
            film, still = make_film(Path(name), (width, height), options.frames, options.clip)
            for engine in ("lite", "matching", "idle"):
                record = measure_speed(film, still, Path(name) / f"out-{width}-{engine}.mp4", engine)
                frames, stages = record["frames"], record["stages"]
                rest = frames / sum(seconds for stage, seconds in stages.items() if stage != "network")
                seen = "×".join(map(str, record["network_size"]))
                rates = [frames / stages[stage] for stage in STAGES]
                whole = frames / record["seconds"]
                print_row(f"{width}×{height}", engine, seen, *rates, rest, whole, round(record["peak"]))


if __name__ == "__main__":
    main()
