"""Peak memory of coloring a film, and one of ten times its length: they must not differ by more than 5 %.

    python benchmarks/memory.py [--frames N] [--film WxH] [--size SHORT_SIDE]

Each film is colored in a process of its own. Exit status 1 where the longer film takes more than 1.05 times as much.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from films import make
from throughput import peak, row

import kinemacolor

LIMIT = 1.05


def measured(film: Path, still: Path, output: Path, size: int) -> float:
    """Peak RSS in MiB."""
    command = [sys.executable, __file__, "--worker", str(film), str(still), str(output)]
    run = subprocess.run([*command, "--size", str(size)], stdout=subprocess.PIPE, text=True, check=True)
    return float(run.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="length of the shorter film")
    parser.add_argument("--film", default="640x360", help="size of the films")
    parser.add_argument("--size", type=int, default=64, help="short side for the network")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        film, still, output = options.worker
        kinemacolor.colorize(film, [still], output, size=options.size)
        print(peak())
        return 0
    width, height = map(int, options.film.split("x"))
    row("film", "frames", "peak RSS, MiB")
    row("---", "---:", "---:")
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        for frames in (options.frames, 10 * options.frames):
            film, still = make(Path(name), (width, height), frames)
            peaks.append(measured(film, still, Path(name) / f"out-{frames}.mp4", options.size))
            row(f"{width}×{height}", frames, peaks[-1])
    ratio = peaks[1] / peaks[0]
    print(f"\nratio {ratio:.3f}, limit {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
