"""Dense optical flow on lightness (DIS), and its forward-backward consistency."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from kinemacolor.core.types import BoolArray, FloatArray


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016), with the preset "medium" continued to the finest scale.

    The object holds work space only; calls do not depend on one another.
    """

    name = "DIS"

    def __init__(self) -> None:
        self._dis, self._coarse = _finest(), _coarse()
        self._coarse_started = _coarse()  # separate: OpenCV's object keeps using the last initial flow it was given

    def __call__(self, source: FloatArray, target: FloatArray) -> FloatArray:
        """Flow from ``source`` to ``target``.

        Args:
            source: lightness (H, W), L* in [0, 100].
            target: the same size.

        Returns:
            (H, W, 2) float32, (x, y) displacement in pixels: ``source`` at p looks like ``target`` at p + flow(p).
        """
        return _calculate(self._dis, source, target, None)

    def coarse(self, source: FloatArray, target: FloatArray, start: FloatArray | None = None) -> FloatArray:
        """A flow in about half the time, with fewer patches and iterations.

        Args:
            source: lightness (H, W), L* in [0, 100].
            target: the same size.
            start: an initial flow (H, W, 2) that is tried as well, at each patch and scale; or None.
        """
        return _calculate(self._coarse if start is None else self._coarse_started, source, target, start)


def _finest() -> Any:
    dis: Any = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    return dis


def _coarse() -> Any:
    dis = _finest()
    dis.setPatchStride(4)
    dis.setGradientDescentIterations(16)
    dis.setVariationalRefinementIterations(2)
    return dis


def _calculate(dis: Any, source: FloatArray, target: FloatArray, start: FloatArray | None) -> FloatArray:
    if source.shape != target.shape:
        raise ValueError(f"target: expected shape {source.shape}, got {target.shape}")
    initial = None if start is None else start.astype(np.float32)  # a copy: OpenCV writes into it
    flow: FloatArray = dis.calc(_codes(source), _codes(target), initial)
    return flow


def _codes(lightness: FloatArray) -> np.ndarray[Any, np.dtype[np.uint8]]:
    codes: np.ndarray[Any, np.dtype[np.uint8]] = np.clip(np.rint(lightness * 2.55), 0, 255).astype(np.uint8)
    return codes


def pixel_positions(height: int, width: int) -> FloatArray:
    """(H, W, 2) float32: the (x, y) pixel position of each pixel."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], axis=2)


def consistent(forward: FloatArray, backward: FloatArray) -> BoolArray:
    """Where a flow and the flow back agree: |w̃ + ŵ|² ≤ 0.01 (|w̃|² + |ŵ|²) + 0.5 (Ruder et al. 2016, section 4).

    Args:
        forward: flow (H, W, 2) from a frame to another, pixels.
        backward: flow from the other frame back, pixels.

    Returns:
        (H, W) bool on the grid of ``forward``.
    """
    targets = pixel_positions(*forward.shape[:2]) + forward
    back = cv2.remap(backward, targets, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    gap = np.square(forward + back).sum(axis=2)
    scale = np.square(forward).sum(axis=2) + np.square(back).sum(axis=2)
    mask: BoolArray = gap <= 0.01 * scale + 0.5
    return mask
