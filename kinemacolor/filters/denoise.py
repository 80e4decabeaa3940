"""Denoising of the network's input: lightness of a worn film with less grain, dust and scratches, and edges kept.

Only the network gets it; the film's luma is written unchanged. Strength follows the measured noise; a clean film is
left as it is. Flicker is accounted for but not removed: removing it did not improve the network's colors.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray

MINIMUM_FRAME_SHARE = 0.25
"""Minimum share of the newest frame in the mean over time."""
EDGE_IN_NOISE = 2.5
"""Differences of lightness that the spatial filter keeps, in units of the noise."""
CLEAN_NOISE = 0.5
"""σ of noise, in L*, below which a frame is left as it is."""
GRAIN_SIGMA = 1.0
"""σ in pixels of the Gaussian that removes grain before frames are compared."""
DIFFERENCE_WINDOW = 7
"""Side in pixels of the window over which the root mean square of a difference is taken."""
MOVED_DIFFERENCE = 1.5
"""Difference, in L*, at which a pixel counts as moving as much as static; grain of σ 8/255 leaves 0.9.

A larger value makes colors steadier and blurs slow motion (``docs/quality.md``)."""
_NOISE_SHARE = 0.2  # of the newest frame in the running mean of the noise
_TONE_STEP = 4  # pixels between samples from which flicker is measured
_TONE_ITERATIONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class DenoiseState:
    """The state after a frame of a shot.

    Attributes:
        lightness: (h, w) float32, the last frame denoised.
        weight: (h, w) float32 ≥ 1, the number of frames that its mean over time is worth.
        noise: running mean of σ of the grain, in L*.
    """

    lightness: FloatArray
    weight: FloatArray
    noise: float


def denoise(lightness: FloatArray, state: DenoiseState | None = None) -> tuple[FloatArray, DenoiseState]:
    """Denoises a frame.

    A median of 3×3 pixels removes scratches and dust, a bilateral filter as wide as the noise removes grain, and where
    the picture is static, a mean over time removes more of it.

    Args:
        lightness: (h, w) float32, L* in [0, 100].
        state: after the frame before, or None at the start of a shot.

    Returns:
        (h, w) float32, L* in [0, 100], the frame itself if its noise is below ``CLEAN_NOISE``; and the state after it.
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
    previous = np.float32(gain) * state.lightness + np.float32(lift)
    still = stillness(remove_grain(image) - remove_grain(previous))
    weight = 1 + np.minimum((1 - MINIMUM_FRAME_SHARE) * state.weight, still / np.maximum(1 - still, np.float32(1e-3)))
    mean = np.clip(previous + (image - previous) / weight, 0, 100)
    return mean, DenoiseState(mean, weight, noise)


def remove_grain(lightness: FloatArray) -> FloatArray:
    """Lightness blurred by ``GRAIN_SIGMA``, so that grain does not count where frames are compared."""
    return np.asarray(cv2.GaussianBlur(lightness, (0, 0), GRAIN_SIGMA), dtype=np.float32)


def noise_level(lightness: FloatArray) -> float:
    """σ of white noise in an image: Immerkær 1996, with the median instead of the mean of his operator's response.

    Args:
        lightness: (h, w), h and w ≥ 3.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = np.abs(cv2.filter2D(lightness, -1, kernel)[1:-1, 1:-1])
    return 1.4826 * float(np.median(response)) / 6


def match_tone(earlier: FloatArray, later: FloatArray) -> tuple[float, float]:
    """Gain and lift that bring ``earlier`` to the tone of ``later``, robust against motion between them.

    Cauchy weights on every 4th pixel. The gain is the ratio of the standard deviations, since the slope of a regression
    would reduce contrast where the pictures differ. It is pulled toward 1 in frames without contrast, and clipped to
    [1/2, 2].
    """
    x, y = (image[::_TONE_STEP, ::_TONE_STEP].astype(np.float64).ravel() for image in (earlier, later))
    gain, lift = 1.0, float(np.median(y - x))
    for _ in range(_TONE_ITERATIONS):
        weight = 1 / (1 + np.square((gain * x + lift - y) / 2))
        weight /= weight.sum()
        mean_x, mean_y = float(weight @ x), float(weight @ y)
        ratio = (float(weight @ np.square(y - mean_y)) + 1) / (float(weight @ np.square(x - mean_x)) + 1)
        gain = min(max(ratio**0.5, 0.5), 2.0)
        lift = mean_y - gain * mean_x
    return gain, lift


def stillness(difference: FloatArray) -> FloatArray:
    """(h, w) in [0, 1]: 1 where a pixel and its neighborhood have not changed but for noise, 0 where they have.

    It is the largest share that the past may have in a mean over time: 1/2 where the difference is
    ``MOVED_DIFFERENCE``, and for large differences falling with the fourth power. A threshold that followed the noise
    of the frame did worse, since motion looks like noise.

    Args:
        difference: (h, w), of the lightness of two frames after ``match_tone`` and ``remove_grain``.
    """
    power = cv2.blur(np.square(difference), (DIFFERENCE_WINDOW, DIFFERENCE_WINDOW))
    rms = np.sqrt(np.maximum(power, 0))  # OpenCV's running sums leave -0.0001 next to large differences
    return np.asarray(1 / (1 + np.square(np.square(rms / np.float32(MOVED_DIFFERENCE)))), dtype=np.float32)
