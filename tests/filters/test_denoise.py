"""Denoising of the network's input: less noise, the same picture; a clean film is left as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from kinemacolor.core.types import FloatArray
from kinemacolor.filters.denoise import CLEAN_NOISE, DenoiseState, denoise, match_tone, noise_level, stillness

SIZE = (71, 89)


def picture(seed: int = 0) -> FloatArray:
    """Areas of one lightness each, with sharp edges and a soft gradient."""
    rng, image = np.random.default_rng(seed), np.tile(np.linspace(30, 60, SIZE[1], dtype=np.float32), (SIZE[0], 1))
    for _ in range(12):
        x, y = int(rng.integers(SIZE[1])), int(rng.integers(SIZE[0]))
        cv2.rectangle(image, (x, y), (x + 20, y + 14), float(rng.uniform(10, 90)), -1)
    return image


def grain(sigma: float, count: int, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(0, sigma, (count, *SIZE)).astype(np.float32)


def denoised(frames: FloatArray) -> FloatArray:
    """The frames of a shot after denoising."""
    state, results = None, []
    for frame in frames:
        image, state = denoise(frame, state)
        results.append(image)
    return np.stack(results)


def test_grain_is_removed_despite_flicker_and_edges_stay() -> None:
    clean = picture()
    flickering = clean * np.random.default_rng(2).normal(1, 0.04, (12, 1, 1)).astype(np.float32)
    film = np.clip(flickering + grain(3, 12), 0, 100)
    results = denoised(film)
    across, down = (np.abs(cv2.Sobel(clean, cv2.CV_32F, *axis)) for axis in ((1, 0), (0, 1)))
    flat = cv2.dilate(across + down, np.ones((5, 5))) < 10
    first, later = (results - flickering)[0, flat].std(), (results - flickering)[6:, flat].std()
    assert first < 0.5 * (film - flickering)[0, flat].std()
    assert later < 0.75 * first
    steep = across > 80
    slopes = [np.abs(cv2.Sobel(image, cv2.CV_32F, 1, 0))[steep].mean() for image in (clean, results[11])]
    assert slopes[1] > 0.85 * slopes[0]
    assert results.min() >= 0
    assert results.max() <= 100
    assert results.dtype == np.float32


def test_a_clean_film_is_left_as_it_is() -> None:
    _, state = denoise(picture())
    for shift in range(1, 4):
        frame = np.roll(picture(), 3 * shift, axis=1)
        result, state = denoise(frame, state)
        assert np.array_equal(result, frame)


def test_scratches_and_dust_are_removed() -> None:
    clean = np.full((1, *SIZE), 40, np.float32)
    film = clean + grain(2, 1)
    film[0, :, 30] += 40
    film[0, 20, 60] = 0
    results = denoised(film)
    assert np.abs(results[0, :, 30] - 40).mean() < 4
    assert abs(float(results[0, 20, 60]) - 40) < 4


def test_a_moving_object_leaves_no_trail() -> None:
    film = np.stack([picture()] * 10)
    for number, frame in enumerate(film):
        frame[20:50, 4 + 6 * number : 24 + 6 * number] = 92
    results = denoised(film + grain(2.5, 10))
    assert np.abs(cv2.blur(results[9] - film[9], (3, 3))).max() < 12


def test_a_fade_is_kept() -> None:
    clean = picture()
    film = np.stack([clean * np.float32(max(0.2, 1 - 0.03 * number)) for number in range(40)]) + grain(2, 40)
    results = denoised(np.clip(film, 0, 100))
    assert abs(float(results[39].mean() - film[39].mean())) < 2


def test_the_state_is_a_value() -> None:
    frames = picture() + grain(3, 3)
    _, state = denoise(frames[0])
    copies = state.lightness.copy(), state.weight.copy(), state.noise
    second, _ = denoise(frames[1], state)
    denoise(frames[2], state)
    repeated, _ = denoise(frames[1], DenoiseState(*copies))
    assert np.array_equal(second, repeated)
    assert np.array_equal(copies[0], state.lightness)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0])
def test_the_noise_is_measured(sigma: float) -> None:
    flat = np.full(SIZE, 50, np.float32) + grain(sigma, 1)[0]
    assert noise_level(flat) == pytest.approx(sigma, rel=0.05)
    assert noise_level(picture() + grain(sigma, 1)[0]) == pytest.approx(sigma, rel=0.25)
    assert noise_level(picture()) < CLEAN_NOISE / 2


def test_flicker_is_measured_despite_motion() -> None:
    before = picture(4)
    after = before.copy()
    after[:30, :40] = 95
    gain, lift = match_tone(before, np.float32(0.8) * after + np.float32(6))
    assert gain == pytest.approx(0.8, abs=0.02)
    assert lift == pytest.approx(6, abs=1)
    # the gain of pictures that differ everywhere is that of their contrast
    gain, _ = match_tone(picture(5) + grain(10, 1)[0], picture(5) + grain(10, 1, 7)[0])
    assert gain == pytest.approx(1, abs=0.05)


def test_stillness_by_another_implementation() -> None:
    difference = grain(1, 1)[0]
    difference[20:40, 30:60] += 9
    moved = np.sqrt(ndimage.uniform_filter(difference.astype(np.float64) ** 2, 7, mode="mirror"))
    assert np.allclose(stillness(difference), 1 / (1 + (moved / 1.5) ** 4), atol=1e-4)
    spike = np.zeros(SIZE, np.float32)
    spike[30, 40] = 1e4
    assert np.isfinite(stillness(spike)).all()
