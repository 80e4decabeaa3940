"""Peak memory of coloring a film, and a film of ten times its length: they must not differ by more than 5 %.

    python benchmarks/memory.py [--frames N] [--film WxH] [--working-size SHORT_SIDE]

Each film is colored in a process of its own. The exit status is 1 if the longer film takes more than 1.05 times as much
as the shorter one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from films import make_film
from throughput import peak_memory, print_row

import kinemacolor

LIMIT = 1.05


def measure_memory(film: Path, still: Path, output: Path, working_size: int) -> float:
    """Peak RSS in MiB."""
    command = [sys.executable, __file__, "--worker", str(film), str(still), str(output)]
    run = subprocess.run([*command, "--working-size", str(working_size)], stdout=subprocess.PIPE, text=True, check=True)
    return float(run.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="length of the shorter film")
    parser.add_argument("--film", default="640x360", help="size of the films")
    parser.add_argument("--working-size", type=int, default=64, help="short side for the network")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        film, still, output = options.worker
        kinemacolor.colorize(film, [still], output, working_size=options.working_size)
        print(peak_memory())
        return 0
    width, height = map(int, options.film.split("x"))
    print_row("film", "frames", "peak RSS, MiB")
    print_row("---", "---:", "---:")
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        for frames in (options.frames, 10 * options.frames):
            film, still = make_film(Path(name), (width, height), frames)
            output = Path(name) / f"out-{frames}.mp4"
            peaks.append(measure_memory(film, still, output, options.working_size))
            print_row(f"{width}×{height}", frames, peaks[-1])
    ratio = peaks[1] / peaks[0]
    print(f"\nratio {ratio:.3f}, limit {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
