"""The benchmark: figures, what is done again and what is not, processes, and the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.cli.benchmark import benchmark
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.evaluation import benchmark as running
from kinemacolor.evaluation.benchmark import Run, Tools, run
from kinemacolor.evaluation.clips import find_clips, load_clip
from kinemacolor.evaluation.exemplars import parse_choice, references_of
from kinemacolor.evaluation.measure import measure
from kinemacolor.evaluation.methods import color, parse_methods
from kinemacolor.evaluation.optical import clip_flow, film_lightness
from kinemacolor.evaluation.records import Unit, code_digest, write_aside
from tests.evaluation.toys import color_film, toy_protocol, write_frames

TOOLS = Tools(flow="dis", perceptual=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, seed in (("one", 1), ("two", 2)):
        write_frames(folder / name, color_film(6, seed=seed))
    return folder


def start(data: Path, output: Path, methods: str = "gray,flow", jobs: int = 0, **protocol: object) -> Run:
    return run(data, parse_methods(methods), output, toy_protocol(data.parent, **protocol), tools=TOOLS, jobs=jobs)  # type: ignore[arg-type]


def stamps(output: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in output.rglob("*.json")}


def test_figures_are_those_of_the_parts(data: Path, tmp_path: Path) -> None:
    answer = start(data, tmp_path)
    assert sorted(answer.units) == [(c, m) for c in ("one", "two") for m in ("flow", "gray", "truth")]
    clip = find_clips(data)[1]
    truth = load_clip(clip, answer.protocol)
    references, _ = references_of(truth, parse_choice("first"))
    flow = clip_flow(film_lightness(truth.rgb), None, "dis")
    done = color(parse_methods("flow")[0], truth, references)
    expected = measure(done.film, truth.rgb, flow=flow)
    unit = answer.units["two", "flow"]
    assert unit.measurement.figures == expected.figures
    assert unit.measurement.per_frame == expected.per_frame
    assert unit.confidence == pytest.approx(done.confidence)
    assert answer.units["two", "truth"].facts["references"] == [0]
    assert answer.units["two", "truth"].measurement.figures["colorfulness_ratio"] == 1


@pytest.mark.parametrize(("choice", "frames"), [("last", [5]), ("every:4", [0, 4]), ("mirrored", [])])
def test_frames_of_the_clip_are_bound_to_their_places(
    data: Path, tmp_path: Path, choice: str, frames: list[int]
) -> None:
    answer = start(data, tmp_path, "flow", reference=choice)
    truth = load_clip(find_clips(data)[0], answer.protocol)
    references, _ = references_of(truth, parse_choice(choice))
    done = color(parse_methods("flow")[0], truth, references, frames=frames)
    assert answer.units["one", "flow"].confidence == pytest.approx(done.confidence)


def test_what_is_finished_is_not_done_again(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    before = stamps(tmp_path)
    again = start(data, tmp_path)
    assert stamps(tmp_path) == before
    for key, unit in first.units.items():
        assert again.units[key].measurement.figures == unit.measurement.figures
        assert again.units[key].pictures == unit.pictures
    start(data, tmp_path, "gray,flow,reinhard")
    after = stamps(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_what_is_missing_or_damaged_is_done_again_and_nothing_else(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    before = stamps(tmp_path)
    gone, torn = (next((tmp_path / "work" / clip).glob("flow-*")) for clip in ("one", "two"))
    gone.unlink()
    torn.write_bytes(torn.read_bytes()[:-100])
    second = start(data, tmp_path)
    changed = {name for name, stamp in stamps(tmp_path).items() if before[name] != stamp}
    assert changed == {str(gone), str(torn)}
    assert second.units["one", "flow"].measurement == first.units["one", "flow"].measurement


def test_changed_settings_clips_and_code_are_done_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, output = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(data, clips)
    start(clips, output, "gray")
    count = len(stamps(output))
    for step, changed in enumerate(({"frames": 5}, {"reference": "last"}), 1):
        start(clips, output, "gray", **changed)
        assert len(stamps(output)) == count * (step + 1)
    shutil.copy(clips / "one" / "00001.png", clips / "one" / "00003.png")
    start(clips, output, "gray")
    assert len(stamps(output)) == count * 3 + 2
    monkeypatch.setattr(running, "code_digest", lambda: "other code")
    start(clips, output, "gray")
    assert len(stamps(output)) == count * 4 + 2


def test_the_codes_digest_sees_what_decides_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinemacolor.evaluation import records

    package = tmp_path / "package"
    shutil.copytree(records.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    monkeypatch.setattr(records, "PACKAGE", package)
    before = code_digest()
    (package / "cli" / "benchmark.py").write_text("")
    (package / "evaluation" / "report.py").write_text("")
    assert code_digest() == before
    (package / "flow.py").write_text("")
    assert code_digest() != before


def test_processes_give_the_same_and_hand_errors_on(data: Path, tmp_path: Path) -> None:
    here = start(data, tmp_path / "here")
    counts: list[int] = []
    there = run(
        data,
        parse_methods("gray,flow"),
        tmp_path / "there",
        here.protocol,
        tools=TOOLS,
        jobs=2,
        progress=lambda done, total: counts.append(done),
    )
    for key, unit in here.units.items():
        assert there.units[key].measurement == unit.measurement
    assert (counts[0], counts[-1]) == (0, 6)
    write_frames(tmp_path / "results" / "one", color_film(6))
    write_frames(tmp_path / "results" / "two", color_film(4))
    with pytest.raises(InputError, match="has 4 frames, expected 6; make a result for every frame"):
        start(data, tmp_path / "there", f"gray,external:x={tmp_path / 'results'}", jobs=1)


def test_an_error_leaves_what_is_finished(data: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "results" / "one", color_film(6))
    write_frames(tmp_path / "results" / "two", color_film(4))
    with pytest.raises(InputError, match="has 4 frames"):
        start(data, tmp_path / "out", f"gray,external:x={tmp_path / 'results'}")
    assert len(stamps(tmp_path / "out")) == 5


def test_clips_are_chosen_by_name(data: Path, tmp_path: Path) -> None:
    answer = run(data, parse_methods("gray"), tmp_path, toy_protocol(tmp_path), tools=TOOLS, only=["two"], jobs=0)
    assert [clip.name for clip in answer.clips] == ["two"]
    with pytest.raises(UsageError, match="there is no clip three"):
        run(data, parse_methods("gray"), tmp_path, toy_protocol(tmp_path), tools=TOOLS, only=["three"], jobs=0)


def test_outputs_that_cannot_be_written_are_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="is a file"):
        start(data, tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_aside(tmp_path / "file" / "inside", b"x")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_unit_comes_back_as_it_was_kept(data: Path, tmp_path: Path) -> None:
    unit = start(data, tmp_path).units["one", "truth"]
    unit.save(tmp_path / "unit.json")
    assert Unit.load(tmp_path / "unit.json") == unit
    assert Unit.load(tmp_path / "absent.json") is None
    assert not list(tmp_path.rglob("*.partial"))


# --- the command --------------------


def test_the_command_writes_a_report(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_protocol(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kinemacolor", "benchmark", "clips"])
    benchmark(
        str(data),
        str(tmp_path / "out"),
        methods="gray,flow",
        table=None,
        weights=None,
        protocol=str(tmp_path / "toy-area.toml"),
        frames=5,
        reference=None,
        clips="one",
        jobs=1,
        flow="dis",
        flow_weights=None,
        lpips_weights=None,
        fid_weights=None,
        quiet=False,
    )
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["command"] == ["kinemacolor", "benchmark", "clips"]
    assert [clip["name"] for clip in record["clips"]] == ["one"]
    assert len(record["clips"][0]["sha256"]) == 64
    assert {"version", "libraries", "hardware", "weights"} <= record.keys()
    values = next(one for one in record["results"] if one["method"] == "flow")["per_frame"]["psnr"]
    assert len(values) == 5
    assert record["means"]["flow"]["psnr"] == pytest.approx(np.mean(values))
    assert "| flow |" in capsys.readouterr().out
    assert {"report.md", "report.html", "results.json", "sheets", "work"} == set(os.listdir(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"flow": "fast"}, "--flow"),
        ({"jobs": 0}, "--jobs"),
        ({"frames": 1}, "--frames"),
        ({"methods": "x"}, "--methods"),
        ({"table": 2}, "--table"),
    ],
)
def test_bad_options_are_named(data: Path, tmp_path: Path, change: dict[str, object], problem: str) -> None:
    options: dict[str, object] = {
        "methods": "gray",
        "table": None,
        "weights": None,
        "protocol": "network",
        "frames": None,
        "reference": None,
        "clips": None,
        "jobs": 1,
        "flow": "dis",
        "flow_weights": None,
        "lpips_weights": None,
        "fid_weights": None,
        "quiet": True,
    }
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(UsageError, match=problem):
        benchmark(str(data), str(tmp_path / "out"), **(options | change))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.json"
    write_aside(file, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="cannot be written"):
        write_aside(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept.json"]
