"""Memories on disk: what is read goes on exactly as what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.protocol import Engine, EngineState, StepResult
from kinemacolor.engine.registry import open_engine
from kinemacolor.pipeline.state_io import load_state, save_state

SIZE = (48, 70)


def film(frames: int) -> FloatArray:
    """A pattern that moves to the right."""
    noise = np.random.default_rng(3).random((SIZE[0] // 4 + 1, SIZE[1] // 4 + frames)).astype(np.float32)
    wide = np.kron(noise, np.ones((4, 4), np.float32))[: SIZE[0]] * 100
    return np.stack([wide[:, 2 * k : 2 * k + SIZE[1]] for k in range(frames)])


def still(lightness: FloatArray) -> Reference:
    ab = np.stack([lightness - 50, 40 - lightness / 2], axis=2)
    return Reference(lightness, ab.astype(np.float32), np.ones(SIZE, np.bool_))


def lite() -> Engine:
    torch = pytest.importorskip("torch")
    from kinemacolor.engine.torch_runner import TorchRunner
    from kinemacolor.model.network import Network
    from tests.model.toys import toy_config

    torch.manual_seed(0)
    return NetworkEngine(
        TorchRunner(Network(toy_config("lite-full"), pretrained=False), device="cpu"), color_memory=True
    )


@pytest.mark.parametrize(
    "engine",
    [lambda: open_engine("matching", color_memory=True), lambda: open_engine("matching", propagation="off"), lite],
    ids=["matching", "alone", "lite-full"],
)
@pytest.mark.parametrize("at", [0, 5], ids=["chained", "carried"])
def test_going_on_from_disk_is_going_on(tmp_path: Path, engine: Callable[[], Engine], at: int) -> None:
    colorizer, frames = engine(), film(9)
    lightness = frames[at] if at == 0 else np.ascontiguousarray(frames[at][:, ::-1])  # mirrored: no chain starts
    bank = colorizer.start([still(lightness)])
    state: EngineState | None = None
    for first in range(0, 6, 2):
        state = colorizer.step(frames[first : first + 2], bank, state).state
    assert state is not None
    save_state(tmp_path / "state.npz", state)
    read = load_state(tmp_path / "state.npz")
    expected: StepResult = colorizer.step(frames[6:8], bank, state)
    found: StepResult = colorizer.step(frames[6:8], bank, read)
    np.testing.assert_array_equal(found.ab, expected.ab)
    np.testing.assert_array_equal(found.similarity, expected.similarity)
    assert list(tmp_path.iterdir()) == [tmp_path / "state.npz"]
    save_state(tmp_path / "again.npz", read)  # it is of the very types that may be written


def test_what_no_engine_remembers_is_not_written(tmp_path: Path) -> None:
    class Other(EngineState):
        __slots__ = ()

    with pytest.raises(TypeError, match="got Other"):
        save_state(tmp_path / "state.npz", Other())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["missing", "torn", "foreign", "record", "number"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, damage: str) -> None:
    path, engine = tmp_path / "state.npz", open_engine("matching")
    bank = engine.start([still(film(1)[0])])
    if damage != "missing":
        save_state(path, engine.step(film(1), bank).state)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    if damage == "foreign":
        np.savez(path, other=np.zeros(3))
    if damage in ("record", "number"):
        tree = {"record": "Path", "fields": {}} if damage == "record" else 3
        np.savez(path, tree=np.frombuffer(json.dumps(tree).encode(), np.uint8))
    with pytest.raises(InputError, match="`restart`") as caught:
        load_state(path)
    assert "\n" not in str(caught.value)
