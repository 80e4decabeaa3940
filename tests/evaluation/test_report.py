"""Reports of made-up figures: numbers in tables, a self-contained page, plots, sheets, strict JSON."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.evaluation.benchmark import BenchmarkRun
from kinemacolor.evaluation.clips import BenchmarkClip
from kinemacolor.evaluation.measure import Measurement
from kinemacolor.evaluation.methods import TRUTH, parse_methods
from kinemacolor.evaluation.page import page
from kinemacolor.evaluation.pictures import contact_sheet, gray_of, shown_frames, thumbnail
from kinemacolor.evaluation.plots import LINE_COLORS, Line, interval_plot, line_plot, stroke, ticks
from kinemacolor.evaluation.protocol import load_protocol
from kinemacolor.evaluation.records import ClipResult
from kinemacolor.evaluation.report import markdown, sheet, write_report
from kinemacolor.evaluation.results import Results
from kinemacolor.evaluation.statistics import difference
from tests.evaluation.toys import color_film

FRAMES = 30
CLIPS = {"dog & <cat>": 1.0, "swan": 4.0, "tram": -2.0}
METHODS = {"gray": 20.0, "flow": 30.0, "matching": 31.0}


def made_up_result(clip: str, method: str) -> ClipResult:
    """PSNR falls by a tenth of a dB a frame; every figure differs from every other."""
    level = METHODS.get(method, 58.0) + CLIPS[clip]
    psnr = [level - 0.1 * t for t in range(FRAMES)]
    figures = {
        "psnr": float(np.mean(psnr)),
        "ssim": level / 100,
        "delta_e": 50 - level,
        "colorfulness": level / 2,
        "colorfulness_ratio": level / 50,
        "we": level / 40,
        "we_truth": 0.5,
        "cdc": level / 1000,
        "cdc_truth": 0.003,
        "lpips": None,
        "fid": None,
    }
    notes = {"lpips": "n/a: weights not found", "psnr": "1 of 30 frames count as 58.9 dB"}
    shown = [str(index) for index in shown_frames(FRAMES)]
    film = color_film(1, 40, 60, seed=len(clip))
    names = shown + ([f"gray {index}" for index in shown] + ["reference"] if method == TRUTH else [])
    facts = {"frames": FRAMES, "size": [60, 40], "rate": str(Fraction(25))} if method == TRUTH else {}
    confidence = None if method == TRUTH else [0.0 if method == "gray" else 0.9] * FRAMES
    measurement = Measurement({"psnr": psnr}, figures, notes)
    return ClipResult(clip, method, measurement, confidence, 0.01, dict.fromkeys(names, thumbnail(film[0])), facts)


@pytest.fixture(scope="module")
def results() -> Results:
    clip_results = {(clip, method): made_up_result(clip, method) for clip in CLIPS for method in (TRUTH, *METHODS)}
    run = BenchmarkRun(
        {BenchmarkClip(name, Path(f"{name}.mp4")): "0" * 64 for name in CLIPS},
        tuple(parse_methods(",".join(METHODS))),
        load_protocol("network", frames=FRAMES),
        {"flow": "dis"},
        clip_results,
    )
    return Results(run, {"command": ["kinemacolor", "benchmark", "a folder"], "version": "1.2.3"})


def cells(text: str, head: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {head} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_is_laid_out_as_table_1(results: Results) -> None:
    text = markdown(results)
    assert cells(text, "method")[1:6] == ["FID↓", "LPIPS↓", "PSNR↑", "COLOR↑", "WE↓"]
    row = cells(text, "flow")
    whole = math.fsum(30 + offset - 0.1 * t for offset in CLIPS.values() for t in range(30)) / 90
    last = math.fsum(30 + offset - 0.1 * t for offset in CLIPS.values() for t in range(10, 30)) / 60
    assert row[1:4] == ["n/a", "n/a", f"{whole:.2f}"]
    assert row[6] == f"{last:.2f}"
    assert cells(text, "matching")[3].startswith("**")
    assert cells(text, "gray")[5].startswith("**")  # least WE
    assert cells(text, "truth")[1:4] == ["–", "–", "–"]
    assert "LPIPS: n/a: weights not found." in text
    assert "kinemacolor benchmark 'a folder'" in text


def test_clips_have_their_last_frames_in_brackets(results: Results) -> None:
    row = cells(markdown(results), "swan")
    whole, last = 34 - 0.1 * 14.5, 34 - 0.1 * 19.5
    assert row[1] == "30"
    assert row[3] == f"{whole:.2f} ({last:.2f})"


def test_a_figure_that_is_missing_for_one_clip_has_no_mean(results: Results) -> None:
    clip_results = dict(results.run.results)
    old = clip_results["swan", "flow"]
    figures = {**old.measurement.figures, "we": None}
    lacking = Measurement(old.measurement.per_frame, figures, old.measurement.notes)
    clip_results["swan", "flow"] = ClipResult("swan", "flow", lacking, None, None, old.pictures, {})
    run = BenchmarkRun(results.run.clips, results.run.methods, results.run.protocol, {}, clip_results)
    other = Results(run, {})
    assert other.means["flow"]["we"] is None
    assert other.means["flow"]["seconds"] is None
    assert "flow" not in other.values("we")
    assert cells(markdown(other), "flow")[5] == "n/a"
    json.dumps(other.record(), allow_nan=False)
    page(other)


def test_differences_are_ranked_both_ways(results: Results) -> None:
    psnr = [(row.a, row.b, round(row.mean, 6)) for row in results.differences["psnr"]]
    assert psnr == [("matching", "flow", 1.0), ("flow", "gray", 10.0), ("matching", "gray", 11.0)]
    assert next((row.a, row.b) for row in results.differences["we"]) == ("gray", "flow")
    assert "lpips" not in results.differences
    assert "3 of 3" in markdown(results)


# --- files --------------------


def test_all_files_are_written_and_the_json_is_strict(results: Results, tmp_path: Path) -> None:
    written = write_report(results, tmp_path)
    names = sorted(str(path.relative_to(tmp_path)) for path in written)
    sheets = ["sheets/dog____cat_.jpg", "sheets/swan.jpg", "sheets/tram.jpg"]
    assert names == ["report.html", "report.md", "results.json", *sheets]

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    record = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert len(record["results"]) == 12
    assert record["differences"]["by_figure"]["psnr"][0]["wins"] == 3
    assert record["differences"]["seed"] == 0
    assert not list(tmp_path.rglob("*.partial"))


class Tags(HTMLParser):
    """Checks nesting, and collects what the page would fetch."""

    void = frozenset({"meta", "img", "br", "input"})
    loose = frozenset({"li", "html"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.pictures: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.fetched += [known[name] or "" for name in ("src", "href", "srcset", "data", "action") if name in known]
        if tag == "img" and "data-clip" in known:
            self.pictures.append(known)
        if tag not in self.void | self.loose:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.loose:
            assert self.open.pop() == tag


def test_the_page_is_self_contained_and_names_are_escaped(results: Results) -> None:
    text = page(results)
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert tags.fetched
    assert all(source.startswith("data:image/jpeg;base64,") for source in tags.fetched)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp", text)
    assert "<cat>" not in text
    assert "dog &amp; &lt;cat&gt;" in text


def test_the_slider_finds_a_picture_of_every_method_clip_and_frame(results: Results) -> None:
    tags = Tags()
    tags.feed(page(results))
    pictures = {(p["data-clip"], p["data-method"], p["data-frame"]) for p in tags.pictures}
    expected = {
        (clip, method, str(index))
        for clip in CLIPS
        for method in (*METHODS, TRUTH, "input")
        for index in shown_frames(FRAMES)
    }
    assert pictures == expected


def test_methods_without_confidence_are_not_plotted_as_if_they_had_one(results: Results) -> None:
    tags = re.findall(r'data-lines="(.*?)"', page(results))
    lines = [json.loads(text.replace("&quot;", '"')) for text in tags]
    assert [line["names"] for line in lines[:2]] == [["gray", "flow", "matching"], ["flow", "matching"]]


# --- plots and pictures --------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (19.7, 50), (0.51, 0.97), (3, 3), (-4.2, 13), (0, 39), (1e-5, 3e-5)])
def test_ticks_are_round_and_span_the_values(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-9
    assert marks[-1] >= high - 1e-9
    assert 2 <= len(marks) <= 8
    step = marks[1] - marks[0]
    assert any(
        math.isclose(step / 10 ** math.floor(math.log10(step) + 1e-9), factor, rel_tol=1e-6) for factor in (1, 2, 5)
    )


def svg_of(figure: str) -> ElementTree.Element:
    return ElementTree.fromstring(figure[figure.index("<svg") : figure.index("</svg>") + 6])


def test_lines_lie_where_their_values_say() -> None:
    svg = svg_of(line_plot("PSNR", [Line("a", 0, [10, 20, 30]), Line("b", LINE_COLORS + 1, [58, 25, 15])], ceiling=40))
    lines = [
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in svg.iter("polyline")
    ]
    marks = {
        float(t.text or "nan"): float(t.attrib["y"]) - 4 for t in svg.iter("text") if t.get("text-anchor") == "end"
    }
    for values, points in zip(([10, 20, 30], [max(marks), 25, 15]), lines, strict=True):
        for value, (_, y) in zip(values, points, strict=True):
            assert y == pytest.approx(np.interp(value, sorted(marks), [marks[m] for m in sorted(marks)]), abs=0.1)
    assert lines[0][1][0] == pytest.approx((lines[0][0][0] + lines[0][2][0]) / 2, abs=0.1)
    assert "dash" in stroke(LINE_COLORS)
    assert "dash" not in stroke(LINE_COLORS - 1)


def test_intervals_are_drawn_around_their_means_and_zero_is_shown() -> None:
    rows = [
        difference(("a", "b"), [3.0, 4.0, 6.0], [1.0, 1.0, 1.0], higher_is_better=True),
        difference(("b", "c"), [1.0], [2.0], higher_is_better=True),
    ]
    svg = svg_of(interval_plot("x", rows[:1], ["text"]))
    span = next(line for line in svg.iter("line") if line.get("class") == "span")
    dot = next(svg.iter("circle"))
    zero = next(line for line in svg.iter("line") if line.get("class") == "zero")
    assert float(zero.attrib["x1"]) < float(span.attrib["x1"]) < float(dot.attrib["cx"]) < float(span.attrib["x2"])
    assert not [
        line for line in svg_of(interval_plot("x", rows[1:], ["t"])).iter("line") if line.get("class") == "span"
    ]


def test_frames_shown_are_quarters() -> None:
    assert shown_frames(41) == [10, 20, 30, 40]
    assert shown_frames(2) == [0, 1]


def test_thumbnails_and_sheets_decode_at_their_size(results: Results) -> None:
    film = color_film(1, 120, 480)
    small = cv2.imdecode(np.frombuffer(thumbnail(film[0]), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (80, 320, 3)
    image = cv2.imdecode(np.frombuffer(sheet(results, "swan"), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (22 + 4 * 40, 60 * 6, 3)
    flat = [thumbnail(np.full((40, 60, 3), color, np.uint8)) for color in ((200, 0, 0), (0, 0, 200))]
    tall = thumbnail(np.full((80, 30, 3), (0, 150, 0), np.uint8))
    two = cv2.imdecode(np.frombuffer(contact_sheet(["a", "b", "c"], [("", [*flat, tall])]), np.uint8), cv2.IMREAD_COLOR)
    assert two.shape == (22 + 40, 180, 3)
    np.testing.assert_allclose(two[42, 30], (0, 0, 200), atol=8)  # B, G, R
    np.testing.assert_allclose(two[42, 90], (200, 0, 0), atol=8)
    np.testing.assert_allclose(two[42, 126], (0, 150, 0), atol=8)
    np.testing.assert_allclose(two[42, 160], (255, 255, 255), atol=8)


def test_the_input_shown_is_gray(results: Results) -> None:
    gray = gray_of(color_film(1)[0]).astype(int)
    assert np.ptp(gray, axis=2).max() <= 1
