"""The colors of a whole picture from a few strokes: they spread where luminance is smooth and stop at its edges.

Levin, Lischinski and Weiss ("Colorization using Optimization", 2004) ask for neighbors of like luminance to have like
colors, and solve a sparse least-squares problem whose constraints are the strokes. Here it is

    minimize over x   Σ w_rs (x_r − x_s)²  +  Σ λ_r (x_r − c_r)²  +  ε Σ x_r²
    w_rs = 1 / (1 + (Y_r − Y_s)² / σ²) / |r − s|

over the eight neighbors of each pixel: first differences in place of their second ones (equation 2), which gives a
matrix that multigrid solves quickly. Three fields are solved together: a* and b* times p, and p, which is 1 at strokes
of color and 0 at strokes that leave what was there. ε makes p fall off where no stroke belongs, across edges and over
long ways; a picture that the film or another program has colored stays as it is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.strokes.constraints import StrokeConstraints
from kinemacolor.strokes.grid_solver import NEIGHBORS, GridSystem, neighbor_slices, solve

LUMA_SPREAD = 0.01
"""σ, difference of Y' in [0, 1] at which a coupling is halved."""
AB_SPREAD = 4.0
"""Difference of a*, b* of the ground at which a coupling is halved, where luma does not differ."""
FALLOFF, GROUND_FALLOFF = 1e-4, 1e-3
"""ε on gray, and on a ground that is to be corrected; with couplings of 1, strokes reach over √(1/ε) pixels."""
FADE_FROM, FADE_TO = 0.02, 0.3
"""p below which the base stays, and from which the painted color counts fully."""
TOLERANCE = 2e-4


@dataclass(frozen=True, slots=True, eq=False)
class SpreadState:
    """The solution for some strokes: where the next one begins.

    Attributes:
        couplings: (4, h, w) float32 between pixels, of the luminance and what lies below the strokes.
        fields: (3, h, w) float32, p·a*, p·b* and p.
        steps: that the newest solution took.
    """

    couplings: FloatArray
    fields: FloatArray
    steps: int = 0


def begin_spread(luma: FloatArray, ground: FloatArray | None = None) -> SpreadState:
    """The state before any stroke.

    Args:
        luma: (h, w), Y' in [0, 1] of the picture.
        ground: (h, w, 2), a* and b* that are to be corrected: what they tell apart, a stroke does too; None for gray.
    """
    couplings = np.zeros((len(NEIGHBORS), *luma.shape), np.float32)
    for weight, step in zip(couplings, NEIGHBORS, strict=True):
        here, there = neighbor_slices(step)
        difference = (luma[here] - luma[there]) / np.float32(LUMA_SPREAD)
        unlike = difference * difference
        if ground is not None:
            unlike += np.square(np.square((ground[here] - ground[there]) / np.float32(AB_SPREAD)).sum(axis=2))
        weight[here] = 1 / (1 + unlike) / np.float32(np.hypot(*step))
    return SpreadState(couplings, np.zeros((3, *luma.shape), np.float32))


def spread_strokes(
    state: SpreadState, constraints: StrokeConstraints, *, falloff: float = FALLOFF, tolerance: float = TOLERANCE
) -> SpreadState:
    """Solves for other strokes on the same picture, beginning from the solution that is there.

    Args:
        state: of the picture.
        constraints: of all strokes.
        falloff: ε ≥ 0; with 0, colors fill the whole picture.
        tolerance: see ``grid_solver.solve``.
    """
    if not constraints.weight.any():
        return SpreadState(state.couplings, np.zeros_like(state.fields))
    pull = constraints.weight * constraints.painted
    right = np.concatenate([pull[None] * np.moveaxis(constraints.ab, 2, 0), pull[None]]).astype(np.float32)
    system = GridSystem(state.couplings, constraints.weight + np.float32(falloff))
    fields, steps = solve(system, right, state.fields, tolerance=tolerance)
    return SpreadState(state.couplings, fields, steps)


def painted_ab(state: SpreadState, base: FloatArray | None = None) -> FloatArray:
    """a* and b* (h, w, 2) of the picture: what is painted, on top of what was there.

    Args:
        state: of the strokes.
        base: (h, w, 2), colors that the film, or another program, gives the picture; None for gray.
    """
    share = np.clip(state.fields[2], 0, 1)
    color = np.moveaxis(state.fields[:2], 0, 2) / np.maximum(share, np.float32(1e-3))[..., None]
    ramp = np.clip((share - FADE_FROM) / (FADE_TO - FADE_FROM), 0, 1)
    cover = (ramp * ramp * (3 - 2 * ramp))[..., None].astype(np.float32)
    ground = np.zeros_like(color) if base is None else base
    mixed: FloatArray = np.clip(ground + cover * (color - ground), -128, 128).astype(np.float32)
    return mixed
