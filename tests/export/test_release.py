"""The files of a trained network that ship: the record describes each of them, and the engine runs them."""

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
from kinemacolor.engine.weights import LITE, read_weights_record, released_hashes
from kinemacolor.export.release import main, release
from kinemacolor.model.checkpoint import load_network
from tests.engine import networks


def test_the_record_describes_every_file(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    weights = networks.network_folder("lite", tmp_path_factory) / "network.safetensors"
    record = release(weights, "toy", origin="made up", recipe="none", assets=tmp_path)
    assert record["largest_differences"]["ab"] < 0.05
    weights_by_file = {each.file: each for each in read_weights_record(tmp_path / "toy.json")}
    assert set(weights_by_file) == {"toy/encode.onnx", "toy/represent.onnx", "toy/colorize.onnx", "toy.safetensors"}
    for file, each in weights_by_file.items():
        assert hashlib.sha256((tmp_path / file).read_bytes()).hexdigest() == each.sha256
        assert (each.engine, each.license, each.origin, each.recipe) == ("toy", "Apache-2.0", "made up", "none")
    again = load_network(tmp_path / "toy.safetensors")
    assert again.config == load_network(weights).config
    assert OnnxRunner(tmp_path / "toy", name="toy").name == "toy"


def test_weights_that_cannot_be_read_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corrupt.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr(
        "sys.argv", ["release", str(tmp_path / "corrupt.safetensors"), "--origin", "none", "--recipe", "none"]
    )
    assert main() == 3
    assert "corrupt.safetensors" in capsys.readouterr().err


def test_what_ships_is_a_lite_network_and_both_forms_agree() -> None:
    engine = open_engine("lite")
    assert engine.name == "lite"
    assert {Path(each.file).suffix for each in LITE} == {".onnx", ".safetensors"}
    assert sum(each.path.stat().st_size for each in LITE) < 40e6
    file = next(each.path for each in LITE if each.file.endswith(".safetensors"))
    network = load_network(file)
    assert network.config.name == shipped("lite").config.name == "lite"
    luminance = np.random.default_rng(0).uniform(-1, 1, (1, 1, 64, 96)).astype(np.float32)
    onnx = shipped("lite").run("encode", {"luminance": luminance})
    torch = TorchRunner(network, device="cpu", bfloat16=False).run("encode", {"luminance": luminance})
    for name, value in onnx.items():
        assert np.abs(value - torch[name]).max() < 0.02 * np.abs(value).max()


def test_lite_takes_no_weights_and_notices_changed_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the engine lite does not take this setting"):
        open_engine("lite", weights=tmp_path)
    assert len(released_hashes("lite")) == 4
    assert released_hashes("torch") == {}
    changed = tuple(
        type(each)(each.engine, each.file, "0" * 64, each.license, each.origin, each.recipe) for each in LITE
    )
    monkeypatch.setattr(onnx_engine, "RELEASED", changed)
    with pytest.raises(InputError, match="sha256"):
        open_engine("lite")
