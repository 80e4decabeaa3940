"""Flow, consistency, and coordinates chained along it."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.flow import DisFlow, consistent, positions
from kinemacolor.propagation import Coloured, advance, carry, correlation, follow, sample
from tests.engine.conformance import reference_of, scene


def test_flow_finds_a_known_shift_and_its_sign() -> None:
    film, _ = scene(73, 101, 2, shift=3.0)
    flow = DisFlow()(film[0], film[1])
    inside = flow[16:-16, 16:-16]
    assert inside.shape[2] == 2
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), [-3, 0], atol=0.15)


def test_flow_refuses_two_sizes() -> None:
    film, _ = scene(73, 101)
    with pytest.raises(ValueError, match="expected shape"):
        DisFlow()(film[0], film[0][:, :-1])


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


def test_a_chain_starts_as_the_identity_at_the_references_own_frame() -> None:
    film, colours = scene(73, 101)
    chain = advance(DisFlow(), None, film[0], [reference_of(film[0], colours[0])])
    assert chain is not None
    assert chain.correlation > 0.9999
    np.testing.assert_allclose(chain.coordinates, positions(73, 101), atol=0.05)


def test_a_chain_does_not_start_at_another_picture() -> None:
    film, colours = scene(73, 101)
    other, _ = scene(73, 101, seed=9)
    assert advance(DisFlow(), None, other[0], [reference_of(film[0], colours[0])]) is None


def test_coordinates_follow_the_motion_for_many_frames() -> None:
    film, colours = scene(73, 151, 13, shift=2.0)
    chain, flow = None, DisFlow()
    for lightness in film:
        chain = advance(flow, chain, lightness, [reference_of(film[0], colours[0])])
    assert chain is not None
    expected = positions(73, 151) + np.array([24, 0], np.float32)
    inside = (slice(10, -10), slice(10, 151 - 24 - 20))
    assert np.abs(chain.coordinates - expected)[inside].mean() < 0.6


def test_a_better_reference_takes_over() -> None:
    film, colours = scene(73, 101, 6, shift=1.0)
    references = [reference_of(film[i], colours[i]) for i in (0, 5)]
    chain, flow, used = None, DisFlow(), []
    for lightness in film:
        chain = advance(flow, chain, lightness, references)
        assert chain is not None
        used.append(chain.reference)
    assert used[0] == 0
    assert used[-1] == 0 or chain.correlation >= 0.9999


def test_follow_does_not_average_across_an_edge() -> None:
    coordinates = positions(5, 10)
    coordinates[:, 5:] += 100
    hop = positions(5, 10)
    hop[..., 0] -= 0.5
    followed = follow(coordinates, hop)
    x = followed[2, :, 0]
    assert not ((x > 8) & (x < 90)).any(), "a place between two objects was made up"
    np.testing.assert_allclose(follow(positions(5, 10), hop), hop)


def test_carried_colours_move_along_and_say_where_they_may_be_wrong() -> None:
    film, colours = scene(73, 101, 2, shift=3.0)
    previous = Coloured(film[0], np.ascontiguousarray(colours[0]), np.full((73, 101), 0.7, np.float32))
    ab, similarity, agree = carry(DisFlow(), previous, film[1])
    inside = (slice(10, -10), slice(10, -20))
    assert np.abs(ab - colours[1])[inside].mean() < 0.1 * np.abs(colours).mean()
    np.testing.assert_allclose(similarity, 0.7, atol=1e-5)
    assert agree[inside].mean() > 0.9


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
