"""The conformance suite over every engine that runs on the base install."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kinemacolor.core.errors import UsageError
from kinemacolor.engine.protocol import Engine, EngineState
from kinemacolor.engine.registry import open_engine
from kinemacolor.propagation.dis_flow import DisFlow
from tests.engine import conformance
from tests.engine.conformance import in_blocks, masked, reference_of, scene

CASES = [(name, propagate) for name in ("lite", "matching") for propagate in (True, False)]


@cache
def engine_of(name: str, propagate: bool) -> Engine:
    return open_engine(name, propagate=propagate, threads=1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{'propagated' if case[1] else 'alone'}")
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_conformance(check: conformance.Check, case: tuple[str, bool]) -> None:
    engine = engine_of(*case)
    assert isinstance(engine, Engine)
    assert engine.name == case[0]
    check(engine)


def test_unknown_engine_is_named() -> None:
    with pytest.raises(UsageError, match="there is no engine nonsense"):
        open_engine("nonsense")


def test_matching_frames_do_not_depend_on_blocks() -> None:
    film, colors = scene(48, 64, 6)
    engine = engine_of("matching", True)
    bank = engine.start([reference_of(film[0], colors[0])])
    whole = in_blocks(engine, film, bank, 6)[0]
    for length in (1, 4):
        np.testing.assert_array_equal(in_blocks(engine, film, bank, length)[0], whole)


def test_propagation_keeps_a_moving_picture_sharper_than_matching() -> None:
    film, colors = scene(72, 96, 8)
    reference = reference_of(film[0], colors[0])
    error = {}
    for propagate in (True, False):
        engine = engine_of("matching", propagate)
        ab = in_blocks(engine, film, engine.start([reference]), 4)[0]
        error[propagate] = np.abs(ab - colors)[:, 8:-8, 16:-24].mean()
    assert error[True] < 0.6 * error[False]


@pytest.mark.parametrize("name", ["lite", "matching"])
def test_without_shortcuts_there_is_one_flow_a_frame(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    film, colors = scene(48, 64, 6)
    seen: list[np.ndarray] = []
    follow, quick = DisFlow.__call__, DisFlow.quick

    def noted(self: DisFlow, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        seen.append(target)
        return follow(self, source, target)

    def quickly(self: DisFlow, *arguments: np.ndarray) -> np.ndarray:
        seen.append(arguments[1])
        return quick(self, *arguments)

    monkeypatch.setattr(DisFlow, "__call__", noted)
    monkeypatch.setattr(DisFlow, "quick", quickly)
    engine = open_engine(name, propagation="chained", threads=1)
    in_blocks(engine, film, engine.start([reference_of(film[0], colors[0])]), 3)
    assert len(seen) == 6  # the first to the reference
    for before, target in zip([film[0], *film[:-1]], seen, strict=True):
        np.testing.assert_array_equal(target, before)


def test_propagation_gives_no_color_from_masked_areas() -> None:
    film, colors = scene(72, 96, 3)
    mask = np.ones((72, 96), np.bool_)
    mask[:, :48] = False
    poisoned = colors[0].copy()
    poisoned[:, :48] = 128
    engine = engine_of("matching", True)
    ab = in_blocks(engine, film, engine.start([masked(reference_of(film[0], poisoned), mask)]), 1)[0]
    assert ab.max() < np.abs(colors[0][:, 48:]).max() + 1


def test_colors_are_carried_where_no_reference_is_a_frame_of_the_shot() -> None:
    """Where matching has to guess in every frame, carried colors change less along the motion."""
    film, colors = scene(72, 96, 6, shift=1.0)
    mirrored = reference_of(film[0][:, ::-1].copy(), colors[0][:, ::-1])
    change = {}
    for propagate in (True, False):
        engine = engine_of("matching", propagate)
        ab = in_blocks(engine, film, engine.start([mirrored]), 1)[0]
        change[propagate] = np.abs(ab[1:, :, :-1] - ab[:-1, :, 1:]).mean()
    assert change[True] < 0.6 * change[False]


def test_memory_of_another_engine_is_refused() -> None:
    film, colors = scene(48, 64)
    engine = engine_of("matching", True)
    with pytest.raises(ValueError, match="memory: expected one of the engine matching"):
        engine.step(film, engine.start([reference_of(film[0], colors[0])]), EngineState())


@pytest.mark.parametrize(("name", "flows"), [("lite", 7), ("matching", 3)])
def test_flows_of_a_frame(name: str, flows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as its ways, once enough frames lie behind: each is a share of the time that users wait."""
    film, colors = scene(48, 64, 14)
    engine = open_engine(name, threads=1)
    bank = engine.start([reference_of(film[0], colors[0])])
    memory: EngineState | None = None
    for first in range(0, 12, 2):
        memory = engine.step(film[first : first + 2], bank, memory).memory
    asked: list[tuple[int, ...]] = []
    whole, quick = DisFlow.__call__, DisFlow.quick

    def counted(self: DisFlow, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        asked.append(target.shape)
        return whole(self, source, target)

    def counted_quick(
        self: DisFlow, source: np.ndarray, target: np.ndarray, start: np.ndarray | None = None
    ) -> np.ndarray:
        asked.append(target.shape)
        return quick(self, source, target, start)

    monkeypatch.setattr(DisFlow, "__call__", counted)
    monkeypatch.setattr(DisFlow, "quick", counted_quick)
    engine.step(film[12:], bank, memory)
    assert len(asked) == 2 * flows
