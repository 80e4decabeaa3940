"""Strokes as constraints on the pixels of a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.strokes.records import Stroke

STROKE_WEIGHT = 100.0
"""Weight of a stroke's pixel, beside couplings of at most 1: soft, so that strokes that contradict each other blend."""
ALIKE_WEIGHT = 0.05
"""Weight of a cell that looks exactly as a stroke's own."""
ALIKE_FROM, ALIKE_FULL = 0.8, 0.95
"""Cosine of keys from which a cell begins to look alike, and from which it counts fully."""
_SUBPIXELS = 4  # bits of OpenCV's fixed-point coordinates


@dataclass(frozen=True, slots=True, eq=False)
class StrokeConstraints:
    """What strokes say of each pixel.

    Attributes:
        weight: (h, w) float32 ≥ 0; 0 where no stroke is.
        ab: (h, w, 2) float32, a* and b* there.
        painted: (h, w) float32 in [0, 1]; 1 where a color is given, 0 where the base stays.
        open: (h, w) bool, where the still says nothing.
    """

    weight: FloatArray
    ab: FloatArray
    painted: FloatArray
    open: BoolArray


def stroke_ab(color: str) -> FloatArray:
    """a* and b* of a color ``#rrggbb``, (2,) float32."""
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)], np.float32) / np.float32(255)
    ab: FloatArray = rgb_to_lab(rgb[None])[0, 1:]
    return ab


def stroke_constraints(
    strokes: Sequence[Stroke],
    size: tuple[int, int],
    frame_size: tuple[int, int],
    keys: FloatArray | None = None,
) -> StrokeConstraints:
    """The constraints of strokes; of strokes on top of each other the last one counts.

    Args:
        strokes: in the order in which they were painted.
        size: (h, w) of the small picture.
        frame_size: (height, width) of the frame on which they were painted.
        keys: (rows, columns, C), the engine's features of the picture, for strokes that speak for what looks alike.
    """
    weight, ab = np.zeros(size, np.float32), np.zeros((*size, 2), np.float32)
    painted, is_open = np.zeros(size, np.float32), np.zeros(size, np.bool_)
    alike: list[tuple[BoolArray, FloatArray, float]] = []
    for stroke in strokes:
        inside = stroke_mask(stroke, size, frame_size)
        is_open[inside] = stroke.kind == "open"
        if stroke.kind == "open":
            continue
        color = stroke_ab(stroke.color) if stroke.color and stroke.kind == "color" else np.zeros(2, np.float32)
        share = 0.0 if stroke.kind == "engine" else 1.0
        weight[inside], ab[inside], painted[inside] = STROKE_WEIGHT, color, share
        if stroke.alike and keys is not None:
            alike.append((inside, color, share))
    if alike and keys is not None:
        _add_alike(alike, keys, weight, ab, painted)
    return StrokeConstraints(weight, ab, painted, is_open)


def stroke_mask(stroke: Stroke, size: tuple[int, int], frame_size: tuple[int, int]) -> BoolArray:
    """The pixels (h, w) of a small picture that a stroke covers: at least one, if it lies on the frame."""
    scale = np.array([size[1] / frame_size[1], size[0] / frame_size[0]])
    points = np.asarray(stroke.points, np.float64) * scale - 0.5
    fixed = np.rint(points * (1 << _SUBPIXELS)).astype(np.int32)[:, None]
    mask: Array = np.zeros(size, np.uint8)
    if stroke.area and len(stroke.points) > 2:
        cv2.fillPoly(mask, [fixed], 1, shift=_SUBPIXELS)
        inner = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
        mask = inner if inner.any() else mask  # its edge is found by the luminance, not by the hand
    else:
        thickness = max(1, round(stroke.width * float(scale.mean())))
        closed = len(stroke.points) == 1
        cv2.polylines(mask, [fixed], closed, 1, thickness, shift=_SUBPIXELS)
    return mask.astype(np.bool_)


def _add_alike(
    alike: Sequence[tuple[BoolArray, FloatArray, float]],
    keys: FloatArray,
    weight: FloatArray,
    ab: FloatArray,
    painted: FloatArray,
) -> None:
    """Weak constraints where cells look like those under a stroke; the stroke that is most alike speaks for a cell."""
    rows, columns, channels = keys.shape
    size = (weight.shape[0], weight.shape[1])
    unit = keys / np.maximum(np.linalg.norm(keys, axis=2, keepdims=True), 1e-6)
    flat = unit.reshape(-1, channels)
    likeness = np.zeros((len(alike), *size), np.float32)
    for place, (inside, _, _) in enumerate(alike):
        under = cv2.resize(inside.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_AREA) > 0
        under |= cv2.resize(inside.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA) > 0
        if under.any():
            cosine = (flat @ flat[under.ravel()].T).max(axis=1).reshape(rows, columns).astype(np.float32)
            likeness[place] = cv2.resize(cosine, size[::-1], interpolation=cv2.INTER_LINEAR)
    best = likeness.argmax(axis=0)
    ramp = np.clip((likeness.max(axis=0) - ALIKE_FROM) / (ALIKE_FULL - ALIKE_FROM), 0, 1)
    spoken = (ramp > 0) & (weight == 0)
    weight[spoken] = np.float32(ALIKE_WEIGHT) * ramp[spoken]
    ab[spoken] = np.stack([color for _, color, _ in alike])[best[spoken]]
    painted[spoken] = np.array([share for _, _, share in alike], np.float32)[best[spoken]]
