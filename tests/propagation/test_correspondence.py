"""Flow, consistency, and coordinates chained along it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kinemacolor.core.types import Reference
from kinemacolor.propagation.correspondence import (
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


@pytest.mark.parametrize("flow_of", [DisFlow().__call__, DisFlow().quick], ids=["thorough", "quick"])
def test_flow_finds_a_known_shift_and_its_sign(flow_of: Flow) -> None:
    film, _ = scene(73, 101, 2, shift=3.0)
    flow = flow_of(film[0], film[1])
    inside = flow[16:-16, 16:-16]
    assert inside.shape[2] == 2
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), [-3, 0], atol=0.15)


def test_flow_refuses_two_sizes() -> None:
    film, _ = scene(73, 101)
    with pytest.raises(ValueError, match="expected shape"):
        DisFlow()(film[0], film[0][:, :-1])


def far_grain() -> tuple[np.ndarray, np.ndarray]:
    """Fine grain (72, 160), and the same where each pixel has moved by 40 to the right."""
    grain = cv2.GaussianBlur(np.random.default_rng(5).standard_normal((72, 200)).astype(np.float32), (0, 0), 1.2)
    grain = np.clip(50 + 60 * grain, 0, 100)
    return np.ascontiguousarray(grain[:, 40:]), np.ascontiguousarray(grain[:, :-40])


def test_flow_goes_on_from_where_it_is_told_to_start() -> None:
    """Fine grain, moved too far for the search alone. Calls do not depend on one another; the start stays as it was."""
    source, target = far_grain()
    start = np.full((72, 160, 2), [39, 0.5], np.float32)
    kept, inside = start.copy(), (slice(10, -10), slice(10, -50))
    flow = DisFlow()
    alone = flow.coarse(source, target)
    assert np.abs(alone[inside] - [40, 0]).mean() > 5
    assert np.abs(flow.coarse(source, target, start)[inside] - [40, 0]).mean() < 0.5
    np.testing.assert_array_equal(start, kept)
    np.testing.assert_array_equal(flow.coarse(source, target), alone)


def test_consistency_against_a_plain_loop() -> None:
    """Ruder et al., section 4, pixel by pixel, on flows that end on pixels."""
    noise = np.random.default_rng(3)
    forward = noise.integers(-2, 3, (13, 17, 2)).astype(np.float32)
    backward = noise.integers(-2, 3, (13, 17, 2)).astype(np.float32)
    got = consistent(forward, backward)
    for y in range(13):
        for x in range(17):
            u, v = forward[y, x]
            back = backward[min(max(y + int(v), 0), 12), min(max(x + int(u), 0), 16)]
            gap = (u + back[0]) ** 2 + (v + back[1]) ** 2
            limit = 0.01 * (u * u + v * v + back[0] ** 2 + back[1] ** 2) + 0.5
            assert got[y, x] == (gap <= limit), (x, y)
    assert 0 < got.mean() < 1


def anywhere(place: Correspondence) -> np.ndarray:
    """Features that find every place equally good."""
    return np.zeros(place.reference_index.shape, np.float32)


def moved(
    film: np.ndarray, references: list[Reference], support: Support = anywhere, ways: PropagationPaths = THREE_FLOWS
) -> PropagationState | None:
    chain, flow = None, DisFlow()
    for lightness in film:
        chain, _ = propagate(flow, chain, lightness, references, support, ways)
    return chain


def test_a_chain_starts_as_the_identity_at_the_references_own_frame() -> None:
    film, colors = scene(73, 101)
    chain = moved(film[:1], [reference_of(film[0], colors[0])])
    assert chain is not None
    assert chain.correlation > 0.9999
    np.testing.assert_allclose(chain.place.coordinates, pixel_positions(73, 101), atol=0.05)
    assert not chain.place.reference_index.any()


def test_a_chain_does_not_start_at_another_picture() -> None:
    film, colors = scene(73, 101)
    other, _ = scene(73, 101, seed=9)
    assert moved(other[:1], [reference_of(film[0], colors[0])]) is None


@pytest.mark.parametrize(
    "ways", [PropagationPaths((1,), straight=False), THREE_FLOWS, SEVEN_FLOWS], ids=["t-1", "few", "many"]
)
def test_coordinates_follow_the_motion_for_many_frames(ways: PropagationPaths) -> None:
    """With features that know how far a place may lie from where it is seen."""
    film, colors = scene(73, 151, 14, shift=1.5)

    def near(place: Correspondence) -> np.ndarray:
        return -0.05 * np.abs((place.coordinates - pixel_positions(73, 151))[..., 0] - 10).clip(10) / 10

    chain = moved(film, [reference_of(film[0], colors[0])], near, ways)
    assert chain is not None
    expected = pixel_positions(73, 151) + np.array([19.5, 0], np.float32)
    inside = (slice(10, -10), slice(10, 151 - 20 - 20))
    assert np.abs(chain.place.coordinates - expected)[inside].mean() < 0.6
    assert len(chain.traces) == ways.longest


def test_a_better_reference_takes_over() -> None:
    film, colors = scene(73, 101, 6, shift=1.0)
    references = [reference_of(film[i], colors[i]) for i in (0, 5)]
    chain, flow, used = None, DisFlow(), []
    for lightness in film:
        chain, _ = propagate(flow, chain, lightness, references, anywhere)
        assert chain is not None
        used.append(chain.anchor)
    assert used[0] == 0
    assert used[-1] == 0 or chain.correlation >= 0.9999


def test_what_has_drifted_is_brought_back() -> None:
    """A chain that lies 1.5 pixels beside the truth, too far from the identity for a search to find; and features that
    cannot tell: lightness can."""
    film, still = far_grain()
    reference = reference_of(still, np.zeros((72, 160, 2), np.float32))
    drifted = Correspondence(pixel_positions(72, 160) + np.float32([41.5, 0]), np.zeros((72, 160), np.int16))
    chain = PropagationState((PropagatedFrame(film, drifted),), 0, 0.99999)
    off = {}
    for anew in (False, True):
        ways = PropagationPaths((1,), straight=not anew, anew=anew)
        after, offers = propagate(DisFlow(), chain, film, [reference], anywhere, ways)
        assert after is not None
        assert len(offers) == 2
        gap = np.abs(after.place.coordinates - pixel_positions(72, 160) - [40, 0])[10:-10, 10:-50]
        off[anew] = np.median(gap[..., 0])
    assert off[False] > 1.2
    assert off[True] < 0.2


def test_a_hop_does_not_average_across_an_edge() -> None:
    coordinates = pixel_positions(32, 40)
    coordinates[:, 20:] += 100
    still = np.zeros((32, 40), np.float32)

    def half_a_pixel(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.float32([-0.5, 0]), (*source.shape, 2))

    place = compose_with_flow(
        half_a_pixel, still, PropagatedFrame(still, Correspondence(coordinates, np.ones((32, 40), np.int16)))
    )
    x = place.coordinates[2, :, 0]
    assert not ((x > 22) & (x < 115)).any(), "a place between two objects was made up"
    assert (place.reference_index == 1).all()
    plain = compose_with_flow(
        half_a_pixel,
        still,
        PropagatedFrame(still, Correspondence(pixel_positions(32, 40), np.ones((32, 40), np.int16))),
    )
    np.testing.assert_allclose(plain.coordinates, pixel_positions(32, 40) - [0.5, 0])


def test_of_several_places_the_best_is_taken_pixel_by_pixel() -> None:
    """Features decide; where they do not, lightness does."""
    film, colors = scene(37, 53)
    references = [reference_of(film[0], colors[0])] * 2
    here, there = pixel_positions(37, 53), pixel_positions(37, 53) + np.float32([9, 4])
    left = np.arange(53) < 20
    places = [Correspondence(there, np.zeros((37, 53), np.int16)), Correspondence(here, np.ones((37, 53), np.int16))]

    def left_is_there(place: Correspondence) -> np.ndarray:
        return np.where(left, place.reference_index == 0, 0).astype(np.float32)

    offers = weight_correspondences(places, film[0], references, left_is_there)
    np.testing.assert_allclose(sum(offer.share for offer in offers), 1, rtol=1e-5)
    chosen = best_correspondence(offers)
    assert (chosen.reference_index[:, :20] == 0).all()
    np.testing.assert_array_equal(chosen.coordinates[:, :20], there[:, :20])
    assert (chosen.reference_index[:, 20:] == 1).mean() > 0.9
    worse = weight_correspondences(places, film[0], references, lambda place: -place.reference_index.astype(np.float32))
    assert (best_correspondence(worse).reference_index == 0).all()


def test_agreement_is_of_lightness() -> None:
    film, _ = scene(37, 53)
    here = Correspondence(pixel_positions(37, 53), np.zeros((37, 53), np.int16))
    np.testing.assert_allclose(lightness_consistency(here, film[0], [film[0]]), 1, atol=1e-3)
    np.testing.assert_allclose(lightness_consistency(here, film[0], [film[0] + 5]), np.exp(-1), atol=1e-3)
    np.testing.assert_allclose(lightness_consistency(here, film[0], [film[0] - 10]), np.exp(-2), atol=1e-3)


def test_gather_takes_each_pixel_from_its_own_reference() -> None:
    noise = np.random.default_rng(0)
    images = [noise.random((37, 53, 2), dtype=np.float32), noise.random((41, 61, 2), dtype=np.float32)]
    owner = (noise.random((37, 53)) > 0.5).astype(np.int16)
    got = sample_references(images, Correspondence(pixel_positions(37, 53), owner))
    want = np.where(owner[..., None] == 1, images[1][:37, :53], images[0])
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_sample_between_pixels_and_beyond_the_border() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    at = np.array([[[0.5, 0], [1, 1.5], [-7, 2]]], np.float32)
    np.testing.assert_allclose(sample(image, at), [[0.5, 7, 8]], atol=0.02)


def test_correlation_is_pearsons() -> None:
    noise = np.random.default_rng(0)
    a, b = noise.random((2, 11, 13), dtype=np.float32)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-5)
    assert correlation(a, 3 * a + 2) == pytest.approx(1, abs=1e-5)
    assert correlation(a, np.ones_like(a)) == 0
