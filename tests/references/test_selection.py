"""Each shot takes the references bound to it, or those it resembles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.types import FloatArray, Reference, Shot
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, cells
from kinemacolor.references.placement import Binding, ReferenceFile
from kinemacolor.references.selection import allowed_references, representative_frames, select_for_shots

SIZE = (32, 40)
SHOTS = [Shot(0, 10), Shot(10, 60), Shot(60, 90)]


class ByLevel:
    """An engine whose features tell in which of four bands of lightness a cell lies."""

    name, block_size = "by level", 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        keys = [np.eye(4, dtype=np.float32)[(r.lightness[::4, ::4] // 25.1).astype(int)] for r in references]
        flat = np.concatenate([one.reshape(-1, 4) for one in keys])
        assert len(flat) == len(references) * np.prod(cells(*SIZE))
        return ReferenceBank(flat, np.zeros((len(flat), 2), np.float32), np.ones(len(flat), bool), tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, memory: EngineState | None = None) -> StepResult:
        raise AssertionError("no step is needed")


def level(*bands: float) -> FloatArray:
    """Upright stripes of one lightness each."""
    return np.repeat(np.array(bands, np.float32), SIZE[1] // len(bands))[None].repeat(SIZE[0], 0)


def still(lightness: FloatArray) -> Reference:
    return Reference(lightness, np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool))


def place(frame: int | None = None, shot: int | None = None) -> Binding:
    return Binding(ReferenceFile(Path("still.png")), frame, shot)


def test_free_references_go_where_they_fit() -> None:
    looks = {0: level(10), 1: level(40), 2: level(10, 60)}

    def sample(frame: int) -> FloatArray:
        return looks[next(k for k, shot in enumerate(SHOTS) if frame in shot)]

    references = [still(level(60)), still(level(40)), still(level(10))]
    chosen = select_for_shots(ByLevel(), references, [place()] * 3, SHOTS, sample)
    assert chosen[:2] == [(2,), (1,)]
    assert sorted(chosen[2]) == [0, 2]  # they complement each other
    assert [len(one) for one in select_for_shots(ByLevel(), references, [place()] * 3, SHOTS, sample, most=1)] == [
        1,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([place(), place()], [[0, 1], [0, 1], [0, 1]]),
        ([place(shot=1), place()], [[1], [0, 1], [1]]),
        ([place(shot=0), place(shot=1)], [[0], [1], [0, 1]]),  # the last shot has none of its own
        ([place(3, 0), place(30, 1)], [[], [], [0, 1]]),
        ([place(3, 0), place(shot=0)], [[1], [0, 1], [0, 1]]),
        ([place(3, 0), place()], [[1], [1], [1]]),
    ],
)
def test_who_may_choose_what(places: list[Binding], expected: list[list[int]]) -> None:
    assert [allowed_references(places, number, shot) for number, shot in enumerate(SHOTS)] == expected


def test_nothing_is_looked_at_where_there_is_no_choice() -> None:
    def sample(frame: int) -> FloatArray:
        raise AssertionError("no frame is needed")

    places = [place(3, 0), place(30, 1), place(70, 2)]
    assert select_for_shots(ByLevel(), [still(level(50))] * 3, places, SHOTS, sample) == [(), (), ()]
    assert select_for_shots(ByLevel(), [still(level(50))], [place()], SHOTS, sample) == [(0,), (0,), (0,)]


def test_samples_lie_in_the_shot() -> None:
    assert representative_frames(Shot(0, 1)) == [0]
    assert representative_frames(Shot(100, 124)) == [112]
    assert representative_frames(Shot(100, 160)) == [110, 130, 150]
