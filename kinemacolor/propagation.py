"""Propagated correspondence: where in the reference each pixel comes from, carried from frame to frame along the flow.

What is chained is the *coordinate*, not the colour, so that the reference is sampled once and no blur accumulates. A
chain starts at a frame that looks like a reference of the same size (for the reference's own frame, the identity) and
starts anew at a frame that looks more like it. Where no reference is a frame of the shot, the colours given to the
frame before are carried instead. Trust in either is the engine's affair: it compares features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kinemacolor.flow import DisFlow, consistent, positions
from kinemacolor.frames import BoolArray, FloatArray, Reference

ANCHOR_CORRELATION = 0.95
"""Least correlation of a frame's lightness with a reference's for a chain to start there."""


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The state of propagation after a frame.

    Attributes:
        lightness: (H, W) float32, L* of that frame.
        coordinates: (H, W, 2) float32, (x, y) pixel position in the reference that each pixel comes from.
        reference: index of that reference in the bank.
        correlation: of the frame at which the chain started with the reference.
    """

    lightness: FloatArray
    coordinates: FloatArray
    reference: int
    correlation: float


@dataclass(frozen=True, slots=True, eq=False)
class Coloured:
    """A frame and the colours it was given.

    Attributes:
        lightness: (H, W) float32, L*.
        ab: (H, W, 2) float32.
        similarity: (H, W) float32, how well the reference supports each pixel.
    """

    lightness: FloatArray
    ab: FloatArray
    similarity: FloatArray


def carry(flow: DisFlow, previous: Coloured, lightness: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """The previous frame's colours (H, W, 2) and similarity (H, W) along the flow, and where flow and back flow agree
    (H, W)."""
    hop = flow(lightness, previous.lightness)
    came_from = positions(*lightness.shape) + hop
    agree = consistent(hop, flow(previous.lightness, lightness))
    return sample(previous.ab, came_from), sample(previous.similarity, came_from), agree


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two images of one size; 0 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def advance(flow: DisFlow, chain: Chain | None, lightness: FloatArray, references: Sequence[Reference]) -> Chain | None:
    """The chain at the next frame; None while no frame of the shot looked like a reference.

    Args:
        flow: the optical flow to follow.
        chain: the state after the frame before, or None at the start of a shot.
        lightness: (H, W), L* of the frame.
        references: at network size; those of another size than the frame cannot start a chain.
    """
    best = chain.correlation if chain else ANCHOR_CORRELATION
    anchor = None
    for index, reference in enumerate(references):
        if reference.size == lightness.shape:
            found = correlation(lightness, reference.lightness)
            if found > best:
                best, anchor = found, index
    if anchor is not None:
        still = references[anchor].lightness
        return Chain(lightness, positions(*lightness.shape) + flow(lightness, still), anchor, best)
    if chain is None:
        return None
    came_from = positions(*lightness.shape) + flow(lightness, chain.lightness)
    return Chain(lightness, follow(chain.coordinates, came_from), chain.reference, chain.correlation)


def follow(coordinates: FloatArray, came_from: FloatArray) -> FloatArray:
    """Chains a coordinate map by one hop.

    The coordinate is read at the nearest pixel and moved by the rest of the hop: interpolating between the two sides
    of an object's edge would name a place in between, where neither belongs.

    Args:
        coordinates: (H, W, 2), the map of the frame before.
        came_from: (H, W, 2), position (x, y) in that frame of each pixel of this one.
    """
    height, width = coordinates.shape[:2]
    nearest = np.rint(came_from)
    x = np.clip(nearest[..., 0], 0, width - 1).astype(np.intp)
    y = np.clip(nearest[..., 1], 0, height - 1).astype(np.intp)
    return coordinates[y, x] + (came_from - nearest)


def sample(image: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Bilinear samples of ``image`` (h, w[, c], c ≤ 4) at (x, y) ``coordinates`` (H, W, 2), edges continued."""
    samples: FloatArray = cv2.remap(image, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples
