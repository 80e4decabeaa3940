"""Color without files or networks: luma, CIELAB, chroma and code values, as pure functions.

Images have channels last and are float32 unless said otherwise. The quantities:

- R'G'B' in [0, 1]: the sRGB transfer and primaries of IEC 61966-2-1, continued beyond [0, 1] by odd symmetry
  (its Amendment 1), so that colors out of gamut stay finite and ordered. The film's primaries are taken to be BT.709's
  whatever its matrix; only the luma weights follow ``Coding.matrix``.
- L*, a*, b*: CIE 15, white D65/2°; L* in [0, 100], a* and b* in about [-110, 110].
- Y' in [0, 1] and Cb, Cr in [-0.5, 0.5]: ITU-T H.273 (BT.601, BT.709, BT.2020 with non-constant luminance).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from kinemacolor.core.resample import warp
from kinemacolor.core.types import Array, Coding, FloatArray, Matrix

Siting = Literal["left", "center"]

LUMA_WEIGHTS: dict[Matrix, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
    "bt2020": (0.2627, 0.6780, 0.0593),
}
"""(Kr, Kg, Kb), ITU-T H.273 table 4."""

# Rows are X/Xn, Y/Yn, Z/Zn of linear R, G, B; each is scaled to sum to one, so gray has a* = b* = 0 without remainder.
_PRIMARIES = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
TO_XYZ = _PRIMARIES / _PRIMARIES.sum(axis=1, keepdims=True)
FROM_XYZ = np.linalg.inv(TO_XYZ)
LAB_DELTA = 6 / 29
"""f(t) of CIE 15 is a cube root where t > LAB_DELTA³, and linear below."""
SRGB_KNEE = 0.0031308
"""Linear light up to which the sRGB transfer is linear."""
_NEWTON_STEPS = 3
_GRID = 49
_TILE = 8192


def _flat(values: Array, channels: int) -> FloatArray:
    """The pixels of (…, channels) as one row (1, N, channels) of float32, a shape that OpenCV takes."""
    return np.ascontiguousarray(values, dtype=np.float32).reshape(1, -1, channels)


def _mix(colors: FloatArray, matrix: Array) -> FloatArray:
    return np.asarray(cv2.transform(colors, matrix), dtype=np.float32)


def _power(values: FloatArray, exponent: float) -> FloatArray:
    return np.asarray(cv2.pow(values, exponent), dtype=np.float32).reshape(values.shape)


def _three_channels(values: FloatArray) -> FloatArray:
    """(1, N) or (1, N, 1) to (1, N, 3); faster than broadcasting."""
    return np.asarray(cv2.cvtColor(values, cv2.COLOR_GRAY2RGB), dtype=np.float32)


def _at_least(values: FloatArray, level: float) -> FloatArray:
    return np.maximum(values, np.full_like(values, level))  # a scalar would make it four times slower


def _signed_like(sizes: FloatArray, values: FloatArray) -> FloatArray:
    """np.copysign for sizes ≥ 0, but faster."""
    bits = values.view(np.uint32) & np.uint32(1 << 31)
    bits |= sizes.view(np.uint32)
    return bits.view(np.float32)


def _to_linear(encoded: FloatArray) -> FloatArray:
    size = np.abs(encoded)
    curved = _at_least(size, 12.92 * SRGB_KNEE)
    linear = _power((curved + np.float32(0.055)) / np.float32(1.055), 2.4) + (size - curved) / np.float32(12.92)
    return _signed_like(np.abs(linear), encoded)


def _from_linear(linear: FloatArray) -> tuple[FloatArray, FloatArray]:
    """R'G'B' of linear light, and the slope of the transfer there."""
    size = np.abs(linear)
    curved = _at_least(size, SRGB_KNEE)
    root = _power(curved, 1 / 2.4)
    size -= curved
    size *= np.float32(12.92)
    size += np.float32(1.055) * root
    size -= np.float32(0.055)
    root *= np.float32(1.055 / 2.4)
    root /= curved
    return _signed_like(np.abs(size), linear), root


