"""Blind consistency: its equation against a dense solver, and a toy in which flicker is added to the truth."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.consistency.blind import blind_consistency, laplacian, screened_poisson
from kinemacolor.consistency.films import flow_of, warped
from kinemacolor.evaluation.metrics import psnr, warping_errors
from tests.consistency.toys import flickering_film


def test_the_screened_poisson_equation_is_solved() -> None:
    noise = np.random.default_rng(0)
    processed, before = noise.random((2, 7, 9, 3)).astype(np.float32)
    weight = (noise.random((7, 9)) * (noise.random((7, 9)) > 0.3)).astype(np.float32)
    result = screened_poisson(processed, before, weight)
    w = weight[..., None].astype(np.float64)
    left = w * result - laplacian(result.astype(np.float64))
    right = w * before - laplacian(processed.astype(np.float64))
    np.testing.assert_allclose(left, right, atol=1e-3)
    matrix = np.zeros((63, 63))
    for k in range(63):
        unit = np.zeros((7, 9, 1))
        unit.flat[k] = 1
        matrix[:, k] = (w * unit - laplacian(unit)).ravel()
    for channel in range(3):
        exact = np.linalg.solve(matrix, right[..., channel].ravel())
        np.testing.assert_allclose(result[..., channel].ravel(), exact, atol=2e-3)


def test_where_nothing_matches_the_processed_frame_stays() -> None:
    processed = np.random.default_rng(1).random((6, 8, 3)).astype(np.float32)
    zero = np.zeros((6, 8), np.float32)
    assert screened_poisson(processed, processed * 0, zero) is processed


def test_the_laplacian_is_that_of_four_neighbors() -> None:
    picture = np.arange(12.0).reshape(3, 4, 1) ** 2
    for y, x in ((0, 0), (1, 1), (2, 3)):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [(a, b) for a, b in around if 0 <= a < 3 and 0 <= b < 4]
        expected = sum(picture[a, b, 0] - picture[y, x, 0] for a, b in inside)
        assert laplacian(picture)[y, x, 0] == pytest.approx(expected)


def test_flow_leads_to_the_frame_before() -> None:
    gray = flickering_film()[0]
    flow = flow_of(gray)
    moved = warped(gray[0].astype(np.float32), flow.flow[0])
    assert np.abs(moved - gray[1])[flow.visible[0]].mean() < 0.5 * np.abs(gray[0].astype(float) - gray[1]).mean()


def test_flicker_goes_and_the_picture_stays() -> None:
    """WE falls toward the truth's; PSNR does not fall."""
    gray, truth, flicker = flickering_film()
    flow = flow_of(gray)
    steady = blind_consistency(gray, flicker, flow)
    errors = warping_errors([truth, flicker, steady], flow.flow, flow.visible).mean(axis=1)
    assert errors[1] > 3 * errors[0]
    assert errors[2] - errors[0] < 0.3 * (errors[1] - errors[0])
    assert psnr(steady[1:], truth[1:]).mean() > psnr(flicker[1:], truth[1:]).mean() + 3
    np.testing.assert_array_equal(steady[0], flicker[0])
    np.testing.assert_array_equal(blind_consistency(gray[:1], flicker[:1]), flicker[:1])


def test_films_that_do_not_fit_are_named() -> None:
    gray, _, flicker = flickering_film(2)
    with pytest.raises(ValueError, match="colored: expected"):
        blind_consistency(gray, flicker[:1])
    with pytest.raises(ValueError, match="gray: expected uint8"):
        blind_consistency(gray.astype(float), flicker)
