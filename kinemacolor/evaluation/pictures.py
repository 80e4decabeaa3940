"""Small pictures for reports: thumbnails, and contact sheets of frame, reference, results and truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.types import Array
from kinemacolor.evaluation.clips import to_codes
from kinemacolor.filters.chroma_upsample import resize

WIDTH = 320
"""Pixels across of a thumbnail, at most."""
QUALITY = 85
SHOWN = 4
"""Frames of each clip that reports show."""
STRIP = 22
"""Height of a sheet's captions, pixels."""


def shown_frames(length: int) -> list[int]:
    """Numbers of the frames that reports show: the quarters, the last frame included, the first (which is mostly the
    reference itself) not."""
    return sorted({round((length - 1) * k / SHOWN) for k in range(1, SHOWN + 1)})


def thumbnail(rgb: Array) -> bytes:
    """A JPEG of a frame (H, W, 3) uint8, at most ``WIDTH`` pixels across."""
    height, width = rgb.shape[:2]
    if width > WIDTH:
        rgb = to_codes(resize(rgb, (max(1, round(height * WIDTH / width)), WIDTH)) / 255)
    good, content = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not good:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {rgb.shape}")
    return bytes(content.tobytes())


def gray_of(rgb: Array) -> Array:
    """A frame (H, W, 3) uint8 without its color: L* kept, a* = b* = 0."""
    lab = rgb_to_lab(rgb.astype(np.float32) / 255)
    lab[..., 1:] = 0
    return to_codes(lab_to_rgb(lab))


def _decode(jpeg: bytes) -> Array:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image[..., ::-1], dtype=np.uint8)


def contact_sheet(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """A JPEG of pictures in rows, all of a row as high as its first.

    Args:
        titles: of the columns.
        rows: a label each (drawn on its first picture), and a JPEG for each column.
    """
    bands = []
    for label, jpegs in rows:
        pictures = [_decode(jpeg) for jpeg in jpegs]
        height, width = pictures[0].shape[:2]
        cells = [_boxed(picture, height, width) for picture in pictures]
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(cells[0], label, (6, height - 8), 0, 0.45, color, thickness, cv2.LINE_AA)
        bands.append(np.hstack(cells))
    strip = np.full((STRIP, bands[0].shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        left = column * bands[0].shape[1] // len(titles) + 5
        cv2.putText(strip, title, (left, STRIP - 7), 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    image = np.vstack([strip, *bands])
    good, content = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not good:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {image.shape}")
    return bytes(content.tobytes())


def _boxed(picture: Array, height: int, width: int) -> Array:
    """A picture of any shape within a white box, its own aspect kept."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
    box = np.full((height, width, 3), 255, np.uint8)
    box[: size[0], : size[1]] = to_codes(resize(picture, size) / 255)
    return box
