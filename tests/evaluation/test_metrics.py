"""Metrics against independent implementations, hand-computed cases and invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from kinemacolor.evaluation.metrics import cdc, colorfulness, psnr


def films(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed)
    return noise.integers(0, 256, (2, 6, 7, 11, 3)).astype(np.uint8)


def test_psnr_is_scikit_images_frame_by_frame() -> None:
    a, b = films()
    expected = [peak_signal_noise_ratio(y, x, data_range=255) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-12)


def test_psnr_does_not_wrap_uint8() -> None:
    dark, bright = np.zeros((1, 2, 2, 3), np.uint8), np.full((1, 2, 2, 3), 255, np.uint8)
    assert psnr(dark, bright)[0] == pytest.approx(0)
    assert psnr(bright, dark)[0] == pytest.approx(0)


def test_psnr_of_the_same_is_infinite() -> None:
    a, _ = films()
    assert np.isinf(psnr(a, a)).all()


def test_psnr_refuses_other_shapes() -> None:
    a, b = films()
    with pytest.raises(ValueError, match="expected shape"):
        psnr(a, b[:, :-1])
    with pytest.raises(ValueError, match="expected uint8"):
        psnr(a.astype(np.float32), b)


def test_colorfulness_of_grey_is_zero_and_of_two_halves_by_hand() -> None:
    grey = np.repeat(films()[0][..., :1], 3, axis=3)
    np.testing.assert_allclose(colorfulness(grey), 0, atol=1e-9)
    halves = np.zeros((1, 2, 2, 3), np.uint8)
    halves[0, :, 0] = (200, 0, 0)  # rg 200, yb 100; the other half 0, 0
    expected = math.hypot(100, 50) + 0.3 * math.hypot(100, 50)
    assert colorfulness(halves)[0] == pytest.approx(expected)


def test_cdc_against_a_plain_loop() -> None:
    film, _ = films(3)

    def entropy(p: list[float]) -> float:
        return -sum(x * math.log(x) for x in p if x > 0)

    total = []
    for k in (1, 2, 4):
        values = []
        for t in range(len(film) - k):
            for c in range(3):
                p, q = ([float((film[i, ..., c] == v).mean()) for v in range(256)] for i in (t, t + k))
                middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
                values.append(entropy(middle) - (entropy(p) + entropy(q)) / 2)
        total.append(sum(values) / len(values))
    assert cdc(film) == pytest.approx(sum(total) / 3, rel=1e-9)


def test_cdc_ignores_where_colours_are_and_notices_flicker() -> None:
    still = np.repeat(films()[0][:1], 6, axis=0)
    moved = still.copy()
    moved[3] = moved[3, ::-1, ::-1]
    assert cdc(still) == 0
    assert cdc(moved) == pytest.approx(0, abs=1e-12)
    flicker = still.copy()
    flicker[::2] = flicker[::2] // 2
    assert cdc(flicker) > 0.1


def test_cdc_refuses_a_film_too_short() -> None:
    with pytest.raises(ValueError, match="more than 4 frames"):
        cdc(films()[0][:4])
