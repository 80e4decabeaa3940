"""The film's report: its records, its JSON, and the page with everything inside."""

from __future__ import annotations

import base64
import json
import re
from fractions import Fraction
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinemacolor.core.errors import OutputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray
from kinemacolor.report.html import write_report
from kinemacolor.report.model import (
    FilmReport,
    ShotReport,
    Stretch,
    Thumbnail,
    low_stretches,
    report_to_json,
    thumbnail,
)
from kinemacolor.report.timeline import envelope, time_ticks
from tests.stills import BLUE, GREEN, RED, halves

QUICK = settings(deadline=None, max_examples=60)
EVIL = """<script>alert("x")</script> & 'y'"""
VOID = {"meta", "img", "rect", "line", "polygon", "polyline", "br"}


def make(**changes: Any) -> FilmReport:
    """A film of 120 frames and three shots; the second one is low."""
    confidence = np.full(120, 0.9, np.float32)
    confidence[40:80] = np.linspace(0.7, 0.5, 40)
    confidence[110] = 0.2
    values: dict[str, Any] = {
        "film": "reel.mkv",
        "rate": Fraction(24000, 1001),
        "shots": (
            ShotReport(Shot(0, 40), ("0000010.png",)),
            ShotReport(Shot(40, 80), ("girl.png", "street.png")),
            ShotReport(Shot(80, 120), ()),
        ),
        "confidence": confidence,
        "threshold": 0.8,
        "strip": tuple(thumbnail(k, halves(64, 36, color)) for k, color in ((0, RED), (50, BLUE), (119, GREEN))),
        "stretches": low_stretches(confidence, [Shot(0, 40), Shot(40, 80), Shot(80, 120)], 0.8, 12),
        "advice": ((90, 0.01), (60, 0.03), (7, 0.01)),
        "painted": ((10, "0000010.png"),),
    }
    return FilmReport(**{**values, **changes})


# --- low stretches --------------------


def slow_stretches(values: FloatArray, shots: list[Shot], threshold: float, least: int) -> list[tuple[int, int]]:
    """The definition, frame by frame."""
    stretches = []
    for shot in shots:
        assert shot.stop is not None
        runs: list[list[int]] = []
        for frame in range(shot.start, shot.stop):
            if values[frame] >= threshold:
                continue
            if runs and frame == runs[-1][-1] + 1:
                runs[-1].append(frame)
            else:
                runs.append([frame])
        joined: list[list[int]] = []
        for run in runs:
            if joined and run[0] - joined[-1][-1] - 1 < least:
                whole = list(range(joined[-1][0], run[-1] + 1))
                if sum(float(values[k]) for k in whole) / len(whole) < threshold:
                    joined[-1] = whole
                    continue
            joined.append(run)
        length = shot.stop - shot.start
        stretches += [(run[0], run[-1] + 1) for run in joined if len(run) >= least or len(run) == length]
    return stretches


@QUICK
@given(
    st.lists(st.sampled_from([-0.25, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0]), min_size=1, max_size=60),
    st.sets(st.integers(1, 59), max_size=4),
    st.integers(1, 9),
)
def test_stretches_are_those_of_the_definition(values: list[float], cuts: set[int], least: int) -> None:
    confidence = np.array(values, np.float32)
    edges = [0, *sorted(cut for cut in cuts if cut < len(values)), len(values)]
    shots = [Shot(a, b) for a, b in pairwise(edges)]
    stretches = low_stretches(confidence, shots, 0.7, least)
    assert [(low.start, low.stop) for low in stretches] == slow_stretches(confidence, shots, 0.7, least)
    for low in stretches:
        part = values[low.start : low.stop]
        assert low.mean == pytest.approx(sum(part) / len(part))
        assert low.mean < 0.7
        assert values[low.lowest] == min(part)
        assert low.start <= low.lowest < low.stop


def test_stretches_end_at_cuts_and_bridge_what_is_short() -> None:
    confidence = np.full(50, 0.9, np.float32)
    confidence[5:20] = 0.5
    confidence[10:12] = 0.85
    confidence[30] = 0.1
    confidence[48:] = 0.6
    shots = [Shot(0, 16), Shot(16, 48), Shot(48, 50)]
    stretches = low_stretches(confidence, shots, 0.8, 4)
    assert [(low.start, low.stop) for low in stretches] == [(5, 16), (16, 20), (48, 50)]  # the last is a whole shot
    assert stretches[1] == Stretch(16, 20, 0.5, 16)


