"""The benchmark: its figures, which results are computed again, processes, and the command."""

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
from kinemacolor.evaluation.benchmark import BenchmarkRun, MeasurementSettings, run
from kinemacolor.evaluation.clips import find_clips, load_clip
from kinemacolor.evaluation.exemplars import parse_choice, references_of
from kinemacolor.evaluation.measure import measure
from kinemacolor.evaluation.methods import color, parse_methods
from kinemacolor.evaluation.optical import clip_flow, film_lightness
from kinemacolor.evaluation.records import ClipResult, code_digest, write_file
from tests.evaluation.toys import color_film, toy_protocol, write_frames

SETTINGS = MeasurementSettings(flow="dis", perceptual=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, seed in (("one", 1), ("two", 2)):
        write_frames(folder / name, color_film(6, seed=seed))
    return folder


def start(data: Path, output: Path, methods: str = "gray,flow", jobs: int = 0, **protocol: object) -> BenchmarkRun:
    return run(
        data, parse_methods(methods), output, toy_protocol(data.parent, **protocol), settings=SETTINGS, jobs=jobs
    )  # type: ignore[arg-type]


def stamps(output: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in output.rglob("*.json")}


def test_figures_are_those_of_the_parts(data: Path, tmp_path: Path) -> None:
    answer = start(data, tmp_path)
    assert sorted(answer.results) == [(c, m) for c in ("one", "two") for m in ("flow", "gray", "truth")]
    clip = find_clips(data)[1]
    truth = load_clip(clip, answer.protocol)
    references, _ = references_of(truth, parse_choice("first"))
    flow = clip_flow(film_lightness(truth.rgb), None, "dis")
    done = color(parse_methods("flow")[0], truth, references)
    expected = measure(done.film, truth.rgb, flow=flow)
    result = answer.results["two", "flow"]
    assert result.measurement.figures == expected.figures
    assert result.measurement.per_frame == expected.per_frame
    assert result.confidence == pytest.approx(done.confidence)
    assert answer.results["two", "truth"].facts["references"] == [0]
    assert answer.results["two", "truth"].measurement.figures["colorfulness_ratio"] == 1


@pytest.mark.parametrize(("choice", "frames"), [("last", [5]), ("every:4", [0, 4]), ("mirrored", [])])
def test_frames_of_the_clip_are_bound_to_their_places(
    data: Path, tmp_path: Path, choice: str, frames: list[int]
) -> None:
    answer = start(data, tmp_path, "flow", reference=choice)
    truth = load_clip(find_clips(data)[0], answer.protocol)
    references, _ = references_of(truth, parse_choice(choice))
    done = color(parse_methods("flow")[0], truth, references, frames=frames)
    assert answer.results["one", "flow"].confidence == pytest.approx(done.confidence)


def test_finished_results_are_not_computed_again(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    before = stamps(tmp_path)
    again = start(data, tmp_path)
    assert stamps(tmp_path) == before
    for key, result in first.results.items():
        assert again.results[key].measurement.figures == result.measurement.figures
        assert again.results[key].pictures == result.pictures
    start(data, tmp_path, "gray,flow,reinhard")
    after = stamps(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_only_missing_or_corrupt_results_are_computed_again(data: Path, tmp_path: Path) -> None:
    first = start(data, tmp_path)
    before = stamps(tmp_path)
    missing, corrupt = (next((tmp_path / "work" / clip).glob("flow-*")) for clip in ("one", "two"))
    missing.unlink()
    corrupt.write_bytes(corrupt.read_bytes()[:-100])
    second = start(data, tmp_path)
    changed = {name for name, stamp in stamps(tmp_path).items() if before[name] != stamp}
    assert changed == {str(missing), str(corrupt)}
    assert second.results["one", "flow"].measurement == first.results["one", "flow"].measurement


def test_results_are_computed_again_after_changes_of_settings_clips_and_code(
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


def test_the_digest_of_the_code_depends_on_code_that_matters_for_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinemacolor.evaluation import records

    package = tmp_path / "package"
    shutil.copytree(records.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    monkeypatch.setattr(records, "PACKAGE", package)
    before = code_digest()
    unrelated = ("cli/benchmark.py", "evaluation/report.py", "export/release.py", "report/html.py", "__init__.py")
    for name in unrelated:
        assert (package / name).is_file()
        (package / name).write_text("")
    assert code_digest() == before
    for name in ("propagation/dis_flow.py", "evaluation/metrics.py", "baselines/flow.py", "engine/network.py"):
        assert (package / name).is_file()
        (package / name).write_text("")
        assert code_digest() != before
        before = code_digest()


def test_processes_give_the_same_results_and_pass_errors_on(data: Path, tmp_path: Path) -> None:
    here = start(data, tmp_path / "here")
    counts: list[int] = []
    there = run(
        data,
        parse_methods("gray,flow"),
        tmp_path / "there",
        here.protocol,
        settings=SETTINGS,
        jobs=2,
        progress=lambda done, total: counts.append(done),
    )
    for key, result in here.results.items():
        assert there.results[key].measurement == result.measurement
    assert (counts[0], counts[-1]) == (0, 6)
    write_frames(tmp_path / "results" / "one", color_film(6))
    write_frames(tmp_path / "results" / "two", color_film(4))
    with pytest.raises(InputError, match="has 4 frames, expected 6; make a result for every frame"):
        start(data, tmp_path / "there", f"gray,external:x={tmp_path / 'results'}", jobs=1)


def test_an_error_keeps_finished_results(data: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "results" / "one", color_film(6))
    write_frames(tmp_path / "results" / "two", color_film(4))
    with pytest.raises(InputError, match="has 4 frames"):
        start(data, tmp_path / "out", f"gray,external:x={tmp_path / 'results'}")
    assert len(stamps(tmp_path / "out")) == 5


def test_clips_are_chosen_by_name(data: Path, tmp_path: Path) -> None:
    answer = run(data, parse_methods("gray"), tmp_path, toy_protocol(tmp_path), settings=SETTINGS, only=["two"], jobs=0)
    assert [clip.name for clip in answer.clips] == ["two"]
    with pytest.raises(UsageError, match="there is no clip three"):
        run(data, parse_methods("gray"), tmp_path, toy_protocol(tmp_path), settings=SETTINGS, only=["three"], jobs=0)


def test_outputs_that_cannot_be_written_are_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="is a file"):
        start(data, tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(tmp_path / "file" / "inside", b"x")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_saved_result_is_loaded_unchanged(data: Path, tmp_path: Path) -> None:
    result = start(data, tmp_path).results["one", "truth"]
    result.save(tmp_path / "result.json")
    assert ClipResult.load(tmp_path / "result.json") == result
    assert ClipResult.load(tmp_path / "absent.json") is None
    assert not list(tmp_path.rglob("*.partial"))


# --- the command --------------------


def test_the_command_writes_a_report(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_protocol(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kinemacolor", "benchmark", "clips"])
    benchmark(
        [str(data)],
        str(tmp_path / "out"),
        methods="gray,flow",
        table=None,
        weights=None,
        protocol=str(tmp_path / "toy-area.toml"),
        frames=5,
        reference=None,
        clips="one",
        split=None,
        jobs=1,
        flow="dis",
        flow_weights=None,
        lpips_weights=None,
        fid_weights=None,
        columns="colormnet",
        peer_minutes=60,
        quiet=False,
    )
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    assert record["command"] == ["kinemacolor", "benchmark", "clips"]
    assert [clip["name"] for clip in record["clips"]] == ["one"]
    assert len(record["clips"][0]["sha256"]) == 64
    assert {"version", "libraries", "hardware", "weights"} <= record.keys()
    values = next(each for each in record["results"] if each["method"] == "flow")["per_frame"]["psnr"]
    assert len(values) == 5
    assert record["means"]["flow"]["psnr"] == pytest.approx(np.mean(values))
    assert "PSNR by ColorMNet's script" in (tmp_path / "out" / "report.md").read_text()
    assert "| flow |" in capsys.readouterr().out
    assert {"report.md", "report.html", "results.json", "sheets", "work"} == set(os.listdir(tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"flow": "fast"}, "flow: there is no flow fast"),
        ({"jobs": 0}, "jobs: 0"),
        ({"frames": 1}, "frames: 1 is too few"),
        ({"methods": "x"}, "methods: there is no method x"),
        ({"table": 2}, "table: 2 and 3 need --weights"),
        ({"table": 4}, "table: 4 is not a table of methods"),
        ({"table": 1, "weights": Path("x")}, "table: 2 and 3 need --weights"),
        ({"table": 3, "weights": Path(__file__), "jobs": 2}, "jobs: Table 3 is timed in one process"),
        ({"split": "davis2017-val,videvo-test"}, "split: 2 lists for 1 data sets"),
        ({"columns": "other"}, "columns: there are no columns other; choose among colormnet"),
        ({"split": "davis"}, "davis: there is no list of this name"),
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
        "split": None,
        "jobs": 1,
        "flow": "dis",
        "flow_weights": None,
        "lpips_weights": None,
        "fid_weights": None,
        "columns": None,
        "peer_minutes": 60,
        "quiet": True,
    }
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(UsageError, match=problem):
        benchmark([str(data)], str(tmp_path / "out"), **(options | change))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.json"
    write_file(file, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept.json"]
