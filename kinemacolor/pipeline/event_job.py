"""What all jobs share: they run once, here or in a thread, send events, can be canceled, and give a result."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from kinemacolor.core.errors import KinemacolorError, UsageError
from kinemacolor.core.events import AnyEvent, CanceledEvent, FailedEvent, FinishedEvent, JobKind, StartedEvent
from kinemacolor.core.job_context import JobCanceled, JobContext
from kinemacolor.core.memory import OutOfMemoryError, is_allocation_failure
from kinemacolor.pipeline.event_log import EventLog
from kinemacolor.pipeline.workdir import EVENTS, work_folder
from kinemacolor.video.film_sink import output_error

JOB_THREAD = "kinemacolor job"
"""Name of the thread of a job that was started by ``start`` or ``events``."""


class JobResult(Protocol):
    """What a job gives."""

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        ...


Result = TypeVar("Result", bound=JobResult)
OtherResult = TypeVar("OtherResult", bound=JobResult)


class EventJob(ABC, Generic[Result]):
    """A job that runs once and tells what happens.

    Args:
        film: that is read.
        output: that is made.
    """

    kind: ClassVar[JobKind]
    memory_settings: ClassVar[tuple[str, ...]] = ("working_size",)
    """Settings by which it takes less memory."""

    def __init__(self, film: Path, output: Path) -> None:
        self._film, self._output = film, output
        self._log = EventLog()
        self._context = JobContext(self._log.emit, self._write_events)
        self._thread: threading.Thread | None = None
        self._begun = False
        self._begin_lock = threading.Lock()
        self._result: Result | None = None
        self._error: BaseException | None = None

    @abstractmethod
    def _work(self) -> Result:
        """Does the work in the calling thread."""

    def run(self) -> Result:
        """Runs the job in the calling thread.

        Raises:
            UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
            JobCanceled: it was canceled; what is finished is kept.
        """
        self._result = self._run_as(self.kind, self._work)
        return self._result

    def start(self) -> None:
        """Runs the job in a thread of its own; does nothing where it was started before."""
        with self._begin_lock:
            if self._begun or self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run_quietly, name=JOB_THREAD, daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stops the job at the next frame; finished work is kept. May be called from any thread."""
        self._context.cancel()

    def listen(self, on_event: Callable[[AnyEvent], None]) -> None:
        """Calls ``on_event`` with each event to come, in the thread that does the work."""
        emit = self._context.emit

        def both(event: AnyEvent) -> None:
            emit(event)
            on_event(event)

        self._context.emit = both

    def events(self) -> Iterator[AnyEvent]:
        """The job's events from the first on, as they come; starts the job where nobody has."""
        self.start()
        return iter(self._log)

    @property
    def ended(self) -> bool:
        """Whether the job has ended and left nothing running."""
        return self._log.closed

    @property
    def last_event(self) -> AnyEvent | None:
        """The newest event."""
        return self._log.last

    def result(self) -> Result:
        """Waits for the end; starts the job where nobody has.

        Raises:
            UsageError, InputError, OutputError, JobCanceled: what ended the job.
        """
        for _ in self.events():
            pass
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _run_as(self, kind: JobKind, work: Callable[[], OtherResult]) -> OtherResult:
        """Does the work between the job's first event and its last."""
        with self._begin_lock:
            if self._begun:
                raise UsageError("job", "has run already", "make another one")
            self._begun = True
        self._announce_start(kind)
        emit = self._context.emit
        try:
            result = work()
            if not self._log.ended:
                emit(FinishedEvent(summary=result.record()))
            return result
        except BaseException as error:
            told = self._told(error)
            self._error = told
            emit(self._last_event(told))
            if told is error:
                raise
            raise told from error
        finally:
            self._log.close()

    def _announce_start(self, kind: JobKind) -> None:
        """Emits the job's first event, once."""
        if self._log.last is None:
            self._context.emit(
                StartedEvent(job=kind, film=str(self._film), output=str(self._output), process=os.getpid())
            )

    def _told(self, error: BaseException) -> BaseException:
        """The error for the user, where memory did not suffice; else the same."""
        if isinstance(error, KinemacolorError) and not isinstance(error, OutOfMemoryError):
            return error
        if not (isinstance(error, OutOfMemoryError) or is_allocation_failure(error)):
            return error
        smaller = f"a smaller {' or '.join(f'`{name}`' for name in self.memory_settings)}"
        remedy = f"close other programs, or set {smaller}"
        if work_folder(self._output).exists():
            remedy = f"close other programs and give the same again to go on, or start over with {smaller}"
        return OutOfMemoryError(self._film, remedy)

    def _last_event(self, error: BaseException) -> AnyEvent:
        if isinstance(error, KinemacolorError):
            return FailedEvent(
                subject=error.subject, problem=error.problem, remedy=error.remedy, exit_code=error.exit_code
            )
        if isinstance(error, (JobCanceled, KeyboardInterrupt)):
            folder = work_folder(self._output)
            return CanceledEvent(kept=str(folder) if folder.exists() else None)
        problem = f"failed by a fault of the program ({type(error).__name__}: {error})"
        return FailedEvent(subject=str(self._film), problem=problem, remedy="report it to the developers")

    def _run_quietly(self) -> None:
        """For the job's own thread: what ends the job is kept for ``result``."""
        try:
            self.run()
        except BaseException as error:
            self._error = error

    def _write_events(self, folder: Path) -> None:
        try:
            self._log.write_to(folder / EVENTS)
        except OSError as error:
            raise output_error(folder, error) from error
