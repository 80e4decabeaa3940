"""Propagated correspondence: where in the references each pixel comes from, moved from frame to frame along the flow.

*Coordinates* are propagated, not colors, so that a reference is sampled once and no blur accumulates. Propagation
starts at a frame that looks like a reference of the same size (for the reference's own frame, with the identity), and
starts over at a frame that looks more like one. Each pixel of a later frame may take its coordinate over a short hop,
from the frame before; over a longer hop, from further back; or directly from the reference. The caller's features
decide. Where no reference is a frame of the shot, the engine propagates correspondence with its last output instead.
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
"""Similarity of the features at a correspondence to those of the frame: (H, W), a cosine."""

ANCHOR_CORRELATION = 0.95
"""Propagation starts at a frame whose lightness correlates with a reference's by more than this."""
CONSISTENCY_WEIGHT = 0.1
"""Weight of lightness consistency in the score of a correspondence; that of similarity is 1."""
BLEND = 0.05
"""Temperature of the softmax over scores: the difference at which one correspondence counts e times as much as another.
Averaging the colors of nearly equal candidates is 0.1 to 0.2 dB better on training clips than taking the best alone."""
PREVIOUS_OUTPUT_DOUBT = 0.1
"""Subtracted from the similarity (a cosine) of colors that come from an earlier output rather than a reference: they
may have been wrong there, and the error would be propagated on."""
CONSISTENCY_RESIDUAL = 5.0
"""Difference of lightness (L*) at which consistency has fallen to 1/e."""


@dataclass(frozen=True, slots=True)
class PropagationPaths:
    """The paths over which coordinates reach a frame. Each costs an optical flow.

    Attributes:
        hops: numbers of frames back from which coordinates come; the first is 1.
        coarse_hops: further hops, with the faster and coarser flow.
        direct: whether coordinates also come by the flow between the frame and the reference.
        refined: whether they also come by a coarse direct flow that starts at the best correspondence of the other
            paths; this corrects drift.
        blend: temperature of the softmax over scores, see ``BLEND``.
    """

    hops: tuple[int, ...]
    coarse_hops: tuple[int, ...] = ()
    direct: bool = True
    refined: bool = False
    blend: float = BLEND

    @property
    def longest_hop(self) -> int:
        """The largest number of frames back."""
        return max(self.hops + self.coarse_hops)


PREVIOUS_FRAME = PropagationPaths(hops=(1,), direct=False)
"""One flow a frame, from the frame before."""
THREE_FLOWS = PropagationPaths(hops=(1, 4))
SEVEN_FLOWS = PropagationPaths(hops=(1,), coarse_hops=(2, 4, 8, 12), refined=True, blend=0.1)
"""Takes one and a half times as long as ``THREE_FLOWS``; ``docs/design-lite.md`` has the gain in quality."""


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
    """A candidate correspondence of a frame, and its weight among all candidates.

    Attributes:
        correspondence: where each pixel may come from.
        similarity: (H, W) float32, cosine of the frame's features and those at the correspondence.
        consistency: (H, W) float32 in (0, 1], of lightness, see ``lightness_consistency``.
        share: (H, W) float32 in [0, 1]; the shares of all correspondences sum to 1.
    """

    correspondence: Correspondence
    similarity: FloatArray
    consistency: FloatArray
    share: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PropagatedFrame:
    """A past frame: its L*, (H, W) float32, and where its pixels come from."""

    lightness: FloatArray
    correspondence: Correspondence


@dataclass(frozen=True, slots=True, eq=False)
class PropagationState:
    """The state of propagation after a frame.

    Attributes:
        frames: past frames since propagation started, newest first, at most as many as the longest hop.
        anchor: index of the reference from which it started.
        correlation: between that reference and the frame at which it started.
    """

    frames: tuple[PropagatedFrame, ...]
    anchor: int
    correlation: float

    @property
    def correspondence(self) -> Correspondence:
        """The newest frame's correspondence."""
        return self.frames[0].correspondence


