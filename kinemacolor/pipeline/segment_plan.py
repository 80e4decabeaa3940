"""In what pieces a film is colored: shots and bound references → segments, each with the directions it is colored in.

Within a shot, references bound to frames divide it into spans. Before the first one colors run backward in time from
it, after the last one forward, and between two they run from both and meet. Long spans are divided into segments, so
that memory stays small and an interruption costs little; each goes on from its neighbor's state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kinemacolor.core.shot import Shot


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a shot: the unit that is colored, encoded, and kept when a run is interrupted.

    Attributes:
        number: in the order of the film, from 0.
        start, stop: its frames are ``start`` … ``stop`` − 1.
        shot: number of its shot, from 0.
        reference_ids: numbers of the references it is colored from; none where its shot stays gray.
        forward: whether colors come from earlier frames, or from a reference at its first frame or anywhere.
        backward: whether they come from later frames; with ``forward``, both are blended from the one's end to the
            other's.
        continues_forward: whether the forward pass takes the state of the segment before.
        continues_backward: whether the backward pass takes the state of the segment after.
        anchored: whether the frame at ``stop`` is one that a reference is bound to, where a backward pass begins.
    """

    number: int
    start: int
    stop: int
    shot: int
    reference_ids: tuple[int, ...]
    forward: bool = True
    backward: bool = False
    continues_forward: bool = False
    continues_backward: bool = False
    anchored: bool = False

    @property
    def frames(self) -> int:
        """Number of its frames."""
        return self.stop - self.start

    @property
    def neutral(self) -> bool:
        """Whether it stays gray: no engine sees it."""
        return not self.reference_ids


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """All segments of a film.

    Attributes:
        shots: they cover the frames without gaps.
        segments: in the order of the film.
    """

    shots: tuple[Shot, ...]
    segments: tuple[Segment, ...]

    @property
    def frames(self) -> int:
        """Number of frames that are colored."""
        return sum(segment.frames for segment in self.segments)

    def references_by_shot(self) -> tuple[tuple[int, ...], ...]:
        """For each shot the numbers of the references that color it, those of its first segment first."""
        numbers: list[dict[int, None]] = [{} for _ in self.shots]
        for segment in self.segments:
            numbers[segment.shot].update(dict.fromkeys(segment.reference_ids))
        return tuple(map(tuple, numbers))

    def order(self) -> tuple[Segment, ...]:
        """The segments in an order in which each comes after those whose state it takes; else as in the film."""
        done: dict[int, Segment] = {}
        for first in self.segments:
            waiting = [first]
            while waiting:
                segment = waiting[-1]
                needed = [self.segments[n] for n in _needs(segment) if n not in done]
                if needed:
                    waiting += needed
                else:
                    done.setdefault(segment.number, segment)
                    waiting.pop()
        return tuple(done.values())

    def backward_runs(self) -> tuple[tuple[Segment, ...], ...]:
        """Segments of which each takes the backward state of the next, two or more a run, in the order of the film."""
        runs: list[list[Segment]] = []
        for before, segment in pairwise(self.segments):
            if before.continues_backward:
                if not runs or runs[-1][-1] is not before:
                    runs.append([before])
                runs[-1].append(segment)
        return tuple(map(tuple, runs))

    def hands_on(self, segment: Segment) -> bool:
        """Whether a later segment takes the state of this one's forward pass."""
        return segment.number + 1 < len(self.segments) and self.segments[segment.number + 1].continues_forward

    def hands_back(self, segment: Segment) -> bool:
        """Whether an earlier segment takes the state of this one's backward pass."""
        return segment.number > 0 and self.segments[segment.number - 1].continues_backward


def _needs(segment: Segment) -> list[int]:
    return [segment.number - 1] * segment.continues_forward + [segment.number + 1] * segment.continues_backward


def plan_segments(
    shots: Sequence[Shot],
    bound: Mapping[int, int],
    chosen: Sequence[Sequence[int]],
    *,
    most: int = 3,
    max_segment_frames: int = 240,
    neutral: Collection[int] = (),
) -> SegmentPlan:
    """Divides a film.

    Args:
        shots: with ends, one after the other.
        bound: frame → number of the reference bound to it.
        chosen: for each shot, numbers of references that are bound to none of its frames, best first.
        most: references of a segment at most; those at its ends come first.
        max_segment_frames: frames of a segment at most.
        neutral: numbers of the shots that stay gray; references bound to their frames are not used.

    Raises:
        ValueError: a shot without any reference, or shots with gaps.
    """
    segments: list[Segment] = []
    for number, shot in enumerate(shots):
        if shot.stop is None or (number and shots[number - 1].stop != shot.start):
            raise ValueError(f"shots: expected one after the other, got {shots[max(0, number - 1) : number + 1]}")
        if number in neutral:
            for start, stop, *_ in _pieces(shot.start, shot.stop, True, False, max_segment_frames):
                segments.append(Segment(len(segments), start, stop, number, ()))
            continue
        frames = sorted(frame for frame in bound if frame in shot)
        if not frames and not chosen[number]:
            raise ValueError(f"shot {number}: expected a reference, got none")
        ends = [shot.start, *(frame for frame in frames if frame > shot.start), shot.stop]
        for start, stop in pairwise(ends):
            at_ends = [bound[frame] for frame in (start, stop) if frame in frames]
            reference_ids = tuple(dict.fromkeys([*at_ends, *chosen[number]]))[: max(most, len(at_ends))]
            left, right = start in frames or not frames, stop in frames
            for piece in _pieces(start, stop, left, right, max_segment_frames):
                segments.append(Segment(len(segments), *piece[:2], number, reference_ids, *piece[2:]))
    return SegmentPlan(tuple(shots), tuple(segments))


Piece = tuple[int, int, bool, bool, bool, bool, bool]
"""start, stop, forward, backward, continues_forward, continues_backward, anchored: see ``Segment``."""


def _pieces(start: int, stop: int, left: bool, right: bool, max_segment_frames: int) -> Iterator[Piece]:
    """A span in pieces of about equal length; where both its ends are colored, the passes meet in the middle one."""
    count = -(-(stop - start) // max_segment_frames)
    cuts = [start + (stop - start) * k // count for k in range(count + 1)]
    meeting = count // 2 if left and right else count if left else -1
    for k, (first, last) in enumerate(pairwise(cuts)):
        forward, backward = k <= meeting, k >= meeting and right
        yield (
            first,
            last,
            forward,
            backward,
            forward and k > 0,
            backward and k < count - 1,
            backward and k == count - 1,
        )
