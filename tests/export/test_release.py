"""A trained network as the files that ship: what is written is what its record tells of, and it runs as the engine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("onnx", reason="needs the extra train")

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.engine import onnx_runner as onnx_engine
from kinemacolor.engine.onnx_runner import OnnxRunner, shipped
from kinemacolor.engine.registry import open_engine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.engine.weights import LITE, recorded, released
from kinemacolor.export.release import main, release
from kinemacolor.model.checkpoint import load_network
from tests.engine import networks


def test_the_record_tells_of_every_file(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    weights = networks.made("lite", tmp_path_factory) / "network.safetensors"
    record = release(weights, "toy", origin="made up", recipe="none", assets=tmp_path)
    assert record["largest_differences"]["ab"] < 0.05
    told = {one.file: one for one in recorded(tmp_path / "toy.json")}
    assert set(told) == {"toy/encode.onnx", "toy/represent.onnx", "toy/colorize.onnx", "toy.safetensors"}
    for file, one in told.items():
        assert hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() == one.sha256
        assert (one.engine, one.license, one.origin, one.recipe) == ("toy", "Apache-2.0", "made up", "none")
    again = load_network(tmp_path / "toy.safetensors")
    assert again.config == load_network(weights).config
    assert OnnxRunner(tmp_path / "toy", name="toy").name == "toy"


def test_weights_that_cannot_be_read_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr(
        "sys.argv", ["release", str(tmp_path / "torn.safetensors"), "--origin", "none", "--recipe", "none"]
    )
    assert main() == 3
    assert "torn.safetensors" in capsys.readouterr().err


def test_what_ships_is_a_lite_network_and_both_forms_agree() -> None:
    engine = open_engine("lite")
    assert engine.name == "lite"
    assert {Path(one.file).suffix for one in LITE} == {".onnx", ".safetensors"}
    assert sum(one.path.stat().st_size for one in LITE) < 40e6
    file = next(one.path for one in LITE if one.file.endswith(".safetensors"))
    network = load_network(file)
    assert network.config.name == shipped("lite").config.name == "lite"
    luminance = np.random.default_rng(0).uniform(-1, 1, (1, 1, 64, 96)).astype(np.float32)
    onnx = shipped("lite").run("encode", {"luminance": luminance})
    torch = TorchRunner(network, device="cpu", bfloat16=False).run("encode", {"luminance": luminance})
    for name, value in onnx.items():
        assert np.abs(value - torch[name]).max() < 0.02 * np.abs(value).max()


def test_lite_takes_no_weights_and_notices_changed_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the engine lite takes none"):
        open_engine("lite", weights=tmp_path)
    assert len(released("lite")) == 4
    assert released("torch") == {}
    changed = tuple(type(one)(one.engine, one.file, "0" * 64, one.license, one.origin, one.recipe) for one in LITE)
    monkeypatch.setattr(onnx_engine, "RELEASED", changed)
    with pytest.raises(InputError, match="sha256"):
        open_engine("lite")
