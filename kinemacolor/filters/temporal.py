"""Temporal smoothing of colors: grain and flicker of the luma must not cause shimmer of the chroma.

A recursive filter of a*, b* at network size. Like a Kalman filter it keeps a color and a weight for each pixel, and
mixes the newest color in by its share of the weight. The weight is reduced where the picture moves (the lightness
differs after flicker and grain are accounted for), and where the newest colors stay on one side of the kept color: a
true change.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.filters.denoise import match_tone, remove_grain, stillness
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions

MINIMUM_COLOR_SHARE = 0.07
"""Minimum share of the newest color: a mean over about fourteen frames where the picture is static."""
SIMILARITY_GAIN = 2.0
"""The weight of a frame is e^(gain · similarity): a cosine larger by 0.1 weighs e^0.2 times as much."""
CHANGE_SHARE = 0.25
"""Share of the newest frame in the running means that tell a true change of color from noise."""
TOLERATED_CHANGE = 1.0
"""Mean change of a*, b* that never reduces the weight."""
NOISE_MARGIN = 1.5
"""The weight is reduced where the squared mean change exceeds this many times its expectation for noise."""
STILLNESS_THRESHOLD = 0.97
"""Where stillness is above this, colors are not moved along the flow: its jitter would do harm there."""


@dataclass(frozen=True, slots=True, eq=False)
class TemporalFilterState:
    """The filter's state after a frame, at network size.

    Attributes:
        lightness: (h, w) float32, blurred L* to which the colors belong, in the last frame's tone.
        ab: (h, w, 2) float32, the kept colors.
        weight: (h, w) float32 > 0, of the kept colors; that of a single frame is e^(``SIMILARITY_GAIN`` · similarity).
        drift: (h, w, 2) float32, running mean of newest minus kept colors.
        spread: (h, w) float32, running mean of their squared distance.
    """

    lightness: FloatArray
    ab: FloatArray
    weight: FloatArray
    drift: FloatArray
    spread: FloatArray


class ChromaTemporalFilter:
    """Smooths a shot's colors over time. The object holds settings and work space only.

    Args:
        share: minimum share of the newest color, in (0, 1]; 1 leaves colors as they are.
        along_flow: move the kept colors along the optical flow, so that moving objects are smoothed too.
    """

    def __init__(self, share: float = MINIMUM_COLOR_SHARE, *, along_flow: bool = False) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share: expected a number in (0, 1], got {share}")
        self._share = np.float32(share)
        self._flow = DisFlow() if along_flow else None

    def __call__(
        self, lightness: FloatArray, ab: FloatArray, similarity: FloatArray, state: TemporalFilterState | None
    ) -> tuple[FloatArray, TemporalFilterState]:
        """Smooths the colors of the next frame.

        Args:
            lightness: (h, w) float32, L* in [0, 100] of the frame.
            ab: (h, w, 2) float32, its colors from the engine.
            similarity: (h, w) float32 in [-1, 1], how well a reference supports them.
            state: after the frame before, or None at the start of a shot, whose colors stay as they are.

        Returns:
            (h, w, 2) float32, a new array, and the state after the frame.

        Raises:
            ValueError: sizes differ.
        """
        shape = lightness.shape
        if ab.shape != (*shape, 2) or similarity.shape != shape:
            raise ValueError(f"ab, similarity: expected {(*shape, 2)} and {shape}, got {ab.shape}, {similarity.shape}")
        if state is not None and state.lightness.shape != shape:
            raise ValueError(f"state: expected one for frames {shape}, got one for {state.lightness.shape}")
        current = remove_grain(lightness)
        frame_weight = np.exp(np.float32(SIMILARITY_GAIN) * similarity)
        if state is None:
            zeros = np.zeros_like(ab)
            return ab.copy(), TemporalFilterState(current, ab.copy(), frame_weight, zeros, zeros[..., 0])
        gain, lift = (np.float32(number) for number in match_tone(state.lightness, current))
        previous = gain * state.lightness + lift
        still = stillness(current - previous)
        if self._flow is not None:
            state = _move_along_flow(state, _backward_flow(self._flow, current, previous, still))
            previous = gain * state.lightness + lift
            still = stillness(current - previous)
        change = ab - state.ab
        drift = _running_mean(state.drift * still[..., None], change)
        spread = _running_mean(state.spread * still, np.square(change).sum(axis=2))
        kept_weight = (1 - self._share) * state.weight / (1 + _excess_drift(drift, spread))
        kept_weight = np.minimum(kept_weight, frame_weight * still / np.maximum(1 - still, np.float32(1e-3)))
        weight = kept_weight + frame_weight
        share = frame_weight / weight
        smoothed = state.ab + share[..., None] * change
        drift = drift * (1 - share)[..., None]  # the part just mixed in is no difference any more
        blended = previous + share * (current - previous)
        return smoothed, TemporalFilterState(blended, smoothed, weight, drift, spread)


def _running_mean(mean: FloatArray, value: FloatArray) -> FloatArray:
    return mean + np.float32(CHANGE_SHARE) * (value - mean)


def _excess_drift(drift: FloatArray, spread: FloatArray) -> FloatArray:
    """By how much the squared mean change exceeds ``NOISE_MARGIN`` times that of noise of this spread; 0 for noise."""
    actual = cv2.blur(np.square(drift).sum(axis=2), (5, 5))
    noise_share = np.float32(CHANGE_SHARE / (2 - CHANGE_SHARE))  # variance of a running mean of white noise
    expected = cv2.blur(spread, (5, 5)) * noise_share + np.float32(TOLERATED_CHANGE**2)
    return np.asarray(np.maximum(actual / expected - np.float32(NOISE_MARGIN), 0), dtype=np.float32)


def _backward_flow(flow: DisFlow, current: FloatArray, previous: FloatArray, still: FloatArray) -> FloatArray:
    """Flow (h, w, 2) from ``current`` to ``previous``, estimated at half size; 0 where the picture is static."""
    height, width = current.shape
    half = ((width + 1) // 2, (height + 1) // 2)
    source, target = (cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in (current, previous))
    backward = cv2.resize(flow(source, target), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(still[..., None] > STILLNESS_THRESHOLD, np.float32(0), 2 * backward)


def _move_along_flow(state: TemporalFilterState, flow: FloatArray) -> TemporalFilterState:
    """The state moved to the newest frame's pixels, by the flow (h, w, 2) from that frame backward."""
    positions = pixel_positions(*flow.shape[:2]) + flow
    colors = cv2.merge([state.lightness, *cv2.split(state.ab)])
    colors = cv2.remap(colors, positions, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    weights = cv2.merge([state.weight, state.spread, *cv2.split(state.drift)])
    weights = cv2.remap(weights, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return TemporalFilterState(colors[..., 0], colors[..., 1:], weights[..., 0], weights[..., 2:], weights[..., 1])
