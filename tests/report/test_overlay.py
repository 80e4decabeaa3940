"""Confidence as a heat map."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.report.overlay import (
    CONFIDENCE_SPAN,
    HEAT_MAP_COLORS,
    HEAT_MAP_OPACITY,
    LEGEND_MINIMUM_HEIGHT,
    LEGEND_MINIMUM_WIDTH,
    overlay,
)
from tests.stills import halves

# Machado, Oliveira and Fernandes 2009, severity 1, on linear R, G, B.
SIGHT = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
    "none": ((0.2126, 0.7152, 0.0722),) * 3,
}


def ramp(height: int, width: int) -> FloatArray:
    """Rises from -1 to 1, from left to right."""
    rising: FloatArray = np.linspace(-1, 1, width, dtype=np.float32)[None].repeat(height, 0)
    return rising


def as_seen(rgb: Array, sight: str) -> Array:
    """Lab of R'G'B' codes as people with a kind of color vision see them."""
    encoded = rgb / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SIGHT[sight]).T, 0, 1)
    shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab: Array = rgb_to_lab(shown.astype(np.float32)[None])[0]
    return lab


# --- the heat map --------------------


@pytest.mark.parametrize("size", [(53, 97), (108, 192), (271, 479)])
def test_the_heat_map_is_a_mixture_of_gray_and_its_colors(size: tuple[int, int]) -> None:
    height, width = size
    rgb = halves(width, height)
    similarity = ramp(height, width)
    image = overlay(rgb, similarity, span=(-0.5, 0.9), legend=False)
    assert image.shape == rgb.shape
    assert image.dtype == np.uint8
    for y, x in ((0, 0), (height // 2, width // 3), (height - 1, width - 1), (7, width - 11)):
        place = 4 * min(1, max(0, (float(similarity[y, x]) + 0.5) / 1.4))
        step = min(3, int(place))
        color = np.array(HEAT_MAP_COLORS[step]) + (place - step) * (
            np.array(HEAT_MAP_COLORS[step + 1]) - np.array(HEAT_MAP_COLORS[step])
        )
        gray = rgb[y, x] @ [0.2126, 0.7152, 0.0722]
        np.testing.assert_allclose(image[y, x], (1 - HEAT_MAP_OPACITY) * gray + HEAT_MAP_OPACITY * color, atol=1)


def test_a_small_map_is_stretched_over_the_frame() -> None:
    similarity = np.array([[0.4, 1.0], [1.0, 0.4]], np.float32)
    image = overlay(np.full((100, 200, 3), 128, np.uint8), similarity, legend=False).astype(int)
    yellow = image[..., 0] - image[..., 2]
    assert yellow[:20, :40].min() > 90
    assert yellow[-20:, -40:].min() > 90
    assert yellow[:20, -40:].max() < -50
    assert yellow[-20:, :40].max() < -50


def test_the_picture_shows_through() -> None:
    rgb = halves(200, 120)
    image = overlay(rgb, np.full((120, 200), 0.7, np.float32), legend=False)
    assert np.corrcoef(image[..., 1].ravel(), (rgb @ [0.2126, 0.7152, 0.0722]).ravel())[0, 1] > 0.99


@pytest.mark.parametrize("sight", sorted(SIGHT))
def test_the_colors_differ_for_every_kind_of_color_vision(sight: str) -> None:
    """Over one picture, neighbors differ by several just noticeable differences, and lightness is monotonic."""
    mixed = (1 - HEAT_MAP_OPACITY) * 128 + HEAT_MAP_OPACITY * np.array(HEAT_MAP_COLORS, np.float64)
    lab = as_seen(mixed, sight)
    assert (np.linalg.norm(np.diff(lab, axis=0), axis=1) > 6).all()
    assert (np.diff(lab[:, 0]) < 0).all()
    assert np.linalg.norm(lab[0] - lab[-1]) > 30


@pytest.mark.parametrize(
    "size", [(LEGEND_MINIMUM_HEIGHT, LEGEND_MINIMUM_WIDTH), (180, 320), (270, 480), (1080, 1920), (576, 324)]
)
def test_the_legend_is_at_the_lower_left_and_inside(size: tuple[int, int]) -> None:
    height, width = size
    rgb, similarity = np.full((height, width, 3), 90, np.uint8), np.full(size, 0.8, np.float32)
    without = overlay(rgb, similarity, legend=False)
    changed = (overlay(rgb, similarity) != without).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert 0 < columns[0] < width * 0.05
    assert columns[-1] < width * 0.7
    assert height * 0.5 < rows[0]
    assert rows[-1] < height - 1
    assert changed.mean() < 0.2
    box = overlay(rgb, similarity)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(int)
    assert box.min() < 40
    assert (box.max(axis=(0, 1)) > 200).all()  # white letters
    colored = np.abs(box[..., 0] - box[..., 2]).max(axis=0)
    assert colored[: len(colored) // 2].max() > 60  # yellow at its left
    assert colored[len(colored) // 2 :].max() > 40


def test_frames_too_small_have_no_legend() -> None:
    for height, width in (
        (LEGEND_MINIMUM_HEIGHT - 1, LEGEND_MINIMUM_WIDTH),
        (LEGEND_MINIMUM_HEIGHT, LEGEND_MINIMUM_WIDTH - 1),
        (1, 1),
    ):
        rgb, similarity = np.full((height, width, 3), 90, np.uint8), np.full((2, 2), 0.8, np.float32)
        np.testing.assert_array_equal(overlay(rgb, similarity), overlay(rgb, similarity, legend=False))


def test_the_frame_is_not_changed() -> None:
    rgb, similarity = halves(320, 180), ramp(180, 320)
    before = rgb.copy(), similarity.copy()
    overlay(rgb, similarity)
    np.testing.assert_array_equal(rgb, before[0])
    np.testing.assert_array_equal(similarity, before[1])


def test_arguments_are_checked() -> None:
    rgb, similarity = halves(), ramp(64, 96)
    for picture in (rgb[..., 0], rgb[..., :2], rgb.astype(np.float32), rgb[:0]):
        with pytest.raises(ValueError, match="rgb: expected"):
            overlay(picture, similarity)
    for values in (similarity[0], similarity * 2, similarity * np.nan, similarity[:0]):
        with pytest.raises(ValueError, match="similarity: expected"):
            overlay(rgb, values)
    for span in ((1.0, 0.4), (0.5, 0.5), (-2.0, 1.0)):
        with pytest.raises(ValueError, match="span: expected two ascending"):
            overlay(rgb, similarity, span=span)
    assert CONFIDENCE_SPAN[0] < CONFIDENCE_SPAN[1]
