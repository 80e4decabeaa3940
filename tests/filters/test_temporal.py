"""Temporal smoothing of colors: against a slow reimplementation, and on small scenes with known truth."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from scipy import ndimage

from kinemacolor.core.types import FloatArray
from kinemacolor.filters.temporal import (
    CHANGE_SHARE,
    MINIMUM_COLOR_SHARE,
    NOISE_MARGIN,
    SIMILARITY_GAIN,
    TOLERATED_CHANGE,
    ChromaTemporalFilter,
    TemporalFilterState,
)

SIZE = (53, 67)


def texture(seed: int, size: tuple[int, int] = SIZE, sigma: float = 4.0) -> FloatArray:
    """Blotches of lightness, 20 to 80."""
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(size), (0, 0), sigma)
    return np.asarray(20 + 60 * (field - field.min()) / np.ptp(field), dtype=np.float32)


def smoothed(
    lightness: list[FloatArray],
    ab: list[FloatArray],
    temporal_filter: ChromaTemporalFilter | None = None,
    similarity: float = 0.8,
) -> list[FloatArray]:
    """The colors of the frames of a shot after the filter."""
    temporal_filter, state, results = temporal_filter or ChromaTemporalFilter(), None, []
    for image, colors in zip(lightness, ab, strict=True):
        result, state = temporal_filter(image, colors, np.full(image.shape, similarity, np.float32), state)
        results.append(result)
    return results


def shimmering(count: int, seed: int = 0, level: float = 2.0) -> tuple[list[FloatArray], list[FloatArray]]:
    """A static picture with grain and flicker, and colors that shimmer around (20, -10)."""
    rng, picture = np.random.default_rng(seed), texture(seed)
    lightness, colors = [], []
    for _ in range(count):
        grain = rng.normal(0, 2.5, SIZE) + rng.normal(0, 2)
        lightness.append(np.clip(picture * rng.normal(1, 0.04) + grain, 0, 100).astype(np.float32))
        noise = rng.standard_normal((*SIZE, 2))
        blotches = np.stack([cv2.GaussianBlur(noise[..., channel], (0, 0), 2) for channel in (0, 1)], axis=2)
        colors.append((np.array([20, -10]) + level * blotches / blotches.std()).astype(np.float32))
    return lightness, colors


def test_shimmer_is_removed_where_the_picture_is_static() -> None:
    lightness, colors = shimmering(40)
    results = np.stack(smoothed(lightness, colors)[15:])
    before, after = np.stack(colors[15:]).std(axis=0).mean(), results.std(axis=0).mean()
    assert after < 0.4 * before
    assert np.abs(results.mean(axis=(0, 1, 2)) - [20, -10]).max() < 0.3
    step = np.abs(np.diff(results, axis=0)).mean() / np.abs(np.diff(np.stack(colors[15:]), axis=0)).mean()
    assert step < 0.2


def test_a_shot_begins_with_its_own_colors_and_the_state_is_a_value() -> None:
    lightness, colors = shimmering(3)
    similarity = np.full(SIZE, 0.8, np.float32)
    temporal_filter = ChromaTemporalFilter()
    first, state = temporal_filter(lightness[0], colors[0], similarity, None)
    assert np.array_equal(first, colors[0])
    assert all(getattr(state, field.name).dtype == np.float32 for field in dataclasses.fields(state))
    copies = {field.name: getattr(state, field.name).copy() for field in dataclasses.fields(state)}
    second, _ = temporal_filter(lightness[1], colors[1], similarity, state)
    temporal_filter(lightness[2], colors[2], similarity, None)
    repeated, _ = ChromaTemporalFilter()(lightness[1], colors[1], similarity, state)
    assert np.array_equal(second, repeated)
    assert all(np.array_equal(getattr(state, name), values) for name, values in copies.items())
    assert not np.array_equal(second, colors[1])


def test_another_picture_gets_its_own_colors() -> None:
    """After an undetected cut: lightness shows that the picture has changed, except where it happens to be equal."""
    lightness, colors = shimmering(12)
    other = [texture(77)] * 2
    new = [np.full((*SIZE, 2), (-30, 25), np.float32)] * 2
    results = smoothed(lightness + other, colors + new)
    error = np.abs(results[12] - new[0]).max(axis=2)
    assert np.mean(error > 2) < 0.2


def test_a_moving_object_leaves_no_trail() -> None:
    height, width = SIZE
    lightness, colors = [], []
    for number in range(16):
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        inside = (np.abs(x - 8 - 3 * number) < 8) & (np.abs(y - 26) < 12)
        lightness.append(np.where(inside, 70, texture(5) * 0.5).astype(np.float32))
        colors.append(np.where(inside[..., None], (40.0, 30.0), (-10.0, -20.0)).astype(np.float32))
    for result, truth in zip(smoothed(lightness, colors), colors, strict=True):
        assert np.abs(result - truth).max() < 3


def test_a_true_change_of_color_is_followed() -> None:
    """The same picture, in another color from frame 20 on: a mean over 14 frames would reach half of it after 5."""
    lightness, colors = shimmering(32, level=1.0)
    changed = [ab + np.float32(25) * (number >= 20) for number, ab in enumerate(colors)]
    results = np.stack(smoothed(lightness, changed))
    share = (results.mean(axis=(1, 2)) - [20, -10]).mean(axis=1) / 25
    assert share[19] == pytest.approx(0, abs=0.05)
    assert share[24] > 0.7
    assert share[31] > 0.9


def test_similar_frames_count_for_more() -> None:
    picture, zero = texture(3), np.zeros((*SIZE, 2), np.float32)
    _, state = ChromaTemporalFilter()(picture, zero, np.full(SIZE, 0.8, np.float32), None)
    for similarity in (0.8, 0.4):
        result, _ = ChromaTemporalFilter()(picture, zero + 1, np.full(SIZE, similarity, np.float32), state)
        new, kept = np.exp(SIMILARITY_GAIN * similarity), (1 - MINIMUM_COLOR_SHARE) * np.exp(SIMILARITY_GAIN * 0.8)
        assert result.mean() == pytest.approx(new / (new + kept), rel=1e-3)


def test_along_the_flow_moving_objects_are_smoothed_too() -> None:
    wide, rng = texture(11, (SIZE[0], SIZE[1] + 80), 3.0), np.random.default_rng(1)
    color = np.stack([wide - 50, 50 - wide], axis=2) / 4
    lightness = [np.ascontiguousarray(wide[:, 2 * k : 2 * k + SIZE[1]]) for k in range(20)]
    truth = [color[:, 2 * k : 2 * k + SIZE[1]] for k in range(20)]
    shimmer = [(ab + rng.normal(0, 2, (1, 1, 2))).astype(np.float32) for ab in truth]
    errors = []
    for results in (
        shimmer,
        smoothed(lightness, shimmer),
        smoothed(lightness, shimmer, ChromaTemporalFilter(along_flow=True)),
    ):
        inner = (np.stack(results) - np.stack(truth))[10:, 8:-8, 8:-12]
        errors.append(float(np.sqrt(np.square(inner).mean())))
    assert errors[2] < 0.3 * errors[1] < errors[0]


def test_a_share_of_one_changes_nothing() -> None:
    lightness, colors = shimmering(4)
    for result, ab in zip(smoothed(lightness, colors, ChromaTemporalFilter(1.0)), colors, strict=True):
        assert np.allclose(result, ab, atol=1e-5)


def test_misuse_is_named() -> None:
    lightness, colors = shimmering(1)
    similarity = np.zeros(SIZE, np.float32)
    with pytest.raises(ValueError, match="share: expected"):
        ChromaTemporalFilter(0)
    with pytest.raises(ValueError, match="ab, similarity: expected"):
        ChromaTemporalFilter()(lightness[0], colors[0][1:], similarity, None)
    _, state = ChromaTemporalFilter()(lightness[0], colors[0], similarity, None)
    with pytest.raises(ValueError, match="state: expected"):
        ChromaTemporalFilter()(lightness[0][1:], colors[0][1:], similarity[1:], state)


# --- against a second implementation --------------------


def slow(
    lightness: FloatArray, ab: FloatArray, similarity: FloatArray, state: TemporalFilterState
) -> dict[str, np.ndarray]:
    """One step in float64 with scipy, written from the description."""
    old = {field.name: getattr(state, field.name).astype(np.float64) for field in dataclasses.fields(state)}
    blurred = ndimage.gaussian_filter(lightness.astype(np.float64), 1.0, mode="mirror", truncate=4)
    x, y = old["lightness"][::4, ::4].ravel(), blurred[::4, ::4].ravel()
    gain, lift = 1.0, np.median(y - x)
    for _ in range(3):
        weight = 1 / (1 + ((gain * x + lift - y) / 2) ** 2)
        center = np.average(x, weights=weight), np.average(y, weights=weight)
        spreads = [
            np.average((axis - mean) ** 2, weights=weight) + 1 for axis, mean in zip((x, y), center, strict=True)
        ]
        gain = np.sqrt(spreads[1] / spreads[0])
        lift = center[1] - gain * center[0]
    previous = gain * old["lightness"] + lift
    moved = np.sqrt(ndimage.uniform_filter((blurred - previous) ** 2, 7, mode="mirror"))
    still = 1 / (1 + (moved / 1.5) ** 4)
    new = {name: np.zeros_like(values) for name, values in old.items()}
    change = ab.astype(np.float64) - old["ab"]
    drift, spread = np.zeros_like(change), np.zeros_like(still)
    for pixel in np.ndindex(*still.shape):
        drift[pixel] = (1 - CHANGE_SHARE) * still[pixel] * old["drift"][pixel] + CHANGE_SHARE * change[pixel]
        distance = change[pixel] @ change[pixel]
        spread[pixel] = (1 - CHANGE_SHARE) * still[pixel] * old["spread"][pixel] + CHANGE_SHARE * distance
    actual = ndimage.uniform_filter((drift**2).sum(axis=2), 5, mode="mirror")
    expected = (
        ndimage.uniform_filter(spread, 5, mode="mirror") * CHANGE_SHARE / (2 - CHANGE_SHARE) + TOLERATED_CHANGE**2
    )
    for pixel in np.ndindex(*still.shape):
        frame_weight = np.exp(SIMILARITY_GAIN * similarity[pixel])
        excess = max(actual[pixel] / expected[pixel] - NOISE_MARGIN, 0)
        kept = (1 - MINIMUM_COLOR_SHARE) * old["weight"][pixel] / (1 + excess)
        if still[pixel] < 1:  # limits the share of the kept color, whatever its weight
            kept = min(kept, frame_weight * still[pixel] / max(1 - still[pixel], 1e-3))
        weight = kept + frame_weight
        share = frame_weight / weight
        new["weight"][pixel] = weight
        new["ab"][pixel] = old["ab"][pixel] + share * change[pixel]
        new["lightness"][pixel] = previous[pixel] + share * (blurred[pixel] - previous[pixel])
        new["drift"][pixel] = (1 - share) * drift[pixel]
        new["spread"][pixel] = spread[pixel]
    return new


def test_equals_a_slow_implementation() -> None:
    lightness, colors = shimmering(6, seed=4, level=4.0)
    lightness[4][10:30, 20:40] = 90
    colors = [ab + np.float32(12) * (number >= 3) for number, ab in enumerate(colors)]
    rng, state = np.random.default_rng(9), None
    for image, ab in zip(lightness, colors, strict=True):
        similarity = rng.uniform(0, 1, SIZE).astype(np.float32)
        expected = slow(image, ab, similarity, state) if state else {}
        result, state = ChromaTemporalFilter()(image, ab, similarity, state)
        for name, values in expected.items():
            assert np.allclose(getattr(state, name), values, rtol=2e-3, atol=2e-3), name
        assert np.array_equal(result, state.ab)
