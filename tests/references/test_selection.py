"""Each shot is colored from the references bound to it, or those that it resembles."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import BoolArray, FloatArray, Reference
from kinemacolor.engine.features import FrameFeatures, extract_features
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult, cells
from kinemacolor.references import selection
from kinemacolor.references.placement import Binding, ReferenceFile
from kinemacolor.references.selection import (
    OUTSIDE_FRAME,
    allowed_references,
    bindings_within,
    bound_frames,
    representative_frames,
    select_for_shots,
)
from kinemacolor.video.info import VideoInfo

SIZE = (32, 40)
SHOTS = [Shot(0, 10), Shot(10, 60), Shot(60, 90)]


class ByLevel:
    """An engine whose features tell in which of four bands of lightness a cell lies."""

    name, block_size = "by level", 1

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        keys = [np.eye(4, dtype=np.float32)[(r.lightness[::4, ::4] // 25.1).astype(int)] for r in references]
        flat = np.concatenate([grid.reshape(-1, 4) for grid in keys])
        assert len(flat) == len(references) * np.prod(cells(*SIZE))
        return ReferenceBank(flat, np.zeros((len(flat), 2), np.float32), np.ones(len(flat), bool), tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        raise AssertionError("no step is needed")


def level(*bands: float) -> FloatArray:
    """Upright stripes of one lightness each."""
    return np.repeat(np.array(bands, np.float32), SIZE[1] // len(bands))[None].repeat(SIZE[0], 0)


def still(lightness: FloatArray) -> Reference:
    return Reference(lightness, np.zeros((*SIZE, 2), np.float32), np.ones(SIZE, bool))


def place(frame: int | None = None, shot: int | None = None) -> Binding:
    return Binding(ReferenceFile(Path("still.png")), frame, shot)


def test_free_references_go_where_they_fit() -> None:
    views = {0: level(10), 1: level(40), 2: level(10, 60)}

    def lightness(frame: int) -> FloatArray:
        return views[next(k for k, shot in enumerate(SHOTS) if frame in shot)]

    references = [still(level(60)), still(level(40)), still(level(10))]
    chosen = select_for_shots(ByLevel(), references, [place()] * 3, SHOTS, lightness)
    assert chosen[:2] == [(2,), (1,)]
    assert sorted(chosen[2]) == [0, 2]  # they complement each other
    single = select_for_shots(ByLevel(), references, [place()] * 3, SHOTS, lightness, most=1)
    assert [len(numbers) for numbers in single] == [1, 1, 1]


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
def test_which_references_a_shot_may_choose(places: list[Binding], expected: list[list[int]]) -> None:
    assert [allowed_references(places, number, shot) for number, shot in enumerate(SHOTS)] == expected


def test_no_frame_is_read_where_there_is_no_choice() -> None:
    def lightness(frame: int) -> FloatArray:
        raise AssertionError("no frame is needed")

    places = [place(3, 0), place(30, 1), place(70, 2)]
    assert select_for_shots(ByLevel(), [still(level(50))] * 3, places, SHOTS, lightness) == [(), (), ()]
    assert select_for_shots(ByLevel(), [still(level(50))], [place()], SHOTS, lightness) == [(0,), (0,), (0,)]


def test_representative_frames_lie_in_the_shot() -> None:
    assert representative_frames(Shot(0, 1)) == [0]
    assert representative_frames(Shot(100, 124)) == [112]
    assert representative_frames(Shot(100, 160)) == [110, 130, 150]


# --- places in a film --------------------


@dataclass(frozen=True)
class Part:
    """Frames 10 to 69 of a film of 24 frames a second; its shot 1 lies before them."""

    first: int = 10
    shots: tuple[Shot, ...] = (Shot(10, 30), Shot(30, 70))
    skipped: int = 1
    whole: bool = False

    def times(self, origin: Fraction) -> list[Fraction]:
        return [Fraction(k, 24) - origin for k in range(10, 70)]

    def numbers(self, info: VideoInfo) -> range:
        return range(10, 70)


def test_places_are_in_frames_and_shots_of_the_film() -> None:
    info = cast(VideoInfo, SimpleNamespace(first_time=Fraction(0), names=None))
    files = [
        ReferenceFile(Path("frame.png"), frame=40),
        ReferenceFile(Path("time.png"), time=Fraction(20, 24)),
        ReferenceFile(Path("shot.png"), shot=2),
        ReferenceFile(Path("before.png"), shot=1),
        ReferenceFile(Path("after.png"), shot=4),
        ReferenceFile(Path("free.png")),
    ]
    bindings = bindings_within(files, Part(), info)
    assert [binding.file for binding in bindings] == files
    expected = [(40, 1), (20, 0), (None, 0), (OUTSIDE_FRAME, None), (OUTSIDE_FRAME, None), (None, None)]
    assert [(binding.frame, binding.shot) for binding in bindings] == expected
    assert bound_frames(bindings[:3]) == {40: 0, 20: 1}
    with pytest.raises(InputError, match="belongs to shot 4, but the film has shots 1 to 2"):
        bindings_within(files[4:5], Part(whole=True, skipped=0), info)


def test_features_of_references_are_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[weakref.ref[Any]] = []

    def tracked(engine: Engine, lightness: FloatArray, mask: BoolArray | None = None) -> FrameFeatures:
        features = extract_features(engine, lightness, mask)
        if mask is not None:
            keys.append(weakref.ref(features.keys))
        return features

    alive: list[int] = []

    def lightness(frame: int) -> FloatArray:
        alive.append(sum(key() is not None for key in keys))
        return level(frame)

    stills = [still(level(number * 5)) for number in range(20)]
    places = [place() for _ in stills]
    expected = select_for_shots(ByLevel(), stills, places, SHOTS, level)
    monkeypatch.setattr(selection, "extract_features", tracked)
    assert select_for_shots(ByLevel(), stills, places, SHOTS, lightness) == expected
    assert len(keys) == len(stills)  # computed once
    assert max(alive) <= 1
