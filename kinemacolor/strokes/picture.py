"""A frame in painted colors at full size: the film's luminance, and chroma brought up from the small picture."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.color import ab_to_chroma, chroma_to_rgb, fit_gamut
from kinemacolor.core.limits import UpsamplingQuality
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, BoolArray, FloatArray, Matrix
from kinemacolor.filters.chroma_upsample import upsample


def full_size_colors(
    luma: FloatArray, ab: FloatArray, matrix: Matrix, quality: UpsamplingQuality = "fast"
) -> FloatArray:
    """R'G'B' (H, W, 3) in [0, 1] of a frame.

    Args:
        luma: (H, W), Y' in [0, 1] of the film: the picture keeps it.
        ab: (h, w, 2), a* and b* at network size, of the whole picture.
        matrix: of the film.
        quality: of the upsampling of chroma.
    """
    luma_low = resize(luma, (ab.shape[0], ab.shape[1]))
    low = ab_to_chroma(luma_low, ab, matrix)
    chroma = fit_gamut(luma, upsample(low, luma_low, luma, quality=quality), matrix)
    return np.clip(chroma_to_rgb(luma, chroma, matrix), 0, 1)


def as_codes(rgb: FloatArray, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> Array:
    """R'G'B' in [0, 1] as code values of 8 or 16 bits."""
    codes: Array = np.rint(rgb * np.float32(np.iinfo(dtype).max)).astype(dtype)
    return codes


def opacity(is_open: BoolArray, size: tuple[int, int]) -> BoolArray:
    """(H, W) bool, False where a still says nothing, of the small picture's (h, w) areas that are open."""
    large = cv2.resize(is_open.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    closed: BoolArray = large < 0.5
    return closed
