"""What engines carry from frame to frame: the candidate P (coordinates in a reference, or colours given before)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinemacolor.engine.grid import place_similarity
from kinemacolor.engine.protocol import Bank
from kinemacolor.flow import DisFlow, positions
from kinemacolor.frames import FloatArray
from kinemacolor.propagation import Chain, Coloured, Offer, Place, Trace, Ways, advance, agreement, gather, hop


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """The candidate P for a frame.

    Attributes:
        ab: (H, W, 2) float32, P^ab; 0 where ``given`` is.
        similarity: (H, W) float32, s_P.
        agreement: (H, W) float32 in (0, 1], whether the frame is as light as the place its colours come from.
        given: (H, W) float32 in [0, 1], whether there is a colour at that place (0 in masked areas).
        original: True where the colours are a reference's, False where they are those given to a frame before.
    """

    ab: FloatArray
    similarity: FloatArray
    agreement: FloatArray
    given: FloatArray
    original: bool


@dataclass(frozen=True, slots=True, eq=False)
class Carrying:
    """State of the carrying after a frame.

    Attributes:
        chain: coordinates in the references, or None while no frame of the shot looked like one.
        previous: the last frame that has colours, or None before there was any.
        trace: place of the newest frame in ``previous``, or None where it is ``previous`` itself.
    """

    chain: Chain | None = None
    previous: Coloured | None = None
    trace: Trace | None = None

    def coloured(self, lightness: FloatArray, ab: FloatArray, similarity: FloatArray) -> Carrying:
        """After the newest frame has got its colours."""
        return replace(self, previous=Coloured(lightness, ab, similarity), trace=None)


class Carrier:
    """Moves ``Carrying`` on by a frame. Holds the optical flow's work space only.

    Args:
        ways: by which coordinates come to a frame.
    """

    def __init__(self, ways: Ways) -> None:
        self._flow, self._ways = DisFlow(), ways

    def __call__(
        self, lightness: FloatArray, keys: FloatArray, bank: Bank, state: Carrying
    ) -> tuple[Carried | None, Carrying]:
        """The candidate P of the next frame, or None where there is nothing to carry yet.

        Args:
            lightness: (H, W), L*.
            keys: (rows, columns, C) of the frame.
            bank: of the engine.
            state: after the frame before.
        """

        def support(place: Place) -> FloatArray:
            return place_similarity(keys, place, bank)

        chain, offers = advance(self._flow, state.chain, lightness, bank.references, support, self._ways)
        if chain:
            return blend(offers, bank), replace(state, chain=chain, trace=None)
        if state.previous is None:
            return None, state
        last = state.previous
        own = Place(positions(*last.lightness.shape), np.zeros(last.lightness.shape, np.int16))
        place = hop(self._flow, lightness, state.trace or Trace(last.lightness, own))
        agreed = agreement(place, lightness, [last.lightness])
        similarity = gather([last.similarity], place)
        carried = Carried(gather([last.ab], place), similarity, agreed, np.ones_like(similarity), False)
        return carried, replace(state, trace=Trace(lightness, place))


def blend(offers: Sequence[Offer], bank: Bank) -> Carried:
    """The colours of the references at the places offered, and what is told of them, each by its share."""
    masks = [still.mask.astype(np.float32) for still in bank.references]
    colours = [still.ab * mask[..., None] for still, mask in zip(bank.references, masks, strict=True)]

    def mean(maps: Sequence[FloatArray]) -> FloatArray:
        total: FloatArray = np.add.reduce([offer.share * one for offer, one in zip(offers, maps, strict=True)])
        return total

    samples = [gather(colours, offer.place) for offer in offers]
    ab = np.dstack([mean([sample[..., k] for sample in samples]) for k in (0, 1)])
    given = mean([gather(masks, offer.place) for offer in offers])
    similarity, agreed = mean([offer.similarity for offer in offers]), mean([offer.agreement for offer in offers])
    return Carried(ab, similarity, agreed, given, True)
