"""The studio under load: how fast a two-hour film's project opens, and whether memory grows over many tries.

    python benchmarks/studio_load.py [--frames 172800] [--tries 1000]

Makes a film of that many tiny frames and a list of shots of 115 frames, reads it once, and opens its project again.
Then it tries places of a short film over and over, in one process, and prints its resident memory.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.shots.lists import write_shots
from kinemacolor.strokes.records import Stroke
from kinemacolor.studio.desk import Desk
from kinemacolor.studio.film_project import FilmProject
from kinemacolor.studio.project_record import project_record
from kinemacolor.studio.roots import AllowedRoots
from kinemacolor.studio.stroke_document import StrokeChange

WIDTH, HEIGHT = 96, 64
SHOT = 115
"""Frames of a shot: about 1,500 of them in two hours."""


def make_film(path: Path, frames: int) -> None:
    """A film of drifting textures; another one after each shot."""
    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        stream.bit_rate = 200_000
        picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        for index in range(frames):
            if index % SHOT == 0:
                small = rng.uniform(20, 235, (9, 24)).astype(np.float32)
                texture = cv2.resize(small, (WIDTH * 3, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255)
            left = index % SHOT
            picture[:HEIGHT] = texture[:, left : left + WIDTH]
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait_for(desk: Desk, project: FilmProject) -> FilmAnalysis:
    while project.analysis is None:
        entry = desk.board.newest(project.id, "analyze")
        if entry is not None and entry.state == "failed":
            raise SystemExit(entry.last)
        time.sleep(0.2)
    return project.analysis


def opening(folder: Path, frames: int) -> None:
    film = folder / "long.mp4"
    make_film(film, frames)
    shots = [Shot(start, min(start + SHOT, frames)) for start in range(0, frames, SHOT)]
    write_shots(folder / "long.json", shots, Fraction(24), film.name)
    (folder / "long.toml").write_text('film = "long.mp4"\noutput = "long-color.mp4"\nshots = "long.json"\n')
    desk = Desk(AllowedRoots([folder]))
    begin = time.perf_counter()
    project = desk.open(str(film))
    analysis = wait_for(desk, project)
    print(
        f"first time: {frames} frames and {len(analysis.shots)} shots are read in {time.perf_counter() - begin:.1f} s"
    )
    again = Desk(AllowedRoots([folder]))
    begin = time.perf_counter()
    project = again.open(str(film))
    record = project_record(project)
    opened = time.perf_counter() - begin
    begin = time.perf_counter()
    project.thumbnail(frames // 2)
    middle = time.perf_counter() - begin
    print(f"again: open in {opened:.2f} s with {len(record['shots'])} shots; a frame of its middle in {middle:.2f} s")


def memory(folder: Path, tries: int) -> None:
    film = folder / "short.mp4"
    make_film(film, 2 * SHOT)
    (folder / "short.toml").write_text('film = "short.mp4"\noutput = "short-color.mp4"\nshots = "none"\n')
    desk = Desk(AllowedRoots([folder]))
    project = desk.open(str(film))
    wait_for(desk, project)
    project.change(settings=ColorizeSettings(engine="matching", working_size=48))
    shelf = desk.shelf(project)
    stroke = Stroke(id="a", kind="color", color="#b04438", points=((10, 10), (10, 50)))
    for frame in (20, 150):
        painting = shelf.painting(frame)
        painting.change(StrokeChange(base=0, add=[stroke]))
        shelf.write_later(painting)
    shelf.flush()
    begin = time.perf_counter()
    for number in range(1, tries + 1):
        entry = desk.try_shot(project, (17 * number) % (2 * SHOT), 2)
        entry.job.result()
        if number in (1, tries // 10, tries // 4, tries // 2, 3 * tries // 4, tries):
            print(
                f"after {number} tries: {resident_mib():.0f} MiB resident, {time.perf_counter() - begin:.0f} s",
                flush=True,
            )
    desk.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=172_800)
    parser.add_argument("--tries", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.frames:
            opening(Path(folder), options.frames)
        if options.tries:
            memory(Path(folder), options.tries)


if __name__ == "__main__":
    main()
