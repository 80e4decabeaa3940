"""Spaces of RGB colors that are told by a few numbers instead of a profile, and their conversion to sRGB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinemacolor.core.color import linear_to_rgb, rgb_to_linear
from kinemacolor.core.types import Array, FloatArray

Chromaticity = tuple[float, float]
"""x, y of CIE 1931."""
D65: Chromaticity = (0.3127, 0.3290)
SRGB_PRIMARIES: tuple[Chromaticity, Chromaticity, Chromaticity] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_SAME = 0.003
"""Chromaticities that differ by no more are the same: files round them, some to two digits."""
_USUAL_EXPONENTS = (2.09, 2.31)
"""2.2, give or take a twentieth: with sRGB's primaries what programs write for sRGB itself (so does libpng take it)."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


@dataclass(frozen=True, slots=True)
class RgbSpace:
    """What three numbers in [0, 1] mean as a color.

    Attributes:
        primaries: chromaticities of red, green and blue.
        white: that of R = G = B.
        exponent: light = number ** exponent; None for sRGB's curve.
        black_level, white_level: the numbers that stand for 0 and 1.
    """

    primaries: tuple[Chromaticity, Chromaticity, Chromaticity] = SRGB_PRIMARIES
    white: Chromaticity = D65
    exponent: float | None = None
    black_level: float = 0.0
    white_level: float = 1.0

    @property
    def usable(self) -> bool:
        """Whether these numbers can be those of a space of colors."""
        if self.white[1] < 0.1 or any(y <= 0 or x + y > 1.001 for x, y in (self.white, *self.primaries)):
            return False
        area = np.linalg.det(np.array([[x, y, 1] for x, y in self.primaries]))
        return abs(area) > 0.001 and (self.exponent is None or 0.1 < self.exponent < 10)

    @property
    def is_srgb(self) -> bool:
        """Whether its numbers are those of sRGB, but for rounding."""
        own, usual = np.array([*self.primaries, self.white]), np.array([*SRGB_PRIMARIES, D65])
        same_curve = self.exponent is None or _USUAL_EXPONENTS[0] < self.exponent < _USUAL_EXPONENTS[1]
        return same_curve and (self.black_level, self.white_level) == (0, 1) and bool(np.abs(own - usual).max() < _SAME)

    def to_srgb(self, rgb: FloatArray) -> FloatArray:
        """Colors (H, W, 3) float32 of this space as sRGB in [0, 1]; white stays white, the rest is cut off."""
        if self.is_srgb:
            return rgb
        values = np.clip((rgb - np.float32(self.black_level)) / np.float32(self.white_level - self.black_level), 0, 1)
        linear = rgb_to_linear(values) if self.exponent is None else values ** np.float32(self.exponent)
        matrix = np.linalg.inv(_to_xyz(SRGB_PRIMARIES, D65)) @ _adaptation(self.white) @ self._to_xyz()
        converted: FloatArray = np.clip(linear_to_rgb(linear @ matrix.T.astype(np.float32)), 0, 1)
        return converted

    def _to_xyz(self) -> Array:
        return _to_xyz(self.primaries, self.white)


ADOBE_RGB = RgbSpace(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), exponent=563 / 256)
"""Adobe RGB (1998)."""


def _to_xyz(primaries: tuple[Chromaticity, ...], white: Chromaticity) -> Array:
    """The matrix from linear R, G, B to X, Y, Z with Y = 1 for white (SMPTE RP 177, section 3.3)."""
    columns = np.array([_xyz(color) for color in primaries]).T
    matrix: Array = columns * np.linalg.solve(columns, _xyz(white))
    return matrix


def _xyz(color: Chromaticity) -> Array:
    x, y = color
    return np.array([x / y, 1, (1 - x - y) / y])


def _adaptation(white: Chromaticity) -> Array:
    """The matrix from X, Y, Z under a white to those under D65 (Bradford, as ICC.1:2022 annex E has it)."""
    gains = (_BRADFORD @ _xyz(D65)) / (_BRADFORD @ _xyz(white))
    matrix: Array = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD
    return matrix
