"""Color arithmetic: against scikit-image, round trips, and properties such as a color's luma that must not change."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb, rgb2lab

from kinemacolor.core import color
from kinemacolor.core.types import Coding, Matrix

MATRICES = get_args(Matrix)
CODINGS = [Coding(bits, full, matrix) for bits in (8, 10) for full in (False, True) for matrix in MATRICES]
channel = st.floats(0, 1, width=32)


def every_color(steps: int = 27) -> np.ndarray:
    axis = np.linspace(0, 1, steps, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(steps, -1, 3)


def colors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, count + 3, 3), dtype=np.float32)


def test_lab_agrees_with_scikit_image() -> None:
    rgb = every_color()
    expected = rgb2lab(rgb.astype(np.float64))
    assert np.abs(color.rgb_to_lab(rgb) - expected).max() < 1e-2
    assert np.abs(color.lab_to_rgb(expected) - lab2rgb(expected)).max() < 5e-4


def test_lab_round_trip_and_shapes() -> None:
    rgb = every_color()
    lab = color.rgb_to_lab(rgb)
    assert lab.dtype == np.float32
    assert np.abs(color.lab_to_rgb(lab) - rgb).max() < 5e-5
    assert np.allclose(color.rgb_to_lab(rgb[3, 5]), lab[3, 5], atol=1e-4)


def test_lab_beyond_gamut_is_continued_not_clipped() -> None:
    beyond = np.array([[1.2, 0.5, -0.1], [-0.3, 0.9, 0.4]], dtype=np.float32)
    assert np.allclose(color.lab_to_rgb(color.rgb_to_lab(beyond)), beyond, atol=1e-4)


def test_gray_has_no_chroma() -> None:
    gray = np.repeat(np.linspace(0, 1, 101, dtype=np.float32)[:, None], 3, axis=1)
    assert np.abs(color.rgb_to_lab(gray)[:, 1:]).max() < 1e-3


@pytest.mark.parametrize("coding", [*CODINGS, Coding(16)], ids=str)
def test_lightness_of_luma_codes(coding: Coding) -> None:
    plane = np.arange(coding.maximum + 1, dtype=coding.dtype)[None]
    unit = 1 << (coding.bit_depth - 8)
    black, white = (0, coding.maximum) if coding.full_range else (16 * unit, 235 * unit)
    lightness = color.luma_to_lightness(plane, coding)
    assert (lightness.shape, lightness.dtype) == (plane.shape, np.float32)
    gray = np.clip((plane.astype(np.float64) - black) / (white - black), 0, 1)
    assert np.abs(lightness - rgb2lab(np.repeat(gray[..., None], 3, axis=-1))[..., 0]).max() < 1e-2
    assert lightness[0, black] == pytest.approx(0, abs=1e-5)
    assert lightness[0, white] == pytest.approx(100, abs=1e-3)
    assert (np.diff(lightness[0]) >= 0).all()


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_film_and_still_show_the_same_lightness(coding: Coding) -> None:
    rgb = colors(40)
    film = color.luma_to_lightness(color.rgb_to_codes(rgb, coding)[0], coding)
    still = color.still_lightness(rgb, coding.matrix)
    assert np.abs(film - still).max() < 0.5 * 100 / 219 * 1.6  # half a code value, at the steepest slope of L*


@pytest.mark.parametrize("matrix", MATRICES)
def test_chroma_of_ab_gives_the_color_back(matrix: Matrix) -> None:
    rgb = every_color()
    luma = color.rgb_to_luma(rgb, matrix)
    chroma = color.ab_to_chroma(luma, color.rgb_to_lab(rgb)[..., 1:], matrix)
    error = np.abs(color.chroma_to_rgb(luma, chroma, matrix) - rgb).max(axis=-1)
    assert error.max() < 2.5e-3
    assert np.quantile(error, 0.999) < 2e-4
    assert np.abs(chroma - color.rgb_to_chroma(rgb, matrix)).max() < 2.5e-3


@given(st.tuples(channel, channel, channel), st.sampled_from(MATRICES))
def test_chroma_keeps_luma_and_ab(rgb: tuple[float, float, float], matrix: Matrix) -> None:
    before = np.array(rgb, dtype=np.float32)
    lab = color.rgb_to_lab(before)
    luma = color.rgb_to_luma(before, matrix)
    chroma = color.ab_to_chroma(luma, lab[1:], matrix)
    after = color.chroma_to_rgb(luma, chroma, matrix)
    assert abs(float(color.rgb_to_luma(after, matrix) - luma)) < 1e-5
    assert np.abs(after - before).max() < 4e-3


@pytest.mark.parametrize("matrix", MATRICES)
def test_any_ab_gives_finite_chroma_and_a_color_in_gamut(matrix: Matrix) -> None:
    axis = np.array([-1e30, -300, -128, -60, -1, 0, 2, 60, 128, 300, np.inf, -np.inf, np.nan])
    luma, a, b = np.meshgrid([0, 1e-6, 0.01, 0.5, 0.99, 1, -0.2, 1.3], axis, axis, indexing="ij")
    chroma = color.ab_to_chroma(luma, np.stack([a, b], axis=-1), matrix)
    assert np.isfinite(chroma).all()
    assert np.abs(chroma).max() < 3
    rgb = color.chroma_to_rgb(np.clip(luma, 0, 1), color.fit_gamut(luma, chroma, matrix), matrix)
    assert rgb.min() > -1e-6
    assert rgb.max() < 1 + 1e-6


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_neutral_stays_neutral(coding: Coding) -> None:
    luma = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    chroma = color.ab_to_chroma(luma, np.zeros((16, 16, 2), np.float32), coding.matrix)
    assert np.abs(chroma).max() < 1e-5
    for plane in color.chroma_to_codes(color.fit_gamut(luma, chroma, coding.matrix), coding):
        assert (plane == 128 << (coding.bit_depth - 8)).all()
        assert plane.dtype == coding.dtype


@settings(deadline=None)
@given(st.floats(0, 1, width=32), st.floats(-1, 1, width=32), st.floats(-1, 1, width=32), st.sampled_from(MATRICES))
def test_gamut_keeps_luma_and_hue(luma: float, cb: float, cr: float, matrix: Matrix) -> None:
    gray, chroma = np.float32(luma).reshape(1), np.array([[cb, cr]], dtype=np.float32)
    fitted = color.fit_gamut(gray, chroma, matrix)
    before, after = (color.chroma_to_rgb(gray, x, matrix) for x in (chroma, fitted))
    assert after.min() > -1e-6
    assert after.max() < 1 + 1e-6
    assert np.abs(color.rgb_to_luma(after, matrix) - gray).max() < 1e-6
    assert abs(fitted[0, 0] * chroma[0, 1] - fitted[0, 1] * chroma[0, 0]) < 1e-6  # on the line to gray
    assert (fitted * chroma >= 0).all()
    if before.min() >= 1e-6 and before.max() <= 1 - 1e-6:
        assert np.array_equal(fitted, chroma)
    elif before.min() < -1e-6 or before.max() > 1 + 1e-6:
        assert min(after.min(), 1 - after.max()) < 1e-5  # no further inside than necessary


def test_gamut_leaves_its_input_alone() -> None:
    chroma = np.full((4, 4, 2), 0.5, np.float32)
    color.fit_gamut(np.full((4, 4), 0.9, np.float32), chroma, "bt709")
    assert (chroma == 0.5).all()


@pytest.mark.parametrize(
    ("coding", "expected"),
    [(Coding(8), (16, 128, 240)), (Coding(10), (64, 512, 960)), (Coding(8, True), (0, 128, 255)),
     (Coding(10, True), (0, 512, 1023))],
)  # fmt: skip
def test_chroma_codes_at_the_ends(coding: Coding, expected: tuple[int, int, int]) -> None:
    for level, code in zip((-0.5, 0.0, 0.5), expected, strict=True):
        u, v = color.chroma_to_codes(np.array([[[level, -level]]], dtype=np.float32), coding)
        assert (u[0, 0], v[0, 0]) == (code, expected[::-1][expected.index(code)])
    u, _ = color.chroma_to_codes(np.array([[[7.0, 0.0]]], dtype=np.float32), coding)
    assert u[0, 0] == expected[2]


def test_chroma_codes_are_rounded() -> None:
    u, v = color.chroma_to_codes(np.array([[[0.6 / 224, -0.4 / 224]]], dtype=np.float32), Coding(8))
    assert (u[0, 0], v[0, 0]) == (129, 128)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(CODINGS), st.integers(0, 2**16))
def test_codes_round_trip(coding: Coding, seed: int) -> None:
    rgb = colors(6, seed)
    y, u, v = color.rgb_to_codes(rgb, coding, (1, 1))
    assert y.dtype == u.dtype == v.dtype == coding.dtype
    back = color.yuv_to_rgb(y, u, v, coding)
    assert np.abs(back - rgb).max() < 2 / (219 << (coding.bit_depth - 8))
    again = color.rgb_to_codes(back, coding, (1, 1))
    assert all(np.abs(p.astype(int) - q.astype(int)).max() <= 1 for p, q in zip((y, u, v), again, strict=True))


def test_known_bt709_codes() -> None:
    bars = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]], dtype=np.float32)
    y, u, v = color.rgb_to_codes(bars, Coding(8), (1, 1))
    assert (y.tolist(), u.tolist(), v.tolist()) == ([[63, 173, 32, 235]], [[102, 42, 240, 128]], [[240, 26, 118, 128]])


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("subsampling", [(1, 1), (1, 2), (2, 2)])
def test_chroma_grid_sizes_and_constants(size: tuple[int, int], subsampling: tuple[int, int]) -> None:
    image = np.full((*size, 2), 0.25, np.float32)
    grid = color.to_chroma_grid(image, subsampling)
    assert grid.shape == (-(-size[0] // subsampling[0]), -(-size[1] // subsampling[1]), 2)
    back = color.from_chroma_grid(grid, size)
    assert back.shape == image.shape
    assert np.allclose(back, image)


@pytest.mark.parametrize(("siting", "offset"), [("left", 0.0), ("center", 0.5)])
def test_chroma_siting(siting: color.Siting, offset: float) -> None:
    x = np.broadcast_to(np.arange(16, dtype=np.float32), (4, 16))
    grid = color.to_chroma_grid(x, (2, 2), siting)
    assert np.allclose(grid[:, 1:-1], 2 * np.arange(8)[1:-1] + offset)
    back = color.from_chroma_grid(np.dstack([grid, grid]), (4, 16), siting)
    assert np.allclose(back[:, 4:-4, 0], x[:, 4:-4], atol=0.02)
