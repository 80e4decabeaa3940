"""Runs the command line on damaged, cut, spliced and renamed inputs of every kind, and checks how each run ends.

    python benchmarks/fuzz.py [--inputs 2000] [--seed 23] [--first 0] [--jobs 2] [--limit 60] [--keep FOLDER]

Input NUMBER of a seed is always the same: ``--first NUMBER --inputs 1 --keep FOLDER`` makes and runs it alone. Each run
is a fork of this process, so that Python and its libraries are loaded once. A run must end within the limit, with a
result, or with one line and exit code 2 to 4; without a traceback; files that were there stay as they were; what has
its final name is complete; nothing partial is left. Exit status 1 if one did not. Needs a system with ``fork``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
from forks import fork_command, load_libraries, read_log
from fuzz_inputs import KINDS, FuzzInput, make_input, unchanged_samples
from fuzz_samples import make_samples

_STATED = re.compile(r"(kinemacolor: |.*; (what decodes was colored|the shots are those of what decodes)$|.*: .*; .*)")
"""The line that says how a run ended where it did not end well."""
_REMARK = re.compile(r"(warning: |kinemacolor: --\S+ is now )")
"""Lines that may stand before it."""


@dataclass(slots=True)
class FuzzRun:
    """A run at work.

    Attributes:
        made: its input.
        folder: where it runs.
        before: hash of each file that was there.
        begin: when it started, ``time.monotonic``.
    """

    made: FuzzInput
    folder: Path
    before: dict[str, str]
    begin: float


@dataclass(frozen=True, slots=True)
class FuzzOutcome:
    """How a run ended.

    Attributes:
        made: its input.
        code: exit code, negative for a signal.
        seconds: that it took.
        mebibytes: of memory, at most.
        said: what it printed on standard error.
        faults: what it should not have done.
    """

    made: FuzzInput
    code: int
    seconds: float
    mebibytes: int
    said: str
    faults: tuple[str, ...]


def hashes(folder: Path) -> dict[str, str]:
    """sha1 of each file below a folder, by its path there."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha1(path.read_bytes()).hexdigest() for path in files}


# --- judging --------------------


def judge(run: FuzzRun, code: int, said: str, printed: str, late: bool) -> Iterator[str]:
    """What a run did that it should not."""
    if late:
        yield "did not end within the limit"
    elif code < 0:
        yield f"ended by signal {-code}"
    elif code not in (0, 2, 3, 4):
        yield f"exit code {code}"
    if run.made.number < 0 and code != 0:
        yield f"the unchanged sample ended with exit code {code}: {said[:300]!r}"
    if "Traceback (most recent call last)" in said + printed:
        yield f"traceback: {said.strip().splitlines()[-1][:200]}"
    elif code > 0:
        lines = [line for line in said.splitlines() if not _REMARK.match(line)]
        if len(lines) != 1 or not _STATED.match(lines[0]):
            yield f"{len(lines)} lines in place of one: {said[:300]!r}"
    after = hashes(run.folder)
    allowed = [output.rstrip("/") for output in run.made.outputs]
    allowed += ["report.json"] if "report.html" in allowed else []
    overwriting = "--overwrite" in run.made.arguments
    damaged = code == 3 and not re.search("^kinemacolor: ", said, re.MULTILINE)
    for name, digest in run.before.items():
        written = overwriting and name in allowed and (code == 0 or damaged)
        if after.get(name) != digest and not written:
            yield f"{name} was {'changed' if name in after else 'removed'}"
    for name in sorted(set(after) - set(run.before)):
        first = name.split("/")[0]
        if ".partial" in name:
            yield f"left {name}"
        elif first not in allowed and not first.endswith(".work"):
            yield f"wrote {name}"
        elif first in allowed and code != 0 and not damaged:
            yield f"wrote {name}, though it failed"
    if code == 0 or damaged:
        yield from incomplete_outputs(run)


def incomplete_outputs(run: FuzzRun) -> Iterator[str]:
    """Outputs of a run that ended well which are missing or do not open and decode to the end."""
    for output in run.made.outputs:
        path = run.folder / output
        if not path.exists():
            yield f"{output} is missing"
        elif path.suffix in (".mp4", ".mkv", ".mov"):
            try:
                with av.open(str(path)) as container:
                    frames = sum(1 for _ in container.decode(video=0))
                if not frames:
                    yield f"{output} holds no frame"
            except (av.FFmpegError, OSError, IndexError) as error:
                yield f"{output} does not decode: {error}"
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        elif path.is_file() and not path.stat().st_size:
            yield f"{output} is empty"
        elif path.is_dir() and not any(path.iterdir()):
            yield f"{output} holds nothing"


