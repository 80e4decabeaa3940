"""Kills runs at random moments, or lets their disk fill up, and checks that nothing that was finished is lost.

    python benchmarks/kills.py kill [--count 60] [--seed 23] [--limit 120]
    python benchmarks/kills.py full [--count 20] [--seed 23] [--limit 120]

``kill``: SIGKILL, at a random moment or at a random operation on the work folder (a file opened, renamed,
removed: analysis, states, records, segments, events, the joined film), one to four times a film; then the same command
is given until it ends. ``full``: the output lies on a tmpfs of a random size (needs root), or, where none can be
mounted, under a random limit on the size of files; then there is room, and the same command is given again. In both,
the finished film must have the bytes of an uninterrupted run's, as many frames must have been resumed as were finished,
and an older film or older images under the output's name must stay until they are replaced: a film in one step; of a
folder of images, whose exchange was killed, the next command that reads it must complete it. Exit status 1 if anything
was otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from forks import fork_command, load_libraries, read_log
from fuzz_samples import run_ffmpeg

from kinemacolor.core.folder_exchange import EXCHANGE

FILMS = {"out.mkv": "film.mkv", "out.mp4": "film.avi", "pictures": "film.avi"}
"""The film of each output: one that can be entered anywhere, or one whose frames are copied to the work folder."""
OUTPUTS = tuple(FILMS)
STILLS = ("0020.png", "any.png")
"""One bound to a late frame of the first shot, from where colors run backward, and one bound to none."""
COPY_OPERATIONS = 35
"""On copies of frames, at most: opened for writing and for reading twice, renamed, removed."""
MOST_KILLS = 4
"""Kills of one film, before it is left in peace."""
LEAST_ROOM, MOST_ROOM = 16, 420
"""KiB on the disk that fills up."""


@dataclass(slots=True)
class KillCampaign:
    """What is shared by all runs.

    Attributes:
        folder: of everything.
        draw: decides.
        limit: seconds that a run may take.
        whole: hashes of an uninterrupted run's files, by the output's name.
        seconds: that an uninterrupted run takes, by the output's name.
        operations: number of its operations on files below its output's folder.
        places: where runs were killed, or how they ended on a full disk.
        faults: what was otherwise than it should.
    """

    folder: Path
    draw: random.Random
    limit: float
    whole: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    places: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def run(
        self, place: Path, output: str, prepare: Callable[[], object] = lambda: None, kill_after: float | None = None
    ) -> int:
        """Runs the command; its exit code, negative for a signal."""
        stills = [str(self.folder / name) for name in STILLS]
        arguments = [
            "colorize",
            str(self.folder / FILMS[output]),
            "-r",
            stills[0],
            "-r",
            stills[1],
            "-o",
            output,
            "--json",
        ]
        arguments += ["--engine", "matching", "--working-size", "32", "--max-segment-frames", "4", "--overwrite"]
        begin = time.monotonic()
        process = fork_command(arguments, place, self.folder, prepare)
        while True:
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            passed = time.monotonic() - begin
            if passed > (self.limit if kill_after is None else kill_after):
                with contextlib.suppress(ProcessLookupError):  # it has not made its group yet
                    os.killpg(process, signal.SIGKILL)
            time.sleep(0.001)

    def check(self, condition: bool, fault: str) -> None:
        """Notes a fault."""
        if not condition:
            self.faults.append(fault)
            print(fault, flush=True)


def prepare_campaign(folder: Path, seed: int, limit: float) -> KillCampaign:
    """Makes film and stills, and colors the film once for each kind of output."""
    campaign = KillCampaign(folder, random.Random(seed), limit)
    scenes = ("testsrc2=size=64x48:rate=24:duration=1", "mandelbrot=size=64x48:rate=24:start_scale=0.5")
    graph = "[0]format=yuv420p,setsar=1[a];[1]format=yuv420p,setsar=1[b];[a][b]concat=n=2:v=1:a=0[v]"
    scene_inputs = ["-f", "lavfi", "-i", scenes[0], "-f", "lavfi", "-t", "1", "-i", scenes[1]]
    sound = ["-f", "lavfi", "-t", "2", "-i", "sine=frequency=300:sample_rate=48000"]
    streams = ["-filter_complex", graph, "-map", "[v]", "-map", "2:a", "-threads", "1"]
    run_ffmpeg(*scene_inputs, *sound, *streams, "-c:v", "ffv1", "-c:a", "flac", str(folder / "film.mkv"))
    dependent = ["-c:v", "mpeg4", "-bf", "2", "-q:v", "3", "-c:a", "libmp3lame"]
    run_ffmpeg(*scene_inputs, *sound, *streams, *dependent, str(folder / "film.avi"))
    rng = np.random.default_rng(seed)
    for name in STILLS:
        small = rng.integers(0, 256, (12, 16, 3), np.uint8)
        assert cv2.imwrite(str(folder / name), cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC))
    load_libraries(training=False)
    for output in OUTPUTS:
        place = folder / f"whole-{output}"
        place.mkdir()
        begin, counted = time.monotonic(), folder / "operations"
        code = campaign.run(place, output, partial(count_operations, place, counted))
        campaign.check(code == 0, f"the uninterrupted run of {output} ended with {code}: {read_log(folder, 'stderr')}")
        campaign.whole[output] = hashes(place)
        campaign.seconds[output] = time.monotonic() - begin
        campaign.operations[output] = int(counted.stat().st_size)
    return campaign


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file below a folder; of a Matroska film, which has a random number, of packets and their times."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): _hash(path) for path in files}


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".mkv" and content.startswith(b"\x1aE\xdf\xa3"):
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-i", str(path), "-map", "0"]
        content = subprocess.run(
            [*command, "-c", "copy", "-f", "framehash", "-"], check=True, capture_output=True
        ).stdout
    return hashlib.sha256(content).hexdigest()


def count_operations(place: Path, counted: Path) -> None:
    """In a fork: writes a byte into a file for each operation on files in ``place``."""
    descriptor = os.open(counted, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    on_operations(place, lambda _name, _path: os.write(descriptor, b"."))


def kill_at(place: Path, number: int, told: Path, part: str = "") -> None:
    """In a fork: SIGKILL at an operation on files in ``place`` with ``part`` in their names; ``told`` says which."""
    left = number

    def count(name: str, path: str) -> None:
        nonlocal left
        left -= part in path
        if left == 0:
            descriptor = os.open(told, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.write(descriptor, f"{name} {path}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    on_operations(place, count)


def on_operations(place: Path, act: Callable[[str, str], object]) -> None:
    """In a fork: calls ``act`` with name and path of each operation on files in ``place``, before it happens."""
    names = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.rmtree"}

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name in names and arguments and isinstance(arguments[0], (str, Path)):
            path = os.path.abspath(arguments[0])
            if path.startswith(str(place)):
                act(name, path)

    sys.addaudithook(hook)


# --- kills --------------------


def kill_campaign(campaign: KillCampaign, count: int) -> None:
    """Kills films until ``count`` runs were killed."""
    killed = 0
    for film in range(10 * count):
        if killed >= count:
            return
        output = campaign.draw.choice(OUTPUTS)
        place = new_place(campaign, f"film-{film}", output)
        for _ in range(campaign.draw.randint(1, MOST_KILLS)):
            old = output_hashes(place, output)
            told = campaign.folder / "told"
            told.unlink(missing_ok=True)
            way = campaign.draw.random()
            if way < 0.4:
                code = campaign.run(place, output, kill_after=campaign.draw.uniform(0, campaign.seconds[output]))
            elif way < 0.8 or not FILMS[output].endswith(".avi"):
                number = campaign.draw.randint(1, campaign.operations[output])
                code = campaign.run(place, output, partial(kill_at, place, number, told))
            else:
                number = campaign.draw.randint(1, COPY_OPERATIONS)
                code = campaign.run(place, output, partial(kill_at, place, number, told, ".frames"))
            if code == 0:
                break
            campaign.check(
                code == -signal.SIGKILL, f"film {film} ended with {code}: {read_log(campaign.folder, 'stderr')}"
            )
            killed += 1
            campaign.places[stage_of(place, output)] += 1
            check_output(campaign, place, output, old, f"film {film}")
        finish(campaign, place, output, f"film {film}")


def new_place(campaign: KillCampaign, name: str, output: str) -> Path:
    """A folder for a run; in every other one there is an older file under the output's name."""
    place = campaign.folder / name
    place.mkdir()
    if campaign.draw.random() < 0.5:
        if output != "pictures":
            (place / output).write_bytes(b"an older film")
            return place
        (place / output).mkdir()
        for number in range(0, 90, 3):  # more of them than the new film has
            (place / output / f"frame_{number:06d}.png").write_bytes(b"an older image")
    return place


