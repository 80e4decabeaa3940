"""Looks at single frames cost one pass through a film that cannot be entered in its middle, however long it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.video.decode import film_pictures
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still
from tests.video.test_video import ffmpeg

SHOT = 12  # frames
FORMATS = {
    ".avi": ("-c:v", "mpeg4", "-bf", "2"),
    ".flv": ("-c:v", "flv"),
    ".wmv": ("-c:v", "wmv2"),
    ".ogv": ("-c:v", "libtheora"),
    ".m2v": ("-c:v", "mpeg2video"),
}
ONE_ENTRY = {".mp4": ("-c:v", "libx264", "-x264-params", "keyint=infinite:threads=1")}
"""Of a container that can be entered, with a film that depends on its first frame."""


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Gives the number of frames decoded since the last call."""
    count = 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        for picture in film_pictures(*arguments):
            count += 1
            yield picture

    def taken() -> int:
        nonlocal count
        result, count = count, 0
        return result

    monkeypatch.setattr("kinemacolor.video.reader.film_pictures", counted)
    return taken


def make_dependent(path: Path, shots: int) -> Path:
    options = ("-f", "lavfi", "-i", f"testsrc=s=96x64:r=24:d={shots * SHOT / 24}")
    result = ffmpeg(
        "-y", *options, "-pix_fmt", "yuv420p", "-g", "12", *(FORMATS | ONE_ENTRY)[path.suffix], "-q:v", "4", path
    )
    assert result.returncode == 0, result.stderr.decode()
    return path


def job(film: Path, output: Path, shots: int) -> Job:
    """Of a film of so many shots, with two stills bound to none and one bound to a late frame."""
    stills = film.parent / "stills"
    stills.mkdir(exist_ok=True)
    for name in ("b.png", "a.png", f"frame_{SHOT * shots - 2:06d}.png"):
        write_still(stills / name, halves())
    bounds = tuple((SHOT * number, SHOT * (number + 1)) for number in range(shots))
    return Job(
        JobSpec(film=film, references=stills, output=output, shots=bounds, settings=ColorizeSettings(working_size=32))
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_planning_and_preview_cost_in_proportion_to_the_film(
    tmp_path: Path, decoded: Callable[[], int], suffix: str
) -> None:
    planned, previewed = [], []
    for factor in (1, 2, 4):
        folder = tmp_path / str(factor)
        folder.mkdir()
        film = make_dependent(folder / f"film{suffix}", 4 * factor)
        decoded()
        job(film, folder / "out.mp4", 4 * factor).plan()
        planned.append(decoded())
        job(film, folder / "sheet.png", 4 * factor).preview(every=6)
        previewed.append(decoded())
    length = 4 * SHOT
    for factor, plan, preview in zip((1, 2, 4), planned, previewed, strict=True):
        # A pass for the analysis, the stills' places, their features and the selection; more where places do not fit.
        assert plan <= 7 * factor * length + 20
        assert preview <= 8 * factor * length + 20
    for counts in (planned, previewed):
        assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])  # nothing grows with the square


def test_frames_are_those_of_a_pass_in_any_order(tmp_path: Path) -> None:
    film = make_dependent(tmp_path / "film.avi", 3)
    whole = [frame.luma for frame in VideoReader(film).frames()]
    with VideoReader(film) as reader, FrameLookup(reader) as lookup:
        for index in (0, 0, 3, 4, 30, 30, 2, 35, 1):
            frame = lookup.frame(index)
            assert frame.index == index
            np.testing.assert_array_equal(frame.luma, whole[index])
        with pytest.raises(InputError, match="gives no frame 99"):
            lookup.frame(99)
        np.testing.assert_array_equal(lookup.frame(5).luma, whole[5])


def test_a_film_that_can_be_entered_is_not_decoded_through(tmp_path: Path, decoded: Callable[[], int]) -> None:
    make_film(tmp_path / "film.mkv", Film(count=60, options={"g": "1"}))
    reader = VideoReader(tmp_path / "film.mkv")
    decoded()
    with reader, FrameLookup(reader) as lookup:
        for index in (5, 20, 50):
            assert lookup.frame(index).index == index
    assert decoded() <= 6


@pytest.mark.parametrize("suffix", [".avi", ".m2v"])
def test_coloring_back_and_forth_between_stills_costs_in_proportion_to_the_film(
    tmp_path: Path, decoded: Callable[[], int], suffix: str
) -> None:
    """A still in the middle of each shot: half of it is colored backward from there."""
    counts = []
    for factor in (1, 2, 4):
        film, folder = make_dependent(tmp_path / f"{factor}{suffix}", 4 * factor), tmp_path / str(factor)
        folder.mkdir()
        places = range(SHOT // 2, 4 * factor * SHOT, SHOT)
        stills = [write_still(folder / f"frame_{place:06d}.png", halves()) for place in places]
        bounds = tuple((SHOT * number, SHOT * (number + 1)) for number in range(4 * factor))
        settings = ColorizeSettings(engine="matching", working_size=32)
        decoded()
        Job(
            JobSpec(film=film, references=stills, output=film.with_suffix(".mp4"), shots=bounds, settings=settings)
        ).run()
        counts.append(decoded())
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])
    assert counts[2] <= 12 * 16 * SHOT


@pytest.mark.parametrize("suffix", [*FORMATS, ".mp4"])
def test_long_spans_colored_from_both_ends_cost_in_proportion_to_the_film(
    tmp_path: Path, decoded: Callable[[], int], suffix: str
) -> None:
    """Half of the film's segments are colored in the order opposite to the film's, from the still at its end."""
    counts = []
    for factor in (1, 2, 4):
        film, folder = make_dependent(tmp_path / f"{factor}{suffix}", 4 * factor), tmp_path / str(factor)
        folder.mkdir()
        length = 4 * factor * SHOT
        stills = [write_still(folder / f"frame_{place:06d}.png", halves()) for place in (0, length - 1)]
        settings = ColorizeSettings(engine="matching", working_size=32, max_segment_frames=4)
        decoded()
        Job(JobSpec(film=film, references=stills, output=tmp_path / "out.mp4", shots="none", settings=settings)).run()
        (tmp_path / "out.mp4").unlink()
        counts.append(decoded())
    # A pass for the analysis, two for the stills' places, two for coloring; reading on after a span's end is cheap.
    assert all(count <= 5 * 4 * factor * SHOT + 20 for factor, count in zip((1, 2, 4), counts, strict=True))
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])