def test_arguments_of_low_stretches_are_checked() -> None:
    confidence = np.full(10, 0.9, np.float32)
    for values, shots, message in (
        (confidence[None], [Shot(0, 10)], "confidence: expected"),
        (confidence * np.nan, [Shot(0, 10)], "confidence: expected values"),
        (confidence * 2, [Shot(0, 10)], "confidence: expected values"),
        (confidence, [Shot(0, 11)], "shots: expected ascending frames up to 10"),
        (confidence, [Shot(0, 6), Shot(5, 10)], "shots: expected"),
        (confidence, [Shot(0)], "shots: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            low_stretches(values, shots, 0.8, 1)
    with pytest.raises(ValueError, match="least_frames: expected ≥ 1, got 0"):
        low_stretches(confidence, [Shot(0, 10)], 0.8, 0)


# --- records --------------------


def test_thumbnails_are_small_pictures_in_their_colors() -> None:
    wide = thumbnail(7, halves(480, 270))
    image = cv2.imdecode(np.frombuffer(wide.jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (wide.frame, image.shape) == (7, (90, 160, 3))
    np.testing.assert_allclose(image.mean(axis=(0, 1)), halves(480, 270).mean(axis=(0, 1)), atol=2)
    assert cv2.imdecode(np.frombuffer(thumbnail(0, halves(64, 36)).jpeg, np.uint8), 1).shape == (36, 64, 3)


def test_the_report_as_json() -> None:
    report = make()
    record = report_to_json(report)
    assert json.loads(json.dumps(record)) == record
    assert (record["film"], record["rate"], record["frames"]) == ("reel.mkv", "24000/1001", 120)
    assert record["mean_confidence"] == round(float(report.confidence.astype(float).mean()), 4)
    assert record["low_share"] == round(41 / 120, 4)
    assert [entry["frame"] for entry in record["advice"]] == [60, 7, 90]
    first = {"frame": 60, "still": "0000060.png", "time": round(60 * 1001 / 24000, 3), "shot": 2, "gain": 0.03}
    assert record["advice"][0] == first
    assert record["numbers"] is None
    assert [(entry["number"], entry["start"], entry["stop"], entry["lowest"]) for entry in record["shots"]] == [
        (1, 0, 40, 0),
        (2, 40, 80, 79),
        (3, 80, 120, 110),
    ]
    assert record["shots"][1]["references"] == ["girl.png", "street.png"]
    assert record["low_stretches"] == [
        {"start": 40, "stop": 80, "time": 1.668, "shot": 2, "confidence": 0.6, "lowest": 79}
    ]
    assert record["painted"] == [{"frame": 10, "reference": "0000010.png"}]
    assert record["confidence"][110] == 0.2
    assert len(record["confidence"]) == 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"confidence": np.zeros((2, 2), np.float32)}, "confidence: expected"),
        ({"rate": Fraction(0)}, "rate: expected > 0"),
        ({"advice": ((120, 0.1),)}, "expected frames below 120, got 120"),
        ({"painted": ((-1, "a"),)}, "expected frames below 120, got -1"),
        ({"shots": (ShotReport(Shot(0, 121), ()),)}, "shots: expected ascending"),
        ({"numbers": range(119)}, "numbers: expected one for each of 120"),
    ],
)
def test_records_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**changes)


# --- the page --------------------