def _cube_root(ratio: FloatArray) -> FloatArray:
    """CIE 15's f(t)."""
    curved = _at_least(ratio, LAB_DELTA**3)
    return _power(curved, 1 / 3) + (ratio - curved) / np.float32(3 * LAB_DELTA**2)


def _cube(root: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The inverse of f(t), and its slope."""
    curved = _at_least(root, LAB_DELTA)
    slope = curved * curved
    ratio = slope * curved
    ratio += np.float32(3 * LAB_DELTA**2) * (root - curved)
    slope *= np.float32(3)
    return ratio, slope


def rgb_to_linear(rgb: Array) -> FloatArray:
    """Linear light (…, 3) of R'G'B' (…, 3)."""
    return _to_linear(_flat(rgb, 3)).reshape(rgb.shape)


def linear_to_rgb(linear: Array) -> FloatArray:
    """R'G'B' (…, 3) of linear light (…, 3)."""
    return _from_linear(_flat(linear, 3))[0].reshape(linear.shape)


def rgb_to_lab(rgb: Array) -> FloatArray:
    """L*a*b* (…, 3) of R'G'B' (…, 3) in [0, 1] (CIE 15, D65/2°)."""
    f = _cube_root(_mix(_to_linear(_flat(rgb, 3)), TO_XYZ))
    lab = _mix(f, np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]]))
    lab[..., 0] -= 16
    return lab.reshape(rgb.shape)


def lab_to_rgb(lab: Array) -> FloatArray:
    """R'G'B' (…, 3) of L*a*b* (…, 3), unclipped: colors out of gamut leave [0, 1]."""
    values = _flat(lab, 3) + np.array([16, 0, 0], dtype=np.float32)
    ratios, _ = _cube(_mix(values, np.array([[1 / 116, 1 / 500, 0], [1 / 116, 0, 0], [1 / 116, 0, -1 / 200]])))
    rgb, _ = _from_linear(_mix(ratios, FROM_XYZ))
    return rgb.reshape(lab.shape)


def rgb_to_luma(rgb: Array, matrix: Matrix) -> FloatArray:
    """Y' (…) of R'G'B' (…, 3): Kr R' + Kg G' + Kb B'."""
    return _mix(_flat(rgb, 3), np.array([LUMA_WEIGHTS[matrix]])).reshape(rgb.shape[:-1])


def luma_to_gray_lightness(luma: Array) -> FloatArray:
    """L* (…) of the gray R' = G' = B' = Y', for Y' (…); Y' is clipped to [0, 1] first."""
    gray = np.clip(_flat(luma, 1), 0, 1)
    lightness = np.float32(116) * _cube_root(_to_linear(gray)) - np.float32(16)
    return np.asarray(np.clip(lightness, 0, 100)).reshape(luma.shape)


def still_lightness(rgb: Array, matrix: Matrix) -> FloatArray:
    """L* (…) that black-and-white film shows for a colored still R'G'B' (…, 3): that of its luma as a gray."""
    return luma_to_gray_lightness(rgb_to_luma(rgb, matrix))


def _luma_scale(coding: Coding) -> tuple[int, int]:
    """White minus black, and black, in code values."""
    unit = 1 << (coding.bit_depth - 8)
    return (coding.maximum, 0) if coding.full_range else (219 * unit, 16 * unit)


@lru_cache(maxsize=16)
def _luma_tables(coding: Coding) -> tuple[FloatArray, FloatArray]:
    """Y' in [0, 1], and L* of the gray R' = G' = B' = Y', for each code value (H.273, 8.3)."""
    scale, black = _luma_scale(coding)
    luma = np.clip((np.arange(coding.maximum + 1) - black) / scale, 0, 1).astype(np.float32)
    return luma, luma_to_gray_lightness(luma)


def _apply_table(table: FloatArray, plane: Array) -> FloatArray:
    if plane.dtype == np.uint8 and table.size == 256 and plane.ndim == 2:
        return np.asarray(cv2.LUT(plane, table), dtype=np.float32)
    return np.asarray(np.take(table, plane, mode="clip"))


