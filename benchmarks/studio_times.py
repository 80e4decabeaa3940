"""How soon the studio answers: a stroke's picture at the film's full size, and the first picture of a trial.

    python benchmarks/studio_times.py examples/dog/truth.mp4 [--strokes 20]

A copy of the film is opened in a folder for a moment. Its middle frame is painted with strokes of random colors one
after the other, each answered by the JPEG that the page shows; then its shot is tried with the engine ``lite``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from kinemacolor.core.events import FrameColoredEvent
from kinemacolor.strokes.records import Stroke
from kinemacolor.studio.desk import Desk
from kinemacolor.studio.roots import AllowedRoots
from kinemacolor.studio.stroke_document import StrokeChange


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--strokes", type=int, default=20)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        film = Path(shutil.copy(options.film, folder))
        desk = Desk(AllowedRoots([folder]))
        project = desk.open(str(film))
        while project.analysis is None:
            time.sleep(0.05)
        frame = project.analysis.first + project.analysis.frames // 2
        shelf = desk.shelf(project)
        painting = shelf.painting(frame)
        height, width = painting.frame_size
        seconds = []
        for number in range(options.strokes):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            color = "#" + "".join(f"{value:02x}" for value in rng.integers(0, 256, 3))
            points = ((x, y), (x + width / 20, y + height / 20))
            stroke = Stroke(id=f"s{number}", kind="color", color=color, points=points, width=width / 90)
            begin = time.perf_counter()
            painting.change(StrokeChange(base=number, add=[stroke]))
            painting.jpeg()
            seconds.append(time.perf_counter() - begin)
        median, worst = np.median(seconds), max(seconds)
        print(f"{width}x{height}: a stroke's picture after {median:.2f} s (median), {worst:.2f} s (worst)")
        shelf.write_later(painting)
        shelf.flush()
        for attempt in ("first", "second"):
            begin = time.perf_counter()
            entry = desk.try_shot(project, frame)
            next(event for event in entry.job.events() if isinstance(event, FrameColoredEvent))
            seconds_first = time.perf_counter() - begin
            entry.job.result()
            total = time.perf_counter() - begin
            count = len(entry.job.frames)  # type: ignore[attr-defined]
            print(f"{attempt} trial: first picture after {seconds_first:.2f} s, all {count} after {total:.1f} s")
        desk.close()


if __name__ == "__main__":
    main()
