"""Decoded pictures as numpy planes and back: strides, bit depths, packed and RGB pixel formats.

A planar luma plane is copied out of a picture row by row and never passes through a scaler.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import av
import numpy as np
from av.sidedata.sidedata import Type

from kinemacolor.core.color import rgb_to_codes, yuv_to_rgb
from kinemacolor.core.types import Array, Coding
from kinemacolor.video.codecs import ChromaFormat
from kinemacolor.video.side_data import picture_side_data

FilmChroma = ChromaFormat | Literal["gray"]
"""Subsampling of U and V in a film, which may have none."""

_SUBSAMPLING: dict[tuple[int, int], FilmChroma] = {
    (8, 8): "420",
    (8, 16): "422",
    (16, 16): "444",
    (16, 8): "444",  # 4:4:0: the next richer format that is written
    (4, 16): "422",  # 4:1:1
    (4, 4): "420",  # 4:1:0
}
_PLANAR_DEPTHS = (8, 9, 10, 12, 14, 16)


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Where the samples of a pixel format lie.

    Attributes:
        name: the format as decoded.
        readable: the planar format the samples are read from; equal to ``name`` unless the format is packed.
        bit_depth: bits of a luma sample, 8 to 16.
        shift: bits by which the samples lie above the low end of their 16-bit words (p010 and its relatives).
        chroma: subsampling of the film; ``gray`` where it has no color.
        planes: ``planar`` (Y, U, V), ``semi`` (Y, UV), ``gray`` (Y) or ``rgb`` (G, B, R).
        exact_chroma: False where U and V must be resampled to become ``chroma`` (4:1:1, 4:1:0, 4:4:0).
        always_full: the format itself says full range (yuvj*, RGB).
    """

    name: str
    readable: str
    bit_depth: int
    shift: int
    chroma: FilmChroma
    planes: Literal["planar", "semi", "gray", "rgb"]
    exact_chroma: bool
    always_full: bool


def planar_name(chroma: FilmChroma, bit_depth: int) -> str:
    """The planar pixel format of a subsampling and a bit depth (8, 9, 10, 12, 14 or 16)."""
    base = "gray" if chroma == "gray" else f"yuv{chroma}p"
    return base if bit_depth == 8 else f"{base}{bit_depth}le"


def pixel_layout(name: str) -> PixelLayout:
    """Where the samples of pixel format ``name`` (FFmpeg's name) lie."""
    pixel_format = av.VideoFormat(name, 16, 16)
    components = [part for part in pixel_format.components if not part.is_alpha]
    deepest = max((part.bits for part in components), default=8)
    depth = next((depth for depth in _PLANAR_DEPTHS if depth >= deepest), 16)
    if pixel_format.is_rgb or pixel_format.has_palette or pixel_format.is_bayer or name.startswith("xyz"):
        planar = name.startswith("gbrp") and not name.endswith("be") and deepest in _PLANAR_DEPTHS
        readable = name if planar else ("gbrp" if depth == 8 else "gbrp16le")
        return PixelLayout(name, readable, depth if planar or depth == 8 else 16, 0, "444", "rgb", True, True)
    if len(components) == 1:
        plain = name.startswith("gray") and deepest in _PLANAR_DEPTHS
        readable = name if plain and not name.endswith("be") else planar_name("gray", depth)
        return PixelLayout(name, readable, depth, 0, "gray", "gray", True, False)
    size = (pixel_format.chroma_width(16), pixel_format.chroma_height(16))
    chroma = _SUBSAMPLING.get(size, "444")
    exact = size in ((8, 8), (8, 16), (16, 16))
    used = [part.plane for part in components]
    little = not name.endswith("be")
    full = name.startswith("yuvj")
    if used == [0, 1, 2] and little and deepest in _PLANAR_DEPTHS:
        return PixelLayout(name, name, depth, 0, chroma, "planar", exact, full)
    if used == [0, 1, 1] and little and name[:2] in ("nv", "p0", "p2", "p4") and name not in ("nv21", "nv42"):
        shift = 16 - depth if name.startswith("p") or name.startswith("nv20") else 0
        return PixelLayout(name, name, depth, 0 if name.startswith("nv20") else shift, chroma, "semi", exact, full)
    return PixelLayout(name, planar_name(chroma, depth), depth, 0, chroma, "planar", True, full)


def readable_picture(picture: av.VideoFrame, layout: PixelLayout) -> av.VideoFrame:
    """The picture in ``layout.readable``; a packed or big-endian format is unpacked at equal range and depth."""
    return picture if picture.format.name == layout.readable else _unpacked(picture, layout.readable)


def _unpacked(picture: av.VideoFrame, name: str) -> av.VideoFrame:
    # One range on both sides: unpacking must not rescale the codes, whatever swscale assumes for gray or RGB.
    return picture.reformat(format=name, src_color_range=2, dst_color_range=2)


