"""Single frames of each shot, colored by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core import job_context
from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.events import AnyEvent, FinishedEvent, ProgressEvent, WarningEvent
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec, job_field
from kinemacolor.pipeline.preview import preview_frames, unused_by_preview, without_unused
from kinemacolor.pipeline.project import Project
from kinemacolor.pipeline.settings import ColorizeSettings, setting_of
from kinemacolor.references.placement import ReferenceFile
from tests.media import Film, make_film
from tests.stills import gray, halves, write_still


def spec(folder: Path, references: Any, settings: dict[str, Any] | None = None, **fields: Any) -> JobSpec:
    chosen = ColorizeSettings(engine="matching", **(settings or {}))
    return JobSpec(
        **{"film": folder / "film.mkv", "output": folder / "sheet.png", **fields},
        references=references,
        settings=chosen,
    )


def test_a_frame_of_each_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_context, "INTERVAL", 0.0)
    make_film(tmp_path / "film.mkv", Film(count=20))
    stills = [write_still(tmp_path / f"{k}.png", np.roll(halves(), 30 * k, axis=1)) for k in range(2)]
    events: list[AnyEvent] = []
    references = [ReferenceFile(stills[0]), ReferenceFile(stills[1], frame=9)]
    job = Job(spec(tmp_path, references, {"working_size": 32}, shots=[Shot(0, 3), Shot(3, 20)]))
    job.listen(events.append)
    preview = job.preview(every=8)
    assert [(frame.frame, frame.shot, frame.references) for frame in preview.frames] == [
        *((1, 0, (0,)), (7, 1, (0, 1)), (15, 1, (0, 1)))
    ]
    calls = [(e.done, e.total) for e in events if isinstance(e, ProgressEvent) and e.stage == "color"]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(events[-1], FinishedEvent)
    assert events[-1].summary == preview.record()
    assert {frame.picture.shape for frame in preview.frames} == {(32, 43, 3)}
    assert all(np.ptp(frame.picture.astype(int), axis=2).max() > 20 for frame in preview.frames)  # in color
    assert all(-1 <= frame.confidence <= 1 for frame in preview.frames)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 3 * 43
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "1.png", "film.mkv", "sheet.png"]


def test_a_mirrored_still_is_turned_with_a_warning(tmp_path: Path) -> None:
    picture = halves()
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_still(tmp_path / "in" / f"{number:04}.png", gray(picture))
    shown, warnings = [], []
    for name, image in {"still.png": picture, "turned.png": np.ascontiguousarray(picture[:, ::-1])}.items():
        write_still(tmp_path / name, image)
        events: list[AnyEvent] = []
        fields = {"film": tmp_path / "in", "output": tmp_path / f"sheet-{name}", "shots": "none"}
        job = Job(spec(tmp_path, tmp_path / name, {"working_size": 64}, **fields))
        job.listen(events.append)
        shown += job.preview().frames
        warnings.append([event.message.split(": ", 1)[1] for event in events if isinstance(event, WarningEvent)])
    assert warnings == [[], ["shows the film mirrored, and was turned round"]]
    assert np.abs(shown[0].picture.astype(int) - shown[1].picture).max() <= 2


# --- each option is used or refused --------------------

USED: dict[str, Any] = {
    "saturation": 0.0,
    "working_size": 48,
    "denoise_input": True,
    "neutral_shots": "none",
    "start": 0.1,
    "end": 0.2,
    "propagation": "off",
    "color_memory": True,
}
"""Settings that change a preview. Of the others that it uses, engine, weights, block_size and device open the engine,
fps is for images, and stream for files of several."""


def test_settings_are_used_or_refused() -> None:
    fields = ColorizeSettings.model_fields
    used = {name for name, field in fields.items() if setting_of(field).preview}
    assert used == {*USED, "engine", "weights", "block_size", "device", "fps", "stream"}
    in_job = {n for n, f in JobSpec.model_fields.items() if n != "settings" and job_field(f).preview}
    assert in_job == {"film", "output", "references", "shots", "overwrite"}


@pytest.mark.parametrize("name", ["saturation", "working_size", "start", "end"])
def test_what_a_preview_uses_changes_it(tmp_path: Path, name: str) -> None:
    make_film(tmp_path / "film.mkv", Film(count=12))
    still = write_still(tmp_path / "still.png", halves())
    preview = Job(spec(tmp_path, still, {name: USED[name]}, shots="none")).preview(every=2)
    plain = Job(spec(tmp_path, still, shots="none", overwrite=True)).preview(every=2)
    if name in ("start", "end"):
        assert 0 < len(preview.frames) < len(plain.frames)
    else:
        assert not np.array_equal(preview.frames[0].picture, plain.frames[0].picture)
    if name == "saturation":
        assert np.ptp(preview.frames[0].picture.astype(int), axis=2).max() <= 2


def test_a_preview_shows_the_network_less_grain_where_that_is_wanted(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).normal(0, 25, (64, 96))
    (tmp_path / "in").mkdir()
    for number in range(2):
        noisy = np.clip(gray(halves()) + grain, 0, 255).astype(np.uint8)
        write_still(tmp_path / "in" / f"{number:04}.png", noisy)
    still = write_still(tmp_path / "still.png", halves())
    shown = []
    for denoise in (False, True):
        fields = {"film": tmp_path / "in", "output": tmp_path / f"{denoise}.png", "shots": "none"}
        settings = {"denoise_input": denoise, "working_size": 64, "propagation": "off"}
        shown.append(Job(spec(tmp_path, still, settings, **fields)).preview().frames[0].confidence)
    assert shown[1] != shown[0]


@pytest.mark.parametrize(
    ("settings", "fields", "name"),
    [
        ({"codec": "ffv1"}, {}, "codec"),
        ({"crf": 3}, {}, "crf"),
        ({"chroma_format": "444"}, {}, "chroma_format"),
        ({"chroma_upsampling": "best"}, {}, "chroma_upsampling"),
        ({"temporal_smoothing": False}, {}, "temporal_smoothing"),
        ({"strict": True}, {}, "strict"),
        ({"max_segment_frames": 10}, {}, "max_segment_frames"),
        ({}, {"report": "r.html"}, "report"),
        ({}, {"overlay": "o.mp4"}, "overlay"),
        ({}, {"restart": True}, "restart"),
    ],
)
def test_what_a_preview_cannot_use_is_refused_by_name(
    tmp_path: Path, settings: dict[str, Any], fields: dict[str, Any], name: str
) -> None:
    make_film(tmp_path / "film.mkv", Film(count=4))
    still = write_still(tmp_path / "still.png", halves())
    job = spec(tmp_path, still, settings, **fields)
    assert unused_by_preview(job) == [name]
    with pytest.raises(UsageError, match="a preview cannot use it") as caught:
        Job(job).preview()
    assert caught.value.subject == name
    assert not (tmp_path / "sheet.png").exists()


def test_what_a_project_sets_for_the_film_is_left_out_and_named() -> None:
    settings = ColorizeSettings(crf=20, saturation=2.0, codec="ffv1")
    project, unused = without_unused(Project({"film": Path("a.mkv"), "report": Path("r.html")}, settings))
    assert unused == ["codec", "crf", "report"]
    assert project.fields == {"film": Path("a.mkv")}
    assert project.settings == ColorizeSettings(saturation=2.0)


def test_where_a_sheet_cannot_be_written(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=4))
    still = write_still(tmp_path / "still.png", halves())
    with pytest.raises(UsageError, match=r"is no name for a sheet; end it in \.png"):
        Job(spec(tmp_path, still, output=tmp_path / "sheet.mp4")).preview()
    with pytest.raises(UsageError, match="every: 0 is not a number of frames"):
        Job(spec(tmp_path, still)).preview(every=0)
    (tmp_path / "sheet.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        Job(spec(tmp_path, still)).preview()
    assert (tmp_path / "sheet.png").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("every", "expected"), [(1, list(range(5, 12))), (4, [7, 10]), (5, [7, 10]), (50, [6, 10]), (2, [6, 9, 11])]
)
def test_which_frames(every: int, expected: list[int]) -> None:
    frames = preview_frames([Shot(5, 8), Shot(8, 12)], every)
    assert frames == expected
    assert all(any(index in shot for index in frames) for shot in (Shot(5, 8), Shot(8, 12)))
