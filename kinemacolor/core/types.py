"""The records that pass between stages: coding, frames and shots of a film, and colored reference stills.

Images are numpy arrays with channels last. Two kinds of numbers occur and never mix:

- *code values*: unsigned integers as stored in the film (``Frame``); ``Coding`` gives their meaning;
- *CIELAB* (D65, 2°): lightness L* in [0, 100], chrominance a*, b* in about [-110, 110] (``Reference``, the engines).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.limits import MINIMUM_SIDE

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Matrix = Literal["bt601", "bt709", "bt2020"]


def _require(condition: bool, field: str, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{field}: expected {expected}, got {got}")


@dataclass(frozen=True, slots=True)
class Coding:
    """The meaning of code values.

    Attributes:
        bit_depth: bits of a sample, 8 to 16.
        full_range: True where codes span 0 … 2^bits − 1; False for the limited ("TV") range, 16 … 235 at 8 bits.
        matrix: weights of R', G', B' in luma: ``bt601``, ``bt709`` or ``bt2020`` (non-constant luminance).
    """

    bit_depth: int = 8
    full_range: bool = False
    matrix: Matrix = "bt709"

    def __post_init__(self) -> None:
        _require(8 <= self.bit_depth <= 16, "bit_depth", "8 to 16", self.bit_depth)
        _require(self.matrix in ("bt601", "bt709", "bt2020"), "matrix", "bt601, bt709 or bt2020", self.matrix)

    @property
    def maximum(self) -> int:
        """The largest code value."""
        return (1 << self.bit_depth) - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 for 8 bits, else uint16 (values in the low bits)."""
        return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of a film in code values.

    Attributes:
        index: number in display order, from 0 at the film's first frame.
        pts: presentation time in units of ``time_base``.
        time_base: seconds in one unit of ``pts``.
        luma: Y plane (H, W), dtype ``coding.dtype``, exactly as decoded.
        coding: what the code values mean.
        duration: in units of ``time_base``; 0 where the container does not say.
        chroma: U and V planes, each (⌈H/sy⌉, ⌈W/sx⌉) with sx, sy in {1, 2}, or None for a frame without color.
        captions: closed captions that came with the picture (units of CEA-708, three bytes each), or None.
    """

    index: int
    pts: int
    time_base: Fraction
    luma: Array
    coding: Coding
    duration: int = 0
    chroma: tuple[Array, Array] | None = None
    captions: bytes | None = None

    def __post_init__(self) -> None:
        _require(self.index >= 0, "index", "≥ 0", self.index)
        _require(self.time_base > 0, "time_base", "> 0", self.time_base)
        _require(self.duration >= 0, "duration", "≥ 0", self.duration)
        self._check_plane("luma", self.luma)
        if self.chroma is not None:
            height, width = self.luma.shape
            u, v = self.chroma
            _require(u.shape == v.shape, "chroma", f"two planes of one shape, {u.shape}", v.shape)
            allowed = {(-(-height // sy), -(-width // sx)) for sx, sy in ((1, 1), (2, 1), (2, 2))}
            _require(u.shape in allowed, "chroma", f"a shape among {sorted(allowed)}", u.shape)
            self._check_plane("chroma U", u)
            self._check_plane("chroma V", v)

    def _check_plane(self, field: str, plane: Array) -> None:
        _require(plane.ndim == 2 and plane.size > 0, field, "a plane (H, W) that is not empty", plane.shape)
        _require(plane.dtype == self.coding.dtype, field, f"dtype {self.coding.dtype}", plane.dtype)

    @property
    def time(self) -> Fraction:
        """Presentation time in seconds."""
        return self.pts * self.time_base

    def with_chroma(self, u: Array, v: Array) -> Frame:
        """The same frame, the same luma plane, in color."""
        return replace(self, chroma=(u, v))


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A colored still, in CIELAB.

    Attributes:
        lightness: (H, W) float32, L* in [0, 100] of the still *as black-and-white film would show it* (from its luma).
        ab: (H, W, 2) float32, a* and b* in [-128, 128].
        mask: (H, W) bool; False where the still gives no color (transparent areas).
        name: file name, for messages.
        frame: index of the film's frame that it shows, or None where that is not known.
    """

    lightness: FloatArray
    ab: FloatArray
    mask: BoolArray
    name: str = "reference"
    frame: int | None = None

    def __post_init__(self) -> None:
        shape = self.lightness.shape
        _require(len(shape) == 2 and min(shape) >= MINIMUM_SIDE, "lightness", f"(H, W), both ≥ {MINIMUM_SIDE}", shape)
        _require(self.ab.shape == (*shape, 2), "ab", f"shape {(*shape, 2)}", self.ab.shape)
        _require(self.mask.shape == shape, "mask", f"shape {shape}", self.mask.shape)
        _require(self.lightness.dtype == np.float32, "lightness", "dtype float32", self.lightness.dtype)
        _require(self.ab.dtype == np.float32, "ab", "dtype float32", self.ab.dtype)
        _require(self.mask.dtype == np.bool_, "mask", "dtype bool", self.mask.dtype)
        low, high = float(self.lightness.min()), float(self.lightness.max())
        _require(low >= -0.01 and high <= 100.01, "lightness", "values in [0, 100]", f"[{low}, {high}]")
        largest = float(np.abs(self.ab).max())
        _require(largest <= 128, "ab", "values in [-128, 128]", f"±{largest}")
        _require(self.frame is None or self.frame >= 0, "frame", "≥ 0 or None", self.frame)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.lightness.shape
        return height, width

    def mirrored(self) -> Reference:
        """The same still, flipped left to right."""
        lightness, ab = (np.ascontiguousarray(plane[:, ::-1]) for plane in (self.lightness, self.ab))
        return replace(self, lightness=lightness, ab=ab, mask=np.ascontiguousarray(self.mask[:, ::-1]))
