"""Limits of what a user may choose, and of what networks can take; free of heavy imports."""

from __future__ import annotations

from fractions import Fraction

MINIMUM_SIDE, MAXIMUM_SIDE = 32, 2160
"""Short side in pixels at which a network sees a picture; the smallest is two cells of the coarsest feature map."""
MINIMUM_BLOCK, MAXIMUM_BLOCK = 1, 6
"""Frames that a network colors together."""
SLOWEST_FPS, FASTEST_FPS = Fraction(1, 1000), 1000
"""Frames a second of a film kept as images."""
MAXIMUM_SATURATION = 4.0
"""Factor on the colors."""
