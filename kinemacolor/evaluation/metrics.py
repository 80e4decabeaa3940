"""Figures of merit on RGB films, uint8 (T, H, W, 3), all computed in float64."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinemacolor.frames import Array


def _check(film: Array, name: str) -> None:
    if film.ndim != 4 or film.shape[3] != 3 or film.dtype != np.uint8 or film.shape[0] < 1:
        raise ValueError(f"{name}: expected uint8 (T, H, W, 3), T ≥ 1, got {film.dtype} {film.shape}")


def psnr(result: Array, truth: Array) -> Array:
    """Peak signal-to-noise ratio of each frame, dB: 10 log₁₀(255² / mean((R − G)²)) over pixels and R, G, B.

    Args:
        result, truth: uint8 (T, H, W, 3).

    Returns:
        (T,) float64; ∞ for identical frames.
    """
    _check(result, "result")
    _check(truth, "truth")
    if result.shape != truth.shape:
        raise ValueError(f"truth: expected shape {result.shape}, got {truth.shape}")
    errors = [
        np.mean(np.square(a.astype(np.float64) - b.astype(np.float64))) for a, b in zip(result, truth, strict=True)
    ]
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / np.asarray(errors)))


def colorfulness(film: Array) -> Array:
    """Hasler and Süsstrunk (2003), equation 4, of each frame: √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb).

    rg = R − G, yb = (R + G)/2 − B in code values 0 … 255.

    Returns:
        (T,) float64; 0 for grey.
    """
    _check(film, "film")
    values = []
    for frame in film:
        r, g, b = np.moveaxis(frame.astype(np.float64), 2, 0)
        rg, yb = r - g, (r + g) / 2 - b
        values.append(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    return np.asarray(values)


def cdc(film: Array, steps: Sequence[int] = (1, 2, 4)) -> float:
    """Colour distribution consistency (Liu et al. 2021; NTIRE 2023): lower is steadier.

    The Jensen-Shannon divergence (natural logarithm) between the 256-bin histograms of frames t and t + k, mean over
    R, G, B and t, then over k.

    Args:
        film: uint8 (T, H, W, 3).
        steps: the k; those of at least T frames cannot be taken and are refused.

    Raises:
        ValueError: the film is not longer than the largest step.
    """
    _check(film, "film")
    if len(film) <= max(steps):
        raise ValueError(f"film: expected more than {max(steps)} frames, got {len(film)}")
    counts = [[np.bincount(frame[..., c].ravel(), minlength=256) for c in range(3)] for frame in film]
    shares = np.asarray(counts, dtype=np.float64) / film[0, ..., 0].size
    return float(np.mean([_divergence(shares[:-k], shares[k:]).mean() for k in steps]))


def _divergence(p: Array, q: Array) -> Array:
    """Jensen-Shannon divergence over the last axis."""
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(share > 0, share * np.log(share / middle), 0.0).sum(axis=-1) for share in (p, q)]
    return np.asarray((terms[0] + terms[1]) / 2)
