"""One job with events: planned, run, watched from other threads and processes, canceled, resumed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.events import (
    AnyEvent,
    CanceledEvent,
    FailedEvent,
    FinishedEvent,
    PlannedEvent,
    ProgressEvent,
    ResumedEvent,
    SegmentFinishedEvent,
    StartedEvent,
    parse_event,
)
from kinemacolor.core.job_context import JobCanceled
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.matching import MatchingState
from kinemacolor.engine.propagator import PropagatorState
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, cells
from kinemacolor.pipeline.event_log import EventLog, follow
from kinemacolor.pipeline.fingerprint import run_fingerprint
from kinemacolor.pipeline.job import Job, colorize
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.workdir import EVENTS, work_folder
from tests.media import Film, make_film
from tests.stills import halves, write_still

FRAMES = 40
STATE = MatchingState(PropagatorState(), ColorMemory())
"""Of a kind that segments may hand to one another."""


class SlowEngine:
    """Paints nothing; takes its time."""

    name, block_size = "slow", 1

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        count = sum(int(np.prod(cells(*reference.size))) for reference in references)
        ones = np.ones((count, 2), np.float32)
        return ReferenceBank(ones, 0 * ones, np.ones(count, bool), tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        time.sleep(self.seconds)
        count, height, width = luma_block.shape
        keys = np.zeros((count, *cells(height, width), 2), np.float32)
        ab = np.full((count, height, width, 2), 20, np.float32)
        return StepResult(ab, np.full((count, height, width), 0.5, np.float32), keys, STATE)


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    """A film of two shots in four segments."""
    make_film(tmp_path / "film.mkv", Film(count=FRAMES))
    write_still(tmp_path / "still.png", halves())
    return JobSpec(
        film=tmp_path / "film.mkv",
        output=tmp_path / "out.mp4",
        references=tmp_path / "still.png",
        shots=[Shot(0, 20), Shot(20, 40)],
        settings=ColorizeSettings(working_size=32, max_segment_frames=10),
    )


def kinds(events: Sequence[AnyEvent]) -> list[str]:
    return [event.kind for event in events if event.kind != "progress"]


# --- what is told --------------------


def test_events_tell_the_story_of_a_job(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine())
    events = list(job.events())
    assert kinds(events) == ["started", "planned", *["segment_finished"] * 4, "finished"]
    started, planned, last = events[0], next(e for e in events if e.kind == "planned"), events[-1]
    assert isinstance(started, StartedEvent)
    assert (started.job, started.film, started.output) == ("colorize", str(spec.film), str(spec.output))
    assert isinstance(planned, PlannedEvent)
    assert (planned.frames, planned.shots, planned.segments) == (FRAMES, 2, 4)
    segments = [event for event in events if isinstance(event, SegmentFinishedEvent)]
    assert [(e.number, e.start, e.stop, e.shot) for e in segments] == [
        (0, 0, 10, 0),
        (1, 10, 20, 0),
        (2, 20, 30, 1),
        (3, 30, 40, 1),
    ]
    assert {event.confidence for event in segments} == {0.5}
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(segments[0].thumbnail or ""), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    assert np.ptp(picture.astype(int), axis=2).max() > 10  # in color
    assert isinstance(last, FinishedEvent)
    assert last.summary == job.result().record()
    assert job.result().frames == FRAMES
    progress = [event for event in events if isinstance(event, ProgressEvent)]
    assert list(dict.fromkeys(event.stage for event in progress)) == ["analyze", "color", "join"]
    assert [event.done for event in progress if event.stage == "color"][-1] == FRAMES
    assert kinds(list(job.events())) == kinds(events)  # listening again tells all of it again


def test_lines_of_json_come_back_as_events(spec: JobSpec) -> None:
    events = list(Job(spec, engine=SlowEngine()).events())
    assert [parse_event(event.model_dump_json()) for event in events] == events
    with pytest.raises(ValueError, match="nonsense"):
        parse_event('{"kind": "nonsense"}')


def test_a_fault_is_the_last_event(spec: JobSpec) -> None:
    spec.output.write_bytes(b"precious")
    job = Job(spec)
    last = list(job.events())[-1]
    assert isinstance(last, FailedEvent)
    assert (last.subject, last.problem, last.exit_code) == (str(spec.output), "exists already", 4)
    with pytest.raises(OutputError, match="exists already"):
        job.result()
    assert spec.output.read_bytes() == b"precious"


def test_a_fault_of_the_program_is_told_too(spec: JobSpec) -> None:
    class Broken(SlowEngine):
        def step(self, *_: Any) -> StepResult:
            raise ArithmeticError("it breaks")

    job = Job(spec, engine=Broken())
    last = list(job.events())[-1]
    assert isinstance(last, FailedEvent)
    assert "ArithmeticError: it breaks" in last.problem
    with pytest.raises(ArithmeticError):
        job.result()
    assert not work_folder(spec.output).exists()


def test_a_job_runs_once(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine())
    job.run()
    with pytest.raises(UsageError, match="has run already"):
        job.run()


# --- plan --------------------


def test_a_plan_colors_nothing_and_is_used_by_the_run(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(spec, engine=SlowEngine())
    plan = job.plan()
    assert [(s.start, s.stop) for s in plan.segments.segments] == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert plan.analysis.frames == FRAMES
    assert sorted(path.name for path in spec.output.parent.iterdir()) == ["film.mkv", "still.png"]
    monkeypatch.setattr("kinemacolor.pipeline.film_plan.analyze_film", None)  # not asked again
    assert job.run().frames == FRAMES
    told = kinds(list(job.events()))
    assert told[:2] == ["started", "planned"]
    assert told.count("started") == 1


# --- canceling --------------------


def until(condition: Any, seconds: float = 20) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "nothing happened"
        time.sleep(0.01)


@pytest.mark.parametrize("after", ["progress", "segment_finished"])
def test_canceling_keeps_what_is_finished_and_takes_less_than_two_seconds(spec: JobSpec, after: str) -> None:
    job = Job(spec, engine=SlowEngine(0.05))
    events, canceled_at = [], 0.0
    for event in job.events():
        events.append(event)
        if event.kind == after and not canceled_at and (after != "progress" or event.stage == "color"):
            job.cancel()
            canceled_at = time.monotonic()
    assert time.monotonic() - canceled_at < 2
    last = events[-1]
    assert isinstance(last, CanceledEvent)
    with pytest.raises(JobCanceled):
        job.result()
    assert not spec.output.exists()
    finished = [event for event in events if isinstance(event, SegmentFinishedEvent)]
    assert last.kept == (str(work_folder(spec.output)) if finished else None)
    assert work_folder(spec.output).exists() == bool(finished)
    again = Job(spec, engine=SlowEngine())
    told = list(again.events())
    assert isinstance(told[-1], FinishedEvent)
    assert again.result().resumed == 10 * len(finished)
    assert [e.frames for e in told if isinstance(e, ResumedEvent)] == ([10 * len(finished)] if finished else [])
    assert sorted(path.name for path in spec.output.parent.iterdir()) == ["film.mkv", "out.mp4", "still.png"]


def test_canceling_does_not_wait_for_an_engine_that_is_stuck(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine(6))
    job.start()
    until(lambda: work_folder(spec.output).exists())
    time.sleep(0.3)
    begin = time.monotonic()
    job.cancel()
    assert isinstance(list(job.events())[-1], CanceledEvent)
    assert time.monotonic() - begin < 2


def test_canceling_before_the_start(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine())
    job.cancel()
    assert isinstance(list(job.events())[-1], CanceledEvent)
    assert sorted(path.name for path in spec.output.parent.iterdir()) == ["film.mkv", "still.png"]


# --- listeners --------------------


def test_two_threads_listen_to_one_job(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine(0.01))
    heard: list[list[AnyEvent]] = [[], []]

    def listen(into: list[AnyEvent]) -> None:
        into.extend(job.events())

    threads = [threading.Thread(target=listen, args=(into,)) for into in heard]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert kinds(heard[0]) == kinds(heard[1]) == kinds(list(job.events()))


def test_progress_that_newer_progress_replaces_is_forgotten() -> None:
    log = EventLog()
    for done in range(1000):
        log.emit(ProgressEvent(stage="color", done=done, total=1000, per_second=None, seconds_left=None))
    log.close()
    assert [event.done for event in log if isinstance(event, ProgressEvent)] == [999]


# --- other processes --------------------

PROGRAM = """
import sys, time
from pathlib import Path
from kinemacolor.core.shot import Shot
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
step = MatchingEngine.step
def slow(*arguments):
    time.sleep(0.02)
    return step(*arguments)