class Reader(HTMLParser):
    """Elements, attributes and text of a page; every element has to be closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:  # with a title inside
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str, kind: str | None = None) -> list[dict[str, str]]:
        return [a for name, a in self.tags if name == tag and (kind is None or a.get("class") == kind)]


def read(path: Path, report: FilmReport) -> Reader:
    write_report(path, report)
    return Reader(path.read_text("utf-8"))


def test_the_page_says_what_the_report_says(tmp_path: Path) -> None:
    report = make(notes=("a subtitle was left out",))
    page = read(tmp_path / "report.html", report)
    for text in (
        "reel.mkv",
        "120 frames",
        "0:00:05.005 length",
        "3 shots",
        "3 references used",
        "34.2 % frames below 0.8",
        "a subtitle was left out",
        "frame 40 0:00:01.668, shot 2 40 1.7 s 0.600 0.500 at 79",
        "girl.png, street.png",
        "0.882 0.200 at 110",
    ):
        assert text in page.text, text
    assert re.findall(r"save it as (\d{7}\.png)", page.text) == ["0000060.png", "0000007.png", "0000090.png"]
    assert re.findall(r"gain ([+-][\d.]+)", page.text) == ["+0.0300", "+0.0100", "+0.0100"]
    assert [a["id"] for a in page.all("tr") if "id" in a] == ["shot-1", "shot-2", "shot-3"]
    assert [a["id"] for a in page.all("tr", "low")] == ["shot-2"]
    assert len(page.all("polygon", "next")) == 3
    assert len(page.all("polygon", "painted")) == 1
    assert len(page.all("rect", "low")) == 1
    data = json.loads(page.all("figure")[0]["data-film"])
    assert (data["frames"], data["starts"]) == (120, [0, 40, 80])
    np.testing.assert_allclose(data["confidence"], report.confidence, atol=5.1e-4)


@pytest.mark.parametrize("step", [1, 2], ids=["from 1000 on", "every other number"])
def test_frames_are_called_by_their_numbers(tmp_path: Path, step: int) -> None:
    numbers = range(1000, 1000 + 120 * step, step)
    report = make(numbers=tuple(numbers))
    page = read(tmp_path / "report.html", report)
    assert re.findall(r"save it as (\d{7}\.png)", page.text) == [f"{numbers[k]:07}.png" for k in (60, 7, 90)]
    for frame in (40, 79, 110):
        assert f"{numbers[frame]:,}" in page.text
    titles = " ".join(a["title"] for a in page.all("img"))
    assert f"frame {numbers[119]}" in titles
    shown = json.loads(page.all("figure")[0]["data-film"])["numbers"]
    assert shown == (1000 if step == 1 else list(numbers))
    record = report_to_json(report)
    assert record["numbers"] == list(numbers)
    assert record["advice"][0]["still"] == f"{numbers[60]:07}.png"


def test_the_page_fetches_nothing_and_its_links_have_targets(tmp_path: Path) -> None:
    page = read(tmp_path / "report.html", make(film=EVIL))
    raw = (tmp_path / "report.html").read_text("utf-8")
    assert "http" not in raw
    assert "url(" not in raw
    assert "@import" not in raw
    anchors = {a["id"] for _, a in page.tags if "id" in a}
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes or attributes["src"].startswith("data:image/jpeg;base64,")
        assert "href" not in attributes or attributes["href"].removeprefix("#") in anchors
    pictures = [a["src"].partition(",")[2] for a in page.all("img")]
    assert len(pictures) == 3 + 3 + 3  # strip, advice, shots
    for picture in pictures:
        assert cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), 1).shape == (36, 64, 3)


def test_pictures_are_those_of_their_frames(tmp_path: Path) -> None:
    page = read(tmp_path / "report.html", make())
    shown = [a["alt"] for a in page.all("img")]
    assert shown == [f"frame {k}" for k in (0, 50, 119, 50, 0, 119, 0, 50, 119)]
    for strip in (make().strip[:2], make().strip[1:]):
        page = read(tmp_path / "r.html", make(strip=strip, advice=()))
        frames = [f"frame {picture.frame}" for picture in strip]
        assert [a["alt"] for a in page.all("img")][2:] == frames  # in their own shots alone


def test_names_cannot_break_out(tmp_path: Path) -> None:
    shots = (ShotReport(Shot(0, 120), (EVIL,)),)
    report = make(film=EVIL, shots=shots, painted=((3, EVIL),), notes=(EVIL,), stretches=())
    page = read(tmp_path / "report.html", report)
    assert len(page.all("script")) == 1
    assert page.text.count(unescape(EVIL)) == 5  # title, heading, note, mark, shot
    assert page.all("figure")[0].keys() == {"class", "data-film"}


def test_a_report_of_next_to_nothing(tmp_path: Path) -> None:
    report = FilmReport("a", Fraction(24), (), np.array([-1.0], np.float32), 0.8)
    page = read(tmp_path / "report.html", report)
    assert "No frame is proposed." in page.text
    assert "Confidence is nowhere below 0.8 for long." in page.text
    assert page.all("img") == []
    for attributes in (a for tag, a in page.tags if tag in ("rect", "line", "polyline", "text", "polygon")):
        assert "nan" not in str(attributes).lower()


def test_a_long_film_makes_a_page_of_moderate_size(tmp_path: Path) -> None:
    count, every = 100_000, 500
    confidence = np.random.default_rng(3).uniform(0.5, 1, count).astype(np.float32)
    shots = tuple(ShotReport(Shot(k, k + every), ("a.png",)) for k in range(0, count, every))
    picture = thumbnail(0, halves(160, 90)).jpeg
    strip = tuple(Thumbnail(k, picture) for k in range(0, count, every))
    stretches = low_stretches(confidence, [entry.shot for entry in shots], 0.9, 4)
    page = read(tmp_path / "r.html", make(confidence=confidence, shots=shots, strip=strip, stretches=stretches))
    assert (tmp_path / "r.html").stat().st_size < 2_000_000
    assert len(page.all("img")) == 14 + 3 + 200
    assert len(page.all("polyline")[0]["points"].split()) <= 1200
    assert f"{len(stretches) - 20} more" in page.text
    assert len(json.loads(page.all("figure")[0]["data-film"])["confidence"]) == 4000


def test_a_page_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, make(film="first"))
    write_report(path, make(film="second"))
    assert "second" in path.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "missing" / "report.html"):
        with pytest.raises(OutputError, match=rf"^{place}: cannot be written \(.*\); check the folder and its space$"):
            write_report(place, make())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "report.html"]


# --- the timeline --------------------


@QUICK
@given(st.lists(st.integers(-16, 16), min_size=1, max_size=50), st.integers(1, 20))
def test_the_envelope_holds_every_frame(values: list[int], columns: int) -> None:
    film: FloatArray = np.array(values, np.float32) / np.float32(16)
    centers, lowest, mean, highest = envelope(film, columns)
    parts = min(len(values), columns)
    edges = [k * len(values) // parts for k in range(parts + 1)]
    for k, (a, b) in enumerate(pairwise(edges)):
        part = film[a:b].tolist()
        assert (lowest[k], highest[k], centers[k]) == (min(part), max(part), (a + b) / 2)
        assert mean[k] == pytest.approx(sum(part) / len(part), abs=1e-9)
    assert len(centers) == parts


@pytest.mark.parametrize("seconds", [0.04, 0.9, 1, 7, 61, 100.1, 3600, 7200, 20_000, 100_000])
def test_times_on_the_axis_are_round_and_within_the_film(seconds: float) -> None:
    ticks = time_ticks(seconds)
    assert 1 <= len(ticks) <= 13
    assert len({label for _, label in ticks}) == len(ticks)
    assert all(0 <= time <= seconds + 1e-9 for time, _ in ticks)
    for time, label in ticks:
        hours, minutes, rest = label.split(":")
        assert 3600 * int(hours) + 60 * int(minutes) + float(rest) == pytest.approx(time)


def test_marks_are_where_their_frames_are(tmp_path: Path) -> None:
    page = read(tmp_path / "report.html", make())
    (low,) = page.all("rect", "low")
    assert float(low["x"]) == pytest.approx(46 + 1140 / 3, abs=0.01)
    assert float(low["width"]) == pytest.approx(1140 / 3, abs=0.01)
    painted = page.all("polygon", "painted")[0]["points"].split(",")[0]
    assert float(painted) == pytest.approx(46 + 1140 * 10.5 / 120, abs=0.01)
    points = [tuple(map(float, p.split(","))) for p in page.all("polyline", "line")[0]["points"].split()]
    assert len(points) == 120
    assert points[110][0] == pytest.approx(46 + 1140 * 110.5 / 120, abs=0.01)
    heights = np.array([y for _, y in points])
    slope = np.polyfit(make().confidence, heights, 1)
    np.testing.assert_allclose(np.polyval(slope, make().confidence), heights, atol=0.02)
    assert slope[0] < 0
