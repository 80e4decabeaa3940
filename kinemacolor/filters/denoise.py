"""What the network is shown of a worn film: lightness with less grain, dust and scratches, its edges kept.

Only the network looks at it; the film's own luma is written untouched. How much is taken off follows the noise that is
found; a clean film passes as it is. Flicker is looked through, not taken off: to level it gained the network nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.engine.protocol import EngineState

LEAST_SHARE = 0.25
"""Least share of the newest frame where the picture stands still."""
EDGE_IN_NOISE = 2.5
"""Differences of lightness that are kept by the spatial filter, in units of the noise."""
CLEAN_NOISE = 0.5
"""σ of noise, in L*, below which nothing is taken off."""
GRAIN_SIGMA = 1.0
"""σ in pixels of the Gaussian through which frames are compared."""
NEIGHBORHOOD = 7
"""Side in pixels of the neighborhood over which a difference is taken (its root mean square)."""
MOVED_DIFFERENCE = 1.5
"""Difference, in L*, from which a place has moved rather than stood still; grain of σ 8/255 leaves 0.9.

A greater one holds colors stiller and blurs what moves slowly (``docs/quality.md``)."""
_NOISE_SHARE = 0.2
_STEP = 4  # of the grid on which flicker is measured
_ROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class DenoiseState(EngineState):
    """What is held of the frames of a shot so far.

    Attributes:
        lightness: (h, w) float32, the last frame denoised.
        weight: (h, w) float32 ≥ 1, frames' worth of it.
        noise: σ of the grain in L*, running mean.
    """

    lightness: FloatArray
    weight: FloatArray
    noise: float


def denoise(lightness: FloatArray, state: DenoiseState | None = None) -> tuple[FloatArray, DenoiseState]:
    """The frame as the network should see it: the median of 3×3 pixels, which takes scratches and dust off, a bilateral
    filter as wide as the noise, and where the picture stands still, the mean over time.

    Args:
        lightness: (h, w) float32, L* in [0, 100].
        state: after the frame before, or None at the start of a shot.

    Returns:
        (h, w) float32, L* in [0, 100], the frame itself where its noise is below ``CLEAN_NOISE``; and the state for the next.
    """
    noise = noise_level(lightness)
    if state is not None:
        noise = state.noise + _NOISE_SHARE * (noise - state.noise)
    if noise < CLEAN_NOISE:
        return lightness, DenoiseState(lightness, np.ones_like(lightness), noise)
    image = np.asarray(
        cv2.bilateralFilter(cv2.medianBlur(lightness, 3), 5, EDGE_IN_NOISE * noise, 1.5), dtype=np.float32
    )
    if state is None:
        return image, DenoiseState(image, np.ones_like(image), noise)
    gain, lift = match_tone(state.lightness, image)
    held = np.float32(gain) * state.lightness + np.float32(lift)
    still = stillness(without_grain(image) - without_grain(held))
    weight = 1 + np.minimum((1 - LEAST_SHARE) * state.weight, still / np.maximum(1 - still, np.float32(1e-3)))
    mean = np.clip(held + (image - held) / weight, 0, 100)
    return mean, DenoiseState(mean, weight, noise)


def without_grain(lightness: FloatArray) -> FloatArray:
    """Lightness as frames are compared: without grain."""
    return np.asarray(cv2.GaussianBlur(lightness, (0, 0), GRAIN_SIGMA), dtype=np.float32)


def _smooth(lightness: FloatArray, noise: float) -> FloatArray:
    if noise < CLEAN_NOISE:
        return lightness
    return np.asarray(cv2.bilateralFilter(lightness, 5, EDGE_IN_NOISE * noise, 1.5), dtype=np.float32)


def noise_level(lightness: FloatArray) -> float:
    """σ of white noise in an image, by the median of what two second differences leave (Immerkær 1996, robust).

    Args:
        lightness: (h, w), h and w ≥ 3.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    left = np.abs(cv2.filter2D(lightness, -1, kernel)[1:-1, 1:-1])
    return 1.4826 * float(np.median(left)) / 6


def match_tone(earlier: FloatArray, later: FloatArray) -> tuple[float, float]:
    """Gain and lift that bring ``earlier`` to the tone of ``later``, whatever moves between them.

    Robust (Cauchy weights) on every 4th pixel; the gain is the ratio of their standard deviations, since a regression's
    slope would take contrast away wherever pictures differ. It is held toward 1 in frames without contrast, and
    within [1/2, 2].
    """
    x, y = (image[::_STEP, ::_STEP].astype(np.float64).ravel() for image in (earlier, later))
    gain, lift = 1.0, float(np.median(y - x))
    for _ in range(_ROUNDS):
        weight = 1 / (1 + np.square((gain * x + lift - y) / 2))
        weight /= weight.sum()
        mean_x, mean_y = float(weight @ x), float(weight @ y)
        ratio = (float(weight @ np.square(y - mean_y)) + 1) / (float(weight @ np.square(x - mean_x)) + 1)
        gain = min(max(ratio**0.5, 0.5), 2.0)
        lift = mean_y - gain * mean_x
    return gain, lift


def stillness(difference: FloatArray) -> FloatArray:
    """(h, w) in [0, 1]: whether a pixel and those around it are as light as before, but for noise.

    It is the largest share that what is known from before may have: 1/2 where the difference is ``MOVED_DIFFERENCE``, and falling
    with its fourth power. A threshold that followed the noise of the frame did worse, since motion looks like noise.

    Args:
        difference: (h, w), of the lightness of two frames of one tone, seen through a Gaussian of ``GRAIN_SIGMA``.
    """
    power = cv2.blur(np.square(difference), (NEIGHBORHOOD, NEIGHBORHOOD))
    moved = np.sqrt(np.maximum(power, 0))  # running sums leave -0.0001 beside great differences
    return np.asarray(1 / (1 + np.square(np.square(moved / np.float32(MOVED_DIFFERENCE)))), dtype=np.float32)
