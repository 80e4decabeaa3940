"""Pictures as the page gets them."""

from __future__ import annotations

import cv2
import numpy as np
from starlette.responses import Response

from kinemacolor.core.types import Array


def eight_bits(luma: Array) -> Array:
    """Luma as uint8."""
    return luma if luma.dtype == np.uint8 else (luma >> 8).astype(np.uint8)


def at_width(image: Array, width: int | None) -> Array:
    """A picture, at most so wide."""
    if width is None or width >= image.shape[1]:
        return image
    size = width, max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def jpeg_response(content: bytes, *, kept: bool = False) -> Response:
    """A JPEG; one that never changes may be kept by the browser."""
    headers = {"cache-control": "private, max-age=3600"} if kept else {}
    return Response(content, media_type="image/jpeg", headers=headers)


def confidence_overlay(similarity: Array) -> Array:
    """B'G'R' and opacity (h, w, 4) uint8: orange where colors have little support, clear where they have much."""
    lack = np.clip((0.85 - similarity) / 0.5, 0, 1)
    overlay = np.zeros((*similarity.shape, 4), np.uint8)
    overlay[..., :3] = (40, 120, 255)
    overlay[..., 3] = np.rint(200 * lack)
    return overlay


def encode_png(image: Array) -> bytes:
    """A PNG of B'G'R' with opacity."""
    encoded, png = cv2.imencode(".png", np.ascontiguousarray(image))
    if not encoded:
        raise ValueError("a picture could not be encoded")
    return bytes(png)


def shrunk(luma: Array, height: int) -> Array:
    """(h, w) uint8 luma of at most a height."""
    codes = luma if luma.dtype == np.uint8 else (luma >> 8).astype(np.uint8)
    if codes.shape[0] <= height:
        return codes
    size = max(1, round(codes.shape[1] * height / codes.shape[0])), height
    return np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_AREA))


def encode_jpeg(image: Array, quality: int) -> bytes:
    """A JPEG of a gray picture (H, W) or of R'G'B' (H, W, 3), uint8."""
    stored = np.ascontiguousarray(image if image.ndim == 2 else image[..., ::-1])
    encoded, jpeg = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise ValueError("a picture could not be encoded")
    return bytes(jpeg)
