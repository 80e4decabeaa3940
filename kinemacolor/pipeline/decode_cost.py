"""What it costs to read a film's segments where they are colored in another order than they lie in the film."""

from __future__ import annotations

from itertools import pairwise

from kinemacolor.pipeline.segment_plan import SegmentPlan
from kinemacolor.video.reader import VideoReader

_PASSES = 2  # through the film: fewer are not worth a word


def repeated_decoding(reader: VideoReader, plan: SegmentPlan) -> str | None:
    """A line for the user where the film is going to be decoded from its start again and again, or None."""
    jumps = [segment.start for before, segment in pairwise(plan.order()) if segment.start != before.stop]
    passes = sum(jumps) / max(1, plan.frames)
    if passes < _PASSES or reader.entry_before(max(jumps)):
        return None
    return (
        f"{reader.info.path}: cannot be entered in its middle, and long stretches between stills are colored from both "
        f"ends: it is going to be decoded about {passes:.0f} times over; convert it first "
        "(ffmpeg -i film -c:v ffv1 -c:a copy film.mkv)"
    )
