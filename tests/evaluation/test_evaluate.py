"""``kinemacolor evaluate``: table, JSON, and its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from kinemacolor.cli.evaluate import evaluate
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.evaluation.measure import FIGURES, load_pair, measure
from kinemacolor.evaluation.optical import clip_flow, film_lightness
from tests.media import Film, make_film

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def films(tmp_path: Path) -> tuple[str, str]:
    """A gray result and its truth: no two luma planes differ."""
    make_film(tmp_path / "truth.mkv", Film(count=6))
    make_film(tmp_path / "result.mkv", Film(count=6, pixel_format="gray"))
    return str(tmp_path / "result.mkv"), str(tmp_path / "truth.mkv")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_json_holds_what_measure_finds(films: tuple[str, str], tmp_path: Path) -> None:
    record = json.loads(run(*films, "--json", "--size", "full", "--cache", str(tmp_path / "cache")))
    pair = load_pair(*films, size="full")
    expected = measure(*pair, flow=clip_flow(film_lightness(pair[1]), None, "dis"))
    assert record["figures"] | {"lpips": None, "fid": None} == pytest.approx(expected.figures)
    assert record["per_frame"]["psnr"] == pytest.approx(expected.per_frame["psnr"])
    assert (record["frames"], record["size"]) == (6, [64, 48])
    assert set(record["figures"]) == set(FIGURES)
    assert record["notes"]["we"] == "flow: DIS"
    assert record["notes"]["lpips"].startswith("n/a: ")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_table_has_a_row_a_figure(films: tuple[str, str]) -> None:
    title, header, *rows = run(*films, "--size", "64", "--max-frames", "5", "-q").splitlines()
    assert title.endswith("5 frames at 85x64")
    assert header.split() == ["result", "truth"]
    cells = {row[:14].strip(): (row[14:23].strip(), row[23:32].strip(), row[32:].strip()) for row in rows}
    assert list(cells) == ["PSNR, dB", "SSIM", "ΔE2000 of ab", "LPIPS", "FID", "COLOR", "WE × 10³", "CDC × 10³"]
    assert 0 < float(cells["PSNR, dB"][0]) < 58.9
    assert cells["COLOR"][0] == "0.00"
    assert cells["LPIPS"][0] == cells["FID"][0] == "n/a"
    assert "see docs/" in cells["LPIPS"][2]
    assert cells["WE × 10³"][2] == "flow: DIS"
    assert all(float(cells[name][1]) > 0 for name in ("WE × 10³", "CDC × 10³"))


def test_no_flow(films: tuple[str, str]) -> None:
    record = json.loads(run(*films, "--json", "--size", "full", "--flow", "none"))
    assert record["figures"]["we"] is None
    assert "we" not in record["per_frame"]


def test_errors_name_what_is_wrong(films: tuple[str, str], tmp_path: Path) -> None:
    make_film(tmp_path / "short.mkv", Film(count=5))
    with pytest.raises(InputError, match=r"short\.mkv: ends after 5 frames"):
        run(str(tmp_path / "short.mkv"), films[1], "-q")
    with pytest.raises(UsageError, match="size: 0 is not a size"):
        run(*films, "--size", "0", "-q")
    with pytest.raises(InputError, match="RAFT needs its weights"):
        run(*films, "--flow", "raft", "-q")
    with pytest.raises(InputError, match="no such file or folder"):
        run(*films, "--weights", str(tmp_path / "nowhere"), "-q")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="the flow cannot be saved there"):
        run(*films, "--size", "full", "--cache", str(tmp_path / "file"), "-q")


def test_importing_the_command_loads_nothing_heavy() -> None:
    program = "import kinemacolor.cli.evaluate, sys; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {"numpy", "cv2", "av", "torch", "torchmetrics", "onnxruntime"}


def test_evaluating_without_weights_needs_no_torch(films: tuple[str, str]) -> None:
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'torchmetrics', 'torch_fidelity')))\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if sys.modules.get(name, 0) is None else find(name, *rest)\n"
        "from kinemacolor.cli.evaluate import evaluate\n"
        f"evaluate({films[0]!r}, {films[1]!r}, size='full', quiet=True)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "torchmetrics is not installed" in result.stdout
