"""Propagated correspondence: where in the references each pixel comes from, moved from frame to frame along the flow.

What is propagated is the *coordinate*, not the color, so that the reference is sampled once and no blur accumulates.
Propagation starts at a frame that looks like a reference of the same size (for the reference's own frame, the identity)
and starts again at a frame that looks more like it. Each pixel of a later frame may take its coordinate over a short
hop, from the frame before; over a longer hop, from further back; or directly from the reference. The caller's features
choose. Where no reference is a frame of the shot, correspondence with the last colored frame is propagated instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions

ReferenceIndices = NDArray[np.int16]
Flow = Callable[[FloatArray, FloatArray], FloatArray]
Support = Callable[["Correspondence"], FloatArray]
"""How well the features at a correspondence fit those of the frame: (H, W), a cosine."""

ANCHOR_CORRELATION = 0.95
"""Least correlation of a frame's lightness with a reference's for propagation to start there."""
CONSISTENCY_WEIGHT = 0.1
"""Weight of lightness consistency beside similarity where correspondences are compared."""
BLEND = 0.05
"""Difference of such scores at which one correspondence counts e times as much as another, of few: colors of places
nearly as good are averaged, which on training clips is 0.1 to 0.2 dB better than those of the best place alone."""
PREVIOUS_OUTPUT_DOUBT = 0.1
"""How much less the colors of an earlier output are trusted than a reference's own (cosine): they may have been wrong
there, and would be propagated for ever."""
RESIDUAL = 5.0
"""Difference of lightness (L*) at which consistency has fallen to 1/e."""


@dataclass(frozen=True, slots=True)
class PropagationPaths:
    """The paths by which coordinates come to a frame. Each costs an optical flow.

    Attributes:
        hops: frames back from which coordinates may come, the first of them 1.
        coarse_hops: more of them, whose flow is faster and coarser.
        direct: whether coordinates may come by the flow between the frame and the reference.
        refined: whether they may also come by a coarse direct flow that starts at the best correspondence of the other
            paths; it brings back what has drifted.
        blend: difference of scores at which one correspondence counts e times as much as another.
    """

    hops: tuple[int, ...]
    coarse_hops: tuple[int, ...] = ()
    direct: bool = True
    refined: bool = False
    blend: float = BLEND

    @property
    def longest_hop(self) -> int:
        """Frames back, at most."""
        return max(self.hops + self.coarse_hops)


PREVIOUS_FRAME = PropagationPaths(hops=(1,), direct=False)
"""One flow a frame: from the frame before alone."""
THREE_FLOWS = PropagationPaths(hops=(1, 4))
SEVEN_FLOWS = PropagationPaths(hops=(1,), coarse_hops=(2, 4, 8, 12), refined=True, blend=0.1)
"""One and a half times the price of ``THREE_FLOWS``; ``docs/design-lite.md`` tells what they are worth."""


@dataclass(frozen=True, slots=True, eq=False)
class Correspondence:
    """Where each pixel of a frame comes from.

    Attributes:
        coordinates: (H, W, 2) float32, (x, y) pixel position in a reference.
        reference_index: (H, W) int16, index of that reference in the bank.
    """

    coordinates: FloatArray
    reference_index: ReferenceIndices


@dataclass(frozen=True, slots=True, eq=False)
class WeightedCorrespondence:
    """A correspondence, and how much it counts beside others of the same frame.

    Attributes:
        correspondence: where each pixel may come from.
        similarity: (H, W) float32, of the features there, a cosine.
        consistency: (H, W) float32 in (0, 1], of the lightness there.
        share: (H, W) float32 in [0, 1]; the shares of all correspondences sum to 1.
    """

    correspondence: Correspondence
    similarity: FloatArray
    consistency: FloatArray
    share: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PropagatedFrame:
    """A past frame: its L* (H, W) float32 and where its pixels come from."""

    lightness: FloatArray
    correspondence: Correspondence


@dataclass(frozen=True, slots=True, eq=False)
class PropagationState:
    """The state of propagation after a frame.

    Attributes:
        frames: past frames since propagation started, newest first, at most as many as the longest hop.
        anchor: index of the reference at which it started.
        correlation: of the frame at which it started with that reference.
    """

    frames: tuple[PropagatedFrame, ...]
    anchor: int
    correlation: float

    @property
    def correspondence(self) -> Correspondence:
        """Of the newest frame."""
        return self.frames[0].correspondence


@dataclass(frozen=True, slots=True, eq=False)
class ColoredFrame:
    """A frame and the colors it was given.

    Attributes:
        lightness: (H, W) float32, L*.
        ab: (H, W, 2) float32.
        similarity: (H, W) float32, how well the reference supports each pixel.
    """

    lightness: FloatArray
    ab: FloatArray
    similarity: FloatArray


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two images of one size; 0 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def propagate(
    flow: DisFlow,
    state: PropagationState | None,
    lightness: FloatArray,
    references: Sequence[Reference],
    support: Support,
    paths: PropagationPaths = THREE_FLOWS,
) -> tuple[PropagationState | None, tuple[WeightedCorrespondence, ...]]:
    """The state at the next frame, None while no frame of the shot looked like a reference; and the frame's candidates.

    Args:
        flow: the optical flow to follow.
        state: after the frame before, or None at the start of a shot.
        lightness: (H, W), L* of the frame.
        references: at network size; propagation cannot start at those of another size than the frame.
        support: judges correspondences.
        paths: by which coordinates may come.
    """
    anchor, likeness = _anchor(lightness, references, state.correlation if state else ANCHOR_CORRELATION)
    if anchor is not None:
        direct = _direct(flow, lightness, references, anchor)
        weighted = weight_correspondences([direct], lightness, references, support)
        return PropagationState((PropagatedFrame(lightness, direct),), anchor, likeness), weighted
    if state is None:
        return None, ()
    weighted = _over_paths(flow, state, lightness, references, support, paths)
    newest = PropagatedFrame(lightness, best_correspondence(weighted))
    past = state.frames[: paths.longest_hop - 1]
    return PropagationState((newest, *past), state.anchor, state.correlation), weighted


def _anchor(lightness: FloatArray, references: Sequence[Reference], least: float) -> tuple[int | None, float]:
    """Index of the reference that looks most like the frame, where it does so by more than ``least``; correlation."""
    anchor = None
    for index, reference in enumerate(references):
        if reference.size == lightness.shape:
            likeness = correlation(lightness, reference.lightness)
            if likeness > least:
                least, anchor = likeness, index
    return anchor, least


def _over_paths(
    flow: DisFlow,
    state: PropagationState,
    lightness: FloatArray,
    references: Sequence[Reference],
    support: Support,
    paths: PropagationPaths,
) -> tuple[WeightedCorrespondence, ...]:
    """The frame's candidates, one a path."""
    known = state.frames
    candidates = [compose_with_flow(flow, lightness, known[k - 1]) for k in paths.hops if k <= len(known)]
    candidates += [
        compose_with_flow(flow.coarse, lightness, known[k - 1]) for k in paths.coarse_hops if k <= len(known)
    ]
    if paths.direct:
        candidates.append(_direct(flow, lightness, references, state.anchor))
    weighted = weight_correspondences(candidates, lightness, references, support, paths.blend)
    if paths.refined:
        refined = _refined(flow, lightness, references, state.anchor, best_correspondence(weighted))
        weighted = _reweighted(weighted, weight_correspondences([refined], lightness, references, support), paths.blend)
    return weighted


