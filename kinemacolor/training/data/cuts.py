"""Cuts in training films: a simple detector, good enough to keep windows within a shot."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.propagation.correspondence import correlation

_THUMBNAIL = (32, 18)
_BINS = 16
_RECENT_FRAMES = 12
"""Frames over which the usual difference between neighbors is taken."""
_FIRST_FRAMES = 3
"""Frames of a shot for which the next difference counts as usual, too."""


class CutDetector:
    """Takes the frames of a film one by one, and returns which begin a shot.

    A cut is a frame whose luma, at 32 × 18, differs from that of the frame before by more than 10 levels and by more
    than three times the recent difference of neighbors, and which correlates with it less than 0.75 or has another
    histogram; where the correlation is below 0.4, 20 levels and twice the recent difference are enough. At the start of
    a shot the frame that follows shows how much neighbors differ. Fades and dissolves are not found.
    """

    def __init__(self) -> None:
        self._last: FloatArray | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT_FRAMES)

    def __call__(self, frame: Array, following: Array | None) -> bool:
        """Whether a frame begins a shot; the first one does not.

        Args:
            frame: (H, W, 3) uint8.
            following: the frame after it, or None at the film's end.
        """
        last, thumbnail = self._last, _thumbnail(frame)
        self._last = thumbnail
        if last is None:
            return False
        difference = float(np.abs(thumbnail - last).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        if len(self._recent) < _FIRST_FRAMES and following is not None:
            usual = max(usual, float(np.abs(_thumbnail(following) - thumbnail).mean()))
        similarity = correlation(thumbnail, last)
        is_cut = difference > max(20.0, 2.0 * usual) and similarity < 0.4
        if difference > max(10.0, 3.0 * usual):
            is_cut = is_cut or similarity < 0.75 or _histogram_distance(thumbnail, last) > 0.6
        if is_cut:
            self._recent.clear()
        else:
            self._recent.append(difference)
        return is_cut


def _thumbnail(frame: Array) -> FloatArray:
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(luma, _THUMBNAIL, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _histogram_distance(a: Array, b: Array) -> float:
    """Sum of absolute differences of two histograms of luma, 0 to 2."""
    counts = [np.histogram(x, bins=_BINS, range=(0, 256))[0] / x.size for x in (a, b)]
    return float(np.abs(counts[0] - counts[1]).sum())