def output_hashes(place: Path, output: str) -> dict[str, str]:
    """Hashes of an output's files, without what is hidden and without the work folder."""
    found = {name: digest for name, digest in hashes(place).items() if not name.startswith(f"{output}.work")}
    return {name: digest for name, digest in found.items() if not any(part[0] == "." for part in Path(name).parts)}


def check_output(campaign: KillCampaign, place: Path, output: str, old: dict[str, str], name: str) -> None:
    """Checks an output after a kill: as it was, complete, or images whose exchange any command completes first."""
    if not (place / output / EXCHANGE).exists():
        fits = output_hashes(place, output) in (old, campaign.whole[output])
        campaign.check(fits, f"{name}: {output} is neither as it was nor complete")
        return
    copy = place.with_name(f"{place.name}-copy")
    shutil.copytree(place, copy)
    process = fork_command(["shots", output, "--output", "shots.json", "--quiet"], copy, campaign.folder)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    campaign.check(code == 0, f"{name}: a command that reads {output} ended with {code}")
    (copy / "shots.json").unlink(missing_ok=True)
    fits = output_hashes(copy, output) == campaign.whole[output]
    campaign.check(fits, f"{name}: {output} is not complete after a command that reads it")
    shutil.rmtree(copy)


def stage_of(place: Path, output: str) -> str:
    """Where a run was killed, by what it left."""
    work = place / f"{output}.work"
    events = work / "events.jsonl"
    if (place / output / EXCHANGE).exists():
        return "exchanging images"
    folders = [place, place / output] if (place / output).is_dir() else [place]
    if any(".partial-" in path.name for folder in folders for path in folder.iterdir()):
        return "joining"
    if not events.exists():
        return "after the join, or before the work" if not work.exists() else "in opening the work folder"
    text = events.read_bytes()
    if text and not text.endswith(b"\n"):
        return "within a line of events.jsonl"
    if not (work / "selection.json").exists():
        return "in the analysis"
    if list(work.glob("*.frames*")):
        return "between copying frames and finishing their segments"
    if any(path.name.endswith(".partial") for path in work.iterdir()):
        return "inside a segment"
    if any(".partial-" in path.name for path in work.iterdir()):
        return "while recording"
    return "between segments"


