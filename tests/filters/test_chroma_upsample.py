"""Guided upsampling of chroma: on photographs and film, at edges, in gamut, and without banding."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from kinemacolor.core import color
from kinemacolor.core.limits import UpsamplingQuality
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, Coding, FloatArray
from kinemacolor.filters.chroma_upsample import align_to_chroma_grid, chroma_planes, scale_saturation, upsample

DATA = Path(os.environ.get("KINEMACOLOR_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILMS = ("davis_goat", "davis_rollercoaster", "propainter_skater")
QUALITIES: tuple[UpsamplingQuality, ...] = ("fast", "best")
CODING = Coding()


def psnr(result: FloatArray, truth: FloatArray) -> float:
    return float(-10 * np.log10(np.mean((result.astype(np.float64) - truth) ** 2)))


def still() -> FloatArray:
    """A photograph from scikit-image, at half size, so that its colors are as sharp as its luma."""
    photograph = data.astronaut().astype(np.float32) / 255
    return resize(photograph, (256, 256))


def film_frame(name: str) -> FloatArray:
    path = DATA / "bench" / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"needs the film {name}: set KINEMACOLOR_DATA to the folder that holds bench/")
    av = pytest.importorskip("av")
    with av.open(str(path)) as film:
        return next(film.decode(video=0)).to_ndarray(format="rgb24").astype(np.float32) / 255


def scores(rgb: FloatArray, size: tuple[int, int]) -> dict[str, float]:
    """PSNR of a frame whose colors were reduced to network size and upsampled to 4:2:0."""
    y, _, _ = color.rgb_to_codes(rgb, CODING)
    ab, luma = color.rgb_to_lab(resize(rgb, size))[..., 1:], color.codes_to_luma(y, CODING)
    low = color.ab_to_chroma(resize(luma, size), ab, CODING.matrix)
    guide = color.to_chroma_grid(luma, (2, 2))
    aligned = align_to_chroma_grid(low, (rgb.shape[0], rgb.shape[1]), (2, 2), "left")
    bicubic = color.fit_gamut(guide, resize(aligned, guide.shape, cv2.INTER_CUBIC), CODING.matrix)
    results: dict[str, tuple[Array, Array]] = {
        quality: chroma_planes(ab, y, CODING, quality=quality) for quality in QUALITIES
    }
    results["bicubic"] = color.chroma_to_codes(bicubic, CODING)
    return {name: psnr(color.yuv_to_rgb(y, *planes, CODING), rgb) for name, planes in results.items()}


@pytest.mark.parametrize("side", [64, 80, 150])
def test_beats_bicubic_on_a_photograph(side: int) -> None:
    score = scores(still(), (side, side))
    assert min(score["fast"], score["best"]) > score["bicubic"] + 0.3


@pytest.mark.parametrize("factor", [10 / 3, 5])
@pytest.mark.parametrize("name", FILMS)
def test_beats_bicubic_on_film(name: str, factor: float) -> None:
    rgb = film_frame(name)
    score = scores(rgb, (round(rgb.shape[0] / factor), round(rgb.shape[1] / factor)))
    assert score["fast"] > score["bicubic"] + 0.15
    assert score["best"] > score["fast"]


def test_beats_bicubic_where_the_chroma_grid_is_smaller_than_the_network() -> None:
    score = scores(film_frame("propainter_skater"), (216, 384))  # 640×360: chroma is 320×180
    assert score["fast"] > score["bicubic"] + 0.3


def test_edge_of_luma_moves_the_edge_of_color() -> None:
    """Bicubic interpolation bleeds color over an edge between two grays; the guide prevents that."""
    guide = np.where(np.arange(96) < 45, 0.2, 0.8).astype(np.float32) * np.ones((64, 1), np.float32)
    truth = np.dstack([(guide - 0.5) * 0.5, (0.5 - guide) * 0.25])
    low, guide_low = resize(truth, (16, 24)), resize(guide, (16, 24))
    error = np.abs(upsample(low, guide_low, guide) - truth).max()
    assert error < 0.4 * np.abs(resize(low, (64, 96), cv2.INTER_CUBIC) - truth).max()


@pytest.mark.parametrize("quality", QUALITIES)
@settings(deadline=None, max_examples=25)
@given(
    st.tuples(st.integers(2, 20), st.integers(2, 20)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.floats(-0.5, 0.5, width=32),
)
def test_constants_are_kept(
    quality: UpsamplingQuality, small: tuple[int, int], size: tuple[int, int], value: float
) -> None:
    rng = np.random.default_rng(0)
    low = np.broadcast_to(np.array([value, -value], np.float32), (*small, 2))
    high = upsample(low, rng.random(small, np.float32), rng.random(size, np.float32), quality=quality)
    assert (high.shape, high.dtype) == ((*size, 2), np.float32)
    assert np.abs(high - low[0, 0]).max() < 2e-4


@pytest.mark.parametrize("quality", QUALITIES)
def test_identity_at_its_own_size(quality: UpsamplingQuality) -> None:
    rng = np.random.default_rng(1)
    low, guide = rng.random((20, 30, 2), np.float32), rng.random((20, 30), np.float32)
    high = upsample(low, guide, guide, quality=quality)
    assert np.array_equal(high, low)
    assert not np.shares_memory(high, low)


@pytest.mark.parametrize("quality", QUALITIES)
def test_area_means_are_kept(quality: UpsamplingQuality) -> None:
    """By back-projection: the means of the result are the network's colors."""
    chroma, luma = (f(still(), "bt709") for f in (color.rgb_to_chroma, color.rgb_to_luma))
    low, luma_low = resize(chroma, (64, 64)), resize(luma, (64, 64))
    error = np.abs(resize(upsample(low, luma_low, luma, quality=quality), (64, 64)) - low).mean()
    plain = np.abs(resize(resize(low, (256, 256), cv2.INTER_CUBIC), (64, 64)) - low).mean()
    assert error < 0.4 * plain


def test_a_film_smaller_than_the_network_gets_area_means() -> None:
    low = np.random.default_rng(2).random((40, 60, 2), np.float32)
    assert np.allclose(upsample(low, low[..., 0], low[::2, ::2, 0]), resize(low, (20, 30)))


@pytest.mark.parametrize("coding", [CODING, Coding(10, True, "bt2020")], ids=str)
@pytest.mark.parametrize("subsampling", [(2, 2), (1, 2), (1, 1)])
@pytest.mark.parametrize("siting", ["left", "center"])
def test_planes_of_a_frame(coding: Coding, subsampling: tuple[int, int], siting: color.Siting) -> None:
    rgb = still()[:253, :241]
    planes = color.rgb_to_codes(rgb, coding, subsampling, siting)
    ab = color.rgb_to_lab(resize(rgb, (127, 121)))[..., 1:]
    u, v = chroma_planes(ab, planes[0], coding, subsampling, siting=siting)
    assert u.shape == v.shape == planes[1].shape
    assert u.dtype == v.dtype == coding.dtype
    assert psnr(color.yuv_to_rgb(planes[0], u, v, coding, siting), rgb) > 33


def test_siting_matters_and_is_honored() -> None:
    rgb = still()
    y, _, _ = color.rgb_to_codes(rgb, CODING)
    ab = color.rgb_to_lab(resize(rgb, (77, 77)))[..., 1:]
    right, wrong = (chroma_planes(ab, y, CODING, siting=siting) for siting in ("left", "center"))
    truth = color.yuv_to_rgb(*color.rgb_to_codes(rgb, CODING), CODING)
    assert psnr(color.yuv_to_rgb(y, *right, CODING), truth) > psnr(color.yuv_to_rgb(y, *wrong, CODING), truth) + 0.2


def test_planes_stay_in_gamut_and_finite() -> None:
    rng = np.random.default_rng(3)
    ab = rng.uniform(-200, 200, (27, 48, 2)).astype(np.float32)
    ab[3, 4] = np.nan
    y = np.repeat(np.repeat(rng.integers(0, 256, (54, 96), dtype=np.uint8), 2, axis=0), 2, axis=1)
    u, v = chroma_planes(ab, y, CODING, siting="center")
    luma = color.codes_to_luma(y[::2, ::2], CODING)
    rgb = color.chroma_to_rgb(luma, color.codes_to_chroma(u, v, CODING), "bt709")
    assert rgb.min() > -1.5 / 224  # rounding of a code value
    assert rgb.max() < 1 + 1.5 / 224
    assert np.ptp(u) > 100


