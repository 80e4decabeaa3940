"""Events of jobs drawn on a terminal, or printed as they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kinemacolor.core.errors import printable

if TYPE_CHECKING:
    from kinemacolor.core.events import AnyEvent, ProgressEvent
    from kinemacolor.pipeline.event_job import EventJob, JobResult

    Result = TypeVar("Result", bound=JobResult)

STAGE_TITLES = {
    "analyze": "analyzing the film",
    "color": "coloring",
    "join": "joining segments",
    "extract features": "extracting features",
    "compare": "comparing frames",
    "export": "exporting",
}
CANCEL_SECONDS = 1.8
"""Longest wait for a job that was canceled to end by itself."""


class EventDrawing(AbstractContextManager["EventDrawing"]):
    """Draws events on standard error: a line with progress, speed and time left for each stage, warnings above.

    Args:
        quiet: whether only warnings are shown.
        raw: whether events are printed on standard output instead, a line of JSON each.
        unit: of the speed.
    """

    def __init__(self, *, quiet: bool = False, raw: bool = False, unit: str = "fps") -> None:
        self._quiet, self._raw, self._unit = quiet, raw, unit
        self._bar: Any = None
        self._rows: dict[str, Any] = {}
        self._output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def draw(self, event: AnyEvent) -> None:
        """Draws the next event."""
        if self._raw:
            print(event.model_dump_json(), flush=True)
        elif event.kind == "started":
            self._output = event.output
        elif event.kind == "warning":
            self._print(f"warning: {event.message}")
        elif self._quiet:
            return
        elif event.kind == "disk_estimate":
            self._print(f"{self._output}: {event.message}")
        elif event.kind == "resumed":
            self._print(f"{self._output}: resumed; {event.frames} frames were finished before")
        elif event.kind == "progress":
            self._draw_progress(event)

    def _print(self, text: str) -> None:
        line = printable(text)
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr)

    def _draw_progress(self, event: ProgressEvent) -> None:
        if self._bar is None:
            self._bar = _progress_bar()
            self._bar.start()
        if event.stage not in self._rows:
            title = STAGE_TITLES.get(event.stage, event.stage)
            self._rows[event.stage] = self._bar.add_task(title, total=None, rate="", left="")
        rate = f"{event.per_second:.1f} {self._unit}" if event.per_second else ""
        left = f"{_duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        total = None if event.total is None else max(event.total, event.done)
        self._bar.update(self._rows[event.stage], completed=event.done, total=total, rate=rate, left=left)


def _progress_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def draw_events(events: Iterable[AnyEvent], *, quiet: bool = False, raw: bool = False) -> AnyEvent | None:
    """Draws events until they end; returns the last one."""
    last: AnyEvent | None = None
    with EventDrawing(quiet=quiet, raw=raw) as drawing:
        for event in events:
            drawing.draw(event)
            last = event
    return last


def run_drawn(job: EventJob[Result], *, quiet: bool = False, raw: bool = False) -> Result:
    """Runs a job in a thread of its own and draws its events; an interruption cancels it.

    Raises:
        UsageError, InputError, OutputError: what ended the job.
        KeyboardInterrupt: it was canceled; it may still be in foreign code.
    """
    events = job.events()
    with EventDrawing(quiet=quiet, raw=raw) as drawing:
        try:
            for event in events:
                drawing.draw(event)
        except KeyboardInterrupt:
            job.cancel()
            _wait_for_end(job, drawing)
            raise
    return job.result()


def _wait_for_end(job: EventJob[Result], drawing: EventDrawing) -> None:
    limit = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < limit and not job.ended:
        time.sleep(0.02)
    if job.ended and job.last_event is not None:
        drawing.draw(job.last_event)
