"""Guided upsampling: from the network's few pixels to the film's chroma planes, with the film's luma as guide.

The network's a*, b* become Cb, Cr at network size, which are then upsampled to the film's *chroma grid*. Compared with
solving for Cb, Cr at every pixel of the film this takes a tenth of the time and is 0.3 to 0.5 dB closer to the truth:
a local linear model of Cb, Cr over Y' suits surfaces of one color under varying light (``benchmarks/upsampling.py``).
"""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.color import Siting, ab_to_chroma, chroma_to_codes, codes_to_luma, fit_gamut, to_chroma_grid
from kinemacolor.core.limits import UpsamplingQuality
from kinemacolor.core.resample import resize, warp
from kinemacolor.core.types import Array, Coding, FloatArray, Frame

_NOISE = 5e-3
"""Variance of Y' in [0, 1] below which luma hardly guides chroma (the ε of the guided filter)."""
_KERNELS: dict[UpsamplingQuality, tuple[int, int]] = {"fast": (cv2.INTER_CUBIC, 1), "best": (cv2.INTER_LANCZOS4, 2)}
"""Interpolation kernel and number of back-projections."""


def _mean(image: FloatArray) -> FloatArray:
    return np.asarray(cv2.blur(image, (3, 3), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _two_channels(plane: FloatArray) -> FloatArray:
    """(H, W) to (H, W, 2); faster than broadcasting."""
    return np.asarray(cv2.merge([plane, plane]), dtype=np.float32)


def _slopes(low: FloatArray, guide: FloatArray) -> FloatArray:
    """How each channel changes with the guide, by regression over 3×3 windows (He, Sun and Tang 2010, equation 5)."""
    pair = _two_channels(guide)
    mean = _mean(pair)
    variance = _mean(np.square(pair)) - np.square(mean)
    covariance = _mean(np.multiply(pair, low)) - mean * _mean(low)
    return _mean(np.divide(covariance, variance + np.float32(_NOISE)))


def upsample(low: Array, guide_low: Array, guide: Array, *, quality: UpsamplingQuality = "fast") -> FloatArray:
    """Upsamples a two-channel map (h, w, 2) to the size (H, W) of its guide.

    The sum of three terms: an interpolation; the guide's detail times the local slope of the map over the guide (a
    guided filter of what interpolation misses: He and Sun 2015, but sharp where the guide is flat); and
    back-projection, the interpolated residual against ``low``.

    Args:
        low: (h, w, 2), for instance Cb, Cr.
        guide_low: (h, w), luma Y' in [0, 1].
        guide: (H, W), luma Y' in [0, 1]; it covers the same area.
        quality: ``fast`` (bicubic, one back-projection) or ``best`` (Lanczos, two: 0.1 to 0.3 dB better on average, up
            to twice the time).

    Returns:
        (H, W, 2) float32; a copy of ``low`` if (H, W) is (h, w); its area means at half that size and below.
    """
    values, coarse = np.array(low, dtype=np.float32), np.asarray(guide_low, dtype=np.float32)
    small, size = (coarse.shape[0], coarse.shape[1]), (guide.shape[0], guide.shape[1])
    if size == small:
        return values
    if 2 * size[0] <= small[0] and 2 * size[1] <= small[1]:
        return resize(values, size)
    kernel, rounds = _KERNELS[quality]
    detail = np.asarray(guide, dtype=np.float32) - resize(coarse, size, kernel)
    high = resize(_slopes(values, coarse), size, cv2.INTER_LINEAR)
    high *= _two_channels(detail)
    high += resize(values, size, kernel)
    for _ in range(rounds):
        high += resize(values - resize(high, small), size, kernel)
    return high


def align_to_chroma_grid(
    low: FloatArray, size: tuple[int, int], subsampling: tuple[int, int], siting: Siting
) -> FloatArray:
    """Shifts and scales ``low``, which covers the film's picture (H, W), so that it covers the area of the chroma grid.

    With siting ``left`` the grid's samples lie half a luma pixel left of the centers of their cells, and at odd sizes
    the last cells extend one pixel beyond the picture.
    """
    (height, width), (sy, sx) = size, subsampling
    scale_y, scale_x = sy * -(-height // sy) / height, sx * -(-width // sx) / width
    shift = low.shape[1] / width / 2 if siting == "left" and sx == 2 else 0.0
    if (scale_y, scale_x, shift) == (1, 1, 0):
        return low
    matrix = np.array([[scale_x, 0, (scale_x - 1) / 2 - shift], [0, scale_y, (scale_y - 1) / 2]])
    return warp(low, matrix, (low.shape[0], low.shape[1]), cv2.INTER_CUBIC)


def scale_saturation(ab: Array, factor: float) -> FloatArray:
    """a*, b* (…, 2) times ``factor``: 1 returns the same array, 0 removes all color.

    ``chroma_planes`` brings colors out of gamut back into it, at constant luma and hue.

    Raises:
        ValueError: the factor is negative, infinite or NaN.
    """
    if not 0 <= factor < float("inf"):
        raise ValueError(f"factor: expected a number ≥ 0, got {factor}")
    colors = np.asarray(ab, dtype=np.float32)
    return colors if factor == 1 else colors * np.float32(factor)


def chroma_planes(
    ab: Array,
    plane: Array,
    coding: Coding,
    subsampling: tuple[int, int] = (2, 2),
    *,
    quality: UpsamplingQuality = "fast",
    siting: Siting = "left",
) -> tuple[Array, Array]:
    """U and V planes of a frame, from the network's colors and the film's luma.

    Args:
        ab: (h, w, 2), a* and b* at network size, without padding; they cover the whole picture.
        plane: (H, W), the film's Y plane in code values.
        coding: of the code values.
        subsampling: (sy, sx), (2, 2) for 4:2:0.
        quality: see ``upsample``.
        siting: where chroma samples lie, see ``color.to_chroma_grid``.

    Returns:
        U and V, each (⌈H/sy⌉, ⌈W/sx⌉) of ``coding.dtype``; in gamut together with the luma around each sample.
    """
    luma = codes_to_luma(plane, coding)
    size = (luma.shape[0], luma.shape[1])
    luma_low = resize(luma, (ab.shape[0], ab.shape[1]))
    low = ab_to_chroma(luma_low, ab, coding.matrix)
    low, luma_low = (align_to_chroma_grid(image, size, subsampling, siting) for image in (low, luma_low))
    guide = to_chroma_grid(luma, subsampling, siting)
    return chroma_to_codes(fit_gamut(guide, upsample(low, luma_low, guide, quality=quality), coding.matrix), coding)


def neutral_planes(frame: Frame, subsampling: tuple[int, int]) -> tuple[Array, Array]:
    """U and V planes of a frame without color, (⌈H/sy⌉, ⌈W/sx⌉) each."""
    height, width = frame.luma.shape
    shape = (-(-height // subsampling[0]), -(-width // subsampling[1]))
    plane = np.full(shape, 1 << (frame.coding.bit_depth - 1), frame.coding.dtype)
    return plane, plane.copy()
