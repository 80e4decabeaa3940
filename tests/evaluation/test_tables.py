"""The tables of the paper: which clips, under which protocol, how they are timed and laid out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinemacolor.baselines.flow import FlowEngine
from kinemacolor.cli.benchmark import benchmark
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult
from kinemacolor.evaluation import methods as method_module
from kinemacolor.evaluation.benchmark import MeasurementSettings, run
from kinemacolor.evaluation.methods import Method, parse_methods
from kinemacolor.evaluation.results import Results
from kinemacolor.evaluation.splits import load_split
from kinemacolor.evaluation.tables import chosen_splits, recognized_split, side_by_side, table_columns
from tests.evaluation.toys import color_film, toy_protocol, write_frames

SETTINGS = MeasurementSettings(flow="dis", perceptual=False)
OPTIONS: dict[str, object] = {
    "methods": "gray,flow",
    "table": 1,
    "weights": None,
    "protocol": None,
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
    "quiet": False,
}


def data_set(folder: Path, clips: dict[str, int]) -> Path:
    for number, (name, frames) in enumerate(clips.items()):
        write_frames(folder / name, color_film(frames, seed=number))
    return folder


def test_data_sets_are_laid_out_side_by_side(tmp_path: Path) -> None:
    folders = {"A": data_set(tmp_path / "a", {"one": 3, "two": 3}), "B": data_set(tmp_path / "b", {"three": 4})}
    protocol, methods = toy_protocol(tmp_path), parse_methods("gray,flow")
    results = {
        name: Results(run(folder, methods, tmp_path / name, protocol, settings=SETTINGS, jobs=0), {})
        for name, folder in folders.items()
    }
    lines = side_by_side(1, results).splitlines()
    head = next(line for line in lines if line.startswith("| method"))
    titles = ["FID↓", "LPIPS↓", "PSNR↑", "COLOR↑", "WE↓"]
    assert head == "| " + " | ".join(["method", *(f"{name} {title}" for name in "AB" for title in titles)]) + " |"
    row = next(line for line in lines if line.startswith("| flow")).replace("*", "").split(" | ")
    for position, name in ((1, "A"), (6, "B")):
        means = results[name].means["flow"]
        assert row[position : position + 2] == ["n/a", "n/a"]
        assert row[position + 2] == f"{means['psnr']:.2f}"
        assert row[position + 4].rstrip(" |") == f"{means['we']:.3f}"
    assert any(line.startswith("- A: 2 clips, all frames, reference: first") for line in lines)
    assert [column.key for column in table_columns(3)][-1] == "seconds"


def test_test_clips_are_recognized(tmp_path: Path) -> None:
    for name in load_split("videvo-test")[:3]:
        (tmp_path / "v" / "test" / name).mkdir(parents=True)
        (tmp_path / "v" / "test" / name / "0.png").touch()
    (tmp_path / "mine").mkdir()
    assert recognized_split(tmp_path / "v") == "videvo-test"
    assert recognized_split(tmp_path / "mine") is None
    both = [str(tmp_path / "v"), str(tmp_path / "mine")]
    assert chosen_splits(both, None, 1) == ["videvo-test", None]
    assert chosen_splits(both, None, None) == [None, None]
    assert chosen_splits(both, "videvo-test, davis2017-val", None) == ["videvo-test", "davis2017-val"]
    with pytest.raises(UsageError, match="1 lists for 2 data sets"):
        chosen_splits(both, "videvo-test", 1)


def test_a_table_has_the_papers_protocol_and_names_missing_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    davis = tmp_path / "davis"
    write_frames(davis / "JPEGImages" / "480p" / "goat", color_film(2, 96, 160))
    with pytest.raises(InputError, match="29 of 30 clips of davis2017-val are missing: bike-packing"):
        benchmark([str(davis)], str(tmp_path / "out"), **OPTIONS)  # type: ignore[arg-type]
    benchmark([str(davis)], str(tmp_path / "out"), **(OPTIONS | {"clips": "goat"}))  # type: ignore[arg-type]
    text = (tmp_path / "out" / "table1.md").read_text()
    assert "- DAVIS: 1 clips of 30, davis2017-val, all frames, reference: first, stretched to 384×216" in text
    assert "| flow |" in capsys.readouterr().out
    with pytest.raises(UsageError, match="DATA: 2 data sets; give one, or a --table"):
        benchmark([str(davis)] * 2, str(tmp_path / "out"), **(OPTIONS | {"table": None}))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="data sets of one name"):
        benchmark([str(davis)] * 2, str(tmp_path / "out"), **OPTIONS)  # type: ignore[arg-type]


def test_times_of_table_3_are_those_of_a_warm_engine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = data_set(tmp_path / "a", {"one": 4})
    steps: list[int] = []

    class Counting(FlowEngine):
        def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
            steps.append(len(luma_block))
            return super().step(luma_block, bank, state)

    opened: list[int] = []

    def open_counting(self: Method, threads: int) -> Counting:
        opened.append(threads)
        return Counting()

    monkeypatch.setattr(method_module.Method, "open", open_counting)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    notes = []
    for timed in (True, False):
        steps.clear()
        run_ = run(
            clips,
            parse_methods("flow"),
            tmp_path / "out",
            toy_protocol(tmp_path),
            settings=SETTINGS,
            jobs=0,
            timed=timed,
        )
        result = run_.results["one", "flow"]
        notes.append(result.measurement.notes.get("seconds"))
        assert sum(steps) == 4 + (Counting().block_size if timed else 0)  # the block that warms up is thrown away
    assert notes == ["one process on the CPU, 3 threads, warmed up; the engine alone", None]
    assert opened == [3, 1]
    assert np.isfinite(result.seconds or np.nan)
