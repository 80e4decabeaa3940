"""The floors: colorizers that learn nothing, a method a file, each an engine (see ``engine.protocol``).

A trained network has to beat them, and each shows what one idea alone gives: no colour at all, one tint, colour by
lightness and texture, colour carried along the motion.
"""

from __future__ import annotations

from kinemacolor.engine.protocol import Engine
from kinemacolor.errors import UsageError

BASELINES = {
    "grey": "no colour at all",
    "reinhard": "global colour transfer: the reference's mean and covariance of L*, a*, b*",
    "welsh": "colour of the reference's sample of like lightness and texture, pixel by pixel",
    "flow": "the reference's colours warped on from frame to frame along DIS flow",
}
"""Names and what they stand for."""

__all__ = ["BASELINES", "open_baseline"]


def open_baseline(name: str) -> Engine:
    """A baseline by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name == "grey":
        from kinemacolor.baselines.grey import GreyEngine

        return GreyEngine()
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
