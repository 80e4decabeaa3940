"""Metrics on RGB films, uint8 (T, H, W, 3), all computed in float64."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.color import TO_XYZ
from kinemacolor.core.types import Array, BoolArray

SSIM_WINDOW = 11
"""Side in pixels of SSIM's Gaussian window; frames must be at least as large."""
_SSIM_SIGMA = 1.5
_SSIM_FLOORS = ((0.01 * 255) ** 2, (0.03 * 255) ** 2)


def _check(film: Array, name: str) -> None:
    if np.issubdtype(film.dtype, np.floating) and np.isnan(film).any():
        raise ValueError(f"{name}: contains NaN, first in frame {int(np.argwhere(np.isnan(film))[0, 0])}")
    if film.ndim != 4 or film.shape[3] != 3 or film.dtype != np.uint8 or film.size == 0:
        raise ValueError(f"{name}: expected uint8 (T, H, W, 3), T ≥ 1, got {film.dtype} {film.shape}")


def check_pair(result: Array, truth: Array) -> None:
    """Raises ValueError, which names the difference, unless both are uint8 (T, H, W, 3) of one shape."""
    _check(result, "result")
    _check(truth, "truth")
    if len(result) != len(truth):
        raise ValueError(f"result: expected shape {truth.shape}: {len(truth)} frames, got {len(result)} frames")
    if result.shape != truth.shape:
        sizes = [f"{film.shape[2]}x{film.shape[1]}" for film in (truth, result)]
        raise ValueError(f"result: expected shape {truth.shape}: {sizes[0]} pixels, got {sizes[1]}")


def psnr(result: Array, truth: Array) -> Array:
    """Peak signal-to-noise ratio of each frame, dB: 10 log₁₀(255² / mean((R − G)²)) over pixels and R, G, B.

    Args:
        result, truth: uint8 (T, H, W, 3).

    Returns:
        (T,) float64; ∞ for identical frames.
    """
    check_pair(result, truth)
    errors = [
        np.mean(np.square(a.astype(np.float64) - b.astype(np.float64))) for a, b in zip(result, truth, strict=True)
    ]
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / np.asarray(errors)))


def wrapped_psnr(result: Array, truth: Array) -> Array:
    """What the public script of ColorMNet calls PSNR: ``((a - b) ** 2).mean()`` of uint8 arrays, which wrap.

    Differences and their squares are taken modulo 256, so that an error of 16 counts as 0 and one of 250 as 36. It is
    no PSNR and compares with none; it is here to reproduce figures that were published by it.

    Args:
        result, truth: uint8 (T, H, W, 3).

    Returns:
        (T,) float64; ∞ where all squares are multiples of 256.
    """
    check_pair(result, truth)
    with np.errstate(divide="ignore"):
        errors = np.asarray([np.square(b - a).mean() for a, b in zip(result, truth, strict=True)])
        return np.asarray(20 * np.log10(255.0 / np.sqrt(errors)))


def ssim(result: Array, truth: Array) -> Array:
    """Structural similarity of each frame (Wang et al. 2004, equation 13), mean over pixels and R, G, B.

    It is computed on R, G, B and not on luma: a colorizer is given the luma, so that a luma SSIM would not see its
    work. Gaussian window 11×11, σ 1.5; weighted (not sample) covariances; K₁ = 0.01, K₂ = 0.03, L = 255; only pixels
    whose window lies within the frame.

    Args:
        result, truth: uint8 (T, H, W, 3), H and W at least 11.

    Returns:
        (T,) float64 in [-1, 1]; 1 for identical frames.
    """
    check_pair(result, truth)
    if min(truth.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(
            f"truth: SSIM needs sides of at least {SSIM_WINDOW} pixels, got {truth.shape[2]}x{truth.shape[1]}"
        )
    return np.asarray([_ssim_of_frames(a, b) for a, b in zip(result, truth, strict=True)])


def _ssim_of_frames(a: Array, b: Array) -> float:
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    product, squares = mean_x * mean_y, np.square(mean_x) + np.square(mean_y)
    covariance = _windowed(x * y) - product
    variances = _windowed(np.square(x) + np.square(y)) - squares  # the window is linear: both variances in one pass
    low, high = _SSIM_FLOORS
    return float(np.mean((2 * product + low) * (2 * covariance + high) / ((squares + low) * (variances + high))))


def _windowed(image: Array) -> Array:
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, _SSIM_SIGMA)
    edge = SSIM_WINDOW // 2
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel))[edge:-edge, edge:-edge]


