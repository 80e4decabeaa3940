"""The floors: colorizers that learn nothing, a method a file, each an engine (see ``engine.protocol``).

A trained network has to beat them, and each shows what one idea alone gives: no color at all, one tint, color by
lightness and texture, color carried along the motion.
"""

from __future__ import annotations

from kinemacolor.core.errors import UsageError
from kinemacolor.engine.protocol import Engine

BASELINES = {
    "gray": "no color at all",
    "reinhard": "global color transfer: the reference's mean and covariance of L*, a*, b*",
    "welsh": "color of the reference's sample of like lightness and texture, pixel by pixel",
    "flow": "the reference's colors warped on from frame to frame along DIS flow",
}
"""Names and what they stand for."""

__all__ = ["BASELINES", "open_baseline"]


def open_baseline(name: str) -> Engine:
    """A baseline by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "gray":
        from kinemacolor.baselines.gray import GrayEngine

        return GrayEngine()
    if name == "reinhard":
        from kinemacolor.baselines.reinhard import ReinhardEngine

        return ReinhardEngine()
    if name == "welsh":
        from kinemacolor.baselines.welsh import WelshEngine

        return WelshEngine()
    if name == "flow":
        from kinemacolor.baselines.flow import FlowEngine

        return FlowEngine()
    raise UsageError("--methods", f"there is no baseline {name}", f"choose among {', '.join(BASELINES)}")