def _direct(flow: DisFlow, lightness: FloatArray, references: Sequence[Reference], anchor: int) -> Correspondence:
    return _end_of_flow(flow(lightness, references[anchor].lightness), anchor)


def _refined(
    flow: DisFlow, lightness: FloatArray, references: Sequence[Reference], anchor: int, start: Correspondence
) -> Correspondence:
    """Directly from the reference, searched for from ``start``; where another reference is there, from the identity."""
    displacement = start.coordinates - pixel_positions(*lightness.shape)
    initial = np.where((start.reference_index == anchor)[..., None], displacement, np.float32(0))
    return _end_of_flow(flow.coarse(lightness, references[anchor].lightness, initial), anchor)


def _end_of_flow(flow: FloatArray, reference_index: int) -> Correspondence:
    """Where a flow (H, W, 2) to a reference ends."""
    size = flow.shape[:2]
    return Correspondence(pixel_positions(*size) + flow, np.full(size, reference_index, np.int16))


def compose_with_flow(flow: Flow, lightness: FloatArray, past: PropagatedFrame) -> Correspondence:
    """A frame's correspondence by way of an earlier frame's.

    The coordinate is read at the nearest pixel and moved by the rest of the hop: interpolating between the two sides
    of an object's edge would name a place in between, where neither belongs.
    """
    origin = pixel_positions(*lightness.shape) + flow(lightness, past.lightness)
    nearest = np.rint(origin)
    coordinates, reference_index = (
        cv2.remap(part, nearest, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        for part in (past.correspondence.coordinates, past.correspondence.reference_index)
    )
    return Correspondence(coordinates + (origin - nearest), reference_index)


def weight_correspondences(
    candidates: Sequence[Correspondence],
    lightness: FloatArray,
    references: Sequence[Reference],
    support: Support,
    blend: float = BLEND,
) -> tuple[WeightedCorrespondence, ...]:
    """Each pixel's shares are a softmax over the candidates of how well they fit, by features and by lightness."""
    images = [reference.lightness for reference in references]
    scores = [(support(one), lightness_consistency(one, lightness, images)) for one in candidates]
    return _with_shares(candidates, scores, blend)


def _reweighted(
    weighted: Sequence[WeightedCorrespondence], more: Sequence[WeightedCorrespondence], blend: float
) -> tuple[WeightedCorrespondence, ...]:
    """Correspondences that were weighted apart, weighted with one another."""
    every = [*weighted, *more]
    return _with_shares(
        [one.correspondence for one in every], [(one.similarity, one.consistency) for one in every], blend
    )


def _with_shares(
    candidates: Sequence[Correspondence], judged: Sequence[tuple[FloatArray, FloatArray]], blend: float
) -> tuple[WeightedCorrespondence, ...]:
    scores = np.stack([similarity + np.float32(CONSISTENCY_WEIGHT) * consistency for similarity, consistency in judged])
    shares = np.exp((scores - scores.max(axis=0)) / np.float32(blend))
    shares /= shares.sum(axis=0)
    return tuple(
        WeightedCorrespondence(candidate, *maps, share)
        for candidate, maps, share in zip(candidates, judged, shares, strict=True)
    )


def best_correspondence(weighted: Sequence[WeightedCorrespondence]) -> Correspondence:
    """At each pixel the correspondence of the largest share; of equals the first."""
    first = weighted[0].correspondence
    if len(weighted) == 1:
        return first
    share = weighted[0].share.copy()
    coordinates, reference_index = first.coordinates.copy(), first.reference_index.copy()
    for candidate in weighted[1:]:
        better = (candidate.share > share).view(np.uint8)
        for ours, theirs in (
            (share, candidate.share),
            (coordinates, candidate.correspondence.coordinates),
            (reference_index, candidate.correspondence.reference_index),
        ):
            cv2.copyTo(theirs, better, ours)  # ten times faster than numpy's masks
    return Correspondence(coordinates, reference_index)


def lightness_consistency(
    correspondence: Correspondence, lightness: FloatArray, images: Sequence[FloatArray]
) -> FloatArray:
    """How far the frame and the reference are of one lightness there: exp(−|ΔL*| / 5), ΔL* smoothed, (H, W) in (0, 1].

    On training clips this tells wrong places better (area under the curve 0.90) than forward-backward consistency of
    the last hop (0.54) or of every hop (0.73), and it needs no second flow.
    """
    residual = cv2.GaussianBlur(sample_references(images, correspondence) - lightness, (0, 0), 1.0)
    consistency: FloatArray = np.exp(np.abs(residual) / -RESIDUAL)
    return consistency


def sample_references(images: Sequence[FloatArray], correspondence: Correspondence) -> FloatArray:
    """Bilinear samples (H, W[, c]) of each pixel's own reference; ``images[r]`` (h, w[, c]) belongs to reference r."""
    first = correspondence.reference_index[0, 0]
    samples = sample(images[first], correspondence.coordinates)
    if (correspondence.reference_index == first).all():
        return samples
    for index in np.unique(correspondence.reference_index):
        own = correspondence.reference_index == index
        samples[own] = sample(images[index], correspondence.coordinates)[own]
    return samples


def sample(image: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Bilinear samples of ``image`` (h, w[, c], c ≤ 4) at (x, y) ``coordinates`` (H, W, 2), edges continued."""
    samples: FloatArray = cv2.remap(image, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples
