"""Blind video temporal consistency (Bonneel et al., ACM Transactions on Graphics 34(6), 2015).

Frame after frame, the result O keeps the gradients of the processed frame P and the colors of the result before, where
the flow of the *input* V leads there:

    min over O_t of ∫ ‖∇O_t − ∇P_t‖² + w_t ‖O_t − warp(O_{t−1})‖²,  w_t = λ exp(−α ‖V_t − warp(V_{t−1})‖²),

a screened Poisson equation, (w_t − Δ) O_t = w_t warp(O_{t−1}) − ΔP_t, with gradients of zero across the border.
"""

from __future__ import annotations

import numpy as np

from kinemacolor.consistency.films import PairFlow, check_films, flow_of, warped
from kinemacolor.core.types import Array, FloatArray

TEMPORAL_WEIGHT = 0.1
"""λ, for pixels as unit of length: details below about 2π/√λ = 20 pixels follow P, larger ones the frame before."""
MATCH_SHARPNESS = 400.0
"""α, for V in [0, 1]: a difference of 0.05 divides the weight by e."""
_ITERATIONS = 300
_TOLERANCE = 1e-4


def blind_consistency(
    gray: Array, colored: Array, flow: PairFlow | None = None, *, weight: float = TEMPORAL_WEIGHT
) -> Array:
    """A film without flicker.

    Args:
        gray: V, the input of the method that colored the film: R'G'B' (T, H, W, 3) uint8.
        colored: P, its results: (T, H, W, 3) uint8.
        flow: of V; None for DIS.
        weight: λ.

    Returns:
        (T, H, W, 3) uint8.

    Raises:
        ValueError: the films do not fit each other.
    """
    check_films(gray, colored)
    if len(gray) < 2:
        return colored.copy()
    motion = flow or flow_of(gray)
    inputs = gray.astype(np.float32)[..., 0] / np.float32(255)
    result = [colored[0].astype(np.float32) / np.float32(255)]
    for t in range(1, len(gray)):
        processed = colored[t].astype(np.float32) / np.float32(255)
        difference = inputs[t] - warped(inputs[t - 1], motion.flow[t - 1])
        trust = weight * np.exp(-MATCH_SHARPNESS * np.square(difference)) * motion.visible[t - 1]
        before = warped(result[-1], motion.flow[t - 1])
        result.append(screened_poisson(processed, before, trust.astype(np.float32)))
    codes = np.clip(np.rint(255 * np.stack(result)), 0, 255)
    return np.asarray(codes, dtype=np.uint8)


def screened_poisson(processed: FloatArray, before: FloatArray, weight: FloatArray) -> FloatArray:
    """Solves (w − Δ) O = w · before − ΔP by conjugate gradients.

    Args:
        processed, before: P and the warped result before (H, W, C).
        weight: w (H, W), at least 0; where it is 0 throughout, O is P.

    Returns:
        O (H, W, C).
    """
    w = weight.astype(np.float64)[..., None]
    if not w.any():
        return processed
    # With O = P + x the right side is w (before − P): x is smooth, and 0 where there is nothing to correct.
    right = w * (before.astype(np.float64) - processed)
    x = np.zeros_like(right)
    residual = right.copy()
    scale = 1 / (w + 4)
    direction = scale * residual
    rho = (residual * direction).sum(axis=(0, 1))
    limit = _TOLERANCE**2 * np.maximum((right * right).sum(axis=(0, 1)), 1e-12)
    for _ in range(_ITERATIONS):
        image = w * direction - laplacian(direction)
        step = rho / np.maximum((direction * image).sum(axis=(0, 1)), 1e-30)
        x += step * direction
        residual -= step * image
        if ((residual * residual).sum(axis=(0, 1)) <= limit).all():
            break
        preconditioned = scale * residual
        following = (residual * preconditioned).sum(axis=(0, 1))
        direction = preconditioned + following / np.maximum(rho, 1e-30) * direction
        rho = following
    return np.asarray(processed + x, dtype=np.float32)


def laplacian(picture: Array) -> Array:
    """Δ of (H, W, C) on four neighbors; differences across the border are 0."""
    out = np.zeros_like(picture)
    down, across = np.diff(picture, axis=0), np.diff(picture, axis=1)
    out[:-1] += down
    out[1:] -= down
    out[:, :-1] += across
    out[:, 1:] -= across
    return out
