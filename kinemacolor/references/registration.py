"""A picture that another program has made of a frame, laid onto that frame: its scale and shift are found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab, still_lightness
from kinemacolor.core.errors import InputError
from kinemacolor.core.resample import resize, warp
from kinemacolor.core.types import Array, BoolArray, FloatArray, Matrix
from kinemacolor.references.image import Still, read_still

LEAST_CORRELATION = 0.6
"""Of the picture's lightness with the frame's, where it lies best; below it, it shows something else."""
_COMPARED_SIDE = 192
_STEPS, _PRECISION, _BLUR = 60, 1e-5, 5
_START_SCALES = (1.0, 0.9, 1.1)


@dataclass(frozen=True, slots=True, eq=False)
class RegisteredPicture:
    """A picture on a frame.

    Attributes:
        ab: (h, w, 2) float32, its a* and b* at the frame's small size.
        mask: (h, w) bool, False where it gives no color: outside of it, or transparent.
        scale: of what the picture shows, against the frame.
        shift: (x, y) of the middle of the frame in the picture from its own, in shares of width and height.
        correlation: of its lightness with the frame's, in [-1, 1].
    """

    ab: FloatArray
    mask: BoolArray
    scale: float
    shift: tuple[float, float]
    correlation: float

    @property
    def message(self) -> str:
        """One line for a person."""
        moved = f"shifted by {100 * self.shift[0]:+.1f} % and {100 * self.shift[1]:+.1f} % of width and height"
        likeness = f"their lightness agrees to {self.correlation:.2f}"
        return f"laid onto the frame: scaled by {self.scale:.3f}, {moved}; {likeness}"


def register_picture(path: Path, lightness: FloatArray, matrix: Matrix) -> RegisteredPicture:
    """Reads a colored picture and lays it onto a frame.

    Args:
        path: of the picture.
        lightness: (h, w), L* of the frame at the size that is wanted, upright.
        matrix: of the film.

    Raises:
        InputError: it cannot be read, is gray, or shows something else than the frame.
    """
    still = read_still(path)
    size = (lightness.shape[0], lightness.shape[1])
    found = _best_placement(_small_lightness(still, matrix), lightness)
    if found is None or found[1] < LEAST_CORRELATION:
        level = "" if found is None else f" (their lightness agrees to {found[1]:.2f})"
        raise InputError(path.name, f"does not show this frame{level}", "give a picture made from this frame")
    placement, correlation = found
    lab = rgb_to_lab(resize(still.rgb, size))
    ab = warp(np.ascontiguousarray(lab[..., 1:]), placement, size, cv2.INTER_LINEAR)
    inside = cv2.warpAffine(
        resize(still.mask.astype(np.float32), size),
        placement,
        size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    scale = float(np.sqrt(abs(np.linalg.det(placement[:, :2]))))
    center = np.array([size[1] / 2, size[0] / 2])
    offset = placement[:, :2] @ center + placement[:, 2] - center
    shift = (float(offset[0] / size[1]), float(offset[1] / size[0]))
    return RegisteredPicture(ab.astype(np.float32), inside >= 0.5, scale, shift, correlation)


def _small_lightness(still: Still, matrix: Matrix) -> FloatArray:
    height, width = still.mask.shape
    factor = min(1.0, 2 * _COMPARED_SIDE / min(height, width))
    small = resize(still.rgb, (max(1, round(height * factor)), max(1, round(width * factor))))
    return still_lightness(np.clip(small, 0, 1), matrix)


def _best_placement(picture: FloatArray, frame: FloatArray) -> tuple[Array, float] | None:
    """The matrix (2, 3) that takes the frame's pixels to the picture's, stretched to the frame's size; and how well."""
    size = (frame.shape[0], frame.shape[1])
    factor = min(1.0, _COMPARED_SIDE / min(size))
    small = max(8, round(size[0] * factor)), max(8, round(size[1] * factor))
    target, source = (_leveled(resize(image, small)) for image in (frame, picture))
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _PRECISION)
    best: tuple[Array, float] | None = None
    for scale in _START_SCALES:
        start = np.array([[scale, 0, small[1] * (1 - scale) / 2], [0, scale, small[0] * (1 - scale) / 2]], np.float32)
        try:
            correlation, matrix = cv2.findTransformECC(
                target, source, start, cv2.MOTION_AFFINE, criteria, np.ones(small, np.uint8), _BLUR
            )
        except cv2.error:  # it does not converge
            continue
        if best is None or correlation > best[1]:
            best = np.asarray(matrix, np.float64), float(correlation)
    if best is None:
        return None
    enlarged = best[0].copy()
    enlarged[0, 2] *= size[1] / small[1]
    enlarged[1, 2] *= size[0] / small[0]
    return enlarged, best[1]


def _leveled(image: FloatArray) -> FloatArray:
    """Without slow changes of brightness, which other programs add."""
    detail: FloatArray = (image - cv2.GaussianBlur(image, (0, 0), min(image.shape) / 6)).astype(np.float32)
    return detail
