"""Small pictures for reports: thumbnails, and contact sheets of frame, reference, results and truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array
from kinemacolor.evaluation.clips import to_codes

CLIP_PICTURE_WIDTH = 320
"""Maximum width of a thumbnail in pixels."""
FRAMES_SHOWN = 4
"""Frames of each clip that reports show."""
CAPTION_HEIGHT = 22
"""Height in pixels of the captions of a contact sheet."""
_THUMBNAIL_QUALITY, _SHEET_QUALITY = 85, 90


def shown_frames(length: int) -> list[int]:
    """Numbers of the frames that reports show: at each quarter up to the last frame.

    The first frame is left out, because it usually is the reference.
    """
    return sorted({round((length - 1) * k / FRAMES_SHOWN) for k in range(1, FRAMES_SHOWN + 1)})


def thumbnail(rgb: Array) -> bytes:
    """A JPEG of a frame (H, W, 3) uint8, at most ``CLIP_PICTURE_WIDTH`` pixels across."""
    height, width = rgb.shape[:2]
    if width > CLIP_PICTURE_WIDTH:
        rgb = to_codes(resize(rgb, (max(1, round(height * CLIP_PICTURE_WIDTH / width)), CLIP_PICTURE_WIDTH)) / 255)
    success, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _THUMBNAIL_QUALITY]
    )
    if not success:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {rgb.shape}")
    return bytes(content.tobytes())


def gray_of(rgb: Array) -> Array:
    """A frame (H, W, 3) uint8 without its color: L* kept, a* = b* = 0."""
    lab = rgb_to_lab(rgb.astype(np.float32) / 255)
    lab[..., 1:] = 0
    return to_codes(lab_to_rgb(lab))


def decode_picture(jpeg: bytes) -> Array:
    """R'G'B' (H, W, 3) uint8 of a JPEG."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(image[..., ::-1], dtype=np.uint8)


def contact_sheet(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """A JPEG of pictures in rows, each row as high as its first picture.

    Args:
        titles: of the columns.
        rows: a label for each row, drawn on its first picture, and a JPEG for each column.
    """
    bands = []
    for label, jpegs in rows:
        pictures = [decode_picture(jpeg) for jpeg in jpegs]
        height, width = pictures[0].shape[:2]
        cells = [_boxed(picture, height, width) for picture in pictures]
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(cells[0], label, (6, height - 8), 0, 0.45, color, thickness, cv2.LINE_AA)
        bands.append(np.hstack(cells))
    strip = np.full((CAPTION_HEIGHT, bands[0].shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        left = column * bands[0].shape[1] // len(titles) + 5
        cv2.putText(strip, title, (left, CAPTION_HEIGHT - 7), 0, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    image = np.vstack([strip, *bands])
    success, content = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _SHEET_QUALITY]
    )
    if not success:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {image.shape}")
    return bytes(content.tobytes())


def _boxed(picture: Array, height: int, width: int) -> Array:
    """A picture of any shape in a white box; it keeps its aspect."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
    box = np.full((height, width, 3), 255, np.uint8)
    box[: size[0], : size[1]] = to_codes(resize(picture, size) / 255)
    return box
