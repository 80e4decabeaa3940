"""A film's work in progress, in a folder beside its output, so that a run that is killed at any moment can be resumed.

film-color.mp4.work/
    job.json          fingerprint of film, references and settings
    events.jsonl      what happens, an event a line
    analysis.npz      frame times and shots
    selection.json    which references color which shot
    000012.segment    encoded frames of a segment (for images a folder of them)
    000012.npz        its record; a segment that has one is finished
    000012.forward.npz …    states that a neighbor begins with, by kind
    000012.frames     a copy of the film's frames, while the segment waits for its turn (``segment_frames``)
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.folder_exchange import partial_folders
from kinemacolor.core.types import Array
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.analysis_io import read_analysis, read_arrays, write_analysis, write_arrays
from kinemacolor.pipeline.fingerprint import differences
from kinemacolor.pipeline.segment_plan import Segment, SegmentPlan
from kinemacolor.pipeline.state_io import START_OVER, load_state, save_state
from kinemacolor.references.selection import ReferenceSelection
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.output import image_target

FORMAT = 3
"""Of the folder; a run is not resumed from another one."""
EVENTS = "events.jsonl"
LOCK = "lock"
SHOWN_CHANGES = 6
"""Differences from an earlier run that a message names."""
RECORD = "job.json"


def work_folder(output: Path) -> Path:
    """Where an output's work in progress lies."""
    return output.with_name(f"{output.name}.work")


