"""Films that are slow to enter: their segments are colored backward from copies, to the same bytes, on little room."""

from __future__ import annotations

import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kinemacolor.core.errors import OutputError
from kinemacolor.core.events import DiskEstimateEvent
from kinemacolor.core.job_context import JobCanceled
from kinemacolor.pipeline import disk_space, segment_frames
from kinemacolor.pipeline.job import Job, colorize
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.segment_runner import SegmentRunner
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.workdir import WorkDir, work_folder
from kinemacolor.video import frame_cache
from tests.stills import halves, write_still
from tests.video.test_video import ffmpeg

FRAMES, STILLS = 64, (2, 40, 63)
"""Two spans between stills: of the first, segments 6 to 10 are colored from copies; of the second, 14 to 16."""
SETTINGS: dict[str, Any] = {
    "engine": "matching", "working_size": 32, "max_segment_frames": 4, "shots": "none", "denoise_input": True
}  # fmt: skip
PROGRAM = f"""
import sys
from kinemacolor.core import job_context
from kinemacolor.pipeline.job import colorize
job_context.INTERVAL = 0
film, output, *stills = sys.argv[1:]
def watch(event):
    if event.kind == "progress" and event.stage == "color":
        print(event.done, flush=True)
colorize(film, stills, output, on_event=watch, **{SETTINGS!r})
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 × 48, which cannot be entered in its middle."""
    path = tmp_path_factory.mktemp("film") / "film.avi"
    source = f"testsrc2=s=64x48:r=24:d={FRAMES / 24}"
    made = ffmpeg("-y", "-f", "lavfi", "-i", source, "-c:v", "mpeg4", "-bf", "2", "-g", "12", "-q:v", "3", path)
    assert made.returncode == 0, made.stderr.decode()
    return path


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("stills")
    return [write_still(folder / f"frame_{place:06d}.png", halves()) for place in STILLS]


@pytest.fixture(scope="module")
def from_film(film: Path, stills: list[Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The result of a run that decodes the film anew for each segment."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_frames, "_repeated_frames", lambda *_: 0)
        patch.setattr(segment_frames, "write_frame_cache", None)
        colorize(film, stills, output, **SETTINGS)
    return output.read_bytes()


def copies(output: Path) -> list[int]:
    """Numbers of the segments of whose frames there are copies."""
    return sorted(int(path.stem) for path in work_folder(output).glob("*.frames"))


def test_colors_are_those_of_a_film_read_anew_for_each_segment(
    film: Path, stills: list[Path], from_film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, seen = tmp_path / "out.mp4", []
    finish = WorkDir.finish

    def finished(self: WorkDir, *arguments: Any) -> None:
        finish(self, *arguments)
        seen.append(copies(output))

    monkeypatch.setattr(WorkDir, "finish", finished)
    colorize(film, stills, output, **SETTINGS)
    assert output.read_bytes() == from_film
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert max(map(len, seen)) == 5  # one run of segments at a time
    assert seen[-1] == []
    for before, after in pairwise(seen):  # each goes with its segment; a run comes as a whole
        assert len(after) >= len(before) - 1
    assert {number for numbers in seen for number in numbers} >= {6, 7, 8, 9, 14, 15}


@pytest.mark.parametrize("at", [1, 3, 6, 7, 10, 11, 16])
def test_what_is_broken_off_goes_on_with_the_copies_that_are_there(
    film: Path, stills: list[Path], from_film: bytes, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, count, render = tmp_path / "out.mp4", 0, SegmentRunner._render_segment

    def broken(self: SegmentRunner, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise KeyboardInterrupt
        render(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentRunner, "_render_segment", broken)
        with pytest.raises(KeyboardInterrupt):
            colorize(film, stills, output, **SETTINGS)
    if at > 1:
        folder = work_folder(output)
        (folder / "000099.frames.partial").write_bytes(b"half a copy")
        (folder / "000000.frames").write_bytes(b"of a segment that is finished")
    colorize(film, stills, output, **SETTINGS)
    assert output.read_bytes() == from_film
    assert not work_folder(output).exists()


def test_killed_while_frames_are_copied(film: Path, stills: list[Path], from_film: bytes, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    folder, killed = work_folder(output), 0
    command = [sys.executable, "-c", PROGRAM, str(film), str(output), *map(str, stills)]
    for wanted in ("*.frames.partial", "*.frames", "000008.npz"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(folder.glob(wanted)):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += process.returncode != 0
    assert killed >= 2  # one that takes no notice of what comes next may have ended before
    colorize(film, stills, output, overwrite=True, **SETTINGS)
    assert output.read_bytes() == from_film
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_disk_is_one_line_and_a_run_goes_on(
    film: Path, stills: list[Path], from_film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    add, written = frame_cache.PacketFile.add, 0

    def full(self: Any, packet: Any) -> None:
        nonlocal written
        written += self._path.suffix == ".frames"
        if written == 7:
            raise OSError(28, "No space left on device")
        add(self, packet)

    with monkeypatch.context() as patch:
        patch.setattr(frame_cache.PacketFile, "add", full)
        with pytest.raises(OutputError, match="the disk is full"):
            colorize(film, stills, output, **SETTINGS)
    assert work_folder(output).exists()
    assert not list(work_folder(output).glob("*.partial"))
    assert colorize(film, stills, output, **SETTINGS).resumed > 0
    assert output.read_bytes() == from_film


def test_a_job_is_canceled_while_frames_are_copied(film: Path, stills: list[Path], tmp_path: Path) -> None:
    settings = {name: value for name, value in SETTINGS.items() if name != "shots"}
    spec = JobSpec(
        film=film, references=stills, output=tmp_path / "out.mp4", shots="none", settings=ColorizeSettings(**settings)
    )
    job, write = Job(spec), segment_frames.write_frame_cache

    def canceling(path: Path, frames: Any) -> None:
        job.cancel()
        write(path, frames)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_frames, "write_frame_cache", canceling)
        with pytest.raises(JobCanceled):
            job.run()
    assert not list(work_folder(spec.output).glob("*.frames*"))


def test_copies_are_part_of_the_room_that_is_told(
    film: Path, stills: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "PROBE_FRAMES", 5)
    told: list[DiskEstimateEvent] = []
    sizes: list[int] = []
    write = segment_frames.write_frame_cache

    def watch(event: Any) -> None:
        if isinstance(event, DiskEstimateEvent):
            told.append(event)

    def measured(path: Path, frames: Any) -> None:
        write(path, frames)
        sizes.append(path.stat().st_size)

    monkeypatch.setattr(segment_frames, "write_frame_cache", measured)
    for limit in (FRAMES + 19, FRAMES + 18):  # the first run of segments has 19 frames
        monkeypatch.setattr(disk_space, "SHORT_FILM", limit)
        sizes.clear()
        colorize(film, stills, tmp_path / "out.mp4", on_event=watch, overwrite=True, **SETTINGS)
    (estimate,) = told
    assert len(sizes) == 8
    assert (estimate.needed - 2 * estimate.output) / sum(sizes[:5]) == pytest.approx(1, abs=0.4)
