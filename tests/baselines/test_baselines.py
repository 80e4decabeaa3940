"""The baselines as engines: the conformance suite where it applies, and each baseline against a plain loop."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from kinemacolor.baselines.cells import cell_means
from kinemacolor.baselines.registry import BASELINES, open_baseline
from kinemacolor.baselines.welsh import draw_samples, nearest, texture
from kinemacolor.core.errors import UsageError
from kinemacolor.engine.protocol import Engine, EngineState
from tests.engine import conformance
from tests.engine.conformance import in_blocks, masked, reference_of, scene

DOES_NOT_APPLY = {
    ("gray", conformance.check_block_sizes): "needs color",
    ("gray", conformance.check_color_comes_back): "needs color",
    ("gray", conformance.check_several_references): "needs a second reference that matters",
    # The colors of the suite's scene depend on neither lightness nor texture, only on position.
    ("reinhard", conformance.check_block_sizes): "ignores positions",
    ("reinhard", conformance.check_color_comes_back): "ignores positions",
    ("welsh", conformance.check_block_sizes): "ignores positions",
    ("welsh", conformance.check_color_comes_back): "ignores positions",
    ("welsh", conformance.check_padding): "a larger picture is sampled at other pixels",
    ("flow", conformance.check_several_references): "a second reference matters only where a frame looks like it",
}
CASES = [(name, check) for name in BASELINES for check in conformance.CHECKS if (name, check) not in DOES_NOT_APPLY]


@cache
def engine_of(name: str) -> Engine:
    return open_baseline(name)


@pytest.mark.parametrize(("name", "check"), CASES, ids=lambda part: part if isinstance(part, str) else part.__name__)
def test_conformance(name: str, check: conformance.Check) -> None:
    engine = engine_of(name)
    assert isinstance(engine, Engine)
    assert engine.name == name
    check(engine)


@pytest.mark.parametrize("name", BASELINES)
def test_frames_do_not_depend_on_blocks_and_states_of_other_engines_are_refused(name: str) -> None:
    film, colors = scene(48, 61, 5)
    engine = engine_of(name)
    bank = engine.start([reference_of(film[0], colors[0])])
    whole = in_blocks(engine, film, bank, 5)
    for length in (1, 2):
        parts = in_blocks(engine, film, bank, length)
        np.testing.assert_array_equal(parts[0], whole[0])
        np.testing.assert_array_equal(parts[1], whole[1])
    with pytest.raises(ValueError, match=f"state: expected one of the engine {name}"):
        engine.step(film[:1], bank, EngineState())


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(
        UsageError, match="methods: there is no baseline nonsense; choose among gray, reinhard, welsh, flow"
    ):
        open_baseline("nonsense")


@pytest.mark.parametrize("name", BASELINES)
def test_records_describe_their_engines(name: str) -> None:
    record = BASELINES[name]
    assert record.name == engine_of(name).name == name
    assert record.summary


def test_gray_has_no_color() -> None:
    film, colors = scene(37, 53)
    engine = engine_of("gray")
    assert not engine.step(film, engine.start([reference_of(film[0], colors[0])])).ab.any()


def test_cell_means_against_a_loop() -> None:
    noise = np.random.default_rng(0)
    image, weight = noise.uniform(-5, 5, (37, 41, 2)), noise.uniform(0, 1, (37, 41))
    mean, share = cell_means(image.astype(np.float32), weight.astype(np.float32))
    assert mean.shape == (10, 11, 2)
    for row in range(10):
        for column in range(11):
            cell = (slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
            expected = (image[cell] * weight[cell][..., None]).sum(axis=(0, 1)) / weight[cell].sum()
            np.testing.assert_allclose(mean[row, column], expected, rtol=1e-4)
            assert share[row, column] == pytest.approx(weight[cell].mean(), rel=1e-5)


# --- reinhard --------------------


def test_reinhard_against_a_plain_loop() -> None:
    """Mean and covariance over the unmasked pixels of both references, in float64."""
    film, _ = scene(37, 53, 2, seed=1)
    stills = []
    for seed, size in ((2, (41, 43)), (3, (33, 47))):
        lightness, colors = scene(*size, seed=seed)
        mask = np.random.default_rng(seed).uniform(size=size) < 0.7
        colors = colors + 0.4 * (lightness[..., None] - 50)
        stills.append(masked(reference_of(lightness[0], colors[0].astype(np.float32)), mask))
    engine = engine_of("reinhard")
    ab = engine.step(film, engine.start(stills)).ab
    light = [float(v) for s in stills for v in s.lightness[s.mask]]
    mean_l = math.fsum(light) / len(light)
    spread_l = math.sqrt(math.fsum((v - mean_l) ** 2 for v in light) / len(light))
    for channel in range(2):
        chroma = [float(v) for s in stills for v in s.ab[..., channel][s.mask]]
        mean = math.fsum(chroma) / len(chroma)
        joint = math.fsum((x - mean_l) * (y - mean) for x, y in zip(light, chroma, strict=True)) / len(light)
        for frame, answer in zip(film.astype(np.float64), ab, strict=True):
            expected = mean + joint / spread_l * (frame - frame.mean()) / frame.std()
            np.testing.assert_allclose(answer[..., channel], expected, atol=2e-3)
    assert abs(joint) > 1


def test_reinhard_is_one_tint_where_lightness_and_color_are_uncorrelated_or_lightness_is_flat() -> None:
    film, colors = scene(48, 64)
    engine = engine_of("reinhard")
    tint = np.broadcast_to(np.array([12, -7], np.float32), colors[0].shape)
    step = engine.step(film, engine.start([reference_of(film[0], tint.copy())]))
    np.testing.assert_allclose(step.ab[0], tint, atol=1e-4)
    flat = np.full_like(film, 40)
    bank = engine.start([reference_of(film[0], colors[0])])
    np.testing.assert_allclose(engine.step(flat, bank).ab.std(axis=(1, 2)), 0, atol=1e-5)
    flat_bank = engine.start([reference_of(flat[0], colors[0])])
    assert np.isfinite(engine.step(film, flat_bank).ab).all()


# --- welsh --------------------


def test_texture_against_a_loop() -> None:
    lightness = scene(33, 37, seed=4)[0][0]
    padded = np.pad(lightness.astype(np.float64), 2, mode="reflect")
    expected = [[padded[y : y + 5, x : x + 5].std() for x in range(37)] for y in range(33)]
    np.testing.assert_allclose(texture(lightness), expected, atol=1e-4)


def test_nearest_sample_against_a_loop() -> None:
    noise = np.random.default_rng(5)
    pixels, samples = (noise.uniform(-60, 60, (n, 2)).astype(np.float32) for n in (997, 53))
    index, distance = nearest(pixels, samples)
    for pixel, i, d in zip(pixels.astype(np.float64), index, distance, strict=True):
        all_distances = [math.sqrt(((pixel - s) ** 2).sum() / 2) for s in samples.astype(np.float64)]
        assert d == pytest.approx(min(all_distances), abs=1e-3)
        assert all_distances[i] == pytest.approx(min(all_distances), abs=1e-3)


def test_welsh_samples_cover_the_picture_and_no_masked_pixel() -> None:
    lightness, _ = scene(97, 131)
    y, x = np.mgrid[:97, :131].astype(np.float32)
    still = reference_of(lightness[0], np.stack([x - 60, y - 60], axis=2))
    _, colors = draw_samples(still)
    assert 150 < len(colors) < 250
    counts = np.histogram2d(colors[:, 0] + 60, colors[:, 1] + 60, bins=4, range=((0, 131), (0, 97)))[0]
    assert counts.min() > 5
    mask = x < 40
    assert draw_samples(masked(still, mask))[1][:, 0].max() + 60 < 40


def test_welsh_restores_colors_that_depend_on_lightness_at_any_exposure() -> None:
    film, _ = scene(48, 64, 3, seed=6)
    colors = np.stack([film - 50, 0.5 * (50 - film)], axis=3)
    engine = engine_of("welsh")
    bank = engine.start([reference_of(film[0], colors[0])])
    error = np.abs(engine.step(film, bank).ab - colors).mean()
    assert error < 0.2 * np.abs(colors).mean()
    darker = engine.step((0.5 * film + 5).astype(np.float32), bank)
    assert np.abs(darker.ab - colors).mean() < 0.2 * np.abs(colors).mean()


# --- flow --------------------


def test_flow_follows_the_motion_and_reports_where_it_lost_it() -> None:
    film, colors = scene(48, 64, 6)
    engine = engine_of("flow")
    bank = engine.start([reference_of(film[0], colors[0])])
    ab, support = in_blocks(engine, film, bank, 6)
    inside = (slice(None), slice(6, -6), slice(6, -16))
    assert np.abs(ab - colors)[inside].mean() < 0.15 * np.abs(colors).mean()
    np.testing.assert_allclose(ab[0], colors[0], atol=1e-3)
    other, _ = scene(48, 64, 1, seed=9)
    _, after = in_blocks(engine, np.concatenate([film[:1], other]), bank, 2)
    assert after[1].mean() < 0.6 * support[1].mean()


def test_flow_is_chained_from_the_frame_before() -> None:
    """The last frame is out of reach of a direct flow: only the chain gets there."""
    film, colors = scene(64, 96, 13, shift=4.0)
    engine = engine_of("flow")
    bank = engine.start([reference_of(film[0], colors[0])])
    seen = np.s_[8:-8, 8:40]  # still in the picture after 12 · 4 pixels to the left
    chained = np.abs(in_blocks(engine, film, bank, 4)[0][-1] - colors[-1])[seen].mean()
    direct = np.abs(engine.step(film[-1:], bank).ab[0] - colors[-1])[seen].mean()
    assert chained < 0.5 * direct


def test_flow_restarts_at_the_frame_of_another_reference() -> None:
    film, colors = scene(48, 64, 7, shift=5.0)
    engine = engine_of("flow")
    stills = [reference_of(film[0], colors[0]), reference_of(film[6], np.ascontiguousarray(colors[6]))]
    ab, _ = in_blocks(engine, film, engine.start(stills), 2)
    np.testing.assert_allclose(ab[6], colors[6], atol=1e-3)
    alone, _ = in_blocks(engine, film, engine.start(stills[:1]), 2)
    np.testing.assert_array_equal(ab[0], alone[0])
    assert np.abs(alone[6] - colors[6]).mean() > 1


def test_flow_hidden_references_do_not_matter() -> None:
    film, colors = scene(48, 64, 3)
    engine = engine_of("flow")
    one = reference_of(film[0], colors[0])
    hidden = masked(reference_of(film[2], np.full_like(colors[0], 99)), np.zeros((48, 64), np.bool_))
    alone = in_blocks(engine, film, engine.start([one]), 1)[0]
    for stills in ([one, hidden], [hidden, one]):
        np.testing.assert_array_equal(in_blocks(engine, film, engine.start(stills), 1)[0], alone)
