"""Colored stills: read, checked, and converted to references at network size."""

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
from kinemacolor.core.memory import check_memory
from kinemacolor.core.orientation import AS_STORED, Orientation, image_orientation
from kinemacolor.core.types import BoolArray, FloatArray, Matrix, Reference
from kinemacolor.engine.protocol import KEY_CELL
from kinemacolor.references.color_profile import ColorProfileError, color_facts, inks_to_srgb, to_srgb
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.references.size import network_size, resize_mask, resize_masked

GRAY_CHROMA = 4.0
"""A still whose strongest chroma √(a² + b²) stays below this (Lab units) counts as gray."""
ASPECT_TOLERANCE = 0.03
"""Aspect ratios whose quotient differs from 1 by less than this are equal: sizes are rounded."""

# What libjpeg prints where it invents pixels; its other complaints (a few stray bytes, odd metadata) do no harm.
_LOST_PIXELS = re.compile(r"premature end|bad Huffman code|\d{2,} extraneous bytes")
_CORRUPT, _USABLE_IMAGES = "is not an image, or corrupt", "give a PNG, JPEG, TIFF or WebP image as reference"


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """A colored still as it was read from its file.

    Attributes:
        rgb: (H, W, 3) float32, R'G'B' in [0, 1] (sRGB).
        mask: (H, W) bool; False where it is transparent and so gives no color.
        name: file name, for messages.
        remarks: what the user should know about how it was read, a line each.
    """

    rgb: FloatArray
    mask: BoolArray
    name: str
    remarks: tuple[str, ...] = ()


class GrayStillError(InputError):
    """A still has no colors."""


def read_still(path: str | Path) -> Still:
    """Reads an image file (PNG, JPEG, TIFF, WebP …; 8 or 16 bit; with or without transparency).

    What the file says about its colors (a profile, the chunks of a PNG, EXIF) is converted to sRGB; where it says
    nothing, the numbers are sRGB.

    Raises:
        GrayStillError: it has no colors.
        InputError: missing, empty or corrupt; below 32 pixels; transparent everywhere.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, "give an image file as reference") from error
    rgb, alpha, remarks = _decode_colors(path, content)
    height, width = alpha.shape
    if min(height, width) < MINIMUM_SIDE:
        raise InputError(path, f"is {width}x{height}, too small", f"give a reference of at least {MINIMUM_SIDE} pixels")
    mask = alpha >= 0.5
    if not mask.any():
        raise InputError(path, "is transparent everywhere", "give a reference that shows some color")
    if _strongest_chroma(rgb, mask) < GRAY_CHROMA:
        raise GrayStillError(path, "is gray: it has no colors", "give a colored still")
    return Still(rgb, mask, path.name, remarks)


def _decode_colors(path: Path, content: bytes) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """R'G'B' (H, W, 3) as sRGB and opacity (H, W) of an image file's content, float32 in [0, 1]; and remarks."""
    facts = color_facts(content)
    remarks: tuple[str, ...] = ()
    if facts.inks and (facts.profile or not facts.jpeg):
        try:
            rgb, usable = inks_to_srgb(content, facts.profile)
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(path, _CORRUPT, _USABLE_IMAGES) from error
        return rgb, np.ones(rgb.shape[:2], np.float32), () if usable else (_unusable_profile(path),)
    bgr, alpha = decode_image(path, content)
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    if facts.problem:
        remarks = (f"{path}: {facts.problem}, and its colors are read as sRGB",)
    if facts.space:
        rgb = facts.space.to_srgb(rgb)
    elif facts.profile:
        try:
            rgb = to_srgb(rgb, facts.profile)
        except ColorProfileError:
            remarks = (_unusable_profile(path),)
    return rgb, alpha, remarks


def _unusable_profile(path: Path) -> str:
    return f"{path}: its color profile cannot be used, and its colors are read as sRGB"


def decode_image(path: Path, content: bytes) -> tuple[FloatArray, FloatArray]:
    """B'G'R' (H, W, 3) and opacity (H, W) of an image file's content, both float32 in [0, 1].

    Raises:
        InputError: the content is empty, corrupt or no image.
    """
    data = np.frombuffer(content, np.uint8)
    image = None
    previous = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    complaints: list[str] = []
    try:
        with _captured_stderr(complaints):
            if data.size:
                image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
            if image is not None and (image.ndim == 2 or image.shape[2] != 4):
                image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        check_memory(error)
        image = None
    finally:
        cv2.utils.logging.setLogLevel(previous)
    if image is None or _LOST_PIXELS.search("".join(complaints)):
        raise InputError(path, _CORRUPT if data.size else "is empty", _USABLE_IMAGES)
    if content[:4] not in (b"II*\0", b"MM\0*"):  # OpenCV turns TIFF itself, whatever the flags say
        image = np.ascontiguousarray(image_orientation(content).upright(image))
    scale = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    values = np.clip(np.nan_to_num(image.astype(np.float32)) / np.float32(scale), 0, 1)
    if values.shape[2] == 4:
        return values[..., :3], values[..., 3]
    return values, np.ones(values.shape[:2], np.float32)


@contextmanager
def _captured_stderr(lines: list[str]) -> Iterator[None]:
    """Appends to ``lines`` what is printed on standard error, which libpng and libjpeg write to directly."""
    try:
        standard_error = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            file.seek(0)
            lines.append(file.read().decode(errors="replace"))


def _strongest_chroma(rgb: FloatArray, mask: BoolArray) -> float:
    """Chroma that one pixel in a thousand exceeds at about 256 × 256, where single colored pixels do not count."""
    factor = min(1.0, 256 / max(mask.shape))
    size = (max(1, round(mask.shape[1] * factor)), max(1, round(mask.shape[0] * factor)))
    small = resize_masked(rgb, mask, size)
    ab = rgb_to_lab(small)[..., 1:]
    chroma = np.hypot(ab[..., 0], ab[..., 1])[resize_mask(mask, size)]
    return float(np.quantile(chroma, 0.999)) if chroma.size else GRAY_CHROMA


# --- with a mask --------------------


def read_reference(file: ReferenceFile) -> Still:
    """A still, with its mask applied on top of its transparency.

    Raises:
        InputError: the still or its mask cannot be used, they differ in size, or nothing that gives color is left.
    """
    still = read_still(file.path)
    if file.mask is None:
        return still
    mask = _read_mask(file.mask)
    if mask.shape != still.mask.shape:
        mask_size, still_size = (f"{width}x{height}" for height, width in (mask.shape, still.mask.shape))
        raise InputError(file.mask, f"is {mask_size}, its still {file.path} {still_size}", "give both one size")
    opaque = still.mask & mask
    if not opaque.any():
        raise InputError(file.mask, f"leaves nothing of {file.path}", "paint white where the still gives color")
    return Still(still.rgb, opaque, still.name, still.remarks)


def _read_mask(path: Path) -> BoolArray:
    """(H, W) bool, True where a gray image is at least half white."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give a gray image as mask") from error
    bgr, alpha = decode_image(path, content)
    white: BoolArray = bgr.mean(axis=2) * alpha >= 0.5
    return white


