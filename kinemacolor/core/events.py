"""What happens in a long job, as records told apart by ``kind``; front ends draw them, files keep them, a line each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

JobKind = Literal["colorize", "preview", "keyframes", "analyze", "try"]


def encodable(value: Any) -> Any:
    """A value whose texts UTF-8 can hold: bytes of a file's name that are no text become ``\\udcff``."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: encodable(part) for key, part in value.items()}
    return type(value)(map(encodable, value)) if type(value) in (list, tuple) else value


class Event(BaseModel):
    """Base of all events."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null")

    time: float = Field(default_factory=time.time)
    """When it happened, in seconds since 1970."""

    @model_validator(mode="before")
    @classmethod
    def _make_encodable(cls, values: Any) -> Any:
        return encodable(values)


class StartedEvent(Event):
    """The job has begun."""

    kind: Literal["started"] = "started"
    job: JobKind
    """What is done."""
    film: str
    """Path of the film that is read."""
    output: str
    """Path of the film, folder or sheet that is made."""
    process: int
    """Number of the process that does it."""


class PlannedEvent(Event):
    """What there is to do is known."""

    kind: Literal["planned"] = "planned"
    frames: int
    """Frames that are colored."""
    shots: int
    """Shots of the film."""
    segments: int
    """Pieces in which it is colored."""


class ProgressEvent(Event):
    """A stage has come further; sent at most a few times a second."""

    kind: Literal["progress"] = "progress"
    stage: str
    """Name of the stage: ``analyze``, ``color``, …"""
    done: int
    """Frames that are finished; in the stage ``join`` segments."""
    total: int | None
    """Frames, or segments, in all, or None where that is not known."""
    per_second: float | None
    """Frames, or segments, a second over the last minute, or None before there is a measure."""
    seconds_left: float | None
    """Estimated time to the end of the stage, or None before there is a measure."""


class WarningEvent(Event):
    """Something the user should know; the work goes on."""

    kind: Literal["warning"] = "warning"
    message: str
    """One line."""


class DiskEstimateEvent(Event):
    """How much room a long film is going to take; measured before the work begins."""

    kind: Literal["disk_estimate"] = "disk_estimate"
    needed: int
    """Bytes while the film is made, beside its sound."""
    output: int
    """Bytes of the finished film, beside its sound."""
    free: int
    """Bytes that are free where it is made."""

    @property
    def message(self) -> str:
        """One line for a person."""
        shortage = "" if self.free > self.needed else "; that may not suffice"
        return (
            f"needs about {size_text(self.needed)} on the disk while it is made and {size_text(self.output)} in the "
            f"end, beside its sound; {size_text(self.free)} are free{shortage}"
        )


class ResumedEvent(Event):
    """The job goes on from what an earlier run has finished."""

    kind: Literal["resumed"] = "resumed"
    frames: int
    """Frames that were finished before."""


class SegmentFinishedEvent(Event):
    """A piece of the film is colored, encoded and kept."""

    kind: Literal["segment_finished"] = "segment_finished"
    number: int
    """Of the segment, from 0."""
    start: int
    """Index of its first frame in the film."""
    stop: int
    """Index after its last frame."""
    shot: int
    """Number of its shot, from 0."""
    confidence: float
    """Mean similarity to the references, in [-1, 1]."""
    thumbnail: str | None = None
    """A JPEG of its middle frame in color, in base64."""


class FrameColoredEvent(Event):
    """A frame of a trial is colored; a better version may follow."""

    kind: Literal["frame_colored"] = "frame_colored"
    frame: int
    """Its index in the film."""
    confidence: float
    """Mean similarity to the references, in [-1, 1]."""
    final: bool
    """Whether no better version follows."""


class FinishedEvent(Event):
    """The job is complete."""

    kind: Literal["finished"] = "finished"
    summary: dict[str, Any]
    """What was done, as JSON-ready values."""


class FailedEvent(Event):
    """The job cannot go on."""

    kind: Literal["failed"] = "failed"
    subject: str
    """The file, folder or setting at fault."""
    problem: str
    """What is wrong with it."""
    remedy: str
    """What the user can do about it."""
    exit_code: int = 1
    """What a command line leaves with."""

    @property
    def message(self) -> str:
        """One line for a person."""
        return f"{self.subject}: {self.problem}; {self.remedy}"


class CanceledEvent(Event):
    """The job was canceled."""

    kind: Literal["canceled"] = "canceled"
    kept: str | None
    """The folder that holds what is finished, or None where nothing is."""


AnyEvent = (
    StartedEvent
    | PlannedEvent
    | ProgressEvent
    | WarningEvent
    | DiskEstimateEvent
    | ResumedEvent
    | SegmentFinishedEvent
    | FrameColoredEvent
    | FinishedEvent
    | FailedEvent
    | CanceledEvent
)
LAST_EVENTS = (FinishedEvent, FailedEvent, CanceledEvent)
"""After one of these a job sends no more."""
Emit = Callable[[AnyEvent], None]

_ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="kind")])


def parse_event(line: str | bytes) -> AnyEvent:
    """An event from its line of JSON. Raises ValueError where it is none."""
    return _ADAPTER.validate_json(line)


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
