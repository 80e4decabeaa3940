"""What a long job's stages share: where events go, whether it was canceled, and how fast it is."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kinemacolor.core.events import AnyEvent, Emit, ProgressEvent, WarningEvent
from kinemacolor.core.progress import ProgressCallback

INTERVAL = 0.2
"""Seconds between two progress events of a stage, at least."""
SPEED_WINDOW = 60.0
"""Seconds over which speed is measured."""


class JobCanceled(Exception):
    """The job was canceled; raised in its own thread at the next frame."""


def _ignore(_event: AnyEvent) -> None:
    pass


@dataclass(slots=True, eq=False)
class JobContext:
    """Handed down through a job's stages.

    Attributes:
        emit: takes events.
        on_folder: called with the job's work folder once that is there, or None.
    """

    emit: Emit = _ignore
    on_folder: Callable[[Path], None] | None = None
    _canceled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Asks the job to stop; may be called from any thread, any number of times."""
        self._canceled.set()

    @property
    def canceled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._canceled.is_set()

    def check(self) -> None:
        """Raises JobCanceled once the job was asked to stop. Stages call it for each frame."""
        if self._canceled.is_set():
            raise JobCanceled

    def warn(self, message: str) -> None:
        """Emits a warning."""
        self.emit(WarningEvent(message=message))

    def progress(self, stage: str) -> ProgressCallback:
        """A function of (done, total) that emits the stage's progress and checks whether the job was canceled."""
        return _ProgressMeter(self, stage)


class _ProgressMeter:
    """Sends progress with speed and estimated time left, at most every ``INTERVAL`` seconds and at the end."""

    def __init__(self, context: JobContext, stage: str) -> None:
        self._context, self._stage = context, stage
        self._marks: deque[tuple[float, int]] = deque()
        self._sent = float("-inf")

    def __call__(self, done: int, total: int | None) -> None:
        self._context.check()
        now = time.monotonic()
        if now - self._sent < INTERVAL and done != total:
            return
        self._sent = now
        while len(self._marks) > 1 and now - self._marks[0][0] > SPEED_WINDOW:
            self._marks.popleft()
        self._marks.append((now, done))
        (begin, before), speed = self._marks[0], None
        if now > begin and done > before:  # what was finished before the stage began tells nothing of its speed
            speed = round((done - before) / (now - begin), 3)
        left = round((total - done) / speed, 1) if speed and total is not None else None
        self._context.emit(
            ProgressEvent(stage=self._stage, done=done, total=total, per_second=speed, seconds_left=left)
        )
