"""A job's events: handed to listeners in any thread, appended to a file, and followed from other processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.events import LAST_EVENTS, AnyEvent, FailedEvent, ProgressEvent, parse_event
from kinemacolor.pipeline.workdir import EVENTS, LOCK, lock_file, work_folder

POLL_SECONDS = 0.1
"""Seconds between two reads of a file that another process writes."""


class EventLog:
    """The events of one job, in order. Progress that newer progress of its stage has replaced is forgotten.

    Attributes:
        ended: whether the job's last event is here.
        closed: whether the job is over.
        last: the newest event.
    """

    def __init__(self) -> None:
        self._events: list[AnyEvent | None] = []
        self._progress: dict[str, int] = {}
        self._file: IO[str] | None = None
        self._changed = threading.Condition()
        self.closed = False
        self.ended = False
        self.last: AnyEvent | None = None

    def emit(self, event: AnyEvent) -> None:
        """Adds an event; may be called from any thread."""
        with self._changed:
            if isinstance(event, ProgressEvent):
                replaced = self._progress.get(event.stage)
                if replaced is not None:
                    self._events[replaced] = None
                self._progress[event.stage] = len(self._events)
            self._events.append(event)
            self.last = event
            self.ended |= isinstance(event, LAST_EVENTS)
            if self._file:
                self._write(event)
            self._changed.notify_all()

    def write_to(self, path: Path) -> None:
        """Keeps the events in a new file, a line each, those so far and those to come.

        Raises:
            OSError: it cannot be written.
        """
        with self._changed:
            self._file = path.open("w", encoding="utf-8")
            for event in self._events:
                if event is not None:
                    self._write(event)

    def _write(self, event: AnyEvent) -> None:
        assert self._file
        try:
            self._file.write(event.model_dump_json() + "\n")
            self._file.flush()
        except OSError:  # a full disk is an error where frames are written; the run need not end here
            self._file = None

    def close(self) -> None:
        """Ends the iterations of all listeners once they have had every event."""
        with self._changed:
            self.closed = True
            if self._file:
                self._file.close()
                self._file = None
            self._changed.notify_all()

    def __iter__(self) -> Iterator[AnyEvent]:
        """All events from the first on, as they come; ends when the log is closed."""
        position = 0
        while True:
            with self._changed:
                while position == len(self._events) and not self.closed:
                    self._changed.wait(POLL_SECONDS)
                batch, position = self._events[position:], len(self._events)
                ended = self.closed
            yield from (event for event in batch if event is not None)
            if ended and not batch:
                return


def follow(output: str | Path) -> Iterator[AnyEvent]:
    """The events of the job that makes ``output``, which another process runs or ran, from the first to the last.

    Where the other process was killed, the last event says so.

    Raises:
        InputError: no job is at work on it, and none was interrupted.
    """
    folder = work_folder(Path(output))
    try:
        file = (folder / EVENTS).open(encoding="utf-8")
    except OSError as error:
        raise InputError(output, "no job is at work on it", "start one with kinemacolor colorize") from error
    return _follow(folder, file)


def _follow(folder: Path, file: IO[str]) -> Iterator[AnyEvent]:
    with file:
        line = ""
        while True:
            abandoned = not _is_locked(folder)
            for part in iter(file.readline, ""):
                line += part
                if not line.endswith("\n"):
                    break
                event = parse_event(line)
                line = ""
                yield event
                if isinstance(event, LAST_EVENTS):
                    return
            if abandoned:
                problem = "the process that worked on it was killed"
                yield FailedEvent(subject=str(folder), problem=problem, remedy="give the same command again to resume")
                return
            time.sleep(POLL_SECONDS)


def _is_locked(folder: Path) -> bool:
    try:
        lock_file(folder / LOCK).close()
    except OutputError:
        return True
    except OSError:  # the folder is gone with the end of the job; its last events may not have been read yet
        return False
    return False
