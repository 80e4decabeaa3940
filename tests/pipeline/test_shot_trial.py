"""Trials: which frames from which stills, the first one soon, and the colors that the film gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import FrameColoredEvent
from kinemacolor.core.job_context import JobCanceled
from kinemacolor.core.shot import Shot
from kinemacolor.engine.shared import SharedEngine
from kinemacolor.pipeline.analysis import FilmAnalysis, analyze_film
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.prepared_film import engine_of
from kinemacolor.pipeline.segment_plan import plan_segments
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.shot_trial import TrialJob
from kinemacolor.pipeline.trial_plan import LEAD_FRAMES, plan_trial
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.video.reader import VideoReader
from tests.stills import write_still
from tests.studio.films import write_film

SETTINGS = ColorizeSettings(
    engine="matching", working_size=48, codec="ffv1", temporal_smoothing=False, chroma_format="444"
)


def test_passes_are_those_of_the_film() -> None:
    shot = Shot(0, 60)
    passes = plan_trial(shot, (10, 50), {20: 0, 40: 1}, ())
    spans = {(trial.span, trial.forward): trial for trial in passes}
    assert set(spans) == {((0, 20), False), ((20, 40), True), ((20, 40), False), ((40, 60), True)}
    assert spans[(0, 20), False].frames == (20, *range(19, 9, -1))
    assert spans[(20, 40), True].frames == tuple(range(20, 40))
    assert spans[(20, 40), False].frames == (40, *range(39, 19, -1))
    assert spans[(20, 40), True].shared
    assert not spans[(40, 60), True].shared
    segments = plan_segments([shot], {20: 0, 40: 1}, [()])
    for segment in segments.segments:
        trial = spans[(segment.start, segment.stop), segment.forward]
        assert trial.references == segment.reference_ids


def test_leads_from_stills_outside_are_short() -> None:
    (only,) = plan_trial(Shot(0, 200), (100, 110), {0: 4}, (), most=3)
    assert only.frames[-10:] == tuple(range(100, 110))
    assert len(only.frames) == 10 + LEAD_FRAMES
    assert only.frames[0] == 0
    (far,) = plan_trial(Shot(0, 900), (600, 603), {0: 4}, (7,))
    assert far.frames == (600, 601, 602)
    assert far.references == (4, 7)
    (unbound,) = plan_trial(Shot(0, 900), (600, 603), {}, (7,))
    assert unbound.frames == (600, 601, 602)
    with pytest.raises(ValueError, match="still"):
        plan_trial(Shot(0, 9), (0, 9), {}, ())


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FilmAnalysis]:
    folder = tmp_path_factory.mktemp("trial")
    truth = write_film(folder / "film.mkv", 16)
    write_still(folder / "still-0000004.png", truth[4])
    write_still(folder / "still-0000011.png", truth[11])
    return folder, analyze_film(VideoReader(folder / "film.mkv"), shots="none")


def spec_of(folder: Path, *frames: int) -> JobSpec:
    files = [ReferenceFile(folder / f"still-{frame:07d}.png", frame=frame) for frame in frames]
    return JobSpec(film=folder / "film.mkv", references=files, output=folder / "out.mkv", settings=SETTINGS)


def test_a_trial_gives_the_colors_of_the_film(film: tuple[Path, FilmAnalysis]) -> None:
    folder, analysis = film
    spec = spec_of(folder, 4, 11)
    job = TrialJob(spec, analysis, 4, SharedEngine(lambda: engine_of(SETTINGS)), radius=9)
    seen = [event for event in job.events() if isinstance(event, FrameColoredEvent)]
    trial = job.result()
    assert seen[0].frame == 4
    assert sorted(trial.frames) == list(range(14))
    assert all(frame.final for frame in trial.frames.values())
    Job(spec).run()
    with VideoReader(folder / "out.mkv") as reader:
        for frame in reader.frames(chroma=True):
            if frame.index not in trial.frames:
                continue
            picture = job.picture(frame.index)
            assert frame.chroma is not None
            assert picture is not None
            weights = np.array([0.299, 0.587, 0.114])
            blue = (picture[..., 2] - picture @ weights) / (2 * (1 - 0.114)) + 128
            assert np.abs(blue - frame.chroma[0].astype(np.float32)).mean() < 2.5


def test_the_still_of_a_frame_can_be_left_out(film: tuple[Path, FilmAnalysis]) -> None:
    folder, analysis = film
    engine = SharedEngine(lambda: engine_of(SETTINGS))
    with_it = TrialJob(spec_of(folder, 4), analysis, 4, engine, radius=0).run()
    assert list(with_it.frames) == [4]
    with pytest.raises(InputError, match="paint one first"):
        TrialJob(spec_of(folder, 4), analysis, 4, engine, radius=0, without=4).run()
    other = TrialJob(spec_of(folder, 4, 11), analysis, 4, engine, radius=0, without=4).run()
    assert other.frames[4].confidence < with_it.frames[4].confidence


def test_what_cannot_be_tried(film: tuple[Path, FilmAnalysis]) -> None:
    folder, analysis = film
    engine = SharedEngine(lambda: engine_of(SETTINGS))
    with pytest.raises(InputError, match="has no frame 99"):
        TrialJob(spec_of(folder, 4), analysis, 99, engine).run()
    with pytest.raises(UsageError, match="radius"):
        TrialJob(spec_of(folder, 4), analysis, 4, engine, radius=1000)
    job = TrialJob(spec_of(folder, 4), analysis, 4, engine)
    job.cancel()
    with pytest.raises(JobCanceled):
        job.run()
