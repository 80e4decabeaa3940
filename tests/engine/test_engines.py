"""The conformance checks on every engine of the base install, and propagation in these engines."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kinemacolor.core.limits import Propagation
from kinemacolor.engine.protocol import Engine, EngineState
from kinemacolor.engine.registry import open_engine
from kinemacolor.propagation.dis_flow import DisFlow
from tests.engine import conformance
from tests.engine.conformance import in_blocks, masked, reference_of, scene

CASES: list[tuple[str, Propagation]] = [(name, path) for name in ("lite", "matching") for path in ("full", "off")]


@cache
def engine_of(name: str, propagation: Propagation) -> Engine:
    return open_engine(name, propagation=propagation, threads=1)


@pytest.fixture
def flow_targets(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The targets of all optical flows, in the order in which they are computed."""
    targets: list[np.ndarray] = []
    flow, coarse_flow = DisFlow.__call__, DisFlow.coarse

    def recorded_flow(self: DisFlow, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        targets.append(target)
        return flow(self, source, target)

    def recorded_coarse_flow(
        self: DisFlow, source: np.ndarray, target: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        targets.append(target)
        return coarse_flow(self, source, target, start)

    monkeypatch.setattr(DisFlow, "__call__", recorded_flow)
    monkeypatch.setattr(DisFlow, "coarse", recorded_coarse_flow)
    return targets


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: conformance.Check, case: tuple[str, Propagation]) -> None:
    engine = engine_of(*case)
    assert isinstance(engine, Engine)
    assert engine.name == case[0]
    check(engine)


def test_matching_frames_do_not_depend_on_blocks() -> None:
    film, colors = scene(48, 64, 6)
    engine = engine_of("matching", "full")
    bank = engine.start([reference_of(film[0], colors[0])])
    one_block = in_blocks(engine, film, bank, 6)[0]
    for length in (1, 4):
        np.testing.assert_array_equal(in_blocks(engine, film, bank, length)[0], one_block)


def test_propagation_keeps_a_moving_picture_sharper_than_matching() -> None:
    film, colors = scene(72, 96, 8)
    reference = reference_of(film[0], colors[0])
    error = {}
    for propagation in ("full", "off"):
        engine = engine_of("matching", propagation)
        ab = in_blocks(engine, film, engine.start([reference]), 4)[0]
        error[propagation] = np.abs(ab - colors)[:, 8:-8, 16:-24].mean()
    assert error["full"] < 0.6 * error["off"]


@pytest.mark.parametrize("name", ["lite", "matching"])
def test_chained_propagation_takes_one_flow_a_frame(name: str, flow_targets: list[np.ndarray]) -> None:
    film, colors = scene(48, 64, 6)
    engine = open_engine(name, propagation="chained", threads=1)
    in_blocks(engine, film, engine.start([reference_of(film[0], colors[0])]), 3)
    assert len(flow_targets) == 6  # the first to the reference
    for before, target in zip([film[0], *film[:-1]], flow_targets, strict=True):
        np.testing.assert_array_equal(target, before)


@pytest.mark.parametrize(("name", "flows"), [("lite", 7), ("matching", 3)])
def test_full_propagation_takes_one_flow_a_path(name: str, flows: int, flow_targets: list[np.ndarray]) -> None:
    """Once enough frames have passed for the longest hop. Each flow is a share of the time that users wait."""
    film, colors = scene(48, 64, 14)
    engine = open_engine(name, threads=1)
    bank = engine.start([reference_of(film[0], colors[0])])
    state: EngineState | None = None
    for first in range(0, 12, 2):
        state = engine.step(film[first : first + 2], bank, state=state).state
    flow_targets.clear()
    engine.step(film[12:], bank, state=state)
    assert len(flow_targets) == 2 * flows


def test_propagation_gives_no_color_from_masked_areas() -> None:
    film, colors = scene(72, 96, 3)
    mask = np.ones((72, 96), np.bool_)
    mask[:, :48] = False
    poisoned = colors[0].copy()
    poisoned[:, :48] = 128
    engine = engine_of("matching", "full")
    ab = in_blocks(engine, film, engine.start([masked(reference_of(film[0], poisoned), mask)]), 1)[0]
    assert ab.max() < np.abs(colors[0][:, 48:]).max() + 1


def test_outputs_are_propagated_where_no_reference_is_a_frame_of_the_shot() -> None:
    """Where matching has to guess in every frame, propagated colors change less along the motion."""
    film, colors = scene(72, 96, 6, shift=1.0)
    mirrored = reference_of(film[0][:, ::-1].copy(), colors[0][:, ::-1])
    change = {}
    for propagation in ("full", "off"):
        engine = engine_of("matching", propagation)
        ab = in_blocks(engine, film, engine.start([mirrored]), 1)[0]
        change[propagation] = np.abs(ab[1:, :, :-1] - ab[:-1, :, 1:]).mean()
    assert change["full"] < 0.6 * change["off"]


def test_the_state_of_another_engine_is_refused() -> None:
    film, colors = scene(48, 64)
    engine = engine_of("matching", "full")
    with pytest.raises(ValueError, match="state: expected one of the engine matching"):
        engine.step(film, engine.start([reference_of(film[0], colors[0])]), state=EngineState())
