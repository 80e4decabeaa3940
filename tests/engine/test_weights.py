"""Records of weights: what ships is what was released, and anything else is refused."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.engine import weights
from kinemacolor.engine.weights import RELEASED, Weights


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A released file in a folder of its own."""
    monkeypatch.setattr(weights, "__file__", str(tmp_path / "weights.py"))
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "toy.onnx").write_bytes(b"numbers")
    return Weights("toy", "toy.onnx", hashlib.sha256(b"numbers").hexdigest(), "MIT", "nowhere", "none")


@pytest.mark.parametrize("released", RELEASED, ids=lambda w: w.file)
def test_what_ships_is_what_was_released(released: Weights) -> None:
    content = released.load()
    assert hashlib.sha256(content).hexdigest() == released.sha256
    assert len(content) <= 10_000_000
    assert released.license
    assert released.origin
    assert released.recipe


def test_every_file_that_ships_has_a_record() -> None:
    assets = Path(weights.__file__).parent / "assets"
    files = (path for path in assets.rglob("*") if path.suffix in (".onnx", ".safetensors"))
    shipped = {path.relative_to(assets).as_posix() for path in files}
    assert shipped == {released.file for released in RELEASED}


def test_a_changed_file_is_refused(record: Weights) -> None:
    assert record.load() == b"numbers"
    record.path.write_bytes(b"numbers")
    with pytest.raises(InputError, match="sha256") as caught:
        record.load()
    assert caught.value.exit_code == 3
    assert re.fullmatch(r".*toy\.onnx: .+; reinstall kinemacolor", str(caught.value))


def test_a_missing_file_is_refused(record: Weights) -> None:
    record.path.unlink()
    with pytest.raises(InputError, match="cannot be read") as caught:
        record.load()
    assert caught.value.subject.endswith("toy.onnx")
