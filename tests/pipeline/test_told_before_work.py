"""What cannot be kept of a film is told before the work, once; with ``strict`` it ends there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import OutputError
from kinemacolor.core.events import FinishedEvent, WarningEvent
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.workdir import work_folder
from tests.media import packets
from tests.pipeline.test_job import SlowEngine
from tests.stills import halves, write_still
from tests.video.test_video import ffmpeg

COUNT = 24


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    """Two parts of a DVD with PCM sound, joined."""
    parts = []
    for number in range(2):
        path = tmp_path / f"part{number}.vob"
        sources = "-f", "lavfi", "-i", "testsrc=s=64x48:r=24:d=1", "-f", "lavfi", "-i", f"sine=f={440 + number}:d=1"
        done = ffmpeg(*sources, "-c:v", "mpeg2video", "-g", "12", "-c:a", "pcm_dvd", "-ar", "48000", "-ac", "2", path)
        assert done.returncode == 0
        parts.append(path.read_bytes())
    (tmp_path / "film.vob").write_bytes(b"".join(parts))
    write_still(tmp_path / "still.png", halves())
    return JobSpec(
        film=tmp_path / "film.vob",
        output=tmp_path / "out.mkv",
        references=tmp_path / "still.png",
        shots=[Shot(0, 2 * COUNT)],
        settings=ColorizeSettings(working_size=32, max_segment_frames=20),
    )


def test_what_is_not_kept_as_it_was_is_told_before_the_work(spec: JobSpec) -> None:
    events = list(Job(spec, engine=SlowEngine()).events())
    kinds = [event.kind for event in events]
    warnings = [event.message for event in events if isinstance(event, WarningEvent)]
    assert "warning" not in kinds[kinds.index("planned") :]
    assert len(warnings) == len(set(warnings))
    for words in ("its clock starts over", "(pcm_dvd)", "milliseconds"):
        assert sum(words in line for line in warnings) == 1, words
    last = events[-1]
    assert isinstance(last, FinishedEvent)
    assert last.summary["warnings"] == warnings
    assert last.summary["frames"] == 2 * COUNT
    sound = packets(spec.output, "audio")
    assert abs(sum(len(data) for data, _, _ in sound) - 2 * 4 * 48000) < 4 * 4800
    assert 1.9 < float(sound[-1][1] + sound[-1][2] - sound[0][1]) < 2.2


def test_strict_ends_before_the_work(spec: JobSpec) -> None:
    strict = spec.model_copy(update={"settings": spec.settings.model_copy(update={"strict": True})})
    with pytest.raises(OutputError, match=r"cannot hold audio stream 1 \(pcm_dvd\)"):
        Job(strict, engine=SlowEngine()).run()
    assert not spec.output.exists()
    assert not work_folder(spec.output).exists()
