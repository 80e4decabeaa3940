"""Where the cuts are in the films to learn from: a plain detector, enough to keep windows within a shot."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.propagation.correspondence import correlation

_THUMBNAIL = (32, 18)
_BINS = 16
_RECENT = 12
_BEGUN = 3


class CutDetector:
    """Told the frames of a film one by one, says which begin a shot.

    A cut is a frame whose luma, at 32 × 18, differs from the frame before by more than a level and by three times what
    neighbors lately differed, and correlates with it less or has another histogram; amid fast motion twice is enough
    where hardly any correlation is left. Where a shot has only begun, the frame that follows tells how much neighbors
    differ. Fades and dissolves are not found.
    """

    def __init__(self) -> None:
        self._last: FloatArray | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def __call__(self, frame: Array, following: Array | None) -> bool:
        """Whether a frame begins a shot; the first one does not.

        Args:
            frame: (H, W, 3) uint8.
            following: the frame after it, or None at the film's end.
        """
        last, now = self._last, _thumbnail(frame)
        self._last = now
        if last is None:
            return False
        moved = float(np.abs(now - last).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        if len(self._recent) < _BEGUN and following is not None:
            usual = max(usual, float(np.abs(_thumbnail(following) - now).mean()))
        alike = correlation(now, last)
        jumped = moved > max(10.0, 3.0 * usual) and (alike < 0.75 or _histogram_distance(now, last) > 0.6)
        cut = jumped or (moved > max(20.0, 2.0 * usual) and alike < 0.4)
        if cut:
            self._recent.clear()
        else:
            self._recent.append(moved)
        return cut


def _thumbnail(frame: Array) -> FloatArray:
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(luma, _THUMBNAIL, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _histogram_distance(a: Array, b: Array) -> float:
    """Sum of absolute differences of two histograms of luma, 0 to 2."""
    counts = [np.histogram(x, bins=_BINS, range=(0, 256))[0] / x.size for x in (a, b)]
    return float(np.abs(counts[0] - counts[1]).sum())
