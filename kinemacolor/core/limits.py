"""Limits of settings and of network inputs. This module imports nothing heavy."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

MINIMUM_SIDE, MAXIMUM_SIDE = 32, 2160
"""Short side of a picture at network size, in pixels. The minimum is two cells of the coarsest feature map."""
MINIMUM_BLOCK, MAXIMUM_BLOCK = 1, 6
"""Frames that a network colors in one step."""
SLOWEST_FPS, FASTEST_FPS = Fraction(1, 1000), 1000
"""Frame rate that can be set for a film stored as images."""
MAXIMUM_SATURATION = 4.0
"""Factor by which a* and b* may be multiplied; the minimum is 0."""
Propagation = Literal["full", "chained", "off"]
"""How colors are propagated along the optical flow: ``full``, over short and long hops and directly from the reference;
``chained``, from the frame before only; ``off``, not at all."""
UpsamplingQuality = Literal["fast", "best"]
"""Ways of chroma upsampling."""
