"""Which frames around a place in a shot a trial colors, in which order, and from which stills."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kinemacolor.core.shot import Shot

LEAD_FRAMES = 8
"""Frames, at most, by which a pass comes from a still that lies outside of what is shown."""
LEAD_REACH = 120
"""Frames from a still, at most, over which such a pass is worth its time; beyond it, colors are matched."""


@dataclass(frozen=True, slots=True)
class TrialPass:
    """Frames that are colored one after the other.

    Attributes:
        frames: indices in the film, in the order of the pass.
        references: numbers of the stills it colors from.
        span: the frames between two stills, or between one and the shot's end: start and stop.
        forward: whether the pass runs forward in time.
        shared: whether a pass from the span's other end colors the same frames, and both are blended.
    """

    frames: tuple[int, ...]
    references: tuple[int, ...]
    span: tuple[int, int]
    forward: bool
    shared: bool

    def share(self, frame: int) -> float:
        """How far a frame lies on the way from the span's start to its end, in [0, 1]."""
        start, stop = self.span
        return min(1.0, max(0.0, (frame - start) / (stop - start)))


def plan_trial(
    shot: Shot, window: tuple[int, int], bound: Mapping[int, int], chosen: Sequence[int], *, most: int = 3
) -> list[TrialPass]:
    """The passes that color the frames of a window as a film's segments would (see ``plan_segments``).

    Args:
        shot: with a known end.
        window: first frame and the one after the last; inside of the shot.
        bound: frame → number of the still bound to it.
        chosen: numbers of stills for the shot that are bound to none of its frames, best first.
        most: stills of a pass, at most; those at the ends of its span come first.

    Raises:
        ValueError: there is no still.
    """
    assert shot.stop is not None
    anchors = sorted(frame for frame in bound if frame in shot)
    if not anchors and not chosen:
        raise ValueError(f"shot {shot}: expected a still, got none")
    low, high = window
    passes: list[TrialPass] = []
    for start, stop in pairwise([shot.start, *(frame for frame in anchors if frame > shot.start), shot.stop]):
        first, last = max(start, low), min(stop, high)
        if first >= last:
            continue
        ends = [bound[frame] for frame in (start, stop) if frame in anchors]
        references = tuple(dict.fromkeys([*ends, *chosen]))[: max(most, len(ends))]
        left, right = start in anchors or not anchors, stop in anchors
        if left:
            frames = (*_lead(start, first, start in anchors), *range(first, last))
            passes.append(TrialPass(frames, references, (start, stop), True, right))
        if right:
            frames = (*_lead(stop, last - 1, True), *range(last - 1, first - 1, -1))
            passes.append(TrialPass(frames, references, (start, stop), False, left))
    return passes


def _lead(anchor: int, first: int, is_bound: bool) -> tuple[int, ...]:
    """Frames from a still's frame to that before ``first``, in either direction, a few that are evenly spaced."""
    distance = abs(first - anchor)
    if not is_bound or distance == 0 or distance > LEAD_REACH:
        return ()
    count = min(LEAD_FRAMES, distance)
    return tuple(anchor + (first - anchor) * step // count for step in range(count))


def frames_of(passes: Collection[TrialPass]) -> list[int]:
    """All frames that passes need, ascending."""
    return sorted({frame for trial_pass in passes for frame in trial_pass.frames})
