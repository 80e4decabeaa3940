"""Confidence made visible: how well the references support each part of a frame, as a heat map and as numbers.

Confidence is the engines' similarity, in [-1, 1]. From blue over gray to yellow it falls: hue says so to most eyes,
lightness to those for which blue and yellow are alike, and the legend says which is which.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray

SPAN = (0.4, 1.0)
"""Confidences at the ends of the scale. Features of pictures that have nothing in common come to about 0.5."""
COVER = 0.6
"""Share of the heat map in the mixture."""
RAMP = ((255, 226, 40), (200, 178, 84), (128, 126, 124), (74, 92, 128), (0, 50, 128))
"""R'G'B' from the lowest confidence to the highest, in even steps."""
LEAST_WIDTH, LEAST_HEIGHT = 160, 90
"""Pixels of a frame that has room for the legend."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=1)
def _colors() -> FloatArray:
    """(256, 3), the ramp."""
    places = np.linspace(0, len(RAMP) - 1, 256)
    channels = np.array(RAMP, np.float32).T
    return np.stack([np.interp(places, range(len(RAMP)), one) for one in channels], axis=1).astype(np.float32)


def overlay(rgb: Array, similarity: FloatArray, *, span: tuple[float, float] = SPAN, legend: bool = True) -> Array:
    """A frame in gray under a translucent heat map of its confidence, with a legend.

    Args:
        rgb: (H, W, 3) uint8, R'G'B'.
        similarity: (h, w) float32 in [-1, 1], of any size; it is stretched over the frame.
        span: confidences that get the lowest and the highest color; what lies beyond gets these, too.
        legend: whether there is one; frames below 160 × 90 have no room for it.

    Returns:
        (H, W, 3) uint8, R'G'B'.

    Raises:
        ValueError: another shape, dtype or range.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if not -1 <= span[0] < span[1] <= 1:
        raise ValueError(f"span: expected two ascending values in [-1, 1], got {span}")
    _check(similarity)
    height, width = rgb.shape[:2]
    full = cv2.resize(np.asarray(similarity, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    place = np.rint(255 * np.clip((full - span[0]) / (span[1] - span[0]), 0, 1)).astype(np.uint8)
    gray = rgb.astype(np.float32) @ _LUMA
    mixed = (1 - COVER) * gray[..., None] + COVER * _colors()[place]
    image: Array = np.rint(mixed).astype(np.uint8)
    if legend and width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
        _draw_legend(image, span)
    return image


def _draw_legend(image: Array, span: tuple[float, float]) -> None:
    """A bar of the colors, as over middle gray, with the confidences at its ends and its middle; at the lower left."""
    scale = min(max(min(image.shape[0] / 540, image.shape[1] / 720), 0.35), 4)
    unit, text, stroke = round(10 * scale), max(0.5 * scale, 0.33), max(1, round(1.2 * scale))
    wide, high = round(180 * scale), round(14 * scale)
    line = cv2.getTextSize("0", _FONT, text, stroke)[0][1]
    box = (2 * unit + high + 2 * line + 2 * (unit // 2), 4 * unit + wide)
    top, left = image.shape[0] - box[0] - unit, unit
    panel = image[top : top + box[0], left : left + box[1]]
    panel[:] = panel // 5
    bar = (1 - COVER) * 128 + COVER * _colors()[np.linspace(0, 255, wide).astype(int)]
    over = unit + line + unit // 2
    panel[over : over + high, 2 * unit : 2 * unit + wide] = np.rint(bar)
    ink = np.ascontiguousarray(panel)

    def write(words: str, x: int, y: int) -> None:
        cv2.putText(ink, words, (x, y), _FONT, text, (255, 255, 255), stroke, cv2.LINE_AA)

    write("confidence", 2 * unit, unit + line)
    low, high_end = span
    for share, value in ((0.0, low), (0.5, (low + high_end) / 2), (1.0, high_end)):
        words = f"{value:.2g}"
        across = cv2.getTextSize(words, _FONT, text, stroke)[0][0]
        write(words, round(2 * unit + share * wide - across / 2), over + high + unit // 2 + line)
    panel[:] = ink


def confidence_record(similarity: FloatArray, grid: tuple[int, int] = (3, 4)) -> dict[str, Any]:
    """The confidence of a frame and of its regions, as JSON-ready values of three decimals.

    Args:
        similarity: (H, W) float32 in [-1, 1].
        grid: rows and columns of regions, as equal in size as whole pixels allow; at most a region a pixel.

    Returns:
        ``mean`` of the frame; ``lowest``, the least of the regions' means; ``regions``, the means row by row.

    Raises:
        ValueError: another shape or range, or more regions than pixels.
    """
    _check(similarity)
    height, width = similarity.shape
    if not (1 <= grid[0] <= height and 1 <= grid[1] <= width):
        raise ValueError(f"grid: expected (1 … {height}, 1 … {width}) regions, got {grid}")
    values = np.asarray(similarity, np.float64)
    edges = [[side * k // count for k in range(count)] for side, count in zip((height, width), grid, strict=True)]
    sums = np.add.reduceat(np.add.reduceat(values, edges[0], axis=0), edges[1], axis=1)
    sizes = np.outer(*(np.diff([*starts, side]) for starts, side in zip(edges, (height, width), strict=True)))
    means = sums / sizes
    return {
        "mean": round(float(values.mean()), 3),
        "lowest": round(float(means.min()), 3),
        "regions": [[round(float(value), 3) for value in row] for row in means],
    }


def _check(similarity: FloatArray) -> None:
    if similarity.ndim != 2 or similarity.size == 0:
        raise ValueError(f"similarity: expected (H, W), got {similarity.shape}")
    low, high = float(similarity.min()), float(similarity.max())
    if not (low >= -1.001 and high <= 1.001):
        raise ValueError(f"similarity: expected values in [-1, 1], got [{low}, {high}]")
