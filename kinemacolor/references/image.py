"""Colored stills: read, checked, and brought to the size at which a film's frames meet them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab, still_lightness
from kinemacolor.core.errors import InputError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.types import BoolArray, FloatArray, Matrix, Reference

GRAY_CHROMA = 4.0
"""A still whose strongest chroma √(a² + b²) stays below this (Lab units) is taken for gray."""
LOST_PIXELS = re.compile(r"premature end|bad Huffman code|\d{2,} extraneous bytes")
"""What libjpeg prints where it makes pixels up; its other complaints (a few stray bytes, odd metadata) do no harm."""
PATCH = 4
"""Side of the smallest area, in pixels at network size, whose color the engines take in: a cell of their key grid."""
SAME_ASPECT = 0.03
"""Aspect ratios that differ by less than this share are the same: rounding of sizes, not another picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A colored still as read from its file.

    Attributes:
        rgb: (H, W, 3) float32, R'G'B' in [0, 1] (sRGB).
        mask: (H, W) bool; False where it is transparent and so gives no color.
        name: file name, for messages.
    """

    rgb: FloatArray
    mask: BoolArray
    name: str


def read_still(path: str | Path) -> Still:
    """Reads an image file (PNG, JPEG, TIFF, WebP …; 8 or 16 bit; with or without transparency).

    Raises:
        InputError: missing, empty or corrupt; below 32 pixels; without color; transparent everywhere.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, "give an image file as reference") from error
    bgr, alpha = decode_image(path, content)
    height, width = bgr.shape[:2]
    if min(height, width) < MINIMUM_SIDE:
        raise InputError(path, f"is {width}x{height}, too small", f"give a reference of at least {MINIMUM_SIDE} pixels")
    mask = alpha >= 0.5
    if not mask.any():
        raise InputError(path, "is transparent everywhere", "give a reference that shows some color")
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    if _strongest_chroma(rgb, mask) < GRAY_CHROMA:
        raise InputError(path, "is gray: it has no color to give", "give a colored still")
    return Still(rgb, mask, path.name)


def decode_image(path: Path, content: bytes) -> tuple[FloatArray, FloatArray]:
    """B'G'R' (H, W, 3) and opacity (H, W), both in [0, 1]."""
    data = np.frombuffer(content, np.uint8)
    image = None
    previous = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    complaints: list[str] = []
    try:
        with _stderr_kept(complaints):
            if data.size:
                image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if image is not None and (image.ndim == 2 or image.shape[2] != 4):
                image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)  # this way EXIF's turn is honored
    except cv2.error:
        image = None
    finally:
        cv2.utils.logging.setLogLevel(previous)
    if image is None or LOST_PIXELS.search("".join(complaints)):
        problem = "is not an image, or corrupt" if data.size else "is empty"
        raise InputError(path, problem, "give a PNG, JPEG, TIFF or WebP image as reference")
    scale = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    values = np.clip(np.nan_to_num(image.astype(np.float32)) / np.float32(scale), 0, 1)
    if values.shape[2] == 4:
        return values[..., :3], values[..., 3]
    return values, np.ones(values.shape[:2], np.float32)


@contextmanager
def _stderr_kept(into: list[str]) -> Iterator[None]:
    """What libpng and libjpeg print on standard error by themselves goes ``into`` the list."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            into.append(file.read().decode(errors="replace"))


def _strongest_chroma(rgb: FloatArray, mask: BoolArray) -> float:
    """Chroma that one pixel in a thousand exceeds, at about 256 × 256, where single colored pixels do not count."""
    factor = min(1.0, 256 / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    small = _shrink(rgb, mask, size)
    ab = rgb_to_lab(small)[..., 1:]
    chroma = np.hypot(ab[..., 0], ab[..., 1])[_shrink_mask(mask, size)]
    return float(np.quantile(chroma, 0.999)) if chroma.size else GRAY_CHROMA


def _shrink(rgb: FloatArray, mask: BoolArray, size: tuple[int, int]) -> FloatArray:
    """Resizes to (width, height); opaque pixels do not take color from transparent ones, whose own picture stays."""
    if mask.all():
        return _resize(rgb, size)
    weight = np.maximum(mask[..., None].astype(np.float32), np.float32(1e-3))
    return _resize(rgb * weight, size) / _resize(np.repeat(weight, 3, axis=2), size)


def _shrink_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    opaque: BoolArray = _resize(mask.astype(np.float32), size) >= 0.5
    return opaque


def _patch_opaque(mask: BoolArray) -> bool:
    """Whether at least one patch is opaque for the most part."""
    rows, columns = mask.shape[0] // PATCH, mask.shape[1] // PATCH
    patches = mask[: rows * PATCH, : columns * PATCH].reshape(rows, PATCH, columns, PATCH)
    return bool(patches.mean(axis=(1, 3)).max() >= 0.5)


def _resize(image: FloatArray, size: tuple[int, int]) -> FloatArray:
    shrinks = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    resized: FloatArray = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def network_size(width: float, height: float, *, area: float = 384 * 216, side: int | None = None) -> tuple[int, int]:
    """(height, width) at which the network sees a picture of the given shape.

    Args:
        width, height: of the picture, square pixels; only their ratio counts.
        area: pixels wanted where ``side`` is None.
        side: the short side wanted.
    """
    scale = side / min(width, height) if side else (area / (width * height)) ** 0.5
    return max(MINIMUM_SIDE, round(height * scale)), max(MINIMUM_SIDE, round(width * scale))


def to_reference(
    still: Still, frame_size: tuple[int, int], matrix: Matrix, *, aspect: Fraction | float, rotation: int = 0
) -> Reference:
    """The still as the engine takes it.

    A still of the film's shape gets exactly the frame's size, so that it may be a frame of the film; any other keeps
    its own shape at the same area.

    Args:
        still: as a viewer sees it: upright, square pixels.
        frame_size: (height, width) at which the network sees the film's frames as stored.
        matrix: of the film; tells what black-and-white film would show of the still.
        aspect: width / height of the film's stored picture in square pixels.
        rotation: degrees clockwise by which a viewer turns the stored picture; the still is turned back.

    Raises:
        InputError: at this size hardly anything opaque is left.
    """
    rgb, mask = np.rot90(still.rgb, rotation // 90), np.rot90(still.mask, rotation // 90)
    height, width = mask.shape
    same = abs(width / height / float(aspect) - 1) < SAME_ASPECT
    rows, columns = frame_size if same else network_size(width, height, area=frame_size[0] * frame_size[1])
    small = np.clip(_shrink(np.ascontiguousarray(rgb), np.ascontiguousarray(mask), (columns, rows)), 0, 1)
    small_mask = _shrink_mask(np.ascontiguousarray(mask), (columns, rows))
    if not _patch_opaque(small_mask):
        raise InputError(still.name, "hardly anything in it is opaque", "give a reference that shows more color")
    ab = np.ascontiguousarray(rgb_to_lab(small)[..., 1:])
    return Reference(still_lightness(small, matrix), ab, small_mask, still.name)
