"""What task-independent methods are given, and flow for those that are given none."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import cv2
import numpy as np

from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions


class PairFlow(Protocol):
    """The optical flow of a film of T frames, from each frame but the first to the one before it."""

    @property
    def flow(self) -> Array:
        """(T − 1, H, W, 2), (x, y) pixels: frame t + 1 at p looks like frame t at p + flow[t](p)."""
        ...

    @property
    def visible(self) -> BoolArray:
        """(T − 1, H, W), False for pixels that the frame before does not show."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class GrayFilmFlow:
    """A ``PairFlow``."""

    flow: Array
    visible: BoolArray


def check_films(gray: Array, colored: Array) -> None:
    """Raises ValueError unless both films are uint8 (T, H, W, 3) of one shape."""
    for name, film in (("gray", gray), ("colored", colored)):
        if film.ndim != 4 or film.shape[3] != 3 or film.dtype != np.uint8 or not len(film):
            raise ValueError(f"{name}: expected uint8 (T, H, W, 3), got {film.dtype} {film.shape}")
    if gray.shape != colored.shape:
        raise ValueError(f"colored: expected {gray.shape}, got {colored.shape}")


def flow_of(gray: Array) -> GrayFilmFlow:
    """DIS flow of a gray film, R'G'B' (T, H, W, 3) uint8, and where it is consistent."""
    estimate = DisFlow()
    luma = [np.ascontiguousarray(frame[..., 0], dtype=np.float32) * np.float32(100 / 255) for frame in gray]
    flows, visible = [], []
    for earlier, later in pairwise(luma):
        backward = estimate(later, earlier)
        flows.append(backward)
        visible.append(consistent(backward, estimate(earlier, later)))
    return GrayFilmFlow(np.stack(flows), np.stack(visible))


def warped(picture: FloatArray, flow: Array) -> FloatArray:
    """A picture (H, W[, C]) float32 at p + flow(p), bilinear, edges continued."""
    at = pixel_positions(*picture.shape[:2]) + flow.astype(np.float32)
    moved = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)