def delta_e(result: Array, truth: Array) -> Array:
    """Mean CIEDE2000 color difference of each frame in a* and b* alone: both get the truth's L*.

    A colorizer is given the luma, so only hue and chroma are judged. With equal L* the lightness term of CIEDE2000
    (CIE 142-2001; Sharma et al. 2005) is zero and L* cancels out. k_C = k_H = 1.

    Args:
        result, truth: uint8 (T, H, W, 3).

    Returns:
        (T,) float64, CIE units; 0 for equal chrominance.
    """
    check_pair(result, truth)
    return np.asarray([_difference(a, b) for a, b in zip(result, truth, strict=True)])


def _difference(a: Array, b: Array) -> float:
    pixels = [frame.reshape(1, -1, 3) for frame in (a, b)]
    count = pixels[0].shape[1]
    tiles = (slice(start, start + _TILE) for start in range(0, count, _TILE))  # tiles fit into the processor's cache
    return sum(float(_ciede2000(*_ab(pixels[0][:, part]), *_ab(pixels[1][:, part])).sum()) for part in tiles) / count


_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES > 0.04045, ((_CODES + 0.055) / 1.055) ** 2.4, _CODES / 12.92)
_DELTA = 6 / 29
_AB_OF_ROOTS = np.array([[500, -500, 0], [0, 200, -200]])
_TILE = 4096


def _ab(frame: Array) -> tuple[Array, Array]:
    """a*, b* (H, W) float64 of an 8-bit sRGB frame (H, W, 3), white D65/2°."""
    ratios = cv2.transform(cv2.LUT(frame, _LINEAR), TO_XYZ)
    curved = np.maximum(ratios, _DELTA**3)
    ratios -= curved
    ratios *= 1 / (3 * _DELTA**2)
    ratios += cv2.pow(curved, 1 / 3)  # CIE 15's f(t)
    a, b = cv2.split(cv2.transform(ratios, _AB_OF_ROOTS))
    return a, b


def _ciede2000(a1: Array, b1: Array, a2: Array, b2: Array) -> Array:
    """CIEDE2000 of two colors of one lightness (Sharma et al. 2005, equations 2 to 22), float64.

    The mean hue is the direction of the sum of the hues' unit vectors: this takes one arc tangent instead of two, and
    the cosines of its multiples are polynomials. Where the hues are exactly opposite, it is (h₁ + h₂)/2, as in the
    standard.
    """
    gain = 1.5 - 0.5 * _seventh((np.sqrt(a1 * a1 + b1 * b1) + np.sqrt(a2 * a2 + b2 * b2)) / 2)
    a1, a2 = a1 * gain, a2 * gain
    c1, c2 = np.sqrt(a1 * a1 + b1 * b1), np.sqrt(a2 * a2 + b2 * b2)
    n1, n2 = np.maximum(c1, 1e-300), np.maximum(c2, 1e-300)
    x, y = a1 / n1 + a2 / n2, b1 / n1 + b2 / n2
    opposite = (x * x + y * y < 1e-24) & (c1 > 0) & (c2 > 0)
    if opposite.any():  # a quarter turn from the hue that lies in [0°, 180°)
        sign = np.where((b1 > 0) | ((b1 == 0) & (a1 > 0)), 1.0, -1.0)
        x, y = np.where(opposite, -sign * b1, x), np.where(opposite, sign * a1, y)
    size = np.maximum(np.sqrt(x * x + y * y), 1e-300)
    cos, sin = x / size, y / size
    cos2, sin2 = 2 * cos * cos - 1, 2 * sin * cos
    tone = (
        1
        - 0.17 * _turned(cos, sin, -30)
        + 0.24 * cos2
        + 0.32 * _turned(cos * cos2 - sin * sin2, sin * cos2 + cos * sin2, 6)
        - 0.20 * _turned(2 * cos2 * cos2 - 1, 2 * sin2 * cos2, -63)
    )
    chroma = (c1 + c2) / 2
    step, along, across = c2 - c1, a2 - a1, b2 - b1
    squared = np.maximum(along * along + across * across - step * step, 0)  # ΔH'²
    hue = np.copysign(np.sqrt(squared), a1 * b2 - a2 * b1) / (1 + 0.015 * chroma * tone)
    step = step / (1 + 0.045 * chroma)
    angle = np.arctan2(sin, cos)
    angle += (angle < 0) * (2 * np.pi)
    turn = np.radians(60) * np.exp(-np.square((angle - np.radians(275)) / np.radians(25)))
    mixed = -np.sin(turn) * 2 * _seventh(chroma) * step * hue
    return np.asarray(np.sqrt(np.maximum(step * step + hue * hue + mixed, 0)))