class WorkDir:
    """The folder. Used in a ``with`` block, which keeps other runs out. An exception that leaves the block leaves the
    folder, unless no segment is finished yet.

    Args:
        output: the film to be made.
        fingerprint: everything that decides the result, JSON-ready: nested records of values.
        restart: whether to throw away what is there, instead of refusing to go on with something else.

    Raises:
        UsageError: the folder is of another film, reference or setting, or of another version.
        OutputError: it cannot be made, or another run is at work in it.
    """

    def __init__(self, output: Path, fingerprint: Mapping[str, Any], *, restart: bool = False) -> None:
        self.output, self.folder = output, work_folder(output)
        self._fingerprint = json.loads(json.dumps({"format": FORMAT, **fingerprint}))
        self._restart = restart
        self._lock: Any = None
        self._made: list[Path] = []  # folders, outermost first

    def __enter__(self) -> Self:
        try:
            with self._writing():
                self._make_target()
                self.folder.mkdir(exist_ok=True)
                self._lock = lock_file(self.folder / LOCK)
                if self._restart:
                    self._empty()
                self.check_resumable()
                self._remove_partial_outputs()
        except BaseException:
            self._unlock()
            raise
        return self

    def _make_target(self) -> None:
        """Makes the folders of images (``new/reel/%06d.png``) in which the work folder lies."""
        if image_target(self.output) is None:
            return
        missing = [folder for folder in self.folder.absolute().parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            self._made.append(folder)

    def _remove_partial_outputs(self) -> None:
        """Removes what a run that was killed while joining left beside the output: nobody else is at work on it."""
        target = image_target(self.output)
        if target is not None:
            for folder in partial_folders(target.folder):
                shutil.rmtree(folder)
            return
        for partial in self.output.absolute().parent.glob(f".{glob.escape(self.output.stem)}.partial-*"):
            if partial.suffix == self.output.suffix and not partial.is_dir():
                partial.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unlock()
        if kind is not None and not self.has_finished_segments:
            self.remove()

    @property
    def has_finished_segments(self) -> bool:
        """Whether anything here is worth keeping."""
        return any(path.stem.isdigit() for path in self.folder.glob("*.npz"))

    def check_resumable(self) -> None:
        """Takes an empty folder for this job; refuses one of another job.

        Raises:
            UsageError: film, references or settings differ, or the folder is of another version; each is named.
            InputError: the folder's record is corrupt.
        """
        record = self.folder / RECORD
        if not record.exists():
            self._empty()
            with atomic_write(record) as part:
                part.write_text(json.dumps(self._fingerprint, indent=1), "utf-8")
            return
        try:
            before = json.loads(record.read_text("utf-8"))
            version = before.get("format")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(record, "is corrupt", START_OVER) from error
        if version != FORMAT:
            problem = f"was made by another version of kinemacolor (format {version}, this one writes {FORMAT})"
            raise UsageError(self.folder, problem, f"{START_OVER}, or finish it with that version")
        changes = differences(before, self._fingerprint)
        if changes:
            more = [f"and {len(changes) - SHOWN_CHANGES} more"] if len(changes) > SHOWN_CHANGES else []
            problem = f"holds a run with other inputs or settings: {'; '.join([*changes[:SHOWN_CHANGES], *more])}"
            raise UsageError(self.folder, problem, f"give the same again to resume it, or {START_OVER}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise output_error(self.folder, error) from error

    # --- what is known before the first segment --------------------

    def load_analysis(self) -> FilmAnalysis | None:
        """The film's frames and shots, where an earlier run has kept them."""
        path = self.folder / "analysis.npz"
        return read_analysis(path) if path.exists() else None

    def save_analysis(self, analysis: FilmAnalysis) -> None:
        """Keeps them."""
        with self._writing():
            write_analysis(self.folder / "analysis.npz", analysis)

    def load_selection(self) -> ReferenceSelection | None:
        """Which references color which shot, where an earlier run has kept it."""
        path = self.folder / "selection.json"
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text("utf-8"))
            shots = tuple(tuple(shot) for shot in record.pop("shots"))
            return ReferenceSelection(shots, **{name: tuple(values) for name, values in record.items()})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(path, "is corrupt", START_OVER) from error

    def save_selection(self, selection: ReferenceSelection) -> None:
        """Keeps it."""
        with self._writing(), atomic_write(self.folder / "selection.json") as part:
            part.write_text(json.dumps(asdict(selection)), "utf-8")

    # --- segments --------------------

    def segment_path(self, segment: Segment) -> Path:
        """Of its encoded frames."""
        return self.folder / f"{segment.number:06d}.segment"

    def _record_path(self, segment: Segment) -> Path:
        return self.folder / f"{segment.number:06d}.npz"

    def is_finished(self, segment: Segment) -> bool:
        """Whether the segment is encoded and recorded."""
        return self._record_path(segment).exists() and self.segment_path(segment).exists()

    def finish(self, plan: SegmentPlan, segment: Segment, record: Mapping[str, Array]) -> None:
        """Records that a segment is finished; states that nobody begins with any more are removed, and its frames."""
        self._save(self._record_path(segment), record)
        _remove_file(self.frames_path(segment))
        if segment.continues_forward:
            for kind in ("forward", "denoise", "smoothing"):
                self._remove_state(plan.segments[segment.number - 1], kind)
        if segment.continues_backward:
            self._remove_state(plan.segments[segment.number + 1], "backward")

    def read_record(self, segment: Segment) -> dict[str, Array]:
        """What was recorded of a finished segment."""
        return read_arrays(self._record_path(segment))

    # --- states --------------------

    def _state_path(self, segment: Segment, kind: str) -> Path:
        return self.folder / f"{segment.number:06d}.{kind}.npz"

    def save_state(self, segment: Segment, kind: str, state: object) -> None:
        """Keeps the state that a pass through a segment left, by its kind."""
        with self._writing():
            save_state(self._state_path(segment, kind), state)

    def load_state(self, segment: Segment, kind: str) -> Any:
        """That state. Raises InputError where it cannot be read."""
        return load_state(self._state_path(segment, kind))

    def _remove_state(self, segment: Segment, kind: str) -> None:
        _remove_file(self._state_path(segment, kind))

    # --- copies of frames --------------------

    def frames_path(self, segment: Segment) -> Path:
        """Of a copy of the film's frames."""
        return self.folder / f"{segment.number:06d}.frames"

    def remove_frames(self, *, except_of: Iterable[Segment]) -> None:
        """Removes copies of frames that an earlier run has left, finished or not, except those of some segments."""
        kept = {self.frames_path(segment) for segment in except_of}
        for path in self.folder.glob("[0-9]*.frames*"):
            if path not in kept:
                _remove_file(path)

    # --- the folder --------------------

    def remove(self) -> None:
        """Removes the folder, after the film was made."""
        self._unlock()
        self._forget()
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # the innermost one holds the images
            for folder in reversed(self._made):
                folder.rmdir()

    def _save(self, path: Path, arrays: Mapping[str, Array]) -> None:
        with self._writing():
            write_arrays(path, arrays)

    def _forget(self) -> None:
        """Without its record the folder is taken for an empty one, even if a kill leaves some of its files."""
        with contextlib.suppress(OSError):
            (self.folder / RECORD).unlink()

    def _empty(self) -> None:
        self._forget()
        for entry in self.folder.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _remove_file(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def lock_file(path: Path) -> Any:
    """An open file that no other process can lock while this one has it.

    Raises:
        OutputError: another process has it.
    """
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
        problem = "another run is at work there"
        raise OutputError(path.parent, problem, "wait for it, or choose another output") from error
    return file
