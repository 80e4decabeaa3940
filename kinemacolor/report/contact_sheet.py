"""Contact sheets: many small pictures with captions in one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError
from kinemacolor.core.own_images import mark_sheet
from kinemacolor.core.types import Array

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 4  # pixels between pictures and around them
_CAPTION_HEIGHT = 18
_BACKGROUND, _TEXT_COLOR = 24, 220  # gray levels
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.42
_MAXIMUM_SIDE = 65_000  # pixels; JPEG holds 65,535
_JPEG_QUALITY = 92


def contact_sheet(pictures: Sequence[tuple[str, Array]], columns: int = 6, width: int = 240) -> Array:
    """A contact sheet, filled row by row.

    Args:
        pictures: captions and images, (h, w) or (h, w, 3) uint8, gray or R'G'B'; each keeps its own shape. A caption
            that is too long for its picture is shortened.
        columns: pictures in a row, at least 1.
        width: of a picture, in pixels, at least 32.

    Returns:
        (H, W, 3) uint8, R'G'B'.

    Raises:
        ValueError: there is no picture, a picture has another shape or dtype, or columns or width are too small.
    """
    if not pictures or columns < 1 or width < 32:
        raise ValueError(f"sheet: expected pictures, columns ≥ 1, width ≥ 32, got {len(pictures)}, {columns}, {width}")
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    scaled = [[_scaled(caption, picture, width) for caption, picture in row] for row in rows]
    heights = [max(len(picture) for picture in row) for row in scaled]
    sheet_height = _GAP + sum(height + _CAPTION_HEIGHT + _GAP for height in heights)
    sheet_width = _GAP + min(columns, len(pictures)) * (width + _GAP)
    sheet = np.full((sheet_height, sheet_width, 3), _BACKGROUND, np.uint8)
    top = _GAP
    for row, images, height in zip(rows, scaled, heights, strict=True):
        for column, ((caption, _), image) in enumerate(zip(row, images, strict=True)):
            left = _GAP + column * (width + _GAP)
            sheet[top : top + len(image), left : left + width] = image
            _draw_caption(sheet[top + height : top + height + _CAPTION_HEIGHT, left : left + width], caption)
        top += height + _CAPTION_HEIGHT + _GAP
    return sheet


def _scaled(caption: str, picture: Array, width: int) -> Array:
    if picture.dtype != np.uint8 or picture.size == 0 or picture.shape[2:] not in ((), (3,)):
        raise ValueError(f"{caption}: expected (h, w[, 3]) uint8, got {picture.shape} {picture.dtype}")
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrinks = width <= picture.shape[1]
    image = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def _draw_caption(area: Array, caption: str) -> None:
    """Draws a caption into an area (``_CAPTION_HEIGHT``, width, 3) of the sheet; the font has only ASCII."""
    text = caption.replace("–", "-").encode("ascii", "replace").decode()
    while text and cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0] > area.shape[1] - 4:
        text = text[:-1]
    image = np.ascontiguousarray(area)
    color = (_TEXT_COLOR, _TEXT_COLOR, _TEXT_COLOR)
    cv2.putText(image, text, (2, _CAPTION_HEIGHT - 5), _FONT, _FONT_SCALE, color, 1, cv2.LINE_AA)
    area[:] = image


def write_contact_sheet(path: str | Path, image: Array) -> None:
    """Writes an image as PNG or JPEG; the file gets its name, or replaces an older one, when it is complete.

    Args:
        path: ``.png``, ``.jpg`` or ``.jpeg``.
        image: (H, W, 3) uint8, R'G'B'.

    Raises:
        OutputError: the path has another extension or cannot be written, or the image is too large.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SHEET_SUFFIXES:
        raise OutputError(path, "is no name for a contact sheet", f"use {', '.join(SHEET_SUFFIXES)}")
    if max(image.shape) > _MAXIMUM_SIDE:
        raise OutputError(path, f"a sheet of {image.shape[1]}x{image.shape[0]} is too large", "give fewer pictures")
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    encoded, content = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not encoded:
        raise OutputError(path, "the sheet could not be encoded", "give fewer pictures")
    try:
        with atomic_write(path) as partial:
            partial.write_bytes(mark_sheet(content.tobytes()))
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder and its space") from error