@dataclass(frozen=True, slots=True, eq=False)
class ColoredFrame:
    """A frame and the colors that the engine gave it.

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
    """Propagates correspondence to the next frame.

    Args:
        flow: optical flow.
        state: after the frame before, or None at the start of a shot.
        lightness: (H, W), L* of the frame.
        references: at network size; propagation cannot start at those of another size than the frame.
        support: similarity of features at a correspondence.
        paths: over which coordinates come.

    Returns:
        The state after the frame, None while no frame of the shot looked like a reference; and the frame's candidates.
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
    """Index of the reference whose correlation with the frame is highest and above ``least``, or None; correlation."""
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
    """The frame's candidates, one for each path."""
    past = state.frames
    candidates = [compose_with_flow(flow, lightness, past[hop - 1]) for hop in paths.hops if hop <= len(past)]
    candidates += [
        compose_with_flow(flow.coarse, lightness, past[hop - 1]) for hop in paths.coarse_hops if hop <= len(past)
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
    """Correspondence by a coarse direct flow from ``start``; from the identity where that has another reference."""
    displacement = start.coordinates - pixel_positions(*lightness.shape)
    initial = np.where((start.reference_index == anchor)[..., None], displacement, np.float32(0))
    return _end_of_flow(flow.coarse(lightness, references[anchor].lightness, initial), anchor)


def _end_of_flow(flow: FloatArray, reference_index: int) -> Correspondence:
    """The correspondence by a flow (H, W, 2) from the frame to a reference."""
    size = flow.shape[:2]
    return Correspondence(pixel_positions(*size) + flow, np.full(size, reference_index, np.int16))


def compose_with_flow(flow: Flow, lightness: FloatArray, past: PropagatedFrame) -> Correspondence:
    """A frame's correspondence, composed of the flow to an earlier frame and that frame's correspondence.

    The coordinate is read at the nearest pixel and moved by the remaining fraction of a pixel: interpolating between
    the two sides of an object's edge would give a position in between, where neither side is.
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
    """Weights a frame's candidates: shares are a softmax, at each pixel, over scores of similarity and consistency."""
    images = [reference.lightness for reference in references]
    maps = [(support(candidate), lightness_consistency(candidate, lightness, images)) for candidate in candidates]
    return _with_shares(candidates, maps, blend)


def _reweighted(
    weighted: Sequence[WeightedCorrespondence], more: Sequence[WeightedCorrespondence], blend: float
) -> tuple[WeightedCorrespondence, ...]:
    """Two groups of correspondences, weighted among all of them."""
    candidates = [*weighted, *more]
    maps = [(candidate.similarity, candidate.consistency) for candidate in candidates]
    return _with_shares([candidate.correspondence for candidate in candidates], maps, blend)


def _with_shares(
    candidates: Sequence[Correspondence], maps: Sequence[tuple[FloatArray, FloatArray]], blend: float
) -> tuple[WeightedCorrespondence, ...]:
    """The candidates with their shares; ``maps`` are similarity and consistency of each."""
    scores = np.stack([similarity + np.float32(CONSISTENCY_WEIGHT) * consistency for similarity, consistency in maps])
    shares = np.exp((scores - scores.max(axis=0)) / np.float32(blend))
    shares /= shares.sum(axis=0)
    return tuple(
        WeightedCorrespondence(candidate, similarity, consistency, share)
        for candidate, (similarity, consistency), share in zip(candidates, maps, shares, strict=True)
    )


def best_correspondence(weighted: Sequence[WeightedCorrespondence]) -> Correspondence:
    """At each pixel the correspondence with the largest share, the first of equals."""
    first = weighted[0].correspondence
    if len(weighted) == 1:
        return first
    share = weighted[0].share.copy()
    coordinates, reference_index = first.coordinates.copy(), first.reference_index.copy()
    for candidate in weighted[1:]:
        better = (candidate.share > share).view(np.uint8)
        for best, new in (
            (share, candidate.share),
            (coordinates, candidate.correspondence.coordinates),
            (reference_index, candidate.correspondence.reference_index),
        ):
            cv2.copyTo(new, better, best)  # ten times faster than numpy's masks
    return Correspondence(coordinates, reference_index)


def lightness_consistency(
    correspondence: Correspondence, lightness: FloatArray, images: Sequence[FloatArray]
) -> FloatArray:
    """Similarity of lightness in frame and reference, (H, W) in (0, 1]: exp(−|ΔL*| / ``CONSISTENCY_RESIDUAL``).

    ΔL* is smoothed. On training clips this detects wrong correspondence better (area under the ROC curve 0.90) than
    forward-backward consistency of the last hop (0.54) or of every hop (0.73), and it needs no second flow.
    """
    residual = cv2.GaussianBlur(sample_references(images, correspondence) - lightness, (0, 0), 1.0)
    consistency: FloatArray = np.exp(np.abs(residual) / -CONSISTENCY_RESIDUAL)
    return consistency


def sample_references(images: Sequence[FloatArray], correspondence: Correspondence) -> FloatArray:
    """Bilinear samples (H, W[, c]) of each pixel's reference; ``images[r]`` (h, w[, c]) belongs to reference r."""
    first = correspondence.reference_index[0, 0]
    samples = sample(images[first], correspondence.coordinates)
    if (correspondence.reference_index == first).all():
        return samples
    for index in np.unique(correspondence.reference_index):
        mask = correspondence.reference_index == index
        samples[mask] = sample(images[index], correspondence.coordinates)[mask]
    return samples


def sample(image: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Bilinear samples of ``image`` (h, w[, c], c ≤ 4) at (x, y) ``coordinates`` (H, W, 2), edges continued."""
    samples: FloatArray = cv2.remap(image, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples
