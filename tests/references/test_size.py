"""Sizes at which a network sees pictures."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinemacolor.core.color import codes_to_luma, luma_to_gray_lightness
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.types import Coding, Frame
from kinemacolor.references.size import network_lightness, network_size, picture_aspect, resize_mask, resize_masked
from kinemacolor.video.info import VideoInfo

FLAT = settings(max_examples=60, deadline=None)


@FLAT
@given(width=st.integers(1, 4000), height=st.integers(1, 4000), side=st.none() | st.integers(32, 400))
def test_network_size_keeps_shape_and_area_or_side(width: int, height: int, side: int | None) -> None:
    rows, columns = network_size(width, height, side=side)
    assert min(rows, columns) >= MINIMUM_SIDE
    if side:
        assert min(rows, columns) == side
        assert max(rows, columns) == round(side * max(width, height) / min(width, height))
    elif min(rows, columns) > MINIMUM_SIDE:
        assert columns / rows == pytest.approx(width / height, rel=0.04)
        assert rows * columns == pytest.approx(384 * 216, rel=0.03)


def test_common_films_are_seen_at_about_384_by_216() -> None:
    assert network_size(1920, 1080) == (216, 384)
    assert network_size(1080, 1920) == (384, 216)
    assert network_size(1440, 1080) == (249, 333)
    assert network_size(1440, 1080, side=180) == (180, 240)


@dataclass
class Shape:
    """The part of a ``VideoInfo`` that decides the picture's shape."""

    width: int
    height: int
    sample_aspect_ratio: Fraction


def test_the_aspect_is_that_of_square_pixels() -> None:
    pal = cast(VideoInfo, Shape(720, 576, Fraction(16, 11)))
    assert picture_aspect(pal) == float(Fraction(720 * 16, 11)) / 576
    assert picture_aspect(pal) == pytest.approx(20 / 11)


@pytest.mark.parametrize("coding", [Coding(8, False, "bt709"), Coding(10, True, "bt601")])
def test_lightness_at_network_size_is_that_of_area_means(coding: Coding) -> None:
    codes = np.random.default_rng(1).integers(0, coding.maximum + 1, (96, 128)).astype(coding.dtype)
    small = network_lightness(Frame(0, 0, Fraction(1, 24), codes, coding), (48, 64))
    means = codes_to_luma(codes, coding).reshape(48, 2, 64, 2).mean(axis=(1, 3))
    assert small.dtype == np.float32
    np.testing.assert_allclose(small, luma_to_gray_lightness(means), atol=1e-3)


def test_opaque_pixels_take_no_color_from_transparent_ones() -> None:
    rgb = np.full((40, 60, 3), 0.9, np.float32)
    rgb[:, :25] = (0.2, 0.4, 0.6)
    mask = np.zeros((40, 60), bool)
    mask[:, :25] = True
    for size in ((24, 16), (60, 40), (90, 60)):
        small, opaque = resize_masked(rgb, mask, size), resize_mask(mask, size)
        assert small.shape == (size[1], size[0], 3)
        assert 0.35 < opaque.mean() < 0.5
        np.testing.assert_allclose(small[opaque], np.broadcast_to((0.2, 0.4, 0.6), small[opaque].shape), atol=5e-3)
        np.testing.assert_allclose(small[:, -1], 0.9, atol=1e-5)
    whole = resize_masked(rgb, np.ones_like(mask), (24, 16))
    np.testing.assert_array_equal(whole, cv2.resize(rgb, (24, 16), interpolation=cv2.INTER_AREA))
