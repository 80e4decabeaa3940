"""The report and the overlay of a finished film."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job import colorize
from kinemacolor.report.film import (
    LOW_CONFIDENCE,
    REPORT_THUMBNAILS,
    film_report,
    small_picture,
    write_film_report,
    write_overlay,
)
from kinemacolor.report.model import FilmReport
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still


def report_of(film: Path, **changes: Any) -> FilmReport:
    """A report on a film of 90 frames, which are frames 10 to 99 of its source."""
    values: dict[str, Any] = {
        "output": film,
        "rate": Fraction(24),
        "shots": [Shot(10, 50), Shot(50, 100)],
        "references_by_shot": [[1], [0, 2]],
        "reference_names": ["a.png", "b.png", "c.png"],
        "painted": {3: 2, 12: 1, 99: 0, 100: 2},
        "confidence": np.concatenate([np.full(40, 0.9), np.full(50, 0.5)]).astype(np.float32),
        "notes": ["a subtitle was left out"],
        "first_frame": 10,
        "frame_numbers": range(10, 100),
    }
    return film_report(**{**values, **changes})


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    make_film(path, Film(count=90))
    return path


def test_a_report_is_in_frames_of_the_output(film: Path) -> None:
    report = report_of(film)
    assert [(entry.shot, entry.references) for entry in report.shots] == [
        (Shot(0, 40), ("b.png",)),
        (Shot(40, 90), ("a.png", "c.png")),
    ]
    assert report.painted == ((2, "b.png"), (89, "a.png"))  # frames 3 and 100 were not colored
    assert [(low.start, low.stop) for low in report.stretches] == [(40, 90)]
    assert (report.film, report.threshold, report.notes) == (film.name, LOW_CONFIDENCE, ("a subtitle was left out",))
    assert report.numbers == tuple(range(10, 100))
    assert report.still(0) == "0000010.png"
    assert all(frame in Shot(40, 90) for frame, _ in report.advice[:1])


def test_numbers_that_are_indices_are_left_out(film: Path) -> None:
    shots = [Shot(0, 90)]
    report = report_of(film, shots=shots, references_by_shot=[[0]], first_frame=0, frame_numbers=range(90))
    assert report.numbers == ()


def test_thumbnails_are_spread_over_the_film(film: Path) -> None:
    report = report_of(film)
    assert [thumbnail.frame for thumbnail in report.strip] == list(range(0, 90, 2))
    assert len(report.strip) <= REPORT_THUMBNAILS
    frames = {frame.index: frame for frame in VideoReader(film).frames(chroma=True)}
    shown = cv2.imdecode(np.frombuffer(report.strip[3].jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(shown.astype(int) - small_picture(frames[6], 160)).mean() < 12


def test_shots_without_references_of_their_own_are_refused(film: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        report_of(film, references_by_shot=[[1]])


def test_page_and_record_are_written_side_by_side(film: Path, tmp_path: Path) -> None:
    regions = np.full((90, 2, 3), 0.12345)
    write_film_report(tmp_path / "report.html", report_of(film), regions)
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["regions"] == np.full((90, 2, 3), 0.123).tolist()
    assert record["frames"] == 90
    assert "b.png" in (tmp_path / "report.html").read_text()
    (tmp_path / "other.json").mkdir()
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "other.json"))):
        write_film_report(tmp_path / "other.html", report_of(film), regions)


def test_an_overlay_that_fails_leaves_nothing(film: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="writing fails"):
        write_overlay(tmp_path / "none" / "overlay.mp4", film, np.ones((90, 2, 2)), Fraction(24))
    with pytest.raises(ValueError, match="shorter"):
        write_overlay(tmp_path / "overlay.mp4", film, np.ones((80, 2, 2)), Fraction(24))
    assert not list(tmp_path.iterdir())


# --- with a run --------------------


@pytest.mark.parametrize("part", [{}, {"start": 0.3, "end": 0.7}], ids=["whole", "part"])
def test_a_run_writes_report_and_overlay(tmp_path: Path, part: dict[str, Any]) -> None:
    make_film(tmp_path / "film.mkv", Film(96, 64, count=20, rate=Fraction(20)))
    stills = [write_still(tmp_path / name, halves()) for name in ("0002.png", "free.png")]
    summary = colorize(
        tmp_path / "film.mkv",
        stills,
        tmp_path / "out.mp4",
        working_size=32,
        shots=[Shot(0, 12), Shot(12, 20)],
        report=tmp_path / "report.html",
        overlay=tmp_path / "overlay.mp4",
        **part,
    )
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["frames"] == summary.frames == len(record["regions"]) == len(record["confidence"])
    assert np.shape(record["regions"]) == (summary.frames, 6, 10)
    np.testing.assert_allclose(np.mean(record["regions"], axis=(1, 2)), record["confidence"], atol=0.03)
    assert record["painted"] == ([] if part else [{"frame": 2, "reference": "0002.png"}])
    assert [shot["stop"] for shot in record["shots"]] == ([6, 8] if part else [12, 20])
    assert record["numbers"] == (list(range(6, 14)) if part else None)
    page = (tmp_path / "report.html").read_text()
    assert "free.png" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    overlay = list(VideoReader(tmp_path / "overlay.mp4").frames())
    assert len(overlay) == summary.frames
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".") or path.suffix == ".work"]


def test_names_are_checked_before_the_work(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))
    still = write_still(tmp_path / "still.png", halves())
    (tmp_path / "there.html").write_text("precious")
    arguments = (tmp_path / "film.mkv", [still], tmp_path / "out.mp4")
    with pytest.raises(UsageError, match=r"^report: "):
        colorize(*arguments, report=tmp_path / "report.txt")
    with pytest.raises(OutputError, match="exists already"):
        colorize(*arguments, report=tmp_path / "there.html")
    with pytest.raises(OutputError, match="no such folder"):
        colorize(*arguments, overlay=tmp_path / "nowhere" / "overlay.mp4")
    assert not (tmp_path / "out.mp4").exists()
