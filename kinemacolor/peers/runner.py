"""Runs a peer's adapter on a clip: in a process of its own, with a time limit and a clear account of failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array
from kinemacolor.peers.records import PeerRecord

PEER_SECONDS = 3600.0
"""Time that a peer may take for a clip, unless the caller says otherwise."""
_ERROR_LINE = re.compile(r"^\S*(Error|Exception|Interrupt)\b.*|^.*: error: .*", re.IGNORECASE)
_POLL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PeerOutput:
    """What a peer made of a clip.

    Attributes:
        film: R'G'B' (T, H, W, 3) uint8.
        seconds: of the whole process, or of the network alone where the adapter tells it.
        memory: peak resident memory of the process, bytes; None where the system does not tell.
    """

    film: Array
    seconds: float
    memory: int | None


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout of a peer.

    Attributes:
        record: of the peer.
        folder: of the checkout.
        random: whether the networks get random weights: a test of the adapter, no measurement.
        any_commit: whether another commit than the record's is accepted.
    """

    record: PeerRecord
    folder: Path
    random: bool = False
    any_commit: bool = False

    @property
    def python(self) -> Path:
        """The peer's own Python: in ``.venv`` of the checkout, else the one that runs."""
        places = (self.folder / ".venv" / part for part in ("bin/python", "Scripts/python.exe"))
        return next((place for place in places if place.exists()), Path(sys.executable))

    def commit(self) -> str | None:
        """The commit that is checked out; None if the folder is no repository."""
        command = ["git", "-C", str(self.folder), "rev-parse", "--show-toplevel", "HEAD"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return None
        lines = answer.stdout.splitlines()
        if answer.returncode or len(lines) != 2 or Path(lines[0]).resolve() != self.folder.resolve():
            return None
        return lines[1]

    def missing_weights(self) -> list[str]:
        """Files of weights that the checkout lacks, each with its source; none are needed for random weights."""
        if self.random:
            return []
        return [
            f"{weights.file} (from {weights.source})"
            for weights in self.record.weights
            if not (self.folder / weights.file).is_file()
        ]

    def problems(self) -> list[str]:
        """What keeps the peer from running, in plain words; empty if it is ready."""
        record = self.record
        if not self.folder.is_dir():
            return [f"there is no folder {self.folder}"]
        if record.results:
            return []
        if record.adapter is None:
            return ["there is no adapter for it; measure its results with external:NAME=FOLDER"]
        if not (self.folder / record.marker).is_file():
            return [f"{self.folder} is no checkout of {record.repository}: {record.marker} is missing"]
        problems = []
        commit = self.commit()
        if commit != record.commit and not self.any_commit:
            got = f"commit {commit[:12]}" if commit else "no commit that can be told"
            problems.append(f"the checkout is at {got}, the adapter was written for {str(record.commit)[:12]}")
        if missing := self.missing_weights():
            problems.append(f"weights are missing: {', '.join(missing)}")
        return problems

    def check(self) -> None:
        """Raises InputError, which names every problem, unless the peer is ready."""
        if problems := self.problems():
            remedy = "see kinemacolor peers; +any accepts another commit, +random takes random weights as a test"
            raise InputError(f"peer {self.record.name}", "; ".join(problems), remedy)


def run_peer(
    checkout: Checkout,
    frames: Sequence[Array],
    references: Sequence[Array],
    reference_frames: Sequence[int | None],
    *,
    device: str = "cpu",
    threads: int = 1,
    limit: float = PEER_SECONDS,
) -> PeerOutput:
    """Colors a clip with a peer.

    Args:
        checkout: of the peer.
        frames: gray, R'G'B' (H, W, 3) uint8, all of one size.
        references: in color, of the same size.
        reference_frames: number of the frame that each reference shows, or None.
        device: ``cpu`` or ``cuda``.
        threads: of the peer's process.
        limit: seconds after which the process and its children are ended.

    Raises:
        InputError: the peer failed, ran out of time, or gave too few frames, or frames of another size or that are not
            pictures; the message says which.
    """
    record = checkout.record
    with tempfile.TemporaryDirectory(prefix="kinemacolor-peer-") as folder:
        root = Path(folder)
        job = _write_job(root, checkout, frames, references, reference_frames, device)
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("PYTHONPATH", None)
        command = [str(checkout.python), str(record.script.resolve()), str(job)]
        with (root / "stderr").open("w+b") as errors:
            start = time.perf_counter()
            try:
                process = subprocess.Popen(
                    command,
                    cwd=checkout.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise _failure(record, f"its Python cannot be started ({error.strerror})") from error
            memory = _wait(process, limit, record)
            seconds = time.perf_counter() - start
            if process.returncode:
                raise _failure(record, f"{_ending(process.returncode)}: {_last_error(errors)}")
        film = _read_results(record, root / "output", frames)
        told = root / "output" / "seconds.json"
        return PeerOutput(film, json.loads(told.read_text()) if told.is_file() else seconds, memory)


_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _write_job(
    root: Path,
    checkout: Checkout,
    frames: Sequence[Array],
    references: Sequence[Array],
    reference_frames: Sequence[int | None],
    device: str,
) -> Path:
    """The job's file; see ``adapters/contract.py``."""
    paths: dict[str, list[str]] = {}
    for name, pictures in (("frames", frames), ("references", references)):
        (root / name).mkdir()
        paths[name] = [str(root / name / f"{index:05d}.npy") for index in range(len(pictures))]
        for path, picture in zip(paths[name], pictures, strict=True):
            np.save(path, picture)
    (root / "output").mkdir()
    fields: dict[str, Any] = {
        **paths,
        "reference_frames": list(reference_frames),
        "output": str(root / "output"),
        "device": device,
        "random": checkout.random,
        "options": checkout.record.options,
    }
    (root / "job.json").write_text(json.dumps(fields))
    return root / "job.json"


def _wait(process: subprocess.Popen[bytes], limit: float, record: PeerRecord) -> int | None:
    """Waits for the process, and returns its peak memory in bytes; ends it and its children at the limit."""
    deadline, peak = time.monotonic() + limit, 0
    try:
        while process.poll() is None:
            peak = max(peak, _resident(process.pid))
            if time.monotonic() > deadline:
                raise _failure(record, f"took more than {limit:g} seconds for a clip", "give it more time, or a GPU")
            time.sleep(_POLL)
    finally:
        if process.poll() is None:
            _end(process)
    return peak or None


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)  # its session has its number
    else:
        process.kill()
    process.wait()


def _resident(pid: int) -> int:
    """Peak resident memory of a process so far, bytes; 0 where the system does not tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(match[1]) if match else 0


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _last_error(errors: IO[bytes]) -> str:
    """The last line of the errors that names one, or the last line."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if _ERROR_LINE.match(line)]
    return (named or lines or ["it says nothing"])[-1][:300]


def _read_results(record: PeerRecord, folder: Path, frames: Sequence[Array]) -> Array:
    film = []
    missing = [index for index in range(len(frames)) if not (folder / f"{index:05d}.npy").is_file()]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise _failure(record, f"gave no result for {len(missing)} of {len(frames)} frames ({shown})")
    if extra := len(list(folder.glob("*.npy"))) - len(frames):
        raise _failure(record, f"gave {extra} frames more than there are")
    for index, frame in enumerate(frames):
        try:
            picture = np.load(folder / f"{index:05d}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _failure(record, f"frame {index} cannot be read") from error
        if picture.shape != frame.shape:
            sizes = [
                "x".join(map(str, shape[1::-1])) if len(shape) == 3 else str(shape)
                for shape in (picture.shape, frame.shape)
            ]
            raise _failure(record, f"frame {index} is {sizes[0]}, expected {sizes[1]}")
        film.append(_codes(record, index, picture))
    return np.stack(film)


def _size(picture: Array) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}" if picture.ndim == 3 else f"an array {picture.shape}"


def _codes(record: PeerRecord, index: int, picture: Array) -> Array:
    """uint8 of a result."""
    if picture.dtype == np.uint8:
        return picture
    if not np.issubdtype(picture.dtype, np.floating):
        raise _failure(record, f"frame {index} is of type {picture.dtype}, not a picture")
    if not np.isfinite(picture).all():
        raise _failure(record, f"frame {index} holds NaN or infinity")
    return np.asarray(np.clip(np.rint(255 * picture), 0, 255), dtype=np.uint8)


def _failure(record: PeerRecord, problem: str, remedy: str = "run it by itself to see more") -> InputError:
    return InputError(f"peer {record.name}", problem, remedy)
