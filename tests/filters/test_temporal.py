"""The filter that holds colors still: against a slow reimplementation, and on small scenes whose truth is known."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from scipy import ndimage

from kinemacolor.core.types import FloatArray
from kinemacolor.engine.protocol import EngineState
from kinemacolor.filters.temporal import (
    FOLLOW,
    LEAST_SHARE,
    SIMILARITY_GAIN,
    SURPLUS,
    TOLERATED_CHANGE,
    ChromaTemporalFilter,
    TemporalFilterState,
)

SIZE = (53, 67)


def texture(seed: int, size: tuple[int, int] = SIZE, sigma: float = 4.0) -> FloatArray:
    """Blotches of lightness, 20 to 80."""
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(size), (0, 0), sigma)
    return np.asarray(20 + 60 * (field - field.min()) / np.ptp(field), dtype=np.float32)


def steadied(
    lightness: list[FloatArray],
    ab: list[FloatArray],
    steadier: ChromaTemporalFilter | None = None,
    similarity: float = 0.8,
) -> list[FloatArray]:
    steadier, state, found = steadier or ChromaTemporalFilter(), None, []
    for image, colors in zip(lightness, ab, strict=True):
        steady, state = steadier(image, colors, np.full(image.shape, similarity, np.float32), state)
        found.append(steady)
    return found


def shimmering(count: int, seed: int = 0, level: float = 2.0) -> tuple[list[FloatArray], list[FloatArray]]:
    """A picture that stands still but for grain and flicker, and colors that shimmer around (20, -10)."""
    noise, picture = np.random.default_rng(seed), texture(seed)
    lightness, colors = [], []
    for _ in range(count):
        grain = noise.normal(0, 2.5, SIZE) + noise.normal(0, 2)
        lightness.append(np.clip(picture * noise.normal(1, 0.04) + grain, 0, 100).astype(np.float32))
        off = noise.standard_normal((*SIZE, 2))
        blotches = np.stack([cv2.GaussianBlur(off[..., channel], (0, 0), 2) for channel in (0, 1)], axis=2)
        colors.append((np.array([20, -10]) + level * blotches / blotches.std()).astype(np.float32))
    return lightness, colors


def test_shimmer_goes_where_the_picture_stands_still() -> None:
    lightness, colors = shimmering(40)
    steady = np.stack(steadied(lightness, colors)[15:])
    before, after = np.stack(colors[15:]).std(axis=0).mean(), steady.std(axis=0).mean()
    assert after < 0.4 * before
    assert np.abs(steady.mean(axis=(0, 1, 2)) - [20, -10]).max() < 0.3
    step = np.abs(np.diff(steady, axis=0)).mean() / np.abs(np.diff(np.stack(colors[15:]), axis=0)).mean()
    assert step < 0.2


def test_a_shot_begins_with_its_own_colors_and_the_state_is_a_value() -> None:
    lightness, colors = shimmering(3)
    alike = np.full(SIZE, 0.8, np.float32)
    steadier = ChromaTemporalFilter()
    first, state = steadier(lightness[0], colors[0], alike, None)
    assert np.array_equal(first, colors[0])
    assert isinstance(state, EngineState)
    assert all(getattr(state, field.name).dtype == np.float32 for field in dataclasses.fields(state))
    kept = {field.name: getattr(state, field.name).copy() for field in dataclasses.fields(state)}
    once, _ = steadier(lightness[1], colors[1], alike, state)
    steadier(lightness[2], colors[2], alike, None)
    again, _ = ChromaTemporalFilter()(lightness[1], colors[1], alike, state)
    assert np.array_equal(once, again)
    assert all(np.array_equal(getattr(state, name), values) for name, values in kept.items())
    assert not np.array_equal(once, colors[1])


def test_another_picture_gets_its_own_colors() -> None:
    """A cut that nobody noticed: luma says that something else is there, bar where it happens to be as light."""
    lightness, colors = shimmering(12)
    other = [texture(77)] * 2
    new = [np.full((*SIZE, 2), (-30, 25), np.float32)] * 2
    found = steadied(lightness + other, colors + new)
    error = np.abs(found[12] - new[0]).max(axis=2)
    assert np.mean(error > 2) < 0.2


def test_a_moving_thing_leaves_no_trail() -> None:
    height, width = SIZE
    lightness, colors, inside = [], [], []
    for number in range(16):
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        where = (np.abs(x - 8 - 3 * number) < 8) & (np.abs(y - 26) < 12)
        lightness.append(np.where(where, 70, texture(5) * 0.5).astype(np.float32))
        colors.append(np.where(where[..., None], (40.0, 30.0), (-10.0, -20.0)).astype(np.float32))
        inside.append(where)
    for found, truth in zip(steadied(lightness, colors), colors, strict=True):
        assert np.abs(found - truth).max() < 3


def test_a_true_change_of_color_is_followed() -> None:
    """The same picture, its color another one from frame 20 on: the mean over 14 frames would have half after 5."""
    lightness, colors = shimmering(32, level=1.0)
    changed = [ab + np.float32(25) * (number >= 20) for number, ab in enumerate(colors)]
    found = np.stack(steadied(lightness, changed))
    share = (found.mean(axis=(1, 2)) - [20, -10]).mean(axis=1) / 25
    assert share[19] == pytest.approx(0, abs=0.05)
    assert share[24] > 0.7
    assert share[31] > 0.9


def test_similar_frames_count_for_more() -> None:
    picture, zero = texture(3), np.zeros((*SIZE, 2), np.float32)
    states = ChromaTemporalFilter()(picture, zero, np.full(SIZE, 0.8, np.float32), None)[1]
    for similarity in (0.8, 0.4):
        found, _ = ChromaTemporalFilter()(picture, zero + 1, np.full(SIZE, similarity, np.float32), states)
        trust, held = np.exp(SIMILARITY_GAIN * similarity), (1 - LEAST_SHARE) * np.exp(SIMILARITY_GAIN * 0.8)
        assert found.mean() == pytest.approx(trust / (trust + held), rel=1e-3)


def test_along_the_flow_what_moves_is_steadied_too() -> None:
    wide, noise = texture(11, (SIZE[0], SIZE[1] + 80), 3.0), np.random.default_rng(1)
    color = np.stack([wide - 50, 50 - wide], axis=2) / 4
    lightness = [np.ascontiguousarray(wide[:, 2 * k : 2 * k + SIZE[1]]) for k in range(20)]
    truth = [color[:, 2 * k : 2 * k + SIZE[1]] for k in range(20)]
    shimmer = [(ab + noise.normal(0, 2, (1, 1, 2))).astype(np.float32) for ab in truth]
    errors = []
    for found in (
        shimmer,
        steadied(lightness, shimmer),
        steadied(lightness, shimmer, ChromaTemporalFilter(along_flow=True)),
    ):
        inner = (np.stack(found) - np.stack(truth))[10:, 8:-8, 8:-12]
        errors.append(float(np.sqrt(np.square(inner).mean())))
    assert errors[2] < 0.3 * errors[1] < errors[0]


def test_a_share_of_one_changes_nothing() -> None:
    lightness, colors = shimmering(4)
    for found, given in zip(steadied(lightness, colors, ChromaTemporalFilter(1.0)), colors, strict=True):
        assert np.allclose(found, given, atol=1e-5)


def test_misuse_is_named() -> None:
    lightness, colors = shimmering(1)
    alike = np.zeros(SIZE, np.float32)
    with pytest.raises(ValueError, match="share: expected"):
        ChromaTemporalFilter(0)
    with pytest.raises(ValueError, match="ab, similarity: expected"):
        ChromaTemporalFilter()(lightness[0], colors[0][1:], alike, None)
    _, state = ChromaTemporalFilter()(lightness[0], colors[0], alike, None)
    with pytest.raises(ValueError, match="state: expected"):
        ChromaTemporalFilter()(lightness[0][1:], colors[0][1:], alike[1:], state)


# --- against a second implementation --------------------


def slow(
    lightness: FloatArray, ab: FloatArray, similarity: FloatArray, state: TemporalFilterState
) -> dict[str, np.ndarray]:
    """One step in float64 with scipy, written from the description."""
    old = {field.name: getattr(state, field.name).astype(np.float64) for field in dataclasses.fields(state)}
    seen = ndimage.gaussian_filter(lightness.astype(np.float64), 1.0, mode="mirror", truncate=4)
    x, y = old["lightness"][::4, ::4].ravel(), seen[::4, ::4].ravel()
    gain, lift = 1.0, np.median(y - x)
    for _ in range(3):
        weight = 1 / (1 + ((gain * x + lift - y) / 2) ** 2)
        center = np.average(x, weights=weight), np.average(y, weights=weight)
        spreads = [
            np.average((axis - mean) ** 2, weights=weight) + 1 for axis, mean in zip((x, y), center, strict=True)
        ]
        gain = np.sqrt(spreads[1] / spreads[0])
        lift = center[1] - gain * center[0]
    held = gain * old["lightness"] + lift
    moved = np.sqrt(ndimage.uniform_filter((seen - held) ** 2, 7, mode="mirror"))
    still = 1 / (1 + (moved / 1.5) ** 4)
    new = {name: np.zeros_like(values) for name, values in old.items()}
    change = ab.astype(np.float64) - old["ab"]
    drift, spread = np.zeros_like(change), np.zeros_like(still)
    for place in np.ndindex(*still.shape):
        drift[place] = (1 - FOLLOW) * still[place] * old["drift"][place] + FOLLOW * change[place]
        spread[place] = (1 - FOLLOW) * still[place] * old["spread"][place] + FOLLOW * change[place] @ change[place]
    one_sided = ndimage.uniform_filter((drift**2).sum(axis=2), 5, mode="mirror")
    usual = ndimage.uniform_filter(spread, 5, mode="mirror") * FOLLOW / (2 - FOLLOW) + TOLERATED_CHANGE**2
    for place in np.ndindex(*still.shape):
        trust = np.exp(SIMILARITY_GAIN * similarity[place])
        surplus = max(one_sided[place] / usual[place] - SURPLUS, 0)
        kept = (1 - LEAST_SHARE) * old["weight"][place] / (1 + surplus)
        if still[place] < 1:  # at most this share of the result, whatever its weight
            kept = min(kept, trust * still[place] / max(1 - still[place], 1e-3))
        weight = kept + trust
        part = trust / weight
        new["weight"][place] = weight
        new["ab"][place] = old["ab"][place] + part * change[place]
        new["lightness"][place] = held[place] + part * (seen[place] - held[place])
        new["drift"][place] = (1 - part) * drift[place]
        new["spread"][place] = spread[place]
    return new


def test_equals_a_slow_implementation() -> None:
    lightness, colors = shimmering(6, seed=4, level=4.0)
    lightness[4][10:30, 20:40] = 90
    colors = [ab + np.float32(12) * (number >= 3) for number, ab in enumerate(colors)]
    noise, state = np.random.default_rng(9), None
    for image, ab in zip(lightness, colors, strict=True):
        similarity = noise.uniform(0, 1, SIZE).astype(np.float32)
        expected = slow(image, ab, similarity, state) if state else {}
        found, state = ChromaTemporalFilter()(image, ab, similarity, state)
        for name, values in expected.items():
            assert np.allclose(getattr(state, name), values, rtol=2e-3, atol=2e-3), name
        assert np.array_equal(found, state.ab)
