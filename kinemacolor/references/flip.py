"""Mirrored stills: a print scanned from its back, a frame that was flipped in a paint program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.propagation.correspondence import ANCHOR_CORRELATION, correlation
from kinemacolor.references.placement import Binding

MIRROR_LEAD = 0.05
"""By how much more a frame must correlate with the mirrored still than with the still itself: many scenes are nearly
symmetric."""
COMPARISON_SIZE = (48, 27)
"""(width, height) at which frames and stills are compared."""
COMPARED_SHOTS = 64
"""Shots that are compared with a still that names neither frame nor shot, at most."""


def mirrored_stills(
    references: Sequence[Reference],
    bindings: Sequence[Binding],
    shots: Sequence[Shot],
    lightness: Callable[[int], FloatArray],
    *,
    also_read: Iterable[int] = (),
) -> tuple[int, ...]:
    """Numbers of the references that are mirrored: a frame of the film shows them left to right.

    A still that is bound to a frame is compared with that frame; any other still with the first frame of its shot, or
    with the first frames of shots that are spread over the film.

    Args:
        references: at network size.
        bindings: of each reference.
        shots: of the film.
        lightness: L* (h, w) of a frame at network size, by index; called in ascending order.
        also_read: frames that ``lightness`` is called for as well, so that one that keeps them reads the film once.
    """
    spread = sorted({round(k) for k in np.linspace(0, len(shots) - 1, min(COMPARED_SHOTS, len(shots)))})
    compared = [_compared_frames(binding, shots, spread) for binding in bindings]
    frame_thumbnail = frame_thumbnails(lightness)
    for index in sorted({index for frames in compared for index in frames}.union(also_read)):
        frame_thumbnail(index)
    return tuple(
        number
        for number, (reference, frames) in enumerate(zip(references, compared, strict=True))
        if shows_mirrored(reference, (frame_thumbnail(index) for index in frames))
    )


def frame_thumbnails(lightness: Callable[[int], FloatArray]) -> Callable[[int], FloatArray]:
    """Small pictures of frames, L*, by index, each made once from what ``lightness`` gives."""
    thumbnails: dict[int, FloatArray] = {}

    def frame_thumbnail(index: int) -> FloatArray:
        if index not in thumbnails:
            thumbnails[index] = _thumbnail(lightness(index))
        return thumbnails[index]

    return frame_thumbnail


def _compared_frames(binding: Binding, shots: Sequence[Shot], spread: Sequence[int]) -> list[int]:
    """Indices of the frames with which a still is compared; ``spread`` are the shots for one that names none."""
    if binding.frame is not None:
        return [binding.frame] if any(binding.frame in shot for shot in shots) else []
    if binding.shot is None:
        return [shots[number].start for number in spread]
    return [shots[binding.shot].start] if binding.shot < len(shots) else []


def shows_mirrored(reference: Reference, frames: Iterable[FloatArray]) -> bool:
    """Whether a frame shows the same picture as the reference, left to right.

    Args:
        reference: at any size.
        frames: L* (h, w) of frames that the reference may belong to.
    """
    still = _thumbnail(reference.lightness)
    for lightness in frames:
        frame = _thumbnail(lightness)
        if correlation(frame, still[:, ::-1]) > max(ANCHOR_CORRELATION, correlation(frame, still) + MIRROR_LEAD):
            return True
    return False


def unmirror(reference: Reference, frames: Iterable[FloatArray]) -> Reference:
    """The reference, mirrored if a frame shows it left to right."""
    return reference.mirrored() if shows_mirrored(reference, frames) else reference


def _thumbnail(lightness: FloatArray) -> FloatArray:
    small: FloatArray = cv2.resize(lightness, COMPARISON_SIZE, interpolation=cv2.INTER_AREA)
    return small