# --- the campaign --------------------


def campaign(seed: int, numbers: range, jobs: int, limit: float, folder: Path, keep: bool) -> Iterator[FuzzOutcome]:
    """Runs the unchanged samples, whose numbers are below 0, and the inputs, a few at a time.

    Args:
        seed: of all inputs.
        numbers: of the inputs.
        jobs: runs at a time.
        limit: seconds for each.
        folder: for samples and runs.
        keep: whether to keep the runs' folders.
    """
    samples = folder / "samples"
    if not samples.exists():
        make_samples(samples)
    load_libraries(training=True)
    unchanged = len(unchanged_samples(samples)) if len(numbers) > 1 else 0
    waiting, running = chain(range(-unchanged, 0), numbers), dict[int, FuzzRun]()
    while True:
        while len(running) < jobs and (number := next(waiting, None)) is not None:
            place = folder / str(number)
            shutil.rmtree(place, ignore_errors=True)
            (place / "run").mkdir(parents=True)
            (place / "logs").mkdir()
            made = make_input(seed, number, samples, place / "run")
            run = FuzzRun(made, place / "run", hashes(place / "run"), time.monotonic())
            running[fork_command(made.arguments, run.folder, place / "logs")] = run
        if not running:
            return
        for outcome in _ended(running, limit):
            yield outcome
            if not keep:
                shutil.rmtree(folder / str(outcome.made.number))
        time.sleep(0.004)


def _ended(running: dict[int, FuzzRun], limit: float) -> Iterator[FuzzOutcome]:
    """Outcomes of the runs that have ended; one that takes too long is ended here."""
    for process, run in list(running.items()):
        ended, status, usage = os.wait4(process, os.WNOHANG)
        late = not ended and time.monotonic() - run.begin > limit
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            _, status, usage = os.wait4(process, 0)
        if ended or late:
            del running[process]
            logs, code = run.folder.parent / "logs", os.waitstatus_to_exitcode(status)
            said, printed = (read_log(logs, name) for name in ("stderr", "stdout"))
            faults = tuple(judge(run, code, said, printed, late))
            seconds = time.monotonic() - run.begin
            yield FuzzOutcome(run.made, code, seconds, usage.ru_maxrss // 1024, said, faults)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--limit", type=float, default=60, help="seconds for each input")
    parser.add_argument("--keep", type=Path, help="folder in which the runs are kept")
    options = parser.parse_args()
    begin, ends, slowest, largest, faulty = time.monotonic(), Counter[tuple[str, int]](), (0.0, 0), 0, 0
    with tempfile.TemporaryDirectory(prefix="kinemacolor-fuzz-") as temporary:
        folder = (options.keep or Path(temporary)).absolute()
        numbers = range(options.first, options.first + options.inputs)
        for outcome in campaign(options.seed, numbers, options.jobs, options.limit, folder, options.keep is not None):
            made = outcome.made
            if made.number >= 0:
                ends[made.kind, outcome.code] += 1
            slowest, largest = max(slowest, (outcome.seconds, made.number)), max(largest, outcome.mebibytes)
            if outcome.faults:
                faulty += 1
                print(f"{made.number} ({made.kind}, {made.sample}: {', '.join(made.changes)})")
                print(f"    {'; '.join(outcome.faults)}")
                print(f"    kinemacolor {' '.join(map(repr, made.arguments))}", flush=True)
    print("| kind | inputs | 0 | 2 | 3 | 4 | other |\n|---|--:|--:|--:|--:|--:|--:|")
    for kind in (*KINDS, "all"):
        codes = Counter[int]()
        for (name, code), count in ends.items():
            if kind in (name, "all"):
                codes[code] += count
        known = [codes.pop(code, 0) for code in (0, 2, 3, 4)]
        print(f"| {kind} | {sum(known) + codes.total()} | {' | '.join(map(str, known))} | {codes.total()} |")
    print(
        f"{ends.total()} inputs of seed {options.seed} from {options.first} on in {time.monotonic() - begin:.0f} s; "
        f"the slowest, number {slowest[1]}, took {slowest[0]:.1f} s, the largest {largest} MiB; "
        f"{faulty} ended otherwise than they should"
    )
    return int(faulty > 0 or ends.total() != options.inputs)


if __name__ == "__main__":
    sys.exit(main())