MatchingEngine.step = slow
Job(JobSpec.model_validate_json(sys.stdin.read())).run()
"""


@pytest.fixture
def process(spec: JobSpec) -> Iterator[subprocess.Popen[str]]:
    """A job in another process, whose first segment is finished."""
    described = spec.model_copy(update={"settings": spec.settings.changed(engine="matching")}).model_dump_json()
    running = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, text=True)
    assert running.stdin
    running.stdin.write(described)
    running.stdin.close()
    until(lambda: running.poll() is not None or list(work_folder(spec.output).glob("000000.npz")), 60)
    yield running
    running.kill()
    running.wait()


def test_another_process_follows_a_running_job(spec: JobSpec, process: subprocess.Popen[str]) -> None:
    events = list(follow(spec.output))
    assert process.wait(30) == 0
    assert kinds(events) == ["started", "planned", *["segment_finished"] * 4, "finished"]
    assert isinstance(events[0], StartedEvent)
    assert events[0].process == process.pid != os.getpid()
    assert spec.output.exists()
    with pytest.raises(InputError, match="no job is at work"):
        list(follow(spec.output))


def test_another_process_sees_that_a_job_was_killed(spec: JobSpec, process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    events = list(follow(spec.output))
    assert kinds(events)[:3] == ["started", "planned", "segment_finished"]
    last = events[-1]
    assert isinstance(last, FailedEvent)
    assert "was killed" in last.problem
    assert "resume" in last.remedy


def test_the_log_of_a_canceled_job_stays_with_what_is_finished(spec: JobSpec) -> None:
    job = Job(spec, engine=SlowEngine(0.02))
    for event in job.events():
        if event.kind == "segment_finished":
            job.cancel()
    lines = (work_folder(spec.output) / EVENTS).read_text().splitlines()
    assert json.loads(lines[0])["kind"] == "started"
    assert json.loads(lines[-1])["kind"] == "canceled"
    assert [event.kind for event in follow(spec.output)][-1] == "canceled"


# --- one path for all front ends --------------------


def test_an_api_run_and_a_command_line_run_have_one_fingerprint(
    spec: JobSpec, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights' hashes and the version are in both: either goes on with what the other has begun."""
    from kinemacolor import cli
    from kinemacolor.pipeline import color_film as film

    seen: list[dict[str, Any]] = []

    class Stop(Exception):
        pass

    def noted(output: Path, fingerprint: dict[str, Any], **_: Any) -> None:
        seen.append(fingerprint)
        raise Stop

    monkeypatch.setattr(film, "WorkDir", noted)
    with pytest.raises(Stop):
        colorize(spec.film, [spec.output.parent / "still.png"], spec.output, working_size=32)
    options = ["-r", str(spec.output.parent / "still.png"), "-o", str(spec.output), "--working-size", "32"]
    with pytest.raises(Stop):
        cli.app(["colorize", str(spec.film), *options], standalone_mode=False)
    assert seen[0] == seen[1]
    assert seen[0]["version"]
    assert set(seen[0]["settings"]["weights"]) >= {"lite/colorize.onnx", "lite/encode.onnx"}


@pytest.mark.parametrize(
    ("change", "same"),
    [({"saturation": 2.0}, False), ({"engine": "matching"}, False), ({"strict": True}, True), ({}, True)],
)
def test_settings_that_decide_the_frames_decide_the_fingerprint(
    spec: JobSpec, change: dict[str, Any], same: bool
) -> None:
    other = spec.model_copy(update={"settings": spec.settings.changed(**change)})
    files = spec.reference_files()
    assert (run_fingerprint(spec, files) == run_fingerprint(other, files)) == same
