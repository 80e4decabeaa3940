"""Key frames as a job: events, cancellation, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.events import CanceledEvent, FailedEvent, FinishedEvent, ProgressEvent, StartedEvent
from kinemacolor.core.job_context import JobCanceled
from kinemacolor.pipeline.keyframes_job import KeyframesJob, KeyframesSpec


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Two shots of still pictures, 12 frames each."""
    folder = tmp_path / "film"
    folder.mkdir()
    for number in range(24):
        small = np.random.default_rng(number // 12).uniform(0, 255, (8, 10)).astype(np.float32)
        assert cv2.imwrite(str(folder / f"{number:04}.png"), cv2.resize(small, (80, 64)))
    return folder


def test_events_of_a_proposal(film: Path, tmp_path: Path) -> None:
    job = KeyframesJob(KeyframesSpec(film=film, output=tmp_path / "paint", working_size=48))
    events = list(job.events())
    assert isinstance(events[0], StartedEvent)
    assert events[0].job == "keyframes"
    stages = list(dict.fromkeys(event.stage for event in events if isinstance(event, ProgressEvent)))
    assert stages == ["analyze", "extract features", "compare", "export"]
    assert isinstance(events[-1], FinishedEvent)
    result = job.result()
    assert events[-1].summary == result.record()
    assert json.loads((tmp_path / "paint" / "proposal.json").read_text()) == result.record()
    assert {pick.shot for pick in result.proposal.picks} == {0, 1}
    names = [pick["file"] for pick in result.record()["picks"]]
    assert sorted(path.name for path in (tmp_path / "paint").iterdir()) == sorted(
        ["proposal.json", "sheet.png", *names]
    )
    assert str(result).startswith(f"{tmp_path / 'paint'}: 2 frames to paint, in 2 of 2 shots")


@pytest.mark.parametrize("stage", ["analyze", "extract features", "compare", "export"])
def test_canceling_leaves_nothing(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr("kinemacolor.core.job_context.INTERVAL", 0.0)
    job = KeyframesJob(KeyframesSpec(film=film, output=tmp_path / "paint", working_size=48))
    job.listen(lambda event: job.cancel() if isinstance(event, ProgressEvent) and event.stage == stage else None)
    events = list(job.events())
    if stage != "export":  # there the event may be that of the last frame, after which all is done
        assert isinstance(events[-1], CanceledEvent)
        with pytest.raises(JobCanceled):
            job.result()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["film"]


def test_what_cannot_be_done_is_the_last_event(film: Path, tmp_path: Path) -> None:
    (tmp_path / "paint").mkdir()
    (tmp_path / "paint" / "notes.txt").write_text("precious")
    job = KeyframesJob(KeyframesSpec(film=film, output=tmp_path / "paint"))
    last = list(job.events())[-1]
    assert isinstance(last, FailedEvent)
    assert last.problem == "holds files already"
    with pytest.raises(OutputError):
        job.result()
    with pytest.raises(InputError, match=r"none\.mp4"):
        KeyframesJob(KeyframesSpec(film=tmp_path / "none.mp4", output=tmp_path / "new")).run()


def test_specs_are_checked() -> None:
    with pytest.raises(UsageError, match=r"budgett: unknown name; did you mean budget\?"):
        KeyframesSpec(film="a", output="b", budgett=3)
    with pytest.raises(UsageError, match="threshold: expected a number less than or equal to 1, got 2"):
        KeyframesSpec(film="a", output="b", threshold=2.0)
    spec = KeyframesSpec(film="a", output="b", budget=3, shots="none")
    assert KeyframesSpec.model_validate_json(spec.model_dump_json()) == spec
