"""Which frames are worth painting next: those that raise the film's mean confidence most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.features import PROPAGATION_REACH, propagated_support

PROPOSED_FRAMES = 12
"""Frames that a report proposes to paint, at most."""
MINIMUM_FRAME_GAIN = 1.0
"""Smallest gain for which a frame is proposed: that of one frame whose confidence rises from 0 to 1."""

_TRIED_FRAMES = 30  # of a shot, about


def propose_frames(
    confidence: FloatArray, shots: Sequence[Shot], most: int = PROPOSED_FRAMES
) -> list[tuple[int, float]]:
    """Frames worth painting next, each with the expected rise of the film's mean confidence, best first.

    A painted frame is taken to support the other frames of its shot by the colors that are propagated to them
    (``engine.features.propagated_support``, at ``PROPAGATION_REACH``); its effect on other shots is not counted. Each
    gain is that after the frames before it are painted.

    Args:
        confidence: (F,) float32, of the frames of all shots in order.
        shots: they divide 0 … F − 1.
        most: frames, at most.
    """
    level = np.clip(np.asarray(confidence, np.float32), 0, 1)
    proposed: list[tuple[int, float]] = []
    best = {number: _best_frame(level, shot) for number, shot in enumerate(shots)}
    while best and len(proposed) < most:
        number = max(best, key=lambda candidate: best[candidate][1])
        frame, gain = best[number]
        if gain < MINIMUM_FRAME_GAIN:
            break
        proposed.append((frame, gain / len(level)))
        part = slice(shots[number].start, shots[number].stop)
        level[part] = _level_after_painting(level[part], frame - shots[number].start)
        best[number] = _best_frame(level, shots[number])
    return proposed


def _level_after_painting(level: FloatArray, index: int) -> FloatArray:
    """Confidence of a shot's frames (n,) after frame ``index`` of the shot is painted."""
    return propagated_support(level, np.abs(np.arange(len(level)) - index) / PROPAGATION_REACH)


def _best_frame(level: FloatArray, shot: Shot) -> tuple[int, float]:
    """The frame of a shot that raises the sum of its confidences most, and by how much; about 30 frames are tried."""
    assert shot.stop is not None
    part = level[shot.start : shot.stop]
    tried = range(0, len(part), max(1, len(part) // _TRIED_FRAMES))
    gains = [float((_level_after_painting(part, index) - part).sum()) for index in tried]
    best = int(np.argmax(gains))
    return shot.start + tried[best], gains[best]