def test_no_color_gives_neutral_planes() -> None:
    y = np.random.default_rng(4).integers(0, 256, (90, 160), dtype=np.uint8)
    for plane in chroma_planes(np.zeros((54, 96, 2), np.float32), y, CODING):
        assert (plane == 128).all()


# --- saturation --------------------


def test_saturation_one_is_the_identity_bit_for_bit() -> None:
    rng = np.random.default_rng(5)
    ab = rng.uniform(-90, 90, (54, 96, 2)).astype(np.float32)
    y = rng.integers(0, 1024, (108, 192), dtype=np.uint16)
    assert scale_saturation(ab, 1.0) is ab
    planes = [chroma_planes(colors, y, Coding(10)) for colors in (ab, scale_saturation(ab, 1))]
    assert all(np.array_equal(*pair) for pair in zip(*planes, strict=True))


def test_saturation_scales_colors() -> None:
    y = np.full((54, 96), 120, np.uint8)
    ab = np.full((54, 96, 2), (6, -9), np.float32)
    assert np.array_equal(scale_saturation(ab, 0), np.zeros_like(ab))
    assert np.array_equal(scale_saturation(ab, 1.5), 1.5 * ab)
    plain, vivid = (
        color.codes_to_chroma(*chroma_planes(scale_saturation(ab, factor), y, Coding()), Coding()).mean(axis=(0, 1))
        for factor in (1, 2)
    )
    assert np.linalg.norm(vivid) == pytest.approx(2 * np.linalg.norm(plain), rel=0.1)


@pytest.mark.parametrize("factor", [1.0, 3.0, 50.0])
def test_saturation_stays_in_gamut(factor: float) -> None:
    y = np.repeat(np.repeat(np.arange(20, 230, 2, dtype=np.uint8)[None], 64, axis=0), 2, axis=1)
    ab = np.full((32, 105, 2), (40, 25), np.float32)
    u, v = chroma_planes(scale_saturation(ab, factor), y, CODING, siting="center")
    luma = color.codes_to_luma(y[::2, ::2], CODING)
    rgb = color.chroma_to_rgb(luma, color.codes_to_chroma(u, v, CODING), "bt709")
    assert rgb.min() > -1.5 / 224
    assert rgb.max() < 1 + 1.5 / 224


@pytest.mark.parametrize("factor", [-0.1, float("nan"), float("inf")])
def test_a_saturation_that_makes_no_sense(factor: float) -> None:
    with pytest.raises(ValueError, match="factor: expected"):
        scale_saturation(np.zeros((2, 2, 2), np.float32), factor)


# --- banding --------------------


@pytest.mark.parametrize("quality", QUALITIES)
def test_ten_bits_show_no_banding(quality: UpsamplingQuality) -> None:
    """A soft gradient uses every code at 10 bits, in steps of one; at 8 bits it has a quarter of them."""
    height, width = 216, 1600
    luma, statistics = np.linspace(0.3, 0.6, width)[None].repeat(height, axis=0), {}
    ab = np.stack(np.broadcast_arrays(np.linspace(5, 30, 384), np.linspace(20, -10, 384)), axis=1)
    colors = np.tile(ab.astype(np.float32), (52, 1, 1))
    for depth in (8, 10):
        coding = Coding(depth)
        plane = np.rint(luma * (219 << (depth - 8)) + (16 << (depth - 8))).astype(coding.dtype)
        for name, planes in zip("uv", chroma_planes(colors, plane, coding, quality=quality), strict=True):
            row = planes[height // 4].astype(int)
            statistics[name, depth] = len(np.unique(row)), np.abs(np.diff(row)).max(), np.ptp(row)
    for name in "uv":
        codes, step, span = statistics[name, 10]
        assert step == 1
        assert codes == span + 1
        assert codes > 3.5 * statistics[name, 8][0]
