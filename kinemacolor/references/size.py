"""Sizes and shapes at which a network sees a film and its references, and pictures resized to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma, luma_to_gray_lightness
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.resample import resize
from kinemacolor.core.types import BoolArray, FloatArray, Frame

if TYPE_CHECKING:
    from kinemacolor.video.info import VideoInfo


def picture_aspect(info: VideoInfo) -> float:
    """Width / height of a film's stored picture in square pixels."""
    return float(info.width * info.sample_aspect_ratio) / info.height


def network_size(width: float, height: float, *, area: float = 384 * 216, side: int | None = None) -> tuple[int, int]:
    """(height, width) at which a network sees a picture of the given shape.

    Args:
        width, height: of the picture in square pixels; only their ratio counts.
        area: area in pixels, if ``side`` is None.
        side: the short side in pixels.
    """
    scale = side / min(width, height) if side else (area / (width * height)) ** 0.5
    return max(MINIMUM_SIDE, round(height * scale)), max(MINIMUM_SIDE, round(width * scale))


def network_lightness(frame: Frame, shape: tuple[int, int]) -> FloatArray:
    """L* (h, w) of a frame at network size ``shape``, (h, w): from area means of its luma."""
    return luma_to_gray_lightness(resize(codes_to_luma(frame.luma, frame.coding), shape))


def resize_masked(rgb: FloatArray, mask: BoolArray, size: tuple[int, int]) -> FloatArray:
    """A picture resized to (width, height).

    Opaque pixels take no color from transparent ones; what the picture shows in transparent areas stays.

    Args:
        rgb: (H, W, 3).
        mask: (H, W), False where the picture is transparent.
        size: (width, height).
    """
    if mask.all():
        return _resize(rgb, size)
    weight = np.maximum(mask[..., None].astype(np.float32), np.float32(1e-3))
    return _resize(rgb * weight, size) / _resize(np.repeat(weight, 3, axis=2), size)


def resize_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """A mask (H, W) resized to (width, height): True where at least half of a pixel was True."""
    opaque: BoolArray = _resize(mask.astype(np.float32), size) >= 0.5
    return opaque


def _resize(image: FloatArray, size: tuple[int, int]) -> FloatArray:
    shrinks = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    resized: FloatArray = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized
