"""Memory of a run with many large stills beside that of a run with two: ``python benchmarks/stills_memory.py``.

Makes a small film of images and stills of 4K, bound to its frames (``--unbound``: to none), and colors it in a process
of its own with two stills and with all of them. Prints the largest resident memory of each in MiB, and the quotient.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 3840, 2160
SMALL = (192, 108)
FRAMES = 12  # of the film that unbound stills color


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stills", type=int, default=200, help="number of stills of the larger run")
    parser.add_argument("--engine", default="matching", help="engine that colors")
    parser.add_argument("--unbound", action="store_true", help="stills belong to no frame")
    parser.add_argument("--run", nargs=3, metavar=("FILM", "STILLS", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        _color(*options.run, options.engine)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "film").mkdir()
        small = cv2.resize(np.random.default_rng(0).uniform(0, 255, (6, 8)).astype(np.float32), SMALL)
        for number in range(FRAMES if options.unbound else options.stills):
            cv2.imwrite(str(folder / "film" / f"{number:06d}.png"), np.roll(small, number, axis=1).astype(np.uint8))
        figures = {count: _measure(folder, count, options) for count in (2, options.stills)}
    two, all_stills = figures[2], figures[options.stills]
    print(json.dumps({"peak_mib": figures, "quotient": round(all_stills / two, 3)}))


def _measure(folder: Path, count: int, options: argparse.Namespace) -> float:
    """Largest resident memory in MiB of a run with ``count`` stills."""
    stills = folder / "stills"
    shutil.rmtree(stills, ignore_errors=True)
    stills.mkdir()
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    image = np.stack([90 + 60 * np.sin(x / 300), 120 + 50 * np.cos(y / 200), np.full_like(x, 60)], -1).astype(np.uint8)
    for number in range(count):
        name = (
            f"still{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}.jpg" if options.unbound else f"{number:06d}.jpg"
        )
        cv2.imwrite(str(stills / name), np.roll(image, 8 * number, axis=1), [cv2.IMWRITE_JPEG_QUALITY, 80])
    arguments = [str(folder / "film"), str(stills), str(folder / f"out{count}.mp4")]
    command = [sys.executable, __file__, "--engine", options.engine, "--run", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _color(film: str, stills: str, output: str, engine: str) -> None:
    from kinemacolor.pipeline.job import colorize

    colorize(film, stills, output, engine=engine, shots="none")
    status = Path("/proc/self/status").read_text()  # of this program alone; getrusage counts what started it
    print(int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024)


if __name__ == "__main__":
    main()
