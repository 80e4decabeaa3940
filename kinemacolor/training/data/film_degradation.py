"""Damage of old film, on lightness alone: blur, contrast, flicker, grain, scratches, dust. Truths stay clean."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.training.config.augmentation import FilmWear


def degrade(lightness: FloatArray, noise: np.random.Generator, wear: FilmWear | None = None) -> FloatArray:
    """A degraded copy of a clip's lightness.

    Args:
        lightness: (T, H, W) float32, L* in [0, 100], consecutive frames.
        noise: generator of all draws; the same state gives the same damage.
        wear: probabilities and strengths of the kinds of damage.

    Returns:
        (T, H, W) float32 in [0, 100], a new array.
    """
    wear = wear or FilmWear()
    film = np.array(lightness, dtype=np.float32)
    draws = noise.random(6)  # one for each kind of damage, so that changing one does not change the others
    if draws[0] < wear.blur:
        sigma = float(noise.uniform(0.3, max(0.3, wear.blur_sigma)))
        for number, frame in enumerate(film):
            film[number] = cv2.GaussianBlur(frame, (0, 0), sigma)
    if draws[1] < wear.tone:
        film = _tone(film, noise)
    if draws[2] < wear.flicker:
        level = noise.uniform(0.2, 1) * wear.flicker_level
        gain = 1 + noise.normal(0, level, len(film))
        lift = noise.normal(0, 30 * level, len(film))
        film = film * gain.astype(np.float32)[:, None, None] + lift.astype(np.float32)[:, None, None]
    if draws[3] < wear.scratches:
        _scratch(film, noise)
    if draws[4] < wear.dust:
        _dust(film, noise)
    if draws[5] < wear.grain:
        film += _grain(film, noise, float(noise.uniform(0.15, 1) * wear.grain_level))
    return np.clip(film, 0, 100, out=film)


def _tone(film: FloatArray, noise: np.random.Generator) -> FloatArray:
    """Contrast about middle gray, brightness, and gamma of L*."""
    share = np.clip(film * np.float32(0.01), 0, 1)
    curved = np.power(share, np.float32(np.exp(noise.uniform(-0.4, 0.4))))
    contrast, lift = noise.uniform(0.55, 1.25), noise.uniform(-8, 8)
    return np.asarray((curved - np.float32(0.5)) * np.float32(100 * contrast) + np.float32(50 + lift))


def _grain(film: FloatArray, noise: np.random.Generator, level: float) -> FloatArray:
    """Noise of σ ``level`` in middle grays, half of that in black and white; as fine as a pixel or a little coarser."""
    field = noise.standard_normal(film.shape, dtype=np.float32)
    sigma = float(noise.uniform(0, 0.8))
    if sigma > 0.3:
        for number, frame in enumerate(field):
            field[number] = cv2.GaussianBlur(frame, (0, 0), sigma)
        field /= max(float(field.std()), 1e-6)
    middle = 1 - np.square(film * np.float32(0.02) - 1)
    return np.asarray(field * (np.float32(level) * (np.float32(0.5) + np.float32(0.5) * np.clip(middle, 0, 1))))


def _scratch(film: FloatArray, noise: np.random.Generator) -> None:
    """One to four lines, light or dark, that wander sideways from frame to frame."""
    count, height, width = film.shape
    for _ in range(int(noise.integers(1, 5))):
        x, drift = noise.uniform(0, width), noise.normal(0, 0.7)
        strength = noise.uniform(15, 55) * (1 if noise.random() < 0.6 else -1)
        start, stop = sorted(noise.integers(0, count + 1, 2))
        top, bottom = sorted(noise.integers(0, height + 1, 2)) if noise.random() < 0.5 else (0, height)
        for number in range(start, stop):
            column = round(float(x + drift * number + noise.normal(0, 0.3)))
            if 0 <= column < width:
                film[number, top:bottom, column] += np.float32(strength)


def _dust(film: FloatArray, noise: np.random.Generator) -> None:
    """Up to eight specks a frame, light or dark."""
    _, height, width = film.shape
    for frame in film:
        for _ in range(int(noise.integers(0, 9))):
            center = (int(noise.integers(0, width)), int(noise.integers(0, height)))
            axes = (int(noise.integers(1, 4)), int(noise.integers(1, 3)))
            shade = float(noise.choice([noise.uniform(0, 15), noise.uniform(80, 100)]))
            cv2.ellipse(frame, center, axes, float(noise.uniform(0, 180)), 0, 360, shade, -1, cv2.LINE_8)


def mask_areas(size: tuple[int, int], noise: np.random.Generator) -> Array:
    """(H, W) bool, False in one to four rectangles or ellipses: areas that a painter left out of a reference."""
    height, width = size
    kept = np.ones(size, np.uint8)
    for _ in range(int(noise.integers(1, 5))):
        center = (int(noise.integers(0, width)), int(noise.integers(0, height)))
        axes = (max(1, int(noise.uniform(0.05, 0.22) * width)), max(1, int(noise.uniform(0.05, 0.22) * height)))
        if noise.random() < 0.5:
            cv2.ellipse(kept, center, axes, float(noise.uniform(0, 180)), 0, 360, 0, -1)
        else:
            corners = [(center[0] + s * axes[0], center[1] + s * axes[1]) for s in (-1, 1)]
            cv2.rectangle(kept, corners[0], corners[1], 0, -1)
    return np.asarray(kept, dtype=np.bool_)
