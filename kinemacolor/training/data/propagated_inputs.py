"""The candidate P in training: where in the reference the pixels of a window's frames come from, nearly as in use.

Pixels are followed along the optical flow over the frame before, over an earlier frame, and directly from the reference
(three of the paths of ``kinemacolor.propagation.correspondence``); the network's features choose among them in the
rollout. In a sample the reference may be many frames away; the chain of hops then passes through some frames in
between. Each hop continues the hop before it, since there are no features yet that could choose among the paths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.types import Array, FloatArray
from kinemacolor.engine.protocol import KEY_CELL
from kinemacolor.propagation.correspondence import (
    Correspondence,
    PropagatedFrame,
    compose_with_flow,
    lightness_consistency,
)
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions

PATH_COUNT = 3
"""Correspondences of each pixel: by the chain's last hop, by a hop from an earlier frame, directly to the reference."""
EARLIER_FRAME = 4
"""Frames back of the second path; where there are fewer, it is the first path once more."""
MAXIMUM_FRAMES_BETWEEN = 10
"""Frames between a reference and a window through which the chain passes, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceChain:
    """The frames from a reference to the frames of a window.

    Attributes:
        times: of the window's frames, in its order.
        reference_time: of the reference.
        between_times: of the frames in between, nearest to the reference first.
        between: pictures of those, R'G'B' (H, W, 3) uint8.
        reference: picture of the reference in the view of the window's frames, where its own view is another; else
            None.
        to_reference: (2, 3), from pixels of that picture to those of the reference; None with ``reference``.
    """

    times: tuple[int, ...]
    reference_time: int
    between_times: tuple[int, ...]
    between: tuple[Array, ...] = ()
    reference: Array | None = None
    to_reference: NDArray[np.float64] | None = None

    @classmethod
    def planned(cls, times: Sequence[int], reference_time: int, stride: int) -> ReferenceChain:
        """A chain of evenly spaced hops, none shorter than ``stride``, over at most ``MAXIMUM_FRAMES_BETWEEN`` frames.

        It has no pictures yet.
        """
        nearest = min(times, key=lambda time: abs(time - reference_time))
        gap = nearest - reference_time
        outside = not min(times) <= reference_time <= max(times)
        count = min(MAXIMUM_FRAMES_BETWEEN, max(0, -(-abs(gap) // stride) - 1)) if outside else 0
        between = [reference_time + round(gap * (k + 1) / (count + 1)) for k in range(count)]
        return cls(tuple(times), reference_time, tuple(between))

    def with_pictures(
        self, between: Sequence[Array], reference: Array | None = None, to_reference: NDArray[np.float64] | None = None
    ) -> ReferenceChain:
        """The chain with its pictures."""
        return replace(self, between=tuple(between), reference=reference, to_reference=to_reference)

    @property
    def pictures(self) -> list[Array]:
        """All of its pictures; the reference's, if there is one, is the last."""
        return [*self.between, *(() if self.reference is None else (self.reference,))]


def propagated_correspondences(
    chain: ReferenceChain, frames: FloatArray, reference: FloatArray, between: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Coordinates in the reference of the pixels of a window, and how consistent the lightness is there.

    Args:
        chain: of K frames between.
        frames: L* (T, H, W) of the window.
        reference: L* (H, W).
        between: L* (K, H, W).

    Returns:
        (T, PATH_COUNT, H, W, 2) float32, (x, y) pixels, and (T, PATH_COUNT, H, W) float32 in (0, 1].
    """
    flow, reference_index = DisFlow(), np.zeros(reference.shape, np.int16)
    identity = pixel_positions(*reference.shape)
    start = [PropagatedFrame(reference, Correspondence(identity, reference_index))]
    for lightness in between:
        start.append(PropagatedFrame(lightness, compose_with_flow(flow, lightness, start[-1])))
    count, *size = frames.shape
    coordinates = np.empty((count, PATH_COUNT, *size, 2), np.float32)
    consistency = np.empty((count, PATH_COUNT, *size), np.float32)
    order = sorted(range(len(frames)), key=lambda k: abs(chain.times[k] - chain.reference_time))
    chains = {True: start, False: list(start)}  # one runs to frames before the reference, one to those after it
    for k in order:
        if chain.times[k] == chain.reference_time:
            paths = [start[0].correspondence] * PATH_COUNT
        else:
            past = chains[chain.times[k] < chain.reference_time]
            last = compose_with_flow(flow, frames[k], past[-1])
            earlier = compose_with_flow(flow, frames[k], past[-EARLIER_FRAME]) if len(past) >= EARLIER_FRAME else last
            paths = [last, earlier, Correspondence(identity + flow(frames[k], reference), reference_index)]
            past.append(PropagatedFrame(frames[k], last))
        for number, path in enumerate(paths):
            coordinates[k, number] = path.coordinates
            consistency[k, number] = lightness_consistency(path, frames[k], [reference])
    return coordinates, consistency


def cell_matches(
    coordinates: FloatArray, consistency: FloatArray, to_reference: NDArray[np.float64] | None, size: tuple[int, int]
) -> FloatArray:
    """The places in the reference with which the frames' cells should be matched.

    Args:
        coordinates, consistency: from ``propagated_correspondences``; of its paths the chain's counts.
        to_reference: see ``ReferenceChain``.
        size: (H, W) of the reference.

    Returns:
        (T, rows, columns, 3) float32 on the key grid: (x, y) pixels in the reference of each cell's middle pixel, and
        the certainty, in [0, 1]; 0 outside the reference.
    """
    middle = KEY_CELL // 2
    places = coordinates[:, 0, middle::KEY_CELL, middle::KEY_CELL]
    if to_reference is not None:
        places = (places @ to_reference[:, :2].T + to_reference[:, 2]).astype(np.float32)
    height, width = size
    x, y = places[..., 0], places[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    certainty = consistency[:, 0, middle::KEY_CELL, middle::KEY_CELL] * inside
    return np.concatenate([places, certainty[..., None]], axis=3)


def previous_block_correspondences(frames: FloatArray, block: int) -> tuple[FloatArray, FloatArray]:
    """Coordinates of the pixels of a window in the last frame of the block before, where no chain starts.

    Args:
        frames: L* (T, H, W) of the window.
        block: N, frames of a block.

    Returns:
        (T, PATH_COUNT, H, W, 2) float32, (x, y) pixels, and how consistent the lightness is there, (T, PATH_COUNT, H,
        W) float32 in (0, 1]; both 0 for the first block. All paths are the same.
    """
    flow = DisFlow()
    coordinates = np.zeros((*frames.shape, 2), np.float32)
    consistency = np.zeros(frames.shape, np.float32)
    identity = Correspondence(pixel_positions(*frames.shape[1:]), np.zeros(frames.shape[1:], np.int16))
    for first in range(block, len(frames), block):
        origin = frames[first - 1]
        past = PropagatedFrame(origin, identity)
        for k in range(first, min(first + block, len(frames))):
            path = compose_with_flow(flow, frames[k], past)
            past = PropagatedFrame(frames[k], path)
            coordinates[k], consistency[k] = path.coordinates, lightness_consistency(path, frames[k], [origin])
    return np.repeat(coordinates[:, None], PATH_COUNT, axis=1), np.repeat(consistency[:, None], PATH_COUNT, axis=1)
