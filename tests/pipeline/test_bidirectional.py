"""A segment forward, backward and from both sides; memories are handed on as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult
from kinemacolor.pipeline.bidirectional import (
    BackwardPassProgress,
    FrameColors,
    PassStates,
    blend,
    blocks,
    color_segment,
)
from kinemacolor.pipeline.segment_plan import Segment

SIZE = (32, 37)


class Seen(EngineState):
    """The frames an engine has seen, in its order."""

    __slots__ = ("frames",)

    def __init__(self, frames: tuple[float, ...]) -> None:
        self.frames = frames


class Counting:
    """An engine whose a* is the number of frames of its state, whose b* is the frame's L*, and which is sure of dark
    frames."""

    name = "counting"

    def __init__(self, block_size: int = 2) -> None:
        self.block_size = block_size
        self.blocks: list[list[float]] = []

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return ReferenceBank(
            np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32), np.ones(1, bool), tuple(references)
        )

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        seen = state.frames if isinstance(state, Seen) else ()
        levels = [float(frame[0, 0]) for frame in luma_block]
        self.blocks.append(levels)
        ab = np.zeros((*luma_block.shape, 2), np.float32)
        for k, level in enumerate(levels):
            ab[k] = len(seen) + k, level
        similarity = (1 - luma_block / 100).astype(np.float32)
        return StepResult(ab, similarity, np.zeros((len(levels), 1, 1, 2), np.float32), Seen((*seen, *levels)))


def images(levels: Sequence[float]) -> Iterator[FloatArray]:
    return (np.full(SIZE, level, np.float32) for level in levels)


def color(segment: Segment, passes: PassStates, engine: Counting | None = None) -> list[FrameColors]:
    engine = engine or Counting()
    bank, frames = engine.start([]), images(range(segment.start, segment.stop))
    made = list(color_segment(engine, bank, frames, segment, passes))
    announced = [one.index for one in made if isinstance(one, BackwardPassProgress)]
    assert announced == (list(range(segment.stop - 1, segment.start - 1, -1)) if segment.backward else [])
    return [one for one in made[len(announced) :] if isinstance(one, FrameColors)]


def test_forward() -> None:
    passes, engine = PassStates(forward=Seen((7.0,))), Counting()
    found = color(Segment(0, 8, 13, 0, (0,)), passes, engine)
    assert [one.index for one in found] == [8, 9, 10, 11, 12]
    assert [tuple(one.ab[3, 5]) for one in found] == [(1, 8), (2, 9), (3, 10), (4, 11), (5, 12)]
    assert all(one.lightness[0, 0] == one.index for one in found)
    assert engine.blocks == [[8, 9], [10, 11], [12]]
    assert isinstance(passes.forward, Seen)
    assert passes.forward.frames == (7, 8, 9, 10, 11, 12)


def test_a_forward_pass_asks_for_no_more_than_a_block() -> None:
    asked: list[int] = []

    def watched() -> Iterator[FloatArray]:
        for number, image in enumerate(images(range(6))):
            asked.append(number)
            yield image

    engine = Counting()
    found = color_segment(engine, engine.start([]), watched(), Segment(0, 0, 6, 0, (0,)), PassStates())
    next(found)
    assert asked == [0, 1]


def test_backward_from_the_reference_behind() -> None:
    passes = PassStates(anchor=np.full(SIZE, 99, np.float32))
    found = color(Segment(0, 3, 6, 0, (0,), forward=False, backward=True, anchored=True), passes)
    assert [one.index for one in found] == [3, 4, 5]
    assert [tuple(one.ab[0, 0]) for one in found] == [(3, 3), (2, 4), (1, 5)]  # the anchor was the first
    assert isinstance(passes.backward, Seen)
    assert passes.backward.frames == (99, 5, 4, 3)
    assert passes.forward is None


def test_backward_goes_back() -> None:
    passes = PassStates(backward=Seen((99.0, 7.0, 6.0)))
    found = color(Segment(0, 3, 6, 0, (0,), forward=False, backward=True, continues_backward=True), passes)
    assert [float(one.ab[0, 0, 0]) for one in found] == [5, 4, 3]


def test_both_ways_go_from_the_one_to_the_other() -> None:
    passes = PassStates(forward=Seen((0.0,) * 40), anchor=np.full(SIZE, 10, np.float32))
    segment = Segment(0, 0, 10, 0, (0, 1), backward=True, continues_forward=True, anchored=True)
    found = color(segment, passes)
    forward, backward = np.arange(40, 50), np.arange(10, 0, -1)
    shares = [(one.ab[0, 0, 0] - a) / (b - a) for one, a, b in zip(found, forward, backward, strict=True)]
    expected = [x * x * (3 - 2 * x) for x in np.arange(10) / 10]  # both passes are equally sure
    np.testing.assert_allclose(shares, expected, atol=1e-3)  # half precision
    np.testing.assert_allclose([one.ab[0, 0, 1] for one in found], np.arange(10), atol=1e-2)
    assert isinstance(passes.forward, Seen)
    assert isinstance(passes.backward, Seen)
    assert (len(passes.forward.frames), len(passes.backward.frames)) == (50, 11)


def test_the_surer_side_counts_more() -> None:
    one, other = (np.full((*SIZE, 2), value, np.float32) for value in (-3, 9))
    sure, unsure = np.full(SIZE, 0.9, np.float32), np.full(SIZE, 0.6, np.float32)
    level, similarity = blend((one, sure), (other, sure.astype(np.float16)), 0.5)
    np.testing.assert_allclose(level, 3, atol=0.01)
    np.testing.assert_allclose(similarity, 0.9, atol=1e-3)
    level, similarity = blend((one, sure), (other, unsure), 0.5)
    np.testing.assert_allclose(level, -3 + 12 / (1 + np.exp(3)), rtol=1e-4)
    assert 0.88 < similarity.mean() < 0.9
    np.testing.assert_array_equal(blend((one, unsure), (other, sure), 0.0)[0], one)
    np.testing.assert_allclose(blend((one, sure), (other, unsure), 1.0)[0], other)


@pytest.mark.parametrize(
    ("count", "length", "expected"), [(5, 2, [2, 2, 1]), (4, 4, [4]), (0, 3, []), (3, 1, [1, 1, 1])]
)
def test_blocks(count: int, length: int, expected: list[int]) -> None:
    made = list(blocks(list(zip(range(count), images(range(count)), strict=True)), length))
    assert [len(block) for block in made] == expected
    assert [index for block in made for index, _ in block] == list(range(count))


def test_too_few_frames_are_noticed() -> None:
    engine = Counting()
    with pytest.raises(ValueError, match="shorter"):
        list(color_segment(engine, engine.start([]), images(range(3)), Segment(0, 0, 4, 0, (0,)), PassStates()))