def codes_to_luma(plane: Array, coding: Coding) -> FloatArray:
    """Y' (H, W) in [0, 1] of a Y plane of code values; codes below black and above white are clipped."""
    return _apply_table(_luma_tables(coding)[0], plane)


def luma_to_lightness(plane: Array, coding: Coding) -> FloatArray:
    """L* (H, W) in [0, 100] of a Y plane of code values, seen as the gray R' = G' = B' = Y'."""
    return _apply_table(_luma_tables(coding)[1], plane)


def _tones(roots: FloatArray, weights: Array) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """R'G'B' and Y' of f(X/Xn, Y/Yn, Z/Zn) (1, N, 3), and their rates of change with f(Y/Yn) at constant a*, b*."""
    ratios, cube_slope = _cube(roots)
    rgb, rates = _from_linear(_mix(ratios, FROM_XYZ))
    rates *= _mix(cube_slope, FROM_XYZ)
    return rgb, _mix(rgb, weights)[..., None], rates, _mix(rates, weights)[..., None]


def _opponents(ab: FloatArray) -> FloatArray:
    """f(X/Xn) - f(Y/Yn), 0 and f(Z/Zn) - f(Y/Yn) of a*, b* (1, N, 2)."""
    offsets = np.zeros((*ab.shape[:-1], 3), dtype=np.float32)
    np.multiply(ab[..., 0], np.float32(1 / 500), out=offsets[..., 0])
    np.multiply(ab[..., 1], np.float32(-1 / 200), out=offsets[..., 2])
    return offsets


@lru_cache(maxsize=len(LUMA_WEIGHTS))
def _start_table(matrix: Matrix) -> FloatArray:
    """f(Y/Yn) on a grid over (Y', a*, b*), by bisection: the starting points of ``ab_to_chroma``."""
    axis = np.linspace(0, 1, _GRID, dtype=np.float32)
    luma, a, b = np.meshgrid(axis, *(256 * axis - 128,) * 2, indexing="ij")
    target, offsets = luma.reshape(1, -1, 1), _opponents(_flat(np.stack([a, b], axis=-1), 2))
    weights, step = np.array([LUMA_WEIGHTS[matrix]]), 0.5
    table = np.full_like(target, 0.5)
    while step > 1e-4:
        table += np.where(_tones(table + offsets, weights)[1] < target, step, -step).astype(np.float32)
        step /= 2
    return table.reshape(-1)


def ab_to_chroma(luma: Array, ab: Array, matrix: Matrix) -> FloatArray:
    """Cb, Cr (…, 2) of the color whose luma is Y' (…) in [0, 1] and whose a*, b* are ``ab`` (…, 2).

    Luma is kept, so L* is the unknown: Newton's method finds it from Y', starting from a table. It is *not* the L* of
    the gray Y'. The color may lie out of gamut (``fit_gamut`` pulls it in). NaN counts as 0 in a*, b*; values beyond
    ±128 are clipped. Error of R'G'B' in gamut: 0.002 at worst, 0.0001 for 999 colors of 1000.
    """
    flat_luma, flat_ab = _flat(luma, 1), _flat(ab, 2)
    chroma = np.empty_like(flat_ab)
    for start in range(0, flat_luma.size, _TILE):  # tiles stay in the processor's cache
        tile = slice(start, start + _TILE)
        chroma[:, tile] = _solve_chroma(flat_luma[:, tile], flat_ab[:, tile], matrix)
    return chroma.reshape(ab.shape)


