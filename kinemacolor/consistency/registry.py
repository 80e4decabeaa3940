"""The registry of task-independent methods: a new one is one more record. Nothing heavy is imported before one runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinemacolor.core.types import Array

if TYPE_CHECKING:
    from kinemacolor.consistency.films import PairFlow

Apply = Callable[["Array", "Array", "PairFlow | None"], Array]


@dataclass(frozen=True, slots=True)
class ConsistencyRecord:
    """A task-independent method.

    Attributes:
        name: what follows ``+`` behind a method's name.
        summary: one line.
        apply: gray film and colored film, each R'G'B' (T, H, W, 3) uint8, and the gray film's optical flow or None →
            a film of the same shape.
    """

    name: str
    summary: str
    apply: Apply


def _blind(gray: Array, colored: Array, flow: PairFlow | None) -> Array:
    from kinemacolor.consistency.blind import blind_consistency

    return blind_consistency(gray, colored, flow)


def _dvp(gray: Array, colored: Array, flow: PairFlow | None) -> Array:
    from kinemacolor.consistency.deep_video_prior import PAPER_PRIOR, deep_video_prior

    return deep_video_prior(gray, colored, PAPER_PRIOR)


def _dvp_fast(gray: Array, colored: Array, flow: PairFlow | None) -> Array:
    from kinemacolor.consistency.deep_video_prior import FAST_PRIOR, deep_video_prior

    return deep_video_prior(gray, colored, FAST_PRIOR)


CONSISTENCY: dict[str, ConsistencyRecord] = {
    record.name: record
    for record in (
        ConsistencyRecord("blind", "blind video temporal consistency (Bonneel et al. 2015)", _blind),
        ConsistencyRecord("dvp", "deep video prior (Lei et al. 2022), with iteratively reweighted training", _dvp),
        ConsistencyRecord("dvp-fast", "the same with a smaller network and fewer steps, for CPUs", _dvp_fast),
    )
}
