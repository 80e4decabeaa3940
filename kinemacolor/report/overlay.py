"""Confidence as a heat map: how well the references support each part of a frame.

Confidence is the engines' similarity, in [-1, 1]. It falls from blue over gray to yellow: most people see that by hue,
and those who cannot tell blue from yellow by lightness; the legend names both ends.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray

CONFIDENCE_SPAN = (0.4, 1.0)
"""Confidences at the ends of the scale; that of pictures that have nothing in common is about 0.5."""
HEAT_MAP_OPACITY = 0.6
"""Share of the heat map in the mixture with the picture."""
HEAT_MAP_COLORS = ((255, 226, 40), (200, 178, 84), (128, 126, 124), (74, 92, 128), (0, 50, 128))
"""R'G'B' from the lowest confidence to the highest, in even steps."""
LEGEND_MINIMUM_WIDTH, LEGEND_MINIMUM_HEIGHT = 160, 90
"""Size in pixels of the smallest frame that has room for the legend."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=1)
def _color_table() -> FloatArray:
    """(256, 3) float32, colors of the heat map from the lowest confidence to the highest."""
    positions = np.linspace(0, len(HEAT_MAP_COLORS) - 1, 256)
    channels = np.array(HEAT_MAP_COLORS, np.float32).T
    steps = range(len(HEAT_MAP_COLORS))
    return np.stack([np.interp(positions, steps, channel) for channel in channels], axis=1).astype(np.float32)


def overlay(
    rgb: Array, similarity: FloatArray, *, span: tuple[float, float] = CONFIDENCE_SPAN, legend: bool = True
) -> Array:
    """A frame in gray under a translucent heat map of its confidence, with a legend.

    Args:
        rgb: (H, W, 3) uint8, R'G'B'.
        similarity: (h, w) float32 in [-1, 1], of any size; it is scaled to the frame.
        span: confidences that get the lowest and the highest color, as do those beyond.
        legend: whether to draw a legend; frames below 160 × 90 have no room for it.

    Returns:
        (H, W, 3) uint8, R'G'B'.

    Raises:
        ValueError: another shape, dtype or range.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0 or rgb.dtype != np.uint8:
        raise ValueError(f"rgb: expected (H, W, 3) uint8, got {rgb.shape} {rgb.dtype}")
    if not -1 <= span[0] < span[1] <= 1:
        raise ValueError(f"span: expected two ascending values in [-1, 1], got {span}")
    _check_similarity(similarity)
    height, width = rgb.shape[:2]
    scaled = cv2.resize(np.asarray(similarity, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    color_index = np.rint(255 * np.clip((scaled - span[0]) / (span[1] - span[0]), 0, 1)).astype(np.uint8)
    gray = rgb.astype(np.float32) @ _LUMA
    mixed = (1 - HEAT_MAP_OPACITY) * gray[..., None] + HEAT_MAP_OPACITY * _color_table()[color_index]
    image: Array = np.rint(mixed).astype(np.uint8)
    if legend and width >= LEGEND_MINIMUM_WIDTH and height >= LEGEND_MINIMUM_HEIGHT:
        _draw_legend(image, span)
    return image


def _draw_legend(image: Array, span: tuple[float, float]) -> None:
    """Draws a bar of the colors over middle gray, with the confidences at its ends and middle, at the lower left."""
    scale = min(max(min(image.shape[0] / 540, image.shape[1] / 720), 0.35), 4)
    unit, font_scale, stroke = round(10 * scale), max(0.5 * scale, 0.33), max(1, round(1.2 * scale))
    bar_width, bar_height = round(180 * scale), round(14 * scale)
    line = cv2.getTextSize("0", _FONT, font_scale, stroke)[0][1]
    box = (2 * unit + bar_height + 2 * line + 2 * (unit // 2), 4 * unit + bar_width)
    top, left = image.shape[0] - box[0] - unit, unit
    panel = image[top : top + box[0], left : left + box[1]]
    panel[:] = panel // 5
    bar = (1 - HEAT_MAP_OPACITY) * 128 + HEAT_MAP_OPACITY * _color_table()[np.linspace(0, 255, bar_width).astype(int)]
    bar_top = unit + line + unit // 2
    panel[bar_top : bar_top + bar_height, 2 * unit : 2 * unit + bar_width] = np.rint(bar)
    canvas = np.ascontiguousarray(panel)

    def write(text: str, x: int, y: int) -> None:
        cv2.putText(canvas, text, (x, y), _FONT, font_scale, (255, 255, 255), stroke, cv2.LINE_AA)

    write("confidence", 2 * unit, unit + line)
    low, high = span
    for share, value in ((0.0, low), (0.5, (low + high) / 2), (1.0, high)):
        label = f"{value:.2g}"
        label_width = cv2.getTextSize(label, _FONT, font_scale, stroke)[0][0]
        left_edge = round(2 * unit + share * bar_width - label_width / 2)
        write(label, left_edge, bar_top + bar_height + unit // 2 + line)
    panel[:] = canvas


def _check_similarity(similarity: FloatArray) -> None:
    if similarity.ndim != 2 or similarity.size == 0:
        raise ValueError(f"similarity: expected (H, W), got {similarity.shape}")
    low, high = float(similarity.min()), float(similarity.max())
    if not (low >= -1.001 and high <= 1.001):
        raise ValueError(f"similarity: expected values in [-1, 1], got [{low}, {high}]")
