"""Contact sheets: many small pictures with captions in one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 4  # pixels between pictures and around them
_CAPTION = 18
_PAPER, _INK = 24, 220  # gray levels
_FONT, _TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.42
_LIMIT = 65_000  # pixels of a side; JPEG holds 65,535
_JPEG_QUALITY = 92


def contact_sheet(pictures: Sequence[tuple[str, Array]], columns: int = 6, width: int = 240) -> Array:
    """A contact sheet, row by row.

    Args:
        pictures: captions, and images (h, w) or (h, w, 3) uint8, gray or R'G'B'; each keeps its own shape. A caption
            that is too long for its picture is shortened.
        columns: pictures in a row, at least 1.
        width: of a picture, in pixels, at least 32.

    Returns:
        (H, W, 3) uint8, R'G'B'.

    Raises:
        ValueError: no picture, a picture of another kind, or columns or width too small.
    """
    if not pictures or columns < 1 or width < 32:
        raise ValueError(f"sheet: expected pictures, columns ≥ 1, width ≥ 32, got {len(pictures)}, {columns}, {width}")
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    scaled = [[_scaled(caption, picture, width) for caption, picture in row] for row in rows]
    heights = [max(len(picture) for picture in row) for row in scaled]
    down = _GAP + sum(height + _CAPTION + _GAP for height in heights)
    across = _GAP + min(columns, len(pictures)) * (width + _GAP)
    paper = np.full((down, across, 3), _PAPER, np.uint8)
    top = _GAP
    for row, images, height in zip(rows, scaled, heights, strict=True):
        for column, ((caption, _), image) in enumerate(zip(row, images, strict=True)):
            left = _GAP + column * (width + _GAP)
            paper[top : top + len(image), left : left + width] = image
            _write(paper[top + height : top + height + _CAPTION, left : left + width], caption)
        top += height + _CAPTION + _GAP
    return paper


def _scaled(caption: str, picture: Array, width: int) -> Array:
    if picture.dtype != np.uint8 or picture.size == 0 or picture.shape[2:] not in ((), (3,)):
        raise ValueError(f"{caption}: expected (h, w[, 3]) uint8, got {picture.shape} {picture.dtype}")
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrinks = width <= picture.shape[1]
    image = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2))


def _write(strip: Array, caption: str) -> None:
    """Writes a caption into (``_CAPTION``, width, 3) of the sheet; the font knows ASCII alone."""
    text = caption.replace("–", "-").encode("ascii", "replace").decode()
    while text and cv2.getTextSize(text, _FONT, _TEXT, 1)[0][0] > strip.shape[1] - 4:
        text = text[:-1]
    image = np.ascontiguousarray(strip)
    cv2.putText(image, text, (2, _CAPTION - 5), _FONT, _TEXT, (_INK, _INK, _INK), 1, cv2.LINE_AA)
    strip[:] = image


def write_contact_sheet(path: str | Path, image: Array) -> None:
    """Writes an image as PNG or JPEG; the file appears, or takes the place of an older one, when it is complete.

    Args:
        path: ``.png``, ``.jpg`` or ``.jpeg``.
        image: (H, W, 3) uint8, R'G'B'.

    Raises:
        OutputError: another kind of file, more pixels than it holds, or a place that cannot be written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise OutputError(path, "no sheet is written under such a name", f"use {', '.join(IMAGE_SUFFIXES)}")
    if max(image.shape) > _LIMIT:
        raise OutputError(path, f"a sheet of {image.shape[1]}x{image.shape[0]} is too large", "give fewer pictures")
    options = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    good, content = cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options)
    if not good:
        raise OutputError(path, "the sheet could not be encoded", "give fewer pictures")
    try:
        with atomic_write(path) as aside:
            aside.write_bytes(content.tobytes())
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder and its space") from error
