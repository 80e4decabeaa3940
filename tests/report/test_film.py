"""What a run tells of a film: report, regions, overlay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.types import Shot
from kinemacolor.pipeline.film import colorize
from kinemacolor.report.film import advise
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still


def test_advice_goes_where_it_lifts_most() -> None:
    confidence = np.concatenate([np.full(60, 0.9), np.full(90, 0.5), np.full(30, 0.6)]).astype(np.float32)
    shots = [Shot(0, 60), Shot(60, 150), Shot(150, 180)]
    found = advise(confidence, shots, most=4)
    frames, gains = zip(*found, strict=True)
    assert all(frame in shots[1] for frame in frames[:1])
    assert 80 < frames[0] < 130  # amid the longest and worst shot
    assert list(gains) == sorted(gains, reverse=True)
    assert {next(k for k, shot in enumerate(shots) if frame in shot) for frame in frames} >= {1, 2}
    assert sum(gains) <= 1 - confidence.mean()


def test_nothing_is_advised_where_all_is_certain() -> None:
    assert advise(np.ones(40, np.float32), [Shot(0, 40)]) == []


@pytest.mark.parametrize("part", [{}, {"start": 0.3, "end": 0.7}], ids=["whole", "part"])
def test_a_run_writes_them(tmp_path: Path, part: dict[str, float]) -> None:
    make_film(tmp_path / "film.mkv", Film(96, 64, count=20, rate=20))
    stills = [write_still(tmp_path / name, halves()) for name in ("0002.png", "free.png")]
    summary = colorize(
        tmp_path / "film.mkv", stills, tmp_path / "out.mp4", size=32, shots=[Shot(0, 12), Shot(12, 20)],
        report=tmp_path / "report.html", overlay=tmp_path / "overlay.mp4", **part,
    )  # fmt: skip
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
    with pytest.raises(UsageError, match="--report"):
        colorize(*arguments, report=tmp_path / "report.txt")
    with pytest.raises(OutputError, match="exists already"):
        colorize(*arguments, report=tmp_path / "there.html")
    with pytest.raises(OutputError, match="no such folder"):
        colorize(*arguments, overlay=tmp_path / "nowhere" / "overlay.mp4")
    assert not (tmp_path / "out.mp4").exists()
