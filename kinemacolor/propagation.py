"""Propagated correspondence: where in the references each pixel comes from, carried from frame to frame along the flow.

What is chained is the *coordinate*, not the colour, so that the reference is sampled once and no blur accumulates. A
chain starts at a frame that looks like a reference of the same size (for the reference's own frame, the identity) and
starts anew at a frame that looks more like it. Each pixel of a later frame may take its coordinate over a short hop,
from the frame before, over a longer one, from further back, or straight from the reference; the caller's features
choose. Where no reference is a frame of the shot, the place in the last frame coloured is chained instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from kinemacolor.flow import DisFlow, positions
from kinemacolor.frames import FloatArray, Reference

Owners = NDArray[np.int16]
Flow = Callable[[FloatArray, FloatArray], FloatArray]
Support = Callable[["Place"], FloatArray]
"""How well the features at a place fit those of the frame: (H, W), a cosine."""

ANCHOR_CORRELATION = 0.95
"""Least correlation of a frame's lightness with a reference's for a chain to start there."""
FIT = 0.1
"""Weight of agreement beside similarity where places are compared."""
BLEND = 0.05
"""Difference of such scores at which one place counts e times as much as another, of few: colours of places nearly as
good are averaged, which on training clips is 0.1 to 0.2 dB better than those of the best place alone."""
DOUBT = 0.1
"""How much less colours that a frame was given before are trusted than a reference's own (cosine): they may have been
wrong there, and would be carried on for ever."""
RESIDUAL = 5.0
"""Difference of lightness (L*) at which agreement has fallen to 1/e."""


@dataclass(frozen=True, slots=True)
class Ways:
    """By which ways coordinates come to a frame. Each costs an optical flow.

    Attributes:
        hops: frames back from which they may come, the first of them 1.
        quick: more of them, whose flow is quicker and coarser.
        straight: whether they may come by the flow between the frame and the reference.
        anew: whether also by such a flow that is quick and starts at the best place of the others; it brings back what
            has drifted.
        blend: difference of scores at which one place counts e times as much as another.
    """

    hops: tuple[int, ...]
    quick: tuple[int, ...] = ()
    straight: bool = True
    anew: bool = False
    blend: float = BLEND

    @property
    def longest(self) -> int:
        """Frames back, at most."""
        return max(self.hops + self.quick)


CHAINED = Ways(hops=(1,), straight=False)
"""One flow a frame: from the frame before alone."""
FEW = Ways(hops=(1, 4))
"""Three flows a frame."""
MANY = Ways(hops=(1,), quick=(2, 4, 8, 12), anew=True, blend=0.1)
"""Seven flows, at one and a half times the price of ``FEW``; see ``docs/design-lite.md`` for what they are worth."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where each pixel of a frame comes from.

    Attributes:
        coordinates: (H, W, 2) float32, (x, y) pixel position in a reference.
        owner: (H, W) int16, index of that reference in the bank.
    """

    coordinates: FloatArray
    owner: Owners


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """A place, and how much it counts beside others of the same frame.

    Attributes:
        place: where each pixel may come from.
        similarity: (H, W) float32, of the features there, a cosine.
        agreement: (H, W) float32 in (0, 1], of the lightness there.
        share: (H, W) float32 in [0, 1]; shares of all offers sum to 1.
    """

    place: Place
    similarity: FloatArray
    agreement: FloatArray
    share: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A past frame: its L* (H, W) float32 and where its pixels come from."""

    lightness: FloatArray
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """The state of propagation after a frame.

    Attributes:
        traces: past frames since the chain started, newest first, at most the longest hop.
        anchor: index of the reference at which the chain started.
        correlation: of the frame at which it started with that reference.
    """

    traces: tuple[Trace, ...]
    anchor: int
    correlation: float

    @property
    def place(self) -> Place:
        """Of the newest frame."""
        return self.traces[0].place


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


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two images of one size; 0 where one of them is flat."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0


def advance(
    flow: DisFlow,
    chain: Chain | None,
    lightness: FloatArray,
    references: Sequence[Reference],
    support: Support,
    ways: Ways = FEW,
) -> tuple[Chain | None, tuple[Offer, ...]]:
    """The chain at the next frame, None while no frame of the shot looked like a reference; and what it offers there.

    Args:
        flow: the optical flow to follow.
        chain: the state after the frame before, or None at the start of a shot.
        lightness: (H, W), L* of the frame.
        references: at network size; those of another size than the frame cannot start a chain.
        support: judges places.
        ways: by which coordinates may come.
    """
    best = chain.correlation if chain else ANCHOR_CORRELATION
    anchor = None
    for index, reference in enumerate(references):
        if reference.size == lightness.shape:
            found = correlation(lightness, reference.lightness)
            if found > best:
                best, anchor = found, index
    if anchor is not None:
        offers = weigh([_straight(flow, lightness, references, anchor)], lightness, references, support)
        return Chain((Trace(lightness, offers[0].place),), anchor, best), offers
    if chain is None:
        return None, ()
    places = [hop(flow, lightness, chain.traces[back - 1]) for back in ways.hops if back <= len(chain.traces)]
    places += [hop(flow.quick, lightness, chain.traces[back - 1]) for back in ways.quick if back <= len(chain.traces)]
    if ways.straight:
        places.append(_straight(flow, lightness, references, chain.anchor))
    offers = weigh(places, lightness, references, support, ways.blend)
    if ways.anew:
        again = _anew(flow, lightness, references, chain.anchor, best_place(offers))
        offers = _joined(offers, weigh([again], lightness, references, support), ways.blend)
    trace = Trace(lightness, best_place(offers))
    return Chain((trace, *chain.traces[: ways.longest - 1]), chain.anchor, chain.correlation), offers


