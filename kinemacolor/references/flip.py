"""Stills that lie the wrong way round: a print scanned from its back, a frame flopped by a painter's program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from kinemacolor.core.types import FloatArray, Reference, Shot
from kinemacolor.propagation.correspondence import ANCHOR_CORRELATION, correlation
from kinemacolor.references.placement import Binding

LEAD = 0.05
"""By how much a frame must be more like the mirrored still than like the still itself: many scenes are alike on both
sides."""
THUMBNAIL = (48, 27)
"""(width, height) at which frames and stills are compared."""
SHOTS = 64
"""Shots that are looked at for a still that says neither frame nor shot, at most."""


def mirrored_stills(
    references: Sequence[Reference],
    bindings: Sequence[Binding],
    shots: Sequence[Shot],
    sample: Callable[[int], FloatArray],
) -> tuple[int, ...]:
    """Numbers of the references whose frame of the film shows them left to right.

    A still that is bound to a frame is compared with that frame; another one with the frame in which its shot begins,
    or those in which some shots begin that are spread over the film.

    Args:
        references: at network size.
        bindings: of each.
        shots: of the film.
        sample: L* (h, w) of a frame at network size, by index.
    """
    spread = sorted({round(k) for k in np.linspace(0, len(shots) - 1, min(SHOTS, len(shots)))})
    known: dict[int, FloatArray] = {}

    def small(index: int) -> FloatArray:
        if index not in known:
            known[index] = _thumbnail(sample(index))
        return known[index]

    def frames(one: Binding) -> list[int]:
        if one.frame is not None:
            return [one.frame] if any(one.frame in shot for shot in shots) else []
        return [shots[k].start for k in (spread if one.shot is None else [one.shot] if one.shot < len(shots) else [])]

    pairs = enumerate(zip(references, bindings, strict=True))
    return tuple(k for k, (still, one) in pairs if shows_mirrored(still, (small(index) for index in frames(one))))


def shows_mirrored(reference: Reference, frames: Iterable[FloatArray]) -> bool:
    """Whether a frame shows what the reference shows, left to right.

    Args:
        reference: at any size.
        frames: L* (h, w) of frames that it may belong to.
    """
    still = _thumbnail(reference.lightness)
    for lightness in frames:
        frame = _thumbnail(lightness)
        if correlation(frame, still[:, ::-1]) > max(ANCHOR_CORRELATION, correlation(frame, still) + LEAD):
            return True
    return False


def upright(reference: Reference, frames: Iterable[FloatArray]) -> Reference:
    """The reference, turned round where a frame shows it mirrored."""
    return reference.mirrored() if shows_mirrored(reference, frames) else reference


def _thumbnail(lightness: FloatArray) -> FloatArray:
    small: FloatArray = cv2.resize(lightness, THUMBNAIL, interpolation=cv2.INTER_AREA)
    return small
