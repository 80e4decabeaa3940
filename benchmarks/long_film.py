"""A long film colored by the command that users run: memory over time, and how good its estimate of time is.

    python benchmarks/long_film.py FILM [FILM …] [--frames 20000] [--film 320x240] [--working-size 64]

The films are played one after the other, over and over, black and white, with sound; each is a shot or more, and its
first frame, tinted, is a still. The command prints its events, which are read beside the process's resident memory; its
estimate of the time left after a minute of coloring is compared with the truth. Memory must be flat: its mean over the
last tenth of the coloring must be at most 1.05 times that over the second tenth; otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from films import write_film

from kinemacolor.core.events import AnyEvent, DiskEstimateEvent, FinishedEvent, ProgressEvent, WarningEvent, parse_event
from kinemacolor.core.types import Array

LIMIT = 1.05
MINUTE = 60.0
INTERVAL = 1.0
"""Seconds between two samples, at least."""


class Sample(NamedTuple):
    """What is known at a time.

    Attributes:
        time: seconds since coloring began.
        done: frames that are finished.
        memory: resident memory in MiB.
        left: seconds left, as the command estimates.
    """

    time: float
    done: int
    memory: float
    left: float


def read_shots(films: list[Path], size: tuple[int, int]) -> list[list[Array]]:
    """Gray frames of each film."""
    shots = []
    for film in films:
        with av.open(str(film)) as container:
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        shots.append([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    return shots


def tinted(gray: Array, angle: float) -> Array:
    """B'G'R' of a gray picture, equally bright, with colors that change from left to right."""
    hue = angle + np.linspace(0, 2, gray.shape[1])
    lab = np.empty((*gray.shape, 3), np.uint8)
    lab[..., 0], lab[..., 1], lab[..., 2] = gray, 128 + 25 * np.cos(hue), 128 + 25 * np.sin(hue)
    picture: Array = cv2.cvtColor(lab, cv2.COLOR_Lab2BGR)
    return picture


def resident_memory(process: int) -> float:
    """Resident memory of a process in MiB; 0 if it has ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0.0
    size = re.search(r"VmRSS:\s+(\d+)", text)
    return int(size[1]) / 1024 if size else 0.0


def run_sampled(command: list[str]) -> tuple[list[Sample], list[AnyEvent]]:
    """Runs a command that prints events; returns samples of its coloring, and the events without progress.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    process = subprocess.Popen([*command, "--events", "jsonl"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    samples: list[Sample] = []
    events: list[AnyEvent] = []
    begin = 0.0
    for line in process.stdout:
        event = parse_event(line)
        if not isinstance(event, ProgressEvent):
            events.append(event)
        elif event.stage == "color":
            begin = begin or event.time
            elapsed, left = event.time - begin, event.seconds_left
            if left is not None and (
                not samples or elapsed - samples[-1].time >= INTERVAL or event.done == event.total
            ):
                samples.append(Sample(elapsed, event.done, resident_memory(process.pid), left))
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    return samples, events


def report(samples: list[Sample]) -> float:
    """Prints the samples at each tenth; returns how many times larger memory is in the end."""
    whole, count = samples[-1].time, samples[-1].done
    print("\nframes done | seconds | resident memory, MiB | estimated left, s | in truth, s\n---:|---:|---:|---:|---:")
    minute = next(sample for sample in samples if sample.time >= min(MINUTE, whole))
    tenths = [next(sample for sample in samples if sample.done >= count * k // 10) for k in range(1, 10)]
    for sample in sorted({minute, *tenths}):
        numbers = (sample.time, sample.memory, sample.left, whole - sample.time)
        print(f"{sample.done:,}", *(f"{number:.0f}" for number in numbers), sep=" | ")
    if whole > 2 * MINUTE:
        truth = whole - minute.time
        error = 100 * (minute.left / truth - 1)
        print(f"\nafter {minute.time:.0f} s: estimated {minute.left:.0f} s left, in truth {truth:.0f}: {error:+.0f} %")
    early, late = (mean_memory(samples, k, count) for k in (1, 9))
    print(f"memory: {early:.0f} MiB in the second tenth, {late:.0f} in the last: {late / early:.3f}, limit {LIMIT}")
    return late / early


def mean_memory(samples: list[Sample], tenth: int, count: int) -> float:
    """Mean over one tenth of the coloring, counted from 0."""
    inside = [sample.memory for sample in samples if tenth <= 10 * sample.done / count < tenth + 1 and sample.memory]
    if not inside:
        raise SystemExit("a tenth of the coloring has no sample; give more --frames")
    return float(np.mean(inside))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--film", default="320x240", help="size of the film")
    parser.add_argument("--working-size", type=int, default=64, help="short side for the network")
    options = parser.parse_args()
    width, height = map(int, options.film.split("x"))
    shots = read_shots(options.films, (width, height))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stills = []
        for number, shot in enumerate(shots):
            stills += ["--reference", str(folder / f"still_{number:02d}.png")]
            cv2.imwrite(stills[-1], tinted(shot[0], number))
        film, output = folder / "film.mp4", folder / "colored.mp4"
        played = cycle(frame for shot in shots for frame in shot)
        write_film(film, islice(played, options.frames), (width, height), preset="veryfast", crf=20)
        command = [sys.executable, "-m", "kinemacolor", "colorize", str(film), *stills, "--output", str(output)]
        begin = time.monotonic()
        samples, events = run_sampled([*command, "--working-size", str(options.working_size)])
        for event in events:
            if isinstance(event, (WarningEvent, DiskEstimateEvent)):
                print(event.message)
            elif isinstance(event, FinishedEvent):
                print(f"{event.summary['frames']} frames in {event.summary['seconds']:.1f} s")
        print(f"{time.monotonic() - begin:.0f} s in all; {output.stat().st_size / 1e6:.1f} MB written")
        ratio = report(samples)
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
