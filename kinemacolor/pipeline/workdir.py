"""A film's work in progress, in a folder beside its output, so that a run killed at any moment can go on.

film-color.mp4.work/
    job.json          what the film, references and settings are
    survey.npz        frame times and shots
    choice.json       which references color which shot
    000012.segment    encoded frames of a segment (for images a folder of them)
    000012.npz        its record; a segment that has one is finished
    000012.forward.npz …    memories that a neighbor begins with, by kind
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.types import Array, Shot
from kinemacolor.engine.protocol import EngineState
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.fingerprint import differences
from kinemacolor.pipeline.segment_plan import Segment, SegmentPlan
from kinemacolor.pipeline.state_io import load_state, save_state
from kinemacolor.references.selection import ReferenceSelection
from kinemacolor.video.film_sink import write_error
from kinemacolor.video.output import image_target

FORMAT = 2
"""Of the folder; another one is not gone on with."""


def work_folder(output: Path) -> Path:
    """Where an output's work in progress lies."""
    return output.with_name(f"{output.name}.work")


class WorkDir:
    """The folder. Used in a ``with`` block, which keeps other runs out. An exception that leaves the block leaves the
    folder, unless no segment is finished yet.

    Args:
        output: the film to be made.
        identity: everything that decides the result, JSON-ready: nested records of values.
        restart: whether to throw away what is there, instead of refusing to go on with something else.

    Raises:
        UsageError: the folder is of another film, reference or setting, or another run is at work in it.
        OutputError: it cannot be made.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any], *, restart: bool = False) -> None:
        self.output, self.folder = output, work_folder(output)
        self._identity = json.loads(json.dumps({"format": FORMAT, **identity}))
        self._restart = restart
        self._lock: Any = None

    def __enter__(self) -> Self:
        try:
            with self._writing():
                self.folder.mkdir(exist_ok=True)
                self._lock = _locked(self.folder / "lock")
                if self._restart:
                    self._empty()
                self.check_resumable()
                self._remove_partial_outputs()
        except BaseException:
            self._unlock()
            raise
        return self

    def _remove_partial_outputs(self) -> None:
        """Removes what a run that was killed while joining left beside the output: nobody else is at work on it."""
        stem = self.output.name if image_target(self.output) else self.output.stem
        for left in self.output.absolute().parent.glob(f".{glob.escape(stem)}.partial-*"):
            if left.is_dir():
                shutil.rmtree(left)
            elif left.suffix == self.output.suffix:
                left.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()
        if kind is not None and not self.worth_keeping:
            self.remove()

    @property
    def worth_keeping(self) -> bool:
        """Whether a segment is finished."""
        return any(path.stem.isdigit() for path in self.folder.glob("*.npz"))

    def check_resumable(self) -> None:
        """Goes on with a folder that is of this very work; makes a new one of an empty one."""
        record = self.folder / "job.json"
        if not record.exists():
            self._empty()
            with atomic_write(record) as part:
                part.write_text(json.dumps(self._identity, indent=1), "utf-8")
            return
        try:
            known = json.loads(record.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(record, "cannot be read", "begin anew with --restart") from error
        changed = differences(known, self._identity)
        if changed:
            problem = f"was begun otherwise: {'; '.join(changed[:4])}"
            remedy = "give the same again to go on, or --restart to begin anew"
            raise UsageError(self.folder, problem, remedy)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self.folder, error) from error

    # --- survey --------------------

    def load_analysis(self) -> FilmAnalysis | None:
        """What the first look found, where there was one."""
        path = self.folder / "survey.npz"
        if not path.exists():
            return None
        stored = _arrays(path)
        told = json.loads(stored["told"].tobytes())
        shots = tuple(Shot(int(start), int(stop)) for start, stop in stored["shots"])
        return FilmAnalysis(pts=stored["pts"], shots=shots, time_base=Fraction(*told.pop("time_base")), **told)

    def save_analysis(self, found: FilmAnalysis) -> None:
        """Keeps it."""
        told = {name: getattr(found, name) for name in ("first", "whole", "repaired", "skipped", "damage")}
        told["time_base"] = found.time_base.as_integer_ratio()
        shots = np.array([(shot.start, shot.stop) for shot in found.shots], np.int64)
        self._save(
            self.folder / "survey.npz",
            {"pts": found.pts, "shots": shots, "told": np.frombuffer(json.dumps(told).encode(), np.uint8)},
        )

    def load_selection(self) -> ReferenceSelection | None:
        """What was settled about the references, if it was."""
        path = self.folder / "choice.json"
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_text("utf-8"))
            return ReferenceSelection(tuple(tuple(one) for one in told["shots"]), tuple(told["mirrored"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(path, "cannot be read", "begin anew with --restart") from error

    def save_selection(self, load_selection: ReferenceSelection) -> None:
        """Keeps it."""
        with self._writing(), atomic_write(self.folder / "choice.json") as part:
            part.write_text(json.dumps(asdict(load_selection)), "utf-8")

    # --- segments --------------------

    def path(self, segment: Segment) -> Path:
        """Of its encoded frames."""
        return self.folder / f"{segment.number:06d}.segment"

    def _record(self, segment: Segment) -> Path:
        return self.folder / f"{segment.number:06d}.npz"

    def finished(self, segment: Segment) -> bool:
        """Whether it is."""
        return self._record(segment).exists() and self.path(segment).exists()

    def finish(self, plan: SegmentPlan, segment: Segment, record: Mapping[str, Array]) -> None:
        """Notes that a segment is finished; memories that nobody begins with any more are removed."""
        self._save(self._record(segment), record)
        if segment.continues_forward:
            for kind in ("forward", "guide", "steady"):
                self._forget(plan.segments[segment.number - 1], kind)
        if segment.continues_backward:
            self._forget(plan.segments[segment.number + 1], "backward")

    def record(self, segment: Segment) -> dict[str, Array]:
        """What was noted of a finished segment."""
        return _arrays(self._record(segment))

    # --- memories --------------------

    def _memory(self, segment: Segment, kind: str) -> Path:
        return self.folder / f"{segment.number:06d}.{kind}.npz"

    def keep_memory(self, segment: Segment, kind: str, memory: EngineState) -> None:
        """Keeps what a pass through a segment left, by its kind."""
        with self._writing():
            save_state(self._memory(segment, kind), memory)

    def memory(self, segment: Segment, kind: str) -> EngineState:
        """That memory. Raises InputError where it cannot be read."""
        return load_state(self._memory(segment, kind))

    def _forget(self, segment: Segment, kind: str) -> None:
        with contextlib.suppress(OSError):
            self._memory(segment, kind).unlink()

    # --- the folder --------------------

    def remove(self) -> None:
        """Removes the folder, after the film was made."""
        self._unlock()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _save(self, path: Path, arrays: Mapping[str, Array]) -> None:
        with self._writing(), atomic_write(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _empty(self) -> None:
        for entry in self.folder.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _arrays(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(path, "is torn", "begin anew with --restart") from error


def _locked(path: Path) -> Any:
    """An open file that no other process can lock while this one has it."""
    file = path.open("a")
    try:
        if os.name == "nt":  # pragma: no cover
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise OutputError(path.parent, "another run is at work there", "wait for it, or give another output") from error
    return file