def _seventh(chroma: Array) -> Array:
    """√(C⁷ / (C⁷ + 25⁷))."""
    cube = chroma * chroma * chroma
    power = cube * cube * chroma
    return np.asarray(np.sqrt(power / (power + 25.0**7)))


def _turned(cos: Array, sin: Array, degrees: float) -> Array:
    """cos(h + degrees) of cos h and sin h."""
    return np.asarray(cos * np.cos(np.radians(degrees)) - sin * np.sin(np.radians(degrees)))


def colorfulness(film: Array) -> Array:
    """Hasler and Süsstrunk (2003), equation 4, of each frame: √(σ²_rg + σ²_yb) + 0.3 √(μ²_rg + μ²_yb).

    rg = R − G, yb = (R + G)/2 − B in code values 0 … 255.

    Returns:
        (T,) float64; 0 for gray.
    """
    _check(film, "film")
    values = []
    for frame in film:
        means, deviations = cv2.meanStdDev(cv2.transform(frame.astype(np.float64), _OPPONENTS))
        values.append(np.hypot(*deviations.ravel()) + 0.3 * np.hypot(*means.ravel()))
    return np.asarray(values)


_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]])


def cdc(film: Array, steps: Sequence[int] = (1, 2, 4)) -> float:
    """Color distribution consistency (Liu et al. 2021; NTIRE 2023): lower is more stable.

    The Jensen-Shannon divergence (natural logarithm) between the 256-bin histograms of frames t and t + k, mean over
    R, G, B and t, then over k.

    Args:
        film: uint8 (T, H, W, 3).
        steps: the values of k, each less than T.

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


def warping_errors(films: Sequence[Array], flow: Array, visible: BoolArray) -> Array:
    """Warping error (Lai et al., ECCV 2018, equation 8) of each pair of frames of each film: Σ m d² / Σ m.

    d is the current frame minus the previous one, warped by the flow (bilinear, borders repeated), in R'G'B' of [0, 1];
    the sums are over pixels and R, G, B. The flow is that of the *input*, the same for all films. Lai et al. warp the
    later frame to the earlier with the forward flow; here, as in the paper's temporal loss, the earlier frame is warped
    to the later.

    Args:
        films: each uint8 (T, H, W, 3).
        flow: (T − 1, H, W, 2), (x, y) pixels: the current frame at p looks like the previous one at p + flow(p).
        visible: (T − 1, H, W) bool; False for pixels of the current frame that the previous one does not show.

    Returns:
        (len(films), T − 1) float64 (not × 10³). A pair without visible pixels counts as 0, as in Lai et al.'s
        program.
    """
    for film in films:
        _check(film, "film")
        if film.shape[:3] != (len(flow) + 1, *flow.shape[1:3]):
            raise ValueError(f"flow: {len(flow)} pairs of {flow.shape[2]}x{flow.shape[1]} for a film {film.shape}")
    pairs = [
        _pair_errors([film[t] for film in films], [film[t + 1] for film in films], flow[t], visible[t])
        for t in range(len(flow))
    ]
    return np.asarray(pairs, dtype=np.float64).reshape(len(flow), len(films)).T


def _pair_errors(previous: list[Array], current: list[Array], flow: Array, visible: BoolArray) -> list[float]:
    height, width = visible.shape
    index = np.flatnonzero(visible)
    if index.size == 0:
        return [0.0] * len(previous)
    offsets = flow.reshape(-1, 2)[index].astype(np.float64)
    x = np.clip(index % width + offsets[:, 0], 0, width - 1)
    y = np.clip(index // width + offsets[:, 1], 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    x, y = x - left, y - top
    corners = [
        (row * width + column, down * across)
        for row, down in ((top, 1 - y), (below, y))
        for column, across in ((left, 1 - x), (right, x))
    ]
    totals = []
    for before, now in zip(previous, current, strict=True):
        total = 0.0
        for plane, goal in zip(cv2.split(before), cv2.split(now), strict=True):  # planes fit into the processor's cache
            difference = goal.ravel()[index].astype(np.float64)
            for corner, weight in corners:
                difference -= plane.ravel()[corner] * weight
            total += float(difference @ difference)
        totals.append(total / (index.size * 3 * 255**2))
    return totals
