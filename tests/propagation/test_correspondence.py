"""Optical flow, its consistency, and correspondence propagated along it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kinemacolor.core.types import Reference
from kinemacolor.propagation.correspondence import (
    PREVIOUS_FRAME,
    SEVEN_FLOWS,
    THREE_FLOWS,
    Correspondence,
    Flow,
    PropagatedFrame,
    PropagationPaths,
    PropagationState,
    Support,
    best_correspondence,
    compose_with_flow,
    correlation,
    lightness_consistency,
    propagate,
    sample,
    sample_references,
    weight_correspondences,
)
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions
from tests.engine.conformance import reference_of, scene


@pytest.mark.parametrize("flow_of", [DisFlow().__call__, DisFlow().coarse], ids=["fine", "coarse"])
def test_flow_finds_a_known_shift_and_its_sign(flow_of: Flow) -> None:
    film, _ = scene(73, 101, 2, shift=3.0)
    flow = flow_of(film[0], film[1])
    inside = flow[16:-16, 16:-16]
    assert inside.shape[2] == 2
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), [-3, 0], atol=0.15)


def test_flow_between_two_sizes_is_refused() -> None:
    film, _ = scene(73, 101)
    with pytest.raises(ValueError, match="expected shape"):
        DisFlow()(film[0], film[0][:, :-1])


def far_grain() -> tuple[np.ndarray, np.ndarray]:
    """Fine grain (72, 160), and the same with each pixel moved by 40 to the right."""
    grain = cv2.GaussianBlur(np.random.default_rng(5).standard_normal((72, 200)).astype(np.float32), (0, 0), 1.2)
    grain = np.clip(50 + 60 * grain, 0, 100)
    return np.ascontiguousarray(grain[:, 40:]), np.ascontiguousarray(grain[:, :-40])


def test_flow_continues_from_its_start() -> None:
    """Fine grain, moved too far for the search alone. Calls do not depend on one another; the start stays unchanged."""
    source, target = far_grain()
    start = np.full((72, 160, 2), [39, 0.5], np.float32)
    copy, inside = start.copy(), (slice(10, -10), slice(10, -50))
    flow = DisFlow()
    without_start = flow.coarse(source, target)
    assert np.abs(without_start[inside] - [40, 0]).mean() > 5
    assert np.abs(flow.coarse(source, target, start)[inside] - [40, 0]).mean() < 0.5
    np.testing.assert_array_equal(start, copy)
    np.testing.assert_array_equal(flow.coarse(source, target), without_start)


def test_consistency_against_a_plain_loop() -> None:
    """Ruder et al., section 4, pixel by pixel, on flows that end on pixels."""
    rng = np.random.default_rng(3)
    forward = rng.integers(-2, 3, (13, 17, 2)).astype(np.float32)
    backward = rng.integers(-2, 3, (13, 17, 2)).astype(np.float32)
    mask = consistent(forward, backward)
    for y in range(13):
        for x in range(17):
            u, v = forward[y, x]
            back = backward[min(max(y + int(v), 0), 12), min(max(x + int(u), 0), 16)]
            gap = (u + back[0]) ** 2 + (v + back[1]) ** 2
            limit = 0.01 * (u * u + v * v + back[0] ** 2 + back[1] ** 2) + 0.5
            assert mask[y, x] == (gap <= limit), (x, y)
    assert 0 < mask.mean() < 1


def equal_support(correspondence: Correspondence) -> np.ndarray:
    """Features that find every correspondence equally similar."""
    return np.zeros(correspondence.reference_index.shape, np.float32)


def state_after(
    film: np.ndarray,
    references: list[Reference],
    support: Support = equal_support,
    paths: PropagationPaths = THREE_FLOWS,
) -> PropagationState | None:
    state, flow = None, DisFlow()
    for lightness in film:
        state, _ = propagate(flow, state, lightness, references, support, paths)
    return state


def test_propagation_starts_with_the_identity_at_the_references_own_frame() -> None:
    film, colors = scene(73, 101)
    state = state_after(film[:1], [reference_of(film[0], colors[0])])
    assert state is not None
    assert state.correlation > 0.9999
    np.testing.assert_allclose(state.correspondence.coordinates, pixel_positions(73, 101), atol=0.05)
    assert not state.correspondence.reference_index.any()


def test_propagation_does_not_start_at_another_picture() -> None:
    film, colors = scene(73, 101)
    other, _ = scene(73, 101, seed=9)
    assert state_after(other[:1], [reference_of(film[0], colors[0])]) is None


@pytest.mark.parametrize("paths", [PREVIOUS_FRAME, THREE_FLOWS, SEVEN_FLOWS], ids=["previous", "three", "seven"])
def test_coordinates_follow_the_motion_for_many_frames(paths: PropagationPaths) -> None:
    """With features that limit how far the correspondence of a pixel may lie from it."""
    film, colors = scene(73, 151, 14, shift=1.5)

    def near(correspondence: Correspondence) -> np.ndarray:
        return -0.05 * np.abs((correspondence.coordinates - pixel_positions(73, 151))[..., 0] - 10).clip(10) / 10

    state = state_after(film, [reference_of(film[0], colors[0])], near, paths)
    assert state is not None
    expected = pixel_positions(73, 151) + np.array([19.5, 0], np.float32)
    inside = (slice(10, -10), slice(10, 151 - 20 - 20))
    assert np.abs(state.correspondence.coordinates - expected)[inside].mean() < 0.6
    assert len(state.frames) == paths.longest_hop


def test_a_better_reference_takes_over() -> None:
    film, colors = scene(73, 101, 6, shift=1.0)
    references = [reference_of(film[i], colors[i]) for i in (0, 5)]
    state, flow, anchors = None, DisFlow(), []
    for lightness in film:
        state, _ = propagate(flow, state, lightness, references, equal_support)
        assert state is not None
        anchors.append(state.anchor)
    assert anchors[0] == 0
    assert anchors[-1] == 0 or state.correlation >= 0.9999


def test_the_refined_path_corrects_drift() -> None:
    """A correspondence 1.5 pixels off the truth, which is too far from the identity for a search to find. The features
    cannot tell the difference, but lightness can."""
    film, still = far_grain()
    reference = reference_of(still, np.zeros((72, 160, 2), np.float32))
    drifted = Correspondence(pixel_positions(72, 160) + np.float32([41.5, 0]), np.zeros((72, 160), np.int16))
    state = PropagationState((PropagatedFrame(film, drifted),), 0, 0.99999)
    error = {}
    for refined in (False, True):
        paths = PropagationPaths((1,), direct=not refined, refined=refined)
        after, weighted = propagate(DisFlow(), state, film, [reference], equal_support, paths)
        assert after is not None
        assert len(weighted) == 2
        gap = np.abs(after.correspondence.coordinates - pixel_positions(72, 160) - [40, 0])[10:-10, 10:-50]
        error[refined] = np.median(gap[..., 0])
    assert error[False] > 1.2
    assert error[True] < 0.2


def test_composing_with_flow_does_not_average_across_an_edge() -> None:
    coordinates = pixel_positions(32, 40)
    coordinates[:, 20:] += 100
    still = np.zeros((32, 40), np.float32)

    def half_a_pixel(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.float32([-0.5, 0]), (*source.shape, 2))

    past = PropagatedFrame(still, Correspondence(coordinates, np.ones((32, 40), np.int16)))
    composed = compose_with_flow(half_a_pixel, still, past)
    x = composed.coordinates[2, :, 0]
    assert not ((x > 22) & (x < 115)).any(), "a position between the two sides was interpolated"
    assert (composed.reference_index == 1).all()
    past = PropagatedFrame(still, Correspondence(pixel_positions(32, 40), np.ones((32, 40), np.int16)))
    composed = compose_with_flow(half_a_pixel, still, past)
    np.testing.assert_allclose(composed.coordinates, pixel_positions(32, 40) - [0.5, 0])


def test_the_best_candidate_is_taken_pixel_by_pixel() -> None:
    """Features decide; where they do not, lightness does."""
    film, colors = scene(37, 53)
    references = [reference_of(film[0], colors[0])] * 2
    identity, shifted = pixel_positions(37, 53), pixel_positions(37, 53) + np.float32([9, 4])
    left = np.arange(53) < 20
    candidates = [
        Correspondence(shifted, np.zeros((37, 53), np.int16)),
        Correspondence(identity, np.ones((37, 53), np.int16)),
    ]

    def first_at_the_left(correspondence: Correspondence) -> np.ndarray:
        return np.where(left, correspondence.reference_index == 0, 0).astype(np.float32)

    def first_everywhere(correspondence: Correspondence) -> np.ndarray:
        return -correspondence.reference_index.astype(np.float32)

    weighted = weight_correspondences(candidates, film[0], references, first_at_the_left)
    np.testing.assert_allclose(sum(candidate.share for candidate in weighted), 1, rtol=1e-5)
    best = best_correspondence(weighted)
    assert (best.reference_index[:, :20] == 0).all()
    np.testing.assert_array_equal(best.coordinates[:, :20], shifted[:, :20])
    assert (best.reference_index[:, 20:] == 1).mean() > 0.9
    weighted = weight_correspondences(candidates, film[0], references, first_everywhere)
    assert (best_correspondence(weighted).reference_index == 0).all()


def test_consistency_falls_with_the_difference_of_lightness() -> None:
    film, _ = scene(37, 53)
    identity = Correspondence(pixel_positions(37, 53), np.zeros((37, 53), np.int16))
    np.testing.assert_allclose(lightness_consistency(identity, film[0], [film[0]]), 1, atol=1e-3)
    np.testing.assert_allclose(lightness_consistency(identity, film[0], [film[0] + 5]), np.exp(-1), atol=1e-3)
    np.testing.assert_allclose(lightness_consistency(identity, film[0], [film[0] - 10]), np.exp(-2), atol=1e-3)


def test_each_pixel_is_sampled_from_its_own_reference() -> None:
    rng = np.random.default_rng(0)
    images = [rng.random((37, 53, 2), dtype=np.float32), rng.random((41, 61, 2), dtype=np.float32)]
    index = (rng.random((37, 53)) > 0.5).astype(np.int16)
    samples = sample_references(images, Correspondence(pixel_positions(37, 53), index))
    expected = np.where(index[..., None] == 1, images[1][:37, :53], images[0])
    np.testing.assert_allclose(samples, expected, atol=1e-6)


def test_samples_between_pixels_and_beyond_the_border() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    coordinates = np.array([[[0.5, 0], [1, 1.5], [-7, 2]]], np.float32)
    np.testing.assert_allclose(sample(image, coordinates), [[0.5, 7, 8]], atol=0.02)


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 11, 13), dtype=np.float32)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-5)
    assert correlation(a, 3 * a + 2) == pytest.approx(1, abs=1e-5)
    assert correlation(a, np.ones_like(a)) == 0
