"""The candidate P in training: where in the reference the pixels of a window's frames come from, much as in use.

By way of the frame before, of one further back, and straight from the reference (three of the ways of
``kinemacolor.propagation.correspondence``); the network's features choose in the rollout. In a sample the reference may be many frames
away; the chain then steps on some frames in between. Hops go on from hops: features are not there yet that would choose
for the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.protocol import CELL
from kinemacolor.propagation.correspondence import (
    Correspondence,
    PropagatedFrame,
    compose_with_flow,
    lightness_consistency,
)
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions

OFFERS = 3
"""Places offered to each pixel: by the chain's last step, by an earlier one, and straight from the reference."""
BACK = 4
"""Steps back of the second offer; where there are fewer, it is the first once more."""
STEPS = 10
"""Frames between a reference and a window on which the chain steps, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """The way from a reference to the frames of a window.

    Attributes:
        times: of the window's frames, in its order.
        reference_time: of the reference.
        between_times: of frames in between, nearest to the reference first.
        frames: pictures of those, R'G'B' (H, W, 3) uint8.
        reference: picture of the reference as the window's frames are seen, where it is given otherwise; else None.
        turn: (2, 3), from pixels of that picture to those of the reference as it is given; None with ``reference``.
    """

    times: tuple[int, ...]
    reference_time: int
    between_times: tuple[int, ...]
    frames: tuple[Array, ...] = ()
    reference: Array | None = None
    turn: NDArray[np.float64] | None = None

    @classmethod
    def between(cls, times: Sequence[int], reference_time: int, stride: int) -> Trail:
        """A trail of evenly spaced steps, no shorter than ``stride``, at most ``STEPS``; its pictures are missing."""
        nearest = min(times, key=lambda time: abs(time - reference_time))
        gap = nearest - reference_time
        outside = not min(times) <= reference_time <= max(times)
        steps = min(STEPS, max(0, -(-abs(gap) // stride) - 1)) if outside else 0
        way = [reference_time + round(gap * (k + 1) / (steps + 1)) for k in range(steps)]
        return cls(tuple(times), reference_time, tuple(way))

    def filled(
        self, frames: Sequence[Array], reference: Array | None = None, turn: NDArray[np.float64] | None = None
    ) -> Trail:
        """The trail with its pictures."""
        return replace(self, frames=tuple(frames), reference=reference, turn=turn)

    @property
    def pictures(self) -> list[Array]:
        """All of them; the reference's, if there is one, is the last."""
        return [*self.frames, *(() if self.reference is None else (self.reference,))]


def carried_places(
    trail: Trail, frames: FloatArray, reference: FloatArray, between: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Coordinates in the reference of the pixels of a window, and how far the lightness agrees there.

    Args:
        trail: the way, K steps.
        frames: L* (T, H, W) of the window.
        reference: L* (H, W).
        between: L* (K, H, W) of the trail's frames.

    Returns:
        (T, OFFERS, H, W, 2) float32, (x, y) pixels, and (T, OFFERS, H, W) float32 in (0, 1].
    """
    flow, owner = DisFlow(), np.zeros(reference.shape, np.int16)
    identity = pixel_positions(*reference.shape)
    way = [PropagatedFrame(reference, Correspondence(identity, owner))]
    for lightness in between:
        way.append(PropagatedFrame(lightness, compose_with_flow(flow, lightness, way[-1])))
    count, *size = frames.shape
    coordinates = np.empty((count, OFFERS, *size, 2), np.float32)
    agreed = np.empty((count, OFFERS, *size), np.float32)
    order = sorted(range(len(frames)), key=lambda k: abs(trail.times[k] - trail.reference_time))
    sides = {True: way, False: list(way)}  # the chain goes on before the reference and after it
    for k in order:
        if trail.times[k] == trail.reference_time:
            places = [way[0].correspondence] * OFFERS
        else:
            traces = sides[trail.times[k] < trail.reference_time]
            last = compose_with_flow(flow, frames[k], traces[-1])
            further = compose_with_flow(flow, frames[k], traces[-BACK]) if len(traces) >= BACK else last
            places = [last, further, Correspondence(identity + flow(frames[k], reference), owner)]
            traces.append(PropagatedFrame(frames[k], last))
        for offer, place in enumerate(places):
            coordinates[k, offer], agreed[k, offer] = (
                place.coordinates,
                lightness_consistency(place, frames[k], [reference]),
            )
    return coordinates, agreed


def cell_matches(
    coordinates: FloatArray, lightness_consistency: FloatArray, turn: NDArray[np.float64] | None, size: tuple[int, int]
) -> FloatArray:
    """What the frames' cells should be matched with.

    Args:
        coordinates, agreement: of ``carried_places``; of its places the chain's.
        turn: see ``Trail``.
        size: (H, W) of the reference.

    Returns:
        (T, rows, columns, 3) float32 on the key grid: (x, y) pixels in the reference of each cell's middle pixel, and
        how sure that is, in [0, 1]; 0 outside the reference.
    """
    middle = CELL // 2
    places = coordinates[:, 0, middle::CELL, middle::CELL]
    if turn is not None:
        places = (places @ turn[:, :2].T + turn[:, 2]).astype(np.float32)
    height, width = size
    x, y = places[..., 0], places[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return np.concatenate(
        [places, (lightness_consistency[:, 0, middle::CELL, middle::CELL] * inside)[..., None]], axis=3
    )


def previous_places(frames: FloatArray, block: int) -> tuple[FloatArray, FloatArray]:
    """Coordinates of the pixels of a window in the last frame of the block before, where no chain starts anywhere.

    Args:
        frames: L* (T, H, W) of the window.
        block: N, frames of a block.

    Returns:
        (T, OFFERS, H, W, 2) float32, (x, y) pixels, and how far the lightness agrees there, (T, OFFERS, H, W) float32
        in (0, 1]; both 0 for the first block. All offers are the same.
    """
    flow = DisFlow()
    coordinates = np.zeros((*frames.shape, 2), np.float32)
    agreed = np.zeros(frames.shape, np.float32)
    own = Correspondence(pixel_positions(*frames.shape[1:]), np.zeros(frames.shape[1:], np.int16))
    for first in range(block, len(frames), block):
        last = frames[first - 1]
        trace = PropagatedFrame(last, own)
        for k in range(first, min(first + block, len(frames))):
            place = compose_with_flow(flow, frames[k], trace)
            trace = PropagatedFrame(frames[k], place)
            coordinates[k], agreed[k] = place.coordinates, lightness_consistency(place, frames[k], [last])
    return np.repeat(coordinates[:, None], OFFERS, axis=1), np.repeat(agreed[:, None], OFFERS, axis=1)