def _solve_chroma(luma: FloatArray, ab: FloatArray, matrix: Matrix) -> FloatArray:
    """``ab_to_chroma`` of luma (1, N, 1) and ab (1, N, 2)."""
    ab, target = np.clip(ab, -128, 128), np.clip(luma, 0, 1)
    ab[np.isnan(ab)] = 0
    target[np.isnan(target)] = 0
    cell = _mix(ab, np.diag([(_GRID - 1) / 256] * 2)) + np.float32(_GRID // 2 + 0.5)
    index = (target[..., 0] * (_GRID - 1) + np.float32(0.5)).astype(np.int32) * _GRID**2
    index += cell[..., 0].astype(np.int32) * _GRID + cell[..., 1].astype(np.int32)
    roots = _opponents(ab)
    roots += _three_channels(np.take(_start_table(matrix), index))
    weights = np.array([LUMA_WEIGHTS[matrix]])
    for _ in range(_NEWTON_STEPS):
        rgb, current, rates, rate = _tones(roots, weights)
        step = _three_channels((target - current) / _at_least(rate, 0.3))
        roots += step
    rates *= step
    rates += rgb
    return _mix(rates, _chroma_rows(matrix))[..., :2]


def _chroma_rows(matrix: Matrix) -> Array:
    """Cb = (B' - Y') / 2(1 - Kb), Cr = (R' - Y') / 2(1 - Kr) as rows over R'G'B' (H.273, 8.3), and a row of zeros."""
    kr, kg, kb = LUMA_WEIGHTS[matrix]
    blue, red = 2 * (1 - kb), 2 * (1 - kr)
    return np.array([[-kr / blue, -kg / blue, (1 - kb) / blue], [(1 - kr) / red, -kg / red, -kb / red], [0, 0, 0]])


def _color_differences(chroma: FloatArray, matrix: Matrix) -> tuple[FloatArray, FloatArray, FloatArray]:
    """R' - Y', G' - Y' and B' - Y', each (…), of Cb, Cr (…, 2): the inverse of ``_chroma_rows``."""
    kr, kg, kb = LUMA_WEIGHTS[matrix]
    red = chroma[..., 1] * np.float32(2 * (1 - kr))
    blue = chroma[..., 0] * np.float32(2 * (1 - kb))
    return red, np.float32(-kr / kg) * red + np.float32(-kb / kg) * blue, blue


def rgb_to_chroma(rgb: Array, matrix: Matrix) -> FloatArray:
    """Cb, Cr (…, 2) of R'G'B' (…, 3)."""
    return np.ascontiguousarray(_mix(_flat(rgb, 3), _chroma_rows(matrix))[..., :2]).reshape(*rgb.shape[:-1], 2)


def chroma_to_rgb(luma: Array, chroma: Array, matrix: Matrix) -> FloatArray:
    """R'G'B' (…, 3), unclipped, of Y' (…) and Cb, Cr (…, 2)."""
    gray = np.asarray(luma, dtype=np.float32)
    rgb = np.empty((*chroma.shape[:-1], 3), dtype=np.float32)
    for channel, difference in enumerate(_color_differences(np.asarray(chroma, dtype=np.float32), matrix)):
        np.add(gray, difference, out=rgb[..., channel])
    return rgb


def fit_gamut(luma: Array, chroma: Array, matrix: Matrix) -> FloatArray:
    """Cb, Cr (…, 2) scaled toward 0, at constant Y' (…) and hue, until R'G'B' lies in [0, 1].

    The scale is the largest in closed form; colors in gamut are returned bit for bit. Y' is clipped to [0, 1] first.
    """
    fitted = np.array(chroma, dtype=np.float32)
    gray = np.clip(np.asarray(luma, dtype=np.float32), 0, 1)
    red, green, blue = _color_differences(fitted, matrix)
    above = np.maximum(np.maximum(red, green), blue)
    below = np.minimum(np.minimum(red, green), blue)
    outside = (above > 1 - gray) | (-below > gray)
    if outside.any():
        y, up, down = gray[outside], np.maximum(above[outside], 1e-30), np.maximum(-below[outside], 1e-30)
        scale = np.minimum((1 - y) / up, y / down)
        fitted[outside] *= np.minimum(scale, 1)[..., None]
    return fitted


def chroma_to_codes(chroma: Array, coding: Coding) -> tuple[Array, Array]:
    """U and V planes, each (…) of ``coding.dtype``, of Cb, Cr (…, 2), rounded and clipped (H.273, 8.3)."""
    unit, top = 1 << (coding.bit_depth - 8), coding.maximum
    scale, low, high = (top, 0, top) if coding.full_range else (224 * unit, 16 * unit, 240 * unit)
    codes = np.asarray(chroma, dtype=np.float32) * np.float32(scale) + np.float32(128 * unit)
    planes = np.rint(np.clip(codes, low, high)).astype(coding.dtype)
    return np.ascontiguousarray(planes[..., 0]), np.ascontiguousarray(planes[..., 1])


def codes_to_chroma(u: Array, v: Array, coding: Coding) -> FloatArray:
    """Cb, Cr (…, 2) of U and V planes of code values."""
    scale = coding.maximum if coding.full_range else 224 << (coding.bit_depth - 8)
    codes = np.stack([u, v], axis=-1).astype(np.float32)
    return (codes - np.float32(1 << (coding.bit_depth - 1))) / np.float32(scale)


def to_chroma_grid(image: Array, subsampling: tuple[int, int], siting: Siting = "left") -> FloatArray:
    """The means of a map (H, W) or (H, W, 2) around the samples of the chroma grid (⌈H/sy⌉, ⌈W/sx⌉).

    ``subsampling`` is (sy, sx): (2, 2) for 4:2:0. ``left`` (MPEG-2; the default of H.264 and H.265) puts a sample on
    the left one of its two columns, between its two rows; ``center`` (MPEG-1, JPEG) between both.
    """
    sy, sx = subsampling
    values = np.ascontiguousarray(image, dtype=np.float32)
    if (sy, sx) == (1, 1):
        return values
    height, width = -(-values.shape[0] // sy), -(-values.shape[1] // sx)
    bottom, right = height * sy - values.shape[0], width * sx - values.shape[1]
    left_sited = siting == "left" and sx == 2
    padded = cv2.copyMakeBorder(values, 0, bottom, int(left_sited), right, cv2.BORDER_REPLICATE)
    grid = cv2.resize(padded[:, int(left_sited) :], (width, height), interpolation=cv2.INTER_AREA)
    if left_sited:
        left = cv2.resize(padded[:, : width * sx], (width, height), interpolation=cv2.INTER_AREA)
        grid = cv2.addWeighted(grid, 0.5, left, 0.5, 0)
    return np.asarray(grid, dtype=np.float32)


def from_chroma_grid(grid: Array, size: tuple[int, int], siting: Siting = "left") -> FloatArray:
    """A map (h, w, 2) on the chroma grid, brought to luma size (H, W) by bilinear interpolation."""
    height, width = size
    if grid.shape[:2] == (height, width):
        return np.asarray(grid, dtype=np.float32)
    sy, sx = -(-height // grid.shape[0]), -(-width // grid.shape[1])
    shift = 0.0 if siting == "left" else (1 / sx - 1) / 2
    matrix = np.array([[1 / sx, 0, shift], [0, 1 / sy, (1 / sy - 1) / 2]])
    return warp(grid, matrix, size, cv2.INTER_LINEAR)


def yuv_to_rgb(y: Array, u: Array, v: Array, coding: Coding, siting: Siting = "left") -> FloatArray:
    """R'G'B' (H, W, 3) in [0, 1] of the planes of a frame; chroma is interpolated (``from_chroma_grid``)."""
    chroma = from_chroma_grid(codes_to_chroma(u, v, coding), (y.shape[0], y.shape[1]), siting)
    return np.clip(chroma_to_rgb(codes_to_luma(y, coding), chroma, coding.matrix), 0, 1)


def rgb_to_codes(
    rgb: Array, coding: Coding, subsampling: tuple[int, int] = (2, 2), siting: Siting = "left"
) -> tuple[Array, Array, Array]:
    """Y, U and V planes of R'G'B' (H, W, 3) in [0, 1]."""
    scale, black = _luma_scale(coding)
    luma = np.clip(rgb_to_luma(rgb, coding.matrix), 0, 1) * np.float32(scale) + np.float32(black)
    chroma = to_chroma_grid(rgb_to_chroma(rgb, coding.matrix), subsampling, siting)
    return np.rint(luma).astype(coding.dtype), *chroma_to_codes(chroma, coding)
