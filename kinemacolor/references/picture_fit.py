"""How well two small pictures fit: by the correlation of their lightness, which painting keeps."""

from __future__ import annotations

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.propagation.correspondence import correlation

GOOD_FIT = 0.85
"""Correlation above which a still shows its frame, unless it shows the frame of another still."""
_FLAT = 0.6  # standard deviation of L* below which a picture shows nothing
_PARTS = np.linspace(0.97, 0.5, 14)  # sides of a part of a picture, relative to the whole
_LEAST_SIDE = 8  # pixels of a part


def picture_fit(still: Reference, frame: FloatArray) -> float:
    """Correlation of a still's lightness with a frame's, L* (h, w), where the still gives color.

    Borders that only one of them has count for nothing. Two pictures without contrast fit each other; a still without
    any fits every frame.
    """
    size = (frame.shape[1], frame.shape[0])
    picture: FloatArray = cv2.resize(still.lightness, size, interpolation=cv2.INTER_AREA)
    if float(picture.std()) < _FLAT:
        return 1.0
    if not still.mask.all():
        opaque = cv2.resize(still.mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
        if opaque.sum() < 16:
            return 1.0
        return correlation(picture[opaque], frame[opaque])
    whole = correlation(picture, frame)
    if whole >= GOOD_FIT:
        return whole
    inner = [cv2.resize(_without_bars(image), size, interpolation=cv2.INTER_LINEAR) for image in (picture, frame)]
    return max(whole, correlation(np.asarray(inner[0]), np.asarray(inner[1])))


def _without_bars(image: FloatArray) -> FloatArray:
    """The picture within black borders; all of it where hardly anything is bright."""
    bright = image > 15
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    if len(rows) < 8 or len(columns) < 8:
        return image
    return np.ascontiguousarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def part_fit(still: Reference, frame: FloatArray) -> float:
    """The best correlation of a still with a part of a frame, L* (h, w), or of the frame with a part of the still.

    -1 for a still with a mask.
    """
    if not still.mask.all():
        return -1.0
    height, width = still.lightness.shape
    scale = min(frame.shape[0] / height, frame.shape[1] / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.asarray(cv2.resize(still.lightness, size, interpolation=cv2.INTER_AREA))
    return max(_part_within(picture, frame), _part_within(frame, picture))


def _part_within(part: FloatArray, whole: FloatArray) -> float:
    """The best correlation of a picture, at several sizes, with a part of another one of its size."""
    best = -1.0
    for share in _PARTS:
        size = (round(part.shape[1] * share), round(part.shape[0] * share))
        if min(size) < _LEAST_SIDE or size[0] > whole.shape[1] or size[1] > whole.shape[0]:
            continue
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        if float(small.std()) >= _FLAT:
            best = max(best, float(cv2.matchTemplate(whole, small, cv2.TM_CCOEFF_NORMED).max()))
    return best