def finish(campaign: KillCampaign, place: Path, output: str, name: str) -> None:
    """Gives the command again, and compares what comes with the uninterrupted run."""
    work = place / f"{output}.work"
    records = [path for path in work.glob("[0-9]*.npz") if path.stem.isdigit()] if (work / "job.json").exists() else []
    finished = sum(len(np.load(path)["confidence"]) for path in records)
    code = campaign.run(place, output)
    campaign.check(code == 0, f"{name}: the last run ended with {code}: {read_log(campaign.folder, 'stderr')}")
    if code == 0:
        resumed = json.loads(read_log(campaign.folder, "stdout"))["resumed"]
        campaign.check(resumed == finished, f"{name}: {finished} frames were finished, {resumed} were resumed")
        differing = sorted({name for name, _ in set(hashes(place).items()) ^ set(campaign.whole[output].items())})
        campaign.check(not differing, f"{name}: {', '.join(differing)} differ from the uninterrupted run's")
        shutil.rmtree(place, ignore_errors=True)


# --- full disks --------------------


def full_campaign(campaign: KillCampaign, count: int) -> None:
    """Lets the disk fill up ``count`` times."""
    for film in range(count):
        output = campaign.draw.choice(OUTPUTS)
        room = campaign.draw.randint(LEAST_ROOM, MOST_ROOM)
        place = campaign.folder / f"disk-{film}"
        place.mkdir()
        mounted = mount("-t", "tmpfs", "-o", f"size={room}k", "none", str(place))
        try:
            limit = 1024 * campaign.draw.randint(1, 48)
            code = campaign.run(place, output, partial(limit_files, resource.RLIM_INFINITY if mounted else limit))
            lines = read_log(campaign.folder, "stderr").splitlines()
            said = [line for line in lines if not line.startswith("warning: ")]  # the stills show noise
            campaign.places[f"exit code {code}" + (", tmpfs" if mounted else ", limit on files")] += 1
            told = code == 0 or (code == 4 and len(said) == 1 and said[0].startswith("kinemacolor: "))
            campaign.check(told, f"disk {film} of {room} KiB ended with {code}: {said}")
            if code:
                campaign.check(not (place / output).exists(), f"disk {film}: {output} has its name, though it failed")
                if mounted:
                    mount("-o", "remount,size=64m", str(place))
                finish(campaign, place, output, f"disk {film}")
        finally:
            if mounted:
                subprocess.run(["umount", str(place)], check=False)


def mount(*arguments: str) -> bool:
    """Whether mounting succeeded."""
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


def limit_files(size: int) -> None:
    """In a fork: no file may grow beyond ``size`` bytes; writing fails then."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kill", "full"))
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a run may take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kinemacolor-kills-") as temporary:
        campaign = prepare_campaign(Path(temporary), options.seed, options.limit)
        (kill_campaign if options.what == "kill" else full_campaign)(campaign, options.count)
    for place, times in sorted(campaign.places.items()):
        print(f"{times:4}  {place}")
    print(f"{campaign.places.total()} of seed {options.seed}; {len(campaign.faults)} ended otherwise than they should")
    return int(bool(campaign.faults) or campaign.places.total() < options.count)


if __name__ == "__main__":
    sys.exit(main())
