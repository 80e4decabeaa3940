"""Metrics against independent implementations, hand-computed cases and invariances."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array
from kinemacolor.evaluation.metrics import (
    _ab,
    _ciede2000,
    cdc,
    colorfulness,
    delta_e,
    psnr,
    ssim,
    warping_errors,
    wrapped_psnr,
)


def films(seed: int = 0, shape: tuple[int, ...] = (6, 7, 11, 3)) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(seed)
    return noise.integers(0, 256, (2, *shape)).astype(np.uint8)


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


def test_colorfulness_of_gray_is_zero_and_of_two_halves_by_hand() -> None:
    gray = np.repeat(films()[0][..., :1], 3, axis=3)
    np.testing.assert_allclose(colorfulness(gray), 0, atol=1e-9)
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


def test_cdc_ignores_where_colors_are_and_notices_flicker() -> None:
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


# --- similarity of structure --------------------


def test_ssim_is_scikit_images_at_prime_sizes() -> None:
    a, b = films(1, (3, 23, 31, 3))
    b = (b // 4 + a // 2).astype(np.uint8)  # alike enough that no term vanishes
    expected = [
        structural_similarity(
            y, x, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for x, y in zip(a, b, strict=True)
    ]
    assert 0.1 < min(expected) < 0.9
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-10)


def test_ssim_of_the_same_is_one_and_of_black_and_white_by_hand() -> None:
    a, _ = films(2, (2, 13, 17, 3))
    np.testing.assert_allclose(ssim(a, a), 1, rtol=1e-12)
    black, white = np.zeros((1, 11, 13, 3), np.uint8), np.full((1, 11, 13, 3), 255, np.uint8)
    low = (0.01 * 255) ** 2
    assert ssim(black, white)[0] == pytest.approx(low / (255**2 + low))  # a wrap of uint8 would make it 1


def test_ssim_needs_its_window() -> None:
    a, b = films()
    with pytest.raises(ValueError, match="sides of at least 11 pixels, got 11x7"):
        ssim(a, b)


# --- color difference --------------------

SHARMA = (
    (2.6772, -79.7751, 0.0, -82.7485, 2.0425),
    (-1.3802, -84.2814, 0.0, -82.7485, 1.0),
    (0.0, 0.0, -1.0, 2.0, 2.3669),
    (2.49, -0.001, -2.49, 0.0009, 7.1792),
    (2.49, -0.001, -2.49, 0.0011, 7.2195),
    (-0.001, 2.49, 0.0009, -2.49, 4.8045),
    (-0.001, 2.49, 0.0011, -2.49, 4.7461),
    (2.5, 0.0, 0.0, -2.5, 4.3065),
    (2.5, 0.0, 3.1736, 0.5854, 1.0),
    (2.5, 0.0, 1.8634, 0.5757, 1.0),
)
"""a*, b* of pairs with one L* in the test data of Sharma, Wu and Dalal (2005), table 1, and their difference."""


def test_ciede2000_of_the_published_pairs() -> None:
    a1, b1, a2, b2, expected = np.array(SHARMA).T
    np.testing.assert_allclose(_ciede2000(a1, b1, a2, b2), expected, atol=5.1e-5)
    np.testing.assert_allclose(_ciede2000(a2, b2, a1, b1), expected, atol=5.1e-5)


def test_ciede2000_is_scikit_images_over_the_gamut_and_at_opposite_hues() -> None:
    ab = np.random.default_rng(4).uniform(-110, 110, (4, 997))
    ab[:, 500:600] = np.round(ab[:, 500:600], -1)
    ab[0, 600:650] = ab[1, 650:700] = 0
    ab[2:, 600:700] = -ab[:2, 600:700] * 0.5  # exactly opposite, and so in floating-point angles too
    ab[:2, 700:720] = 0
    ab[2:, 710:730] = 0
    first, second = (np.stack([np.full(997, 50.0), *ab[part]], axis=-1) for part in (slice(2), slice(2, 4)))
    np.testing.assert_allclose(_ciede2000(*ab), deltaE_ciede2000(first, second), rtol=1e-6, atol=1e-6)


def test_delta_e_is_scikit_images_with_the_truths_lightness() -> None:
    a, b = films(5, (2, 67, 71, 3))  # more pixels than one tile
    expected = []
    for x, y in zip(a, b, strict=True):
        lab, true = rgb2lab(x), rgb2lab(y)
        lab[..., 0] = true[..., 0]
        expected.append(deltaE_ciede2000(lab, true).mean())
    np.testing.assert_allclose(delta_e(a, b), expected, atol=2e-3)  # its white differs in the fifth figure


def test_delta_e_takes_a_and_b_from_the_packages_lab() -> None:
    frame = films(6)[0][0]
    expected = rgb_to_lab(frame.astype(np.float32) / 255)[..., 1:]
    np.testing.assert_allclose(np.stack(_ab(frame), axis=-1), expected, atol=2e-3)


def test_delta_e_sees_color_alone() -> None:
    a, b = films(7)
    gray, other = (np.repeat(film[..., :1], 3, axis=3) for film in (a, b))
    np.testing.assert_allclose(delta_e(gray, other), 0, atol=1e-9)
    np.testing.assert_array_equal(delta_e(a, a), 0)
    assert (delta_e(gray, a) > 5).all()


# --- warping error --------------------


def still_flow(count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((count, height, width, 2), np.float16), np.ones((count, height, width), np.bool_)


def slow_warping_error(film: np.ndarray, flow: np.ndarray, visible: np.ndarray) -> list[float]:
    _, height, width, _ = film.shape
    values = []
    for t in range(len(flow)):
        total, weight = 0.0, 0
        for y in range(height):
            for x in range(width):
                if not visible[t, y, x]:
                    continue
                u = min(max(x + float(flow[t, y, x, 0]), 0.0), width - 1.0)
                v = min(max(y + float(flow[t, y, x, 1]), 0.0), height - 1.0)
                for c in range(3):
                    value = 0.0
                    for row in range(height):
                        for column in range(width):
                            share = max(0.0, 1 - abs(v - row)) * max(0.0, 1 - abs(u - column))
                            value += share * float(film[t, row, column, c]) / 255
                    total += (float(film[t + 1, y, x, c]) / 255 - value) ** 2
                    weight += 1
        values.append(total / weight)
    return values


def test_warping_error_against_a_slow_loop() -> None:
    noise = np.random.default_rng(8)
    two = [noise.integers(0, 256, (3, 7, 5, 3)).astype(np.uint8) for _ in range(2)]
    flow = noise.normal(0, 2, (2, 7, 5, 2)).astype(np.float16)
    visible = noise.random((2, 7, 5)) < 0.7
    expected = [slow_warping_error(film, flow, visible) for film in two]
    np.testing.assert_allclose(warping_errors(two, flow, visible), expected, rtol=1e-9)


def test_warping_error_of_a_shift_is_zero_only_with_the_backward_flow() -> None:
    wide = np.random.default_rng(9).integers(0, 256, (1, 11, 40, 3)).astype(np.uint8)
    film = np.concatenate([wide[:, :, 3 * t : 3 * t + 23] for t in range(3)])  # the picture moves 3 pixels to the left
    flow, visible = still_flow(2, 11, 23)
    flow[..., 0] = 3
    visible[..., -3:] = False
    np.testing.assert_array_equal(warping_errors([film], flow, visible), 0)
    assert (warping_errors([film], -flow, visible) > 0.05).all()


def test_warping_error_by_hand() -> None:
    film = np.zeros((3, 5, 7, 3), np.uint8)
    film[1] = 255  # black, white, black: the differences are 1 either way, where uint8 would wrap to 1/255
    flow, visible = still_flow(2, 5, 7)
    np.testing.assert_allclose(warping_errors([film], flow, visible), [[1, 1]])
    film[1, ..., 1:] = 0
    np.testing.assert_allclose(warping_errors([film], flow, visible), [[1 / 3, 1 / 3]])
    visible[1] = False
    np.testing.assert_allclose(warping_errors([film], flow, visible), [[1 / 3, 0]])


def test_warping_error_refuses_the_flow_of_another_film() -> None:
    film, _ = films()
    with pytest.raises(ValueError, match="4 pairs"):
        warping_errors([film], *still_flow(4, 7, 11))
    with pytest.raises(ValueError, match="11x8"):
        warping_errors([film], *still_flow(5, 8, 11))


# --- what all share --------------------


@pytest.mark.parametrize("metric", [psnr, ssim, delta_e, lambda a, b: colorfulness(a)])
def test_frames_are_measured_one_by_one(metric: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    a, b = films(10, (5, 13, 17, 3))
    order = [3, 0, 4, 2, 1]
    values = metric(a, b)
    assert len(np.unique(values)) == 5
    np.testing.assert_array_equal(metric(a[order], b[order]), values[order])


@pytest.mark.parametrize("metric", [psnr, ssim, delta_e])
def test_bad_films_are_named(metric: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    a, b = films(11, (4, 13, 17, 3))
    bad = a.astype(np.float32)
    bad[2, 3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="result: contains NaN, first in frame 2"):
        metric(bad, b)
    with pytest.raises(ValueError, match="4 frames, got 3 frames"):
        metric(a[:3], b)
    with pytest.raises(ValueError, match="17x13 pixels, got 16x13"):
        metric(a[:, :, 1:], b)


def test_colorfulness_against_plain_numpy() -> None:
    a, _ = films(12, (2, 37, 41, 3))
    r, g, b = np.moveaxis(a.astype(np.float64), 3, 0)
    rg, yb = r - g, (r + g) / 2 - b
    deviation = np.sqrt(rg.var(axis=(1, 2)) + yb.var(axis=(1, 2)))
    mean = np.sqrt(rg.mean(axis=(1, 2)) ** 2 + yb.mean(axis=(1, 2)) ** 2)
    np.testing.assert_allclose(colorfulness(a), deviation + 0.3 * mean, rtol=1e-12)


# --- as others define it --------------------


def test_what_colormnets_script_calls_psnr() -> None:
    """Its own lines, on uint8: an error of 16 disappears, one of 250 is one of 6."""

    def script(img1: Array, img2: Array) -> float:
        mse_value = ((img1 - img2) ** 2).mean()
        return float("inf") if mse_value == 0 else 20.0 * np.log10(255.0 / np.sqrt(mse_value))

    noise = np.random.default_rng(0)
    truth, result = noise.integers(0, 256, (2, 3, 12, 13, 3)).astype(np.uint8)
    np.testing.assert_allclose(wrapped_psnr(result, truth), [script(a, b) for a, b in zip(truth, result, strict=True)])
    assert wrapped_psnr(result, truth).mean() > psnr(result, truth).mean() + 1
    flat = np.full((1, 12, 13, 3), 100, np.uint8)
    assert wrapped_psnr(flat + np.uint8(16), flat)[0] == np.inf
    assert wrapped_psnr(flat - np.uint8(100), flat + np.uint8(150))[0] == pytest.approx(20 * np.log10(255 / 6))
    assert wrapped_psnr(flat + np.uint8(3), flat)[0] == pytest.approx(psnr(flat + np.uint8(3), flat)[0])
