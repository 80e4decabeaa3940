"""Engines are opened by their records: a new record is all that a new engine needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult
from kinemacolor.engine.registry import DEFAULT_ENGINE, ENGINES, EngineOptions, EngineRecord, open_engine
from tests.engine.conformance import reference_of, scene


class ToyState(EngineState):
    pass


class ToyEngine:
    """Gives every pixel the same color."""

    name = "toy"

    def __init__(self, options: EngineOptions) -> None:
        self.options, self.block_size = options, options.block_size or 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return ReferenceBank(np.zeros((1, 1), np.float32), np.ones((1, 2), np.float32), np.ones(1, bool), ())

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        ab = np.broadcast_to(bank.ab[0], (*luma_block.shape, 2))
        return StepResult(ab, np.ones_like(luma_block), np.zeros((len(luma_block), 1, 1, 1), np.float32), ToyState())


def toy_record(takes: frozenset[str] = frozenset(), *, needs_weights: bool = False) -> EngineRecord:
    return EngineRecord("toy", "one color", ToyEngine, lambda: (ToyState,), takes, needs_weights)


def test_a_registered_engine_can_be_opened_and_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "toy", toy_record(frozenset({"block_size"})))
    engine = open_engine("toy", propagation="chained", color_memory=True, block_size=3, threads=2)
    assert isinstance(engine, Engine)
    assert isinstance(engine, ToyEngine)
    assert engine.options == EngineOptions("chained", color_memory=True, block_size=3, threads=2)
    assert engine.block_size == 3
    film, colors = scene(32, 40, 2)
    result = engine.step(film, engine.start([reference_of(film[0], colors[0])]))
    assert (result.ab == 1).all()
    assert isinstance(result.state, ENGINES["toy"].state_types())


def test_a_registered_engine_appears_in_error_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    def message(name: str, **settings: Any) -> str:
        with pytest.raises(UsageError) as caught:
            open_engine(name, **settings)
        return str(caught.value)

    assert "toy" not in message("nonsense")
    assert "toy" not in message("matching", device="cpu")
    monkeypatch.setitem(ENGINES, "toy", toy_record(frozenset({"device"}), needs_weights=True))
    assert message("nonsense").startswith("engine: there is no engine nonsense; choose among ")
    assert "toy" in message("nonsense")
    assert message("matching", device="cpu").endswith("choose the engine torch or toy")
    assert message("toy").startswith("weights: the engine toy needs a trained network; name its weights, or choose")
    assert message("toy").endswith(DEFAULT_ENGINE)


@pytest.mark.parametrize(
    ("setting", "value"), [("weights", Path("network.safetensors")), ("block_size", 2), ("device", "cpu")]
)
def test_settings_that_an_engine_does_not_take_are_refused_by_name(
    setting: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "toy", toy_record())
    with pytest.raises(
        UsageError, match=f"^{setting}: the engine toy does not take this setting; leave it out"
    ) as caught:
        open_engine("toy", **{setting: value})
    assert caught.value.exit_code == 2
    monkeypatch.setitem(ENGINES, "toy", toy_record(frozenset({setting})))
    engine = open_engine("toy", **{setting: value})
    assert isinstance(engine, ToyEngine)
    assert getattr(engine.options, setting) == value


@pytest.mark.parametrize("block_size", [-1, 0, 7])
def test_block_sizes_out_of_range_are_refused(block_size: int) -> None:
    with pytest.raises(UsageError, match=f"^block_size: {block_size} is not a valid number of frames; choose 1 to 6$"):
        open_engine("lite", block_size=block_size)


def test_records_are_complete() -> None:
    assert DEFAULT_ENGINE in ENGINES
    for name, record in ENGINES.items():
        assert record.name == name
        assert record.summary
        assert all(isinstance(state_type, type) for state_type in record.state_types())
        assert any(issubclass(state_type, EngineState) for state_type in record.state_types())


@pytest.mark.parametrize(
    "module", ["core.errors", "core.limits", "core.validation", "core.version", "core.atomic_write", "engine.registry"]
)
def test_modules_that_the_command_line_needs_first_import_nothing_heavy(module: str) -> None:
    program = f"import sys, kinemacolor.{module}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert "kinemacolor" in loaded
    assert not loaded & {"numpy", "cv2", "av", "onnxruntime", "torch"}
