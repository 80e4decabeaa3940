"""Maps at another size or moved: float32, channels last."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray


def resize(image: Array, size: tuple[int, int], interpolation: int = cv2.INTER_AREA) -> FloatArray:
    """A map (h, w, …) at ``size`` (height, width); both cover the same area. The default takes means over areas."""
    values = np.asarray(image, dtype=np.float32)
    return np.asarray(cv2.resize(values, size[::-1], interpolation=interpolation), dtype=np.float32)


def warp(image: Array, matrix: Array, size: tuple[int, int], interpolation: int) -> FloatArray:
    """A map of ``size`` (height, width) whose pixel (x, y) is the image's at ``matrix`` (2, 3) @ (x, y, 1).

    Edges are continued outward.
    """
    flags, values = interpolation | cv2.WARP_INVERSE_MAP, np.ascontiguousarray(image, dtype=np.float32)
    warped = cv2.warpAffine(values, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32)
