"""A symmetric linear system on a grid of pixels, each coupled with its eight neighbors.

It is solved by conjugate gradients, preconditioned by one multigrid cycle.

The matrix is A = Σ over pairs w (e_r − e_s)(e_r − e_s)ᵀ + diag(d): a weighted graph Laplacian and a diagonal. Joining
blocks of 2 × 2 pixels (Galerkin's coarse matrix with piecewise constant interpolation) gives a matrix of the same form
with a quarter of the pixels, so that every level is five arrays and every step is numpy's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinemacolor.core.types import Array, FloatArray

NEIGHBORS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps (rows, columns) to half of a pixel's neighbors; the other half is theirs."""
COARSEST = 48
"""Pixels of a level that is solved at once."""
_DAMPING = 0.8
_SMOOTHINGS = 1
_OVERCORRECTION = 1.8
"""Piecewise constant interpolation makes coarse corrections too small (Braess 1995)."""


@dataclass(frozen=True, slots=True, eq=False)
class GridSystem:
    """A matrix A.

    Attributes:
        couplings: (4, h, w) float32, weight ≥ 0 between a pixel and that at ``NEIGHBORS[k]`` from it; 0 at the border.
        diagonal: (h, w) float32 ≥ 0, d.
    """

    couplings: FloatArray
    diagonal: FloatArray

    @property
    def total(self) -> FloatArray:
        """(h, w), the matrix's own diagonal: d and the sum of all couplings of a pixel."""
        total: FloatArray = self.diagonal.copy()
        for weight, (here, there) in zip(self.couplings, map(neighbor_slices, NEIGHBORS), strict=True):
            total[here] += weight[here]
            total[there] += weight[here]
        return total

    def apply(self, fields: Array) -> FloatArray:
        """A times each of several fields (n, h, w)."""
        product: FloatArray = self.diagonal * fields
        for weight, (here, there) in zip(self.couplings, map(neighbor_slices, NEIGHBORS), strict=True):
            flow = weight[here] * (fields[:, *here] - fields[:, *there])
            product[:, *here] += flow
            product[:, *there] -= flow
        return product

    def coarse(self) -> GridSystem:
        """The system of blocks of 2 × 2 pixels."""
        diagonal = _block_sums(self.diagonal)
        couplings = np.zeros((4, *diagonal.shape), np.float32)
        for weight, (down, right) in zip(self.couplings, NEIGHBORS, strict=True):
            for row in (0, 1):
                for column in (0, 1):
                    part = weight[row::2, column::2]
                    step = ((row + down) // 2, (column + right) // 2)
                    if step == (0, 0):
                        continue
                    if step in NEIGHBORS:
                        couplings[NEIGHBORS.index(step)][: part.shape[0], : part.shape[1]] += part
                    else:  # a block to the left, to which the coupling belongs
                        couplings[0][: part.shape[0], : part.shape[1] - 1] += part[:, 1:]
        return GridSystem(couplings, diagonal)


def neighbor_slices(step: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where pixels and their neighbors at a step lie."""
    down, right = step
    rows = slice(0, -down or None), slice(down, None)
    if right >= 0:
        return (rows[0], slice(0, -right or None)), (rows[1], slice(right, None))
    return (rows[0], slice(-right, None)), (rows[1], slice(0, right))


def _block_sums(plane: Array) -> FloatArray:
    """(…, h, w) → sums over blocks of 2 × 2, (…, ⌈h/2⌉, ⌈w/2⌉)."""
    height, width = plane.shape[-2:]
    rows = plane if height % 2 == 0 else np.concatenate([plane, np.zeros_like(plane[..., :1, :])], axis=-2)
    halved = rows[..., ::2, :] + rows[..., 1::2, :]
    if width % 2:
        halved = np.concatenate([halved, np.zeros_like(halved[..., :1])], axis=-1)
    sums: FloatArray = halved[..., ::2] + halved[..., 1::2]
    return sums


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    system: GridSystem
    inverse_total: FloatArray


class Multigrid:
    """A preconditioner: one symmetric cycle through coarser and coarser grids.

    Args:
        system: whose inverse it approximates.
    """

    def __init__(self, system: GridSystem) -> None:
        self._levels: list[_Level] = []
        while True:
            total = system.total
            inverse = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
            self._levels.append(_Level(system, inverse))
            if system.diagonal.size <= COARSEST or min(system.diagonal.shape) == 1:
                break
            system = system.coarse()
        self._inverse = np.linalg.pinv(_dense(system), hermitian=True).astype(np.float32)

    def __call__(self, residual: FloatArray) -> FloatArray:
        """An approximation of the inverse of A, times fields (n, h, w)."""
        return self._cycle(residual, 0)

    def _cycle(self, residual: FloatArray, depth: int) -> FloatArray:
        level = self._levels[depth]
        if depth == len(self._levels) - 1:
            flat = residual.reshape(len(residual), -1) @ self._inverse
            return flat.reshape(residual.shape)
        damped = _DAMPING * level.inverse_total
        fields = damped * residual
        for _ in range(_SMOOTHINGS - 1):
            fields += damped * (residual - level.system.apply(fields))
        coarse = self._cycle(_block_sums(residual - level.system.apply(fields)), depth + 1)
        height, width = residual.shape[1:]
        fields += _OVERCORRECTION * coarse.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
        for _ in range(_SMOOTHINGS):
            fields += damped * (residual - level.system.apply(fields))
        return fields


def _dense(system: GridSystem) -> Array:
    """The matrix (n, n) of a small system, float64."""
    shape = system.diagonal.shape
    unit = np.eye(int(np.prod(shape)), dtype=np.float64).reshape(-1, *shape)
    exact = GridSystem(system.couplings.astype(np.float64), system.diagonal.astype(np.float64))
    matrix: Array = exact.apply(unit).reshape(len(unit), -1)
    return matrix


def solve(
    system: GridSystem,
    right: FloatArray,
    start: FloatArray,
    *,
    tolerance: float = 1e-4,
    most: int = 60,
) -> tuple[FloatArray, int]:
    """Solves A x = b for several right sides at once by preconditioned conjugate gradients.

    Args:
        system: A; at least one pixel of each connected part needs a diagonal above 0.
        right: b, (n, h, w) float32.
        start: x to begin with, (n, h, w): the nearer to the solution, the fewer steps.
        tolerance: of the residual's norm, measured by the preconditioner, against that of b.
        most: steps at most.

    Returns:
        x (n, h, w) float32, and the number of steps.
    """
    precondition = Multigrid(system)
    fields = start.astype(np.float32, copy=True)
    residual = right - system.apply(fields)
    target = tolerance * tolerance * _dots(right, precondition(right))
    improved = precondition(residual)
    direction, power = improved.copy(), _dots(residual, improved)
    for step in range(most):
        if bool((power <= target).all()):
            return fields, step
        image = system.apply(direction)
        curvature = _dots(direction, image)
        length = np.divide(power, curvature, out=np.zeros_like(power), where=curvature > 0)
        fields += _per_field(length) * direction
        residual -= _per_field(length) * image
        improved = precondition(residual)
        before, power = power, _dots(residual, improved)
        share = np.divide(power, before, out=np.zeros_like(power), where=before > 0)
        direction = improved + _per_field(share) * direction
    return fields, most


def _dots(first: FloatArray, second: FloatArray) -> Array:
    dots: Array = np.einsum("nhw,nhw->n", first, second, dtype=np.float64)
    return dots


def _per_field(values: Array) -> FloatArray:
    return values.astype(np.float32)[:, None, None]
