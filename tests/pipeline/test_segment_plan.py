"""Shots and bound references become segments: every frame once, in an order that can be worked through."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.segment_plan import SegmentPlan, plan_segments


@st.composite
def films(draw: st.DrawFn) -> tuple[list[Shot], dict[int, int], list[list[int]], int]:
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    first = draw(st.integers(0, 20))
    starts = [first + sum(lengths[:k]) for k in range(len(lengths))]
    shots = [Shot(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    frames = draw(st.lists(st.integers(first, starts[-1] + lengths[-1] - 1), unique=True, max_size=8))
    bound = {frame: number for number, frame in enumerate(frames)}
    chosen = [draw(st.lists(st.integers(10, 13), unique=True, min_size=1, max_size=3)) for _ in shots]
    return shots, bound, chosen, draw(st.integers(1, 25))


@given(films())
def test_every_frame_is_colored_once_from_what_its_ends_say(
    film: tuple[list[Shot], dict[int, int], list[list[int]], int],
) -> None:
    shots, bound, chosen, longest = film
    plan = plan_segments(shots, bound, chosen, max_segment_frames=longest)
    ends = [shots[0].start, *(segment.stop for segment in plan.segments)]
    assert [segment.start for segment in plan.segments] == ends[:-1]
    assert ends[-1] == shots[-1].stop
    assert [segment.number for segment in plan.segments] == list(range(len(plan.segments)))
    for segment in plan.segments:
        shot = shots[segment.shot]
        assert segment.start in shot
        assert segment.stop - 1 in shot
        assert 1 <= segment.frames <= longest
        assert segment.forward or segment.backward
        assert len(segment.reference_ids) >= 1
        own = sorted(frame for frame in bound if frame in shot)
        before = [frame for frame in own if frame <= segment.start]
        after = [frame for frame in own if frame >= segment.stop]
        if before:
            assert bound[before[-1]] in segment.reference_ids
        if after:
            assert bound[after[0]] in segment.reference_ids
        assert not segment.forward or before or not own  # from a reference, or in a shot that has none bound
        assert not segment.backward or after
        if not segment.continues_forward and segment.forward and own:
            assert segment.start == before[-1]
        assert segment.anchored == (segment.backward and not segment.continues_backward)
        if segment.anchored:
            assert segment.stop == after[0]


@given(films())
def test_each_memory_is_there_before_it_is_taken(
    film: tuple[list[Shot], dict[int, int], list[list[int]], int],
) -> None:
    shots, bound, chosen, longest = film
    plan = plan_segments(shots, bound, chosen, max_segment_frames=longest)
    done: set[int] = set()
    for segment in plan.order():
        if segment.continues_forward:
            before = plan.segments[segment.number - 1]
            assert before.number in done
            assert before.forward
            assert before.shot == segment.shot
            assert plan.hands_on(before)
        if segment.continues_backward:
            after = plan.segments[segment.number + 1]
            assert after.number in done
            assert after.backward
            assert after.shot == segment.shot
            assert plan.hands_back(after)
        done.add(segment.number)
    assert done == set(range(len(plan.segments)))


def test_a_shot_without_bound_references_is_colored_forward() -> None:
    plan = plan_segments([Shot(0, 10), Shot(10, 13)], {}, [[2, 0], [1]], max_segment_frames=5)
    told = [(s.start, s.stop, s.reference_ids, s.forward, s.backward, s.continues_forward) for s in plan.segments]
    assert told == [
        (0, 5, (2, 0), True, False, False),
        (5, 10, (2, 0), True, False, True),
        (10, 13, (1,), True, False, False),
    ]
    assert plan.order() == plan.segments


def test_between_two_references_the_passes_meet_in_the_middle() -> None:
    plan = plan_segments([Shot(0, 40)], {5: 0, 35: 1}, [[]], max_segment_frames=10)
    told = [
        (s.start, s.stop, s.forward, s.backward, s.continues_forward, s.continues_backward, s.anchored)
        for s in plan.segments
    ]
    assert told == [
        (0, 5, False, True, False, False, True),
        (5, 15, True, False, False, False, False),
        (15, 25, True, True, True, True, False),
        (25, 35, False, True, False, False, True),
        (35, 40, True, False, False, False, False),
    ]
    assert [segment.number for segment in plan.order()] == [0, 1, 3, 2, 4]
    assert [segment.reference_ids for segment in plan.segments] == [(0,), (0, 1), (0, 1), (0, 1), (1,)]


def test_a_reference_at_the_first_and_at_the_last_frame() -> None:
    plan = plan_segments([Shot(0, 4)], {0: 0, 3: 1}, [[]])
    assert [(s.start, s.stop, s.forward, s.backward) for s in plan.segments] == [
        (0, 3, True, True),
        (3, 4, True, False),
    ]


def test_more_references_than_a_segment_takes() -> None:
    plan = plan_segments([Shot(0, 9)], {0: 7, 8: 8}, [[1, 2, 3]], most=3)
    assert plan.segments[0].reference_ids == (7, 8, 1)
    assert plan.segments[1].reference_ids == (8, 1, 2)


@pytest.mark.parametrize("shots", [[Shot(0, 4), Shot(5, 9)], [Shot(0)], [Shot(0, 4), Shot(3, 9)]])
def test_shots_with_gaps_are_refused(shots: list[Shot]) -> None:
    with pytest.raises(ValueError, match="shots: expected one after the other"):
        plan_segments(shots, {}, [[0]] * len(shots))


def test_a_shot_without_any_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="shot 1: expected a reference"):
        plan_segments([Shot(0, 4), Shot(4, 9)], {2: 0}, [[], []])


def test_an_empty_plan_has_no_frames() -> None:
    assert SegmentPlan((), ()).frames == 0
    assert list(pairwise(SegmentPlan((), ()).order())) == []