def _samples(plane: av.video.plane.VideoPlane, wide: bool, per_pixel: int = 1) -> Array:
    """A view of a plane without its padding, (rows, samples)."""
    item = 2 if wide else 1
    stride = abs(plane.line_size)
    dtype = np.dtype("<u2") if wide else np.dtype(np.uint8)
    shape = (plane.height, plane.width * per_pixel)
    memory: Any = plane  # PyAV's planes are buffers, though their type does not say so
    view: Array = np.ndarray(shape, dtype=dtype, buffer=memory, strides=(stride, item))
    return view[::-1] if plane.line_size < 0 else view


def luma_plane(picture: av.VideoFrame, layout: PixelLayout) -> Array:
    """The Y plane of a picture in ``layout.readable``: (H, W), own memory, values in the low bits."""
    luma = _samples(picture.planes[0], layout.bit_depth > 8)
    return luma >> layout.shift if layout.shift else luma.copy()


def chroma_planes(picture: av.VideoFrame, layout: PixelLayout) -> tuple[Array, Array]:
    """The U and V planes of a picture in ``layout.readable``; own memory. Not for gray or RGB formats."""
    wide = layout.bit_depth > 8
    if not layout.exact_chroma:
        picture = _unpacked(picture, planar_name(layout.chroma, layout.bit_depth))
    if layout.planes == "semi":
        pairs = _samples(picture.planes[1], wide, per_pixel=2) >> layout.shift
        return pairs[:, 0::2].copy(), pairs[:, 1::2].copy()
    u, v = (_samples(plane, wide).copy() for plane in picture.planes[1:3])
    return u, v


def rgb_as_ycbcr(picture: av.VideoFrame, layout: PixelLayout, coding: Coding) -> tuple[Array, Array, Array]:
    """Y', Cb, Cr (4:4:4, full range) of a picture in planar RGB, rounded to the nearest code."""
    wide = layout.bit_depth > 8
    green, blue, red = (_samples(plane, wide) for plane in picture.planes[:3])
    rgb = np.stack((red, green, blue), axis=-1).astype(np.float32) / np.float32(coding.maximum)
    return rgb_to_codes(rgb, coding, (1, 1))


def ycbcr_as_rgb(luma: Array, u: Array, v: Array, coding: Coding) -> Array:
    """R'G'B' (H, W, 3) of 4:4:4 planes: uint8 for 8 bit films, else uint16 spanning 0 to 65535."""
    target = Coding(8 if coding.bit_depth == 8 else 16, full_range=True)
    return _codes(yuv_to_rgb(luma, u, v, coding) * np.float32(target.maximum), target)


def _codes(values: Array, coding: Coding) -> Array:
    rounded = np.clip(np.rint(values), 0, coding.maximum)
    codes: Array = rounded.astype(coding.dtype)
    return codes


def convert_depth(plane: Array, coding: Coding, depth: int, *, chroma: bool) -> Array:
    """A plane at another bit depth: exact and invertible to more bits, rounded to the nearest code to fewer."""
    if depth == coding.bit_depth:
        return plane
    target = Coding(depth, coding.full_range, coding.matrix)
    if not coding.full_range:
        scale, shift = Fraction(1 << depth, 1 << coding.bit_depth), 0.0
    else:
        scale = Fraction(target.maximum, coding.maximum)
        shift = float((1 << (depth - 1)) - scale * (1 << (coding.bit_depth - 1))) if chroma else 0.0
    return _codes(plane.astype(np.float32) * np.float32(float(scale)) + np.float32(shift), target)


def convert_codes(plane: Array, source: Coding, target: Coding, *, chroma: bool) -> Array:
    """A plane at another bit depth and range: the nearest code, cut at the ends of what the depth holds."""
    if source.full_range == target.full_range:
        return convert_depth(plane, source, target.bit_depth, chroma=chroma)
    table: Array = _code_table(source, target, chroma)[plane]
    return table


@lru_cache(maxsize=4)
def _code_table(source: Coding, target: Coding, chroma: bool) -> Array:
    """The code of ``target`` for each of ``source``."""
    (zero, span), (target_zero, target_span) = (_zero_and_span(coding, chroma) for coding in (source, target))
    codes = np.arange(source.maximum + 1)
    return _codes((codes - zero) * target_span / span + target_zero, target)


def _zero_and_span(coding: Coding, chroma: bool) -> tuple[int, int]:
    """The code of black or of no color, and the codes from there to white, or from one end of chroma to the other."""
    unit = 1 << (coding.bit_depth - 8)
    if chroma:
        return 128 * unit, coding.maximum if coding.full_range else 224 * unit
    return (0, coding.maximum) if coding.full_range else (16 * unit, 219 * unit)


def picture_from_planes(planes: tuple[Array, Array, Array], name: str) -> av.VideoFrame:
    """A picture in a planar YUV format ``name`` holding copies of the planes (Y, U, V)."""
    height, width = planes[0].shape
    picture = av.VideoFrame(width, height, name)
    wide = planes[0].dtype.itemsize == 2
    for plane, values in zip(picture.planes, planes, strict=True):
        _samples(plane, wide)[:] = values
    return picture


def display_matrix(picture: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine numbers of the picture's display matrix (FFmpeg's layout), or None."""
    matrix = picture_side_data(picture, Type.DISPLAYMATRIX)
    return None if matrix is None else tuple(int(number) for number in np.frombuffer(matrix, np.int32)[:9])
