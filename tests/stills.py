"""Colored stills for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.types import Array

RED, BLUE, GREEN = (200, 60, 50), (50, 80, 210), (40, 170, 60)


def halves(width: int = 96, height: int = 64, left: Any = RED, right: Any = BLUE) -> Array:
    """(H, W, 3) uint8 RGB: one color on the left, another on the right, with a texture that differs everywhere."""
    y, x = np.mgrid[0:height, 0:width]
    texture = 0.7 + 0.15 * np.sin(x * 0.35) * np.cos(y * 0.22) + 0.15 * np.sin((x + 2 * y) * 0.08)
    color = np.where((x < width / 2)[..., None], np.array(left), np.array(right))
    return np.clip(np.rint(color * texture[..., None]), 0, 255).astype(np.uint8)


def gray(image: Array) -> Array:
    """BT.601 luma of an RGB image, (H, W) uint8."""
    luma: Array = np.clip(np.rint(image @ np.array([0.299, 0.587, 0.114])), 0, 255).astype(np.uint8)
    return luma


def write_still(path: Path, image: Array, alpha: Array | None = None) -> Path:
    """Writes an RGB or gray image, with opacity if given."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    if alpha is not None:
        bgr = np.dstack([bgr, alpha])
    assert cv2.imwrite(str(path), np.ascontiguousarray(bgr))
    return path
