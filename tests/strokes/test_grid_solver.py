"""The solver on grids against a dense solution, at prime sizes."""

from __future__ import annotations

import numpy as np
import pytest

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.strokes.grid_solver import NEIGHBORS, GridSystem, neighbor_slices, solve

SIZE = (13, 17)


def some_system(size: tuple[int, int] = SIZE, seed: int = 0) -> GridSystem:
    rng = np.random.default_rng(seed)
    couplings = np.zeros((4, *size), np.float32)
    for weight, step in zip(couplings, NEIGHBORS, strict=True):
        here, _ = neighbor_slices(step)
        weight[here] = 10 ** rng.uniform(-3, 0, weight[here].shape)
    diagonal = np.where(rng.uniform(size=size) < 0.1, 100, 1e-3).astype(np.float32)
    return GridSystem(couplings, diagonal)


def dense(system: GridSystem) -> Array:
    """The matrix by loops over pixels."""
    height, width = system.diagonal.shape
    matrix = np.diag(system.diagonal.ravel().astype(np.float64))
    for number, (down, right) in enumerate(NEIGHBORS):
        for row in range(height):
            for column in range(width):
                other = (row + down, column + right)
                if 0 <= other[0] < height and 0 <= other[1] < width:
                    here, there = row * width + column, other[0] * width + other[1]
                    weight = float(system.couplings[number, row, column])
                    matrix[[here, there], [here, there]] += weight
                    matrix[[here, there], [there, here]] -= weight
    return matrix


def fields(count: int, size: tuple[int, int] = SIZE, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, *size)).astype(np.float32)


def test_the_matrix_is_that_of_the_loops() -> None:
    system, vectors = some_system(), fields(3)
    expected = (vectors.reshape(3, -1) @ dense(system)).reshape(vectors.shape)
    np.testing.assert_allclose(system.apply(vectors), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(system.total.ravel(), np.diag(dense(system)), rtol=1e-5)


def test_the_coarse_matrix_joins_blocks_of_four() -> None:
    system = some_system()
    rows, columns = -(-SIZE[0] // 2), -(-SIZE[1] // 2)
    joined = np.zeros((SIZE[0] * SIZE[1], rows * columns))
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            joined[row * SIZE[1] + column, row // 2 * columns + column // 2] = 1
    np.testing.assert_allclose(dense(system.coarse()), joined.T @ dense(system) @ joined, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [(13, 17), (1, 29), (31, 2), (47, 53)])
def test_solutions_are_those_of_a_dense_solver(size: tuple[int, int]) -> None:
    system, right = some_system(size), fields(2, size)
    expected = np.linalg.solve(dense(system), right.reshape(2, -1).T.astype(np.float64)).T.reshape(right.shape)
    found, steps = solve(system, right, np.zeros_like(right), tolerance=1e-6, most=200)
    assert steps < 60
    np.testing.assert_allclose(found, expected, atol=2e-3 * float(np.abs(expected).max()))


def test_the_solution_is_where_it_begins_when_it_is_given() -> None:
    system, right = some_system(), fields(2)
    first, steps = solve(system, right, np.zeros_like(right))
    again, none = solve(system, right, first)
    assert steps > 2
    assert none <= 1
    np.testing.assert_allclose(again, first, atol=1e-2 * float(np.abs(first).max()))


def test_nothing_on_the_right_side_is_nothing() -> None:
    found, steps = solve(some_system(), np.zeros((2, *SIZE), np.float32), np.zeros((2, *SIZE), np.float32))
    assert steps == 0
    assert not found.any()