# --- at network size --------------------


def to_reference(
    still: Still,
    frame_size: tuple[int, int],
    matrix: Matrix,
    *,
    aspect: Fraction | float,
    orientation: Orientation = AS_STORED,
) -> Reference:
    """The still as an engine takes it.

    A still of the film's shape gets exactly the frame's size, so that it may be a frame of the film; any other still
    keeps its own shape at the same area.

    Args:
        still: as a viewer sees it: upright, square pixels.
        frame_size: (height, width) at which the network sees the film's frames as stored.
        matrix: of the film; it decides which gray black-and-white film would show of the still's colors.
        aspect: width / height of the film's stored picture in square pixels.
        orientation: how a viewer turns and flips the stored picture; the still is turned and flipped back.

    Raises:
        InputError: at this size hardly any opaque pixel is left.
    """
    rgb, mask = orientation.stored(still.rgb), orientation.stored(still.mask)
    height, width = mask.shape
    same_shape = abs(width / height / float(aspect) - 1) < ASPECT_TOLERANCE
    rows, columns = frame_size if same_shape else network_size(width, height, area=frame_size[0] * frame_size[1])
    small = np.clip(resize_masked(np.ascontiguousarray(rgb), np.ascontiguousarray(mask), (columns, rows)), 0, 1)
    small_mask = resize_mask(np.ascontiguousarray(mask), (columns, rows))
    if not _has_opaque_cell(small_mask):
        raise InputError(still.name, "hardly anything in it is opaque", "give a reference that shows more color")
    ab = np.ascontiguousarray(rgb_to_lab(small)[..., 1:])
    return Reference(still_lightness(small, matrix), ab, small_mask, still.name)


def _has_opaque_cell(mask: BoolArray) -> bool:
    """Whether at least half of one cell of the engines' key grid is opaque; smaller areas give them no color."""
    rows, columns = mask.shape[0] // KEY_CELL, mask.shape[1] // KEY_CELL
    cells = mask[: rows * KEY_CELL, : columns * KEY_CELL].reshape(rows, KEY_CELL, columns, KEY_CELL)
    return bool(cells.mean(axis=(1, 3)).max() >= 0.5)
