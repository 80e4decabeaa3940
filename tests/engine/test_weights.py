"""Records of weights: the package comes with the released files, and refuses any others."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.engine import weights
from kinemacolor.engine.weights import LITE, MATCHING, RELEASED, Weights, released_hashes


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A released file in a temporary folder of assets."""
    monkeypatch.setattr(weights, "ASSETS", tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "toy.onnx").write_bytes(b"numbers")
    return Weights("toy", "toy.onnx", hashlib.sha256(b"numbers").hexdigest(), "MIT", "nowhere", "none")


@pytest.mark.parametrize("released", RELEASED, ids=lambda record: record.file)
def test_installed_files_are_the_released_ones(released: Weights) -> None:
    content = released.load()
    assert hashlib.sha256(content).hexdigest() == released.sha256
    assert len(content) <= 10_000_000
    assert released.license
    assert released.origin
    assert released.recipe


def test_every_installed_file_has_a_record() -> None:
    files = (path for path in weights.ASSETS.rglob("*") if path.suffix in (".onnx", ".safetensors"))
    installed = {path.relative_to(weights.ASSETS).as_posix() for path in files}
    assert len(installed) >= 5
    assert installed == {released.file for released in RELEASED}


def test_hashes_are_those_of_the_engines_files() -> None:
    assert released_hashes("matching") == {MATCHING.file: MATCHING.sha256}
    assert released_hashes("lite") == {record.file: record.sha256 for record in LITE}
    assert released_hashes("torch") == {}


def test_a_changed_file_is_refused(record: Weights) -> None:
    assert record.load() == b"numbers"
    record.path.write_bytes(b"changed")
    with pytest.raises(InputError, match="sha256") as caught:
        record.load()
    assert caught.value.exit_code == 3
    assert re.fullmatch(r".*toy\.onnx: .+; reinstall kinemacolor", str(caught.value))


def test_a_missing_file_is_refused(record: Weights) -> None:
    record.path.unlink()
    with pytest.raises(InputError, match="cannot be read") as caught:
        record.load()
    assert caught.value.subject.endswith("toy.onnx")