def _straight(flow: DisFlow, lightness: FloatArray, references: Sequence[Reference], anchor: int) -> Place:
    return _moved(flow(lightness, references[anchor].lightness), anchor)


def _anew(flow: DisFlow, lightness: FloatArray, references: Sequence[Reference], anchor: int, place: Place) -> Place:
    """Straight from the reference, searched for from ``place``; where another reference is there, from the identity."""
    from_here = place.coordinates - positions(*lightness.shape)
    begun = np.where((place.owner == anchor)[..., None], from_here, np.float32(0))
    return _moved(flow.quick(lightness, references[anchor].lightness, begun), anchor)


def _moved(flow: FloatArray, owner: int) -> Place:
    """Where a flow to a reference ends."""
    size = flow.shape[:2]
    return Place(positions(*size) + flow, np.full(size, owner, np.int16))


def hop(flow: Flow, lightness: FloatArray, trace: Trace) -> Place:
    """A frame's place by way of an earlier frame.

    The coordinate is read at the nearest pixel and moved by the rest of the hop: interpolating between the two sides
    of an object's edge would name a place in between, where neither belongs.
    """
    came_from = positions(*lightness.shape) + flow(lightness, trace.lightness)
    nearest = np.rint(came_from)
    coordinates, owner = (
        cv2.remap(part, nearest, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        for part in (trace.place.coordinates, trace.place.owner)
    )
    return Place(coordinates + (came_from - nearest), owner)


def weigh(
    places: Sequence[Place],
    lightness: FloatArray,
    references: Sequence[Reference],
    support: Support,
    blend: float = BLEND,
) -> tuple[Offer, ...]:
    """Places as offers: each pixel's shares are a softmax of how well they fit, by features and by lightness."""
    stills = [reference.lightness for reference in references]
    return _shared(places, [(support(place), agreement(place, lightness, stills)) for place in places], blend)


def _joined(offers: Sequence[Offer], more: Sequence[Offer], blend: float) -> tuple[Offer, ...]:
    """Offers that were weighed apart, weighed with one another."""
    every = [*offers, *more]
    return _shared([offer.place for offer in every], [(offer.similarity, offer.agreement) for offer in every], blend)


def _shared(
    places: Sequence[Place], judged: Sequence[tuple[FloatArray, FloatArray]], blend: float
) -> tuple[Offer, ...]:
    scores = np.stack([similarity + np.float32(FIT) * agreed for similarity, agreed in judged])
    shares = np.exp((scores - scores.max(axis=0)) / np.float32(blend))
    shares /= shares.sum(axis=0)
    return tuple(Offer(place, *of, share) for place, of, share in zip(places, judged, shares, strict=True))


def best_place(offers: Sequence[Offer]) -> Place:
    """At each pixel the place of the largest share; of equals the first."""
    first = offers[0].place
    if len(offers) == 1:
        return first
    share, coordinates, owner = offers[0].share.copy(), first.coordinates.copy(), first.owner.copy()
    for offer in offers[1:]:
        better = (offer.share > share).view(np.uint8)
        for ours, theirs in (
            (share, offer.share),
            (coordinates, offer.place.coordinates),
            (owner, offer.place.owner),
        ):
            cv2.copyTo(theirs, better, ours)  # ten times faster than numpy's masks
    return Place(coordinates, owner)


def agreement(place: Place, lightness: FloatArray, stills: Sequence[FloatArray]) -> FloatArray:
    """How far the frame and the reference are of one lightness there: exp(−|ΔL*| / 5), ΔL* smoothed, (H, W) in (0, 1].

    On training clips this tells wrong places better (area under the curve 0.90) than forward-backward consistency of
    the last hop (0.54) or of every hop (0.73), and it needs no second flow.
    """
    residual = cv2.GaussianBlur(gather(stills, place) - lightness, (0, 0), 1.0)
    agreed: FloatArray = np.exp(np.abs(residual) / -RESIDUAL)
    return agreed


def gather(images: Sequence[FloatArray], place: Place) -> FloatArray:
    """Bilinear samples (H, W[, c]) of each pixel's own reference; ``images[r]`` (h, w[, c]) belongs to reference r."""
    first = place.owner[0, 0]
    samples = sample(images[first], place.coordinates)
    if (place.owner == first).all():
        return samples
    for owner in np.unique(place.owner):
        own = place.owner == owner
        samples[own] = sample(images[owner], place.coordinates)[own]
    return samples


def sample(image: FloatArray, coordinates: FloatArray) -> FloatArray:
    """Bilinear samples of ``image`` (h, w[, c], c ≤ 4) at (x, y) ``coordinates`` (H, W, 2), edges continued."""
    samples: FloatArray = cv2.remap(image, coordinates, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return samples
