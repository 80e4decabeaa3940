"""The jobs of the studio: what runs, what waits, and what each has told, so that a page can attach at any time."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from kinemacolor.core.errors import UsageError
from kinemacolor.core.events import AnyEvent, CanceledEvent, FailedEvent, FinishedEvent, ProgressEvent
from kinemacolor.pipeline.event_job import EventJob
from kinemacolor.studio.event_hub import EventHub

KEPT_JOBS = 24
"""Jobs that are over and still listed, at most."""
KEPT_SEGMENTS = 60
"""Newest finished segments of a run whose thumbnails are kept."""
_ENDS = {"finished": "finished", "failed": "failed", "canceled": "canceled"}


@dataclass(slots=True, eq=False)
class JobEntry:
    """A job and what it has told.

    Attributes:
        id: by which pages name it.
        project: id of its film's project.
        kind: ``analyze``, ``keyframes``, ``try`` or ``colorize``.
        job: the job itself.
        title: for people.
        state: ``waiting``, ``running``, ``finished``, ``failed`` or ``canceled``.
        progress: newest progress of its newest stage.
        last: the event that ended it.
        notes: warnings, and what else was told once.
        segments: newest finished segments of a run.
    """

    id: str
    project: str
    kind: str
    job: EventJob[Any]
    title: str
    state: str = "waiting"
    progress: dict[str, Any] | None = None
    last: dict[str, Any] | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    segments: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT_SEGMENTS))

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in _ENDS.values()

    def take(self, event: AnyEvent) -> dict[str, Any]:
        """Keeps what an event says; returns it as JSON-ready values."""
        record = event.model_dump(mode="json")
        if isinstance(event, ProgressEvent):
            self.progress = record
        elif isinstance(event, (FinishedEvent, FailedEvent, CanceledEvent)):
            self.last, self.state = record, _ENDS[event.kind]
            if isinstance(event, FailedEvent):
                record["message"] = event.message
        elif event.kind == "segment_finished":
            self.segments.append(record)
        elif event.kind in ("warning", "planned", "disk_estimate", "resumed"):
            self.notes.append(record)
        else:
            self.state = "running" if not self.over else self.state
        return record

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "id": self.id,
            "project": self.project,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "progress": self.progress,
            "last": self.last,
            "notes": self.notes[-KEPT_SEGMENTS:],
            "segments": list(self.segments),
        }


class JobBoard:
    """Starts jobs, runs films one after the other, and publishes what happens.

    Args:
        hub: takes messages for pages.
    """

    def __init__(self, hub: EventHub) -> None:
        self._hub = hub
        self._lock = threading.RLock()
        self._entries: dict[str, JobEntry] = {}
        self._numbers = itertools.count(1)
        self._waiting: deque[JobEntry] = deque()
        self._running: JobEntry | None = None

    def start(self, project: str, kind: str, job: EventJob[Any], title: str) -> JobEntry:
        """Starts a job at once."""
        entry = self._add(project, kind, job, title)
        entry.state = "running"
        self._publish(entry)
        job.start()
        return entry

    def enqueue(self, project: str, job: EventJob[Any], title: str) -> JobEntry:
        """Puts a film at the end of the queue; it runs when those before it are over."""
        entry = self._add(project, "colorize", job, title)
        with self._lock:
            self._waiting.append(entry)
        self._publish(entry)
        self._next_film()
        return entry

    def cancel(self, job_id: str) -> JobEntry:
        """Cancels a job, or takes it out of the queue.

        Raises:
            UsageError: there is no such job.
        """
        entry = self.entry(job_id)
        with self._lock:
            waiting = entry in self._waiting
            if waiting:
                self._waiting.remove(entry)
                entry.state = "canceled"
        if waiting:
            self._publish(entry)
        else:
            entry.job.cancel()
        return entry

    def entry(self, job_id: str) -> JobEntry:
        """A job by its id. Raises UsageError where there is none."""
        with self._lock:
            if job_id not in self._entries:
                raise UsageError("job", f"there is no job {job_id}", "read the page anew")
            return self._entries[job_id]

    def active(self, project: str, kind: str) -> JobEntry | None:
        """The newest job of a kind that is not over."""
        with self._lock:
            entries = [e for e in self._entries.values() if e.project == project and e.kind == kind and not e.over]
        return entries[-1] if entries else None

    def newest(self, project: str, kind: str) -> JobEntry | None:
        """The newest job of a kind, over or not."""
        with self._lock:
            entries = [e for e in self._entries.values() if e.project == project and e.kind == kind]
        return entries[-1] if entries else None

    def records(self) -> list[dict[str, Any]]:
        """All jobs as JSON-ready values, oldest first."""
        with self._lock:
            return [entry.record() for entry in self._entries.values()]

    def cancel_all(self, seconds: float = 2.0) -> None:
        """Cancels everything, and waits a moment for it to end."""
        with self._lock:
            self._waiting.clear()
            jobs = [entry.job for entry in self._entries.values() if entry.state == "running"]
        for job in jobs:
            job.cancel()
        pause = threading.Event()
        for _ in range(int(seconds / 0.05)):
            if all(job.ended for job in jobs):
                return
            pause.wait(0.05)

    def _add(self, project: str, kind: str, job: EventJob[Any], title: str) -> JobEntry:
        with self._lock:
            entry = JobEntry(f"j{next(self._numbers)}", project, kind, job, title)
            self._entries[entry.id] = entry
            self._forget_old()

        def listen(event: AnyEvent) -> None:
            with self._lock:
                record = entry.take(event)
            self._hub.publish(kind="job", job=entry.id, project=project, state=entry.state, event=record)
            if entry.over:
                self._film_is_over(entry)

        job.listen(listen)
        return entry

    def _forget_old(self) -> None:
        """Trials hold pictures: only the newest of a project stays. Of the others the newest ones do."""
        tries: dict[str, str] = {}
        for entry in list(self._entries.values()):
            if entry.kind == "try":
                if entry.project in tries and self._entries[tries[entry.project]].over:
                    del self._entries[tries[entry.project]]
                tries[entry.project] = entry.id
        over = [entry.id for entry in self._entries.values() if entry.over]
        for job_id in over[: max(0, len(over) - KEPT_JOBS)]:
            del self._entries[job_id]

    def _publish(self, entry: JobEntry) -> None:
        self._hub.publish(kind="job", job=entry.id, project=entry.project, state=entry.state, record=entry.record())

    def _next_film(self) -> None:
        with self._lock:
            if self._running is not None or not self._waiting:
                return
            entry = self._running = self._waiting.popleft()
            entry.state = "running"
        self._publish(entry)
        entry.job.start()

    def _film_is_over(self, entry: JobEntry) -> None:
        with self._lock:
            if self._running is not entry:
                return
            self._running = None
        threading.Thread(target=self._after, args=(entry,), name="studio queue", daemon=True).start()

    def _after(self, entry: JobEntry) -> None:
        """The next film begins when the one before has left nothing running."""
        pause = threading.Event()
        while not entry.job.ended:
            pause.wait(0.02)
        self._next_film()
