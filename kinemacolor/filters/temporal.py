"""Colors held still over time: grain and flicker of the luma must not come back as a shimmer of the chroma.

A recursive filter of a*, b* at network size. Each pixel holds its color with a weight, as a Kalman filter does, and
takes in the newest one by its share of the weight. Weight is lost where the picture moves, which is told by lightness
once flicker and grain are taken off it, and where newest colors keep to one side of those held: a true change.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.engine.protocol import EngineState
from kinemacolor.filters.denoise import match_tone, stillness, without_grain
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions

LEAST_SHARE = 0.07
"""Least share of the newest color: the mean over about fourteen frames where the picture stands still."""
SIMILARITY_GAIN = 2.0
"""How much similarity counts: a tenth more of cosine weighs e^0.2 times as much."""
FOLLOW = 0.25
"""Share of the newest frame in the means that tell a true change of color from noise."""
TOLERATED_CHANGE = 1.0
"""Change of a*, b* that is left to ``LEAST_SHARE`` alone."""
SURPLUS = 1.5
"""How many times what noise would make it the mean change may be before weight is lost."""

STILL = 0.97
"""Stillness above which nothing is moved along the flow, whose own jitter would do harm there."""


@dataclass(frozen=True, slots=True, eq=False)
class TemporalFilterState(EngineState):
    """What the filter holds after a frame, at network size.

    Attributes:
        lightness: (h, w) float32, L* seen through a Gaussian, that the colors belong to, in the last frame's tone.
        ab: (h, w, 2) float32, the colors.
        weight: (h, w) float32 > 0, of the colors; that of a frame is e^(``SIMILARITY_GAIN`` · similarity).
        drift: (h, w, 2) float32, running mean of newest minus held colors.
        spread: (h, w) float32, running mean of their squared distance.
    """

    lightness: FloatArray
    ab: FloatArray
    weight: FloatArray
    drift: FloatArray
    spread: FloatArray


class ChromaTemporalFilter:
    """The filter; holds settings and work space only.

    Args:
        share: least share of the newest color, in (0, 1]; 1 leaves colors as they are.
        along_flow: carry what is held along the optical flow, so that what moves is steadied too.
    """

    def __init__(self, share: float = LEAST_SHARE, *, along_flow: bool = False) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share: expected a number in (0, 1], got {share}")
        self._share = np.float32(share)
        self._flow = DisFlow() if along_flow else None

    def __call__(
        self, lightness: FloatArray, ab: FloatArray, similarity: FloatArray, state: TemporalFilterState | None
    ) -> tuple[FloatArray, TemporalFilterState]:
        """The next frame's colors.

        Args:
            lightness: (h, w) float32, L* in [0, 100] of the frame.
            ab: (h, w, 2) float32, its colors as the engine gave them.
            similarity: (h, w) float32 in [-1, 1], how well a reference supports them.
            state: after the frame before, or None at the start of a shot, whose colors stay as they are.

        Returns:
            (h, w, 2) float32, a new array, and the state for the next frame.

        Raises:
            ValueError: sizes differ.
        """
        shape = lightness.shape
        if ab.shape != (*shape, 2) or similarity.shape != shape:
            raise ValueError(f"ab, similarity: expected {(*shape, 2)} and {shape}, got {ab.shape}, {similarity.shape}")
        if state is not None and state.lightness.shape != shape:
            raise ValueError(f"state: expected one of frames {state.lightness.shape}, got a frame {shape}")
        now = without_grain(lightness)
        trust = np.exp(np.float32(SIMILARITY_GAIN) * similarity)
        if state is None:
            none = np.zeros_like(ab)
            return ab.copy(), TemporalFilterState(now, ab.copy(), trust, none, none[..., 0])
        gain, lift = (np.float32(number) for number in match_tone(state.lightness, now))
        held = gain * state.lightness + lift
        still = stillness(now - held)
        if self._flow is not None:
            state = _moved_along_flow(state, _flow_back(self._flow, now, held, still))
            held = gain * state.lightness + lift
            still = stillness(now - held)
        change = ab - state.ab
        drift = _toward(state.drift * still[..., None], change)
        spread = _toward(state.spread * still, np.square(change).sum(axis=2))
        kept = (1 - self._share) * state.weight / (1 + _surplus(drift, spread))
        kept = np.minimum(kept, trust * still / np.maximum(1 - still, np.float32(1e-3)))
        weight = kept + trust
        part = trust / weight
        steady = state.ab + part[..., None] * change
        rest = drift * (1 - part)[..., None]  # what is taken in now is no difference any more
        return steady, TemporalFilterState(held + part * (now - held), steady, weight, rest, spread)


def _toward(mean: FloatArray, value: FloatArray) -> FloatArray:
    return mean + np.float32(FOLLOW) * (value - mean)


def _surplus(drift: FloatArray, spread: FloatArray) -> FloatArray:
    """By how much the mean change squared exceeds ``SURPLUS`` times that of noise of this spread; 0 for noise."""
    one_sided = cv2.blur(np.square(drift).sum(axis=2), (5, 5))
    usual = cv2.blur(spread, (5, 5)) * np.float32(FOLLOW / (2 - FOLLOW)) + np.float32(TOLERATED_CHANGE**2)
    return np.asarray(np.maximum(one_sided / usual - np.float32(SURPLUS), 0), dtype=np.float32)


def _flow_back(flow: DisFlow, now: FloatArray, held: FloatArray, still: FloatArray) -> FloatArray:
    """Flow (h, w, 2) from ``now`` to ``held``, found at half size; none where the picture stands still."""
    height, width = now.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    source, target = (cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in (now, held))
    back = cv2.resize(flow(source, target), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(still[..., None] > STILL, np.float32(0), 2 * back)


def _moved_along_flow(state: TemporalFilterState, flow: FloatArray) -> TemporalFilterState:
    """The state moved to the newest frame's pixels along the flow back from it (h, w, 2)."""
    places = pixel_positions(*flow.shape[:2]) + flow
    sharp = cv2.merge([state.lightness, *cv2.split(state.ab)])
    sharp = cv2.remap(sharp, places, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    rest = cv2.merge([state.weight, state.spread, *cv2.split(state.drift)])
    rest = cv2.remap(rest, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return TemporalFilterState(sharp[..., 0], sharp[..., 1:], rest[..., 0], rest[..., 2:], rest[..., 1])
