"""What stages of a job share: progress with speed and time left, and cancellation."""

from __future__ import annotations

import pytest

from kinemacolor.core.events import AnyEvent, DiskEstimateEvent, FailedEvent, ProgressEvent, WarningEvent, parse_event
from kinemacolor.core.job_context import JobCanceled, JobContext


def test_progress_has_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("kinemacolor.core.job_context.time.monotonic", lambda: now)
    events: list[AnyEvent] = []
    progress = JobContext(events.append).progress("color")
    for second, done in ((0, 50), (0.1, 51), (5, 60), (10, 70), (80, 210), (81, 211)):
        now = 100.0 + second
        progress(done, 410)
    assert [(e.done, e.per_second, e.seconds_left) for e in events if isinstance(e, ProgressEvent)] == [
        (50, None, None),  # what was done before it began tells nothing of its speed
        (60, 2.0, 175.0),  # 0.1 s after the one before there was none
        (70, 2.0, 170.0),
        (210, 2.0, 100.0),
        (211, 1.0, 199.0),  # the last minute counts
    ]


def test_the_end_of_a_stage_is_always_told() -> None:
    events: list[AnyEvent] = []
    progress = JobContext(events.append).progress("color")
    for done in range(1, 101):
        progress(done, 100)
    assert [event.done for event in events if isinstance(event, ProgressEvent)] == [1, 100]


def test_progress_of_unknown_length_has_no_time_left() -> None:
    events: list[AnyEvent] = []
    JobContext(events.append).progress("analyze")(3, None)
    (event,) = events
    assert isinstance(event, ProgressEvent)
    assert (event.done, event.total, event.seconds_left) == (3, None, None)


def test_a_canceled_job_stops_where_progress_is_told() -> None:
    context = JobContext()
    progress = context.progress("color")
    progress(1, 3)
    context.check()
    context.cancel()
    assert context.canceled
    for stop in (context.check, lambda: progress(2, 3)):
        with pytest.raises(JobCanceled):
            stop()


def test_warnings_and_estimates_are_one_line() -> None:
    events: list[AnyEvent] = []
    JobContext(events.append).warn("a still was turned")
    assert isinstance(events[0], WarningEvent)
    assert events[0].message == "a still was turned"
    enough = DiskEstimateEvent(needed=2_000_000, output=1_000_000, free=3_000_000_000)
    assert enough.message == (
        "needs about 2 MB on the disk while it is made and 1 MB in the end, beside its sound; 3.0 GB are free"
    )
    assert DiskEstimateEvent(needed=2, output=1, free=2).message.endswith("are free; that may not suffice")
    failed = FailedEvent(subject="a.mp4", problem="is empty", remedy="check it")
    assert failed.message == "a.mp4: is empty; check it"


def test_events_are_lines_of_json() -> None:
    event = ProgressEvent(stage="color", done=1, total=None, per_second=None, seconds_left=None)
    line = event.model_dump_json()
    assert "\n" not in line
    assert parse_event(line) == event
    for broken in ('{"kind": "nonsense"}', "{", '{"kind": "warning"}'):
        with pytest.raises(ValueError, match="valid"):
            parse_event(broken)
