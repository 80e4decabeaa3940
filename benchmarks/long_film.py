"""A film of many frames through the command that users run: memory over time, and how right its ETA is after a minute.

    python benchmarks/long_film.py FILM [FILM …] [--frames 20000] [--film 320x240] [--size 64]

The films are played one after the other, over and over, black and white, with sound; each is a shot or more, and each
lends its first frame, tinted, as a still. The command runs on a terminal of its own, whose progress line is read every
second beside the process's resident memory. Memory must be flat: its mean over the last tenth of the coloring no more
than 1.05 times that over the second tenth; else exit status 1.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from films import write

from kinemacolor.core.types import Array

LIMIT = 1.05
MINUTE = 60.0
PROGRESS = re.compile(r"coloring.*?(\d+)/(\d+).*?(\d+):(\d\d):(\d\d)")


class Look(NamedTuple):
    """At a time since coloring began, s: frames done, resident memory (MiB), time left as the command says it (s)."""

    time: float
    done: int
    memory: float
    left: float


def pictures(films: list[Path], size: tuple[int, int]) -> list[list[Array]]:
    """Gray frames of each film."""
    found = []
    for film in films:
        with av.open(str(film)) as container:
            frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        found.append([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
    return found


def tinted(gray: Array, angle: float) -> Array:
    """B'G'R' of a gray picture, as bright, its colors changing from left to right."""
    hue = angle + np.linspace(0, 2, gray.shape[1])
    lab = np.empty((*gray.shape, 3), np.uint8)
    lab[..., 0], lab[..., 1], lab[..., 2] = gray, 128 + 25 * np.cos(hue), 128 + 25 * np.sin(hue)
    made: Array = cv2.cvtColor(lab, cv2.COLOR_Lab2BGR)
    return made


def resident(process: int) -> float:
    """Of a process, MiB; 0 where it has ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text("utf-8")
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found[1]) / 1024 if found else 0.0


def watched(command: list[str]) -> tuple[list[Look], list[str]]:
    """Runs a command on a terminal of its own; looks a second apart, and what it said beside its progress.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    main, side = pty.openpty()
    wide = {**os.environ, "COLUMNS": "160", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=side, stderr=side, env=wide)
    os.close(side)
    shown: list[str] = [""]

    def read() -> None:
        while True:
            try:
                text = os.read(main, 65536).decode("utf-8", "replace")
            except OSError:  # the other side is closed
                return
            shown[0] += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    reader = threading.Thread(target=read)
    reader.start()
    looks: list[Look] = []
    began, told = 0.0, 0
    while process.poll() is None:
        time.sleep(1)
        found = list(PROGRESS.finditer(shown[0], told))
        if found:
            told = found[-1].start()
            done, _, hours, minutes, seconds = map(int, found[-1].groups())
            left = 3600 * hours + 60 * minutes + seconds
            began = began or time.monotonic()
            looks.append(Look(time.monotonic() - began, done, resident(process.pid), left))
    reader.join()
    os.close(main)
    said = [line.strip() for line in re.split(r"[\r\n]+", shown[0]) if line.strip() and "━" not in line]
    if process.returncode:
        print("\n".join(said[-5:]), file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command)
    return looks, said


def report(looks: list[Look]) -> float:
    """Prints what was seen; how much larger memory is in the end."""
    whole, count = looks[-1].time, max(look.done for look in looks)
    print("\nframes done | seconds | resident memory, MiB | ETA told, s | in truth, s\n---:|---:|---:|---:|---:")
    shown = [next(look for look in looks if look.time >= min(MINUTE, whole))]
    shown += [next(look for look in looks if look.done >= count * k // 10) for k in range(1, 11)]
    for look in sorted(set(shown[:-1])):  # of the last one the line tells how long all took
        numbers = (look.time, look.memory, look.left, whole - look.time)
        print(f"{look.done:,}", *(f"{number:.0f}" for number in numbers), sep=" | ")
    minute = shown[0]
    if whole > 2 * MINUTE:
        off = 100 * (minute.left / (whole - minute.time) - 1)
        print(f"\nETA after {minute.time:.0f} s: {minute.left:.0f} s, in truth {whole - minute.time:.0f}: {off:+.0f} %")
    tenths = [[look.memory for look in looks if k <= 10 * look.done / count < k + 1 and look.memory] for k in (1, 9)]
    early, late = (float(np.mean(values)) for values in tenths)
    print(f"memory: {early:.0f} MiB in the second tenth, {late:.0f} in the last: {late / early:.3f}, limit {LIMIT}")
    return late / early


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--film", default="320x240", help="size of the film")
    parser.add_argument("--size", type=int, default=64, help="short side for the network")
    options = parser.parse_args()
    width, height = map(int, options.film.split("x"))
    shots = pictures(options.films, (width, height))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stills = []
        for number, shot in enumerate(shots):
            stills += ["--reference", str(folder / f"still_{number:02d}.png")]
            cv2.imwrite(stills[-1], tinted(shot[0], number))
        film, output = folder / "film.mp4", folder / "colored.mp4"
        played = cycle(frame for shot in shots for frame in shot)
        write(film, islice(played, options.frames), (width, height), preset="veryfast", crf=20)
        command = [sys.executable, "-m", "kinemacolor", "colorize", str(film), *stills, "--output", str(output)]
        started = time.monotonic()
        looks, said = watched([*command, "--size", str(options.size)])
        print("\n".join(said))
        print(f"{time.monotonic() - started:.0f} s in all; {output.stat().st_size / 1e6:.1f} MB written")
        ratio = report(looks)
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
