"""The registry of baselines: a new one is one more ``BaselineRecord`` in ``BASELINES``.

Nothing heavy is imported before a baseline is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinemacolor.core.errors import UsageError

if TYPE_CHECKING:
    from kinemacolor.engine.protocol import Engine


@dataclass(frozen=True, slots=True)
class BaselineRecord:
    """The description of a baseline.

    Attributes:
        name: by which users choose it.
        summary: one line.
        open: creates the engine.
    """

    name: str
    summary: str
    open: Callable[[], Engine]


def _open_gray() -> Engine:
    from kinemacolor.baselines.gray import GrayEngine

    return GrayEngine()


def _open_reinhard() -> Engine:
    from kinemacolor.baselines.reinhard import ReinhardEngine

    return ReinhardEngine()


def _open_welsh() -> Engine:
    from kinemacolor.baselines.welsh import WelshEngine

    return WelshEngine()


def _open_flow() -> Engine:
    from kinemacolor.baselines.flow import FlowEngine

    return FlowEngine()


BASELINES: dict[str, BaselineRecord] = {
    record.name: record
    for record in (
        BaselineRecord("gray", "no color at all", _open_gray),
        BaselineRecord(
            "reinhard", "global color transfer: the reference's mean and covariance of L*, a*, b*", _open_reinhard
        ),
        BaselineRecord(
            "welsh", "color of the reference's sample of similar lightness and texture, pixel by pixel", _open_welsh
        ),
        BaselineRecord("flow", "the reference's colors, warped from frame to frame along DIS flow", _open_flow),
    )
}


def open_baseline(name: str) -> Engine:
    """Opens a baseline by its name.

    Raises:
        UsageError: there is no baseline of that name.
    """
    if name not in BASELINES:
        raise UsageError("methods", f"there is no baseline {name}", f"choose among {', '.join(BASELINES)}")
    return BASELINES[name].open()
