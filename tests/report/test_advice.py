"""Which frames are worth painting next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinemacolor.core.shot import Shot
from kinemacolor.engine.features import PROPAGATION_REACH, propagated_support
from kinemacolor.report.advice import propose_frames


def test_advice_goes_where_it_raises_confidence_most() -> None:
    confidence = np.concatenate([np.full(60, 0.8), np.full(90, 0.5), np.full(30, 0.6)]).astype(np.float32)
    shots = [Shot(0, 60), Shot(60, 150), Shot(150, 180)]
    frames, gains = zip(*propose_frames(confidence, shots, most=4), strict=True)
    assert frames[0] in shots[1]
    assert 90 < frames[0] < 120  # in the middle of the longest and worst shot
    assert list(gains) == sorted(gains, reverse=True)
    assert {next(number for number, shot in enumerate(shots) if frame in shot) for frame in frames} == {0, 1, 2}
    assert sum(gains) <= 1 - confidence.mean()


def test_nothing_is_proposed_where_confidence_is_full() -> None:
    assert propose_frames(np.ones(40, np.float32), [Shot(0, 40)]) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.floats(0, 0.8), st.integers(0, 2**32 - 1))
def test_the_gain_is_that_of_support_propagated_from_the_painted_frame(length: int, level: float, seed: int) -> None:
    """At the engines' reach of propagation: e.g. 60 frames away a painted frame adds 1/e of what is missing."""
    confidence = np.clip(level + np.random.default_rng(seed).uniform(0, 0.2, length), 0, 1).astype(np.float32)

    def gain(frame: int) -> float:
        total = 0.0
        for other in range(length):
            distance = abs(other - frame) / PROPAGATION_REACH
            total += float(propagated_support(confidence[other : other + 1], distance)[0]) - float(confidence[other])
        return total

    gains = [gain(frame) for frame in range(length)]
    proposed = propose_frames(confidence, [Shot(0, length)], most=1)
    if max(gains) < 1:
        assert proposed == []
        return
    [(frame, expected)] = proposed
    assert expected * length == pytest.approx(gains[frame], abs=1e-3)
    assert gains[frame] == pytest.approx(max(gains), abs=1e-3)


def test_a_painted_frame_reaches_as_far_as_colors_are_propagated() -> None:
    reach = int(PROPAGATION_REACH)
    confidence = np.zeros(2 * reach + 1, np.float32)
    [(frame, gain)] = propose_frames(confidence, [Shot(0, len(confidence))], most=1)
    assert abs(frame - reach) <= 2  # one frame in 4 is tried
    distances = np.abs(np.arange(len(confidence)) - frame) / PROPAGATION_REACH
    assert gain == pytest.approx(float(np.exp(-distances).mean()), rel=1e-5)
    assert gain == pytest.approx(1 - np.exp(-1), abs=0.01)


def test_a_frame_that_gains_less_than_one_frame_is_not_proposed() -> None:
    assert propose_frames(np.full(3, 0.7, np.float32), [Shot(0, 3)]) == []
    assert len(propose_frames(np.full(3, 0.1, np.float32), [Shot(0, 3)])) == 1
