"""The candidate P of engines: colors propagated along the optical flow, from references or from earlier outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.engine.key_grid import correspondence_similarity
from kinemacolor.engine.protocol import ReferenceBank
from kinemacolor.propagation.correspondence import (
    ColoredFrame,
    Correspondence,
    PropagatedFrame,
    PropagationPaths,
    PropagationState,
    WeightedCorrespondence,
    compose_with_flow,
    lightness_consistency,
    propagate,
    sample_references,
)
from kinemacolor.propagation.dis_flow import DisFlow, pixel_positions


@dataclass(frozen=True, slots=True, eq=False)
class PropagatedColor:
    """The candidate P for a frame.

    Attributes:
        ab: (H, W, 2) float32, P^ab; 0 where ``coverage`` is.
        similarity: (H, W) float32, s_P.
        consistency: (H, W) float32 in (0, 1], of lightness, see ``lightness_consistency``.
        coverage: (H, W) float32 in [0, 1], share of the color that comes from unmasked areas.
        spread: (H, W) float32, how far the colors differ that the paths bring: √(E|ab|² − |E ab|²), Lab units.
        from_reference: True if the colors come from references, False if they come from an earlier output.
    """

    ab: FloatArray
    similarity: FloatArray
    consistency: FloatArray
    coverage: FloatArray
    spread: FloatArray
    from_reference: bool


@dataclass(frozen=True, slots=True, eq=False)
class PropagatorState:
    """State of the propagation of colors after a frame.

    Attributes:
        propagation: of coordinates in the references, or None while no frame of the shot looked like one.
        previous: the last colored frame, or None before the first.
        newest: the newest frame with its correspondence to ``previous``, or None if it is ``previous`` itself.
    """

    propagation: PropagationState | None = None
    previous: ColoredFrame | None = None
    newest: PropagatedFrame | None = None

    def with_output(self, lightness: FloatArray, ab: FloatArray, similarity: FloatArray) -> PropagatorState:
        """The state after the engine has colored the newest frame."""
        return replace(self, previous=ColoredFrame(lightness, ab, similarity), newest=None)


class Propagator:
    """Propagates colors to the next frame. The object holds the optical flow's work space only.

    Args:
        paths: over which coordinates come to a frame.
    """

    def __init__(self, paths: PropagationPaths) -> None:
        self._flow, self._paths = DisFlow(), paths

    def __call__(
        self, lightness: FloatArray, keys: FloatArray, bank: ReferenceBank, state: PropagatorState
    ) -> tuple[PropagatedColor | None, PropagatorState]:
        """The candidate P of the next frame, or None while there is nothing to propagate; and the state after it.

        Args:
            lightness: (H, W), L*.
            keys: (rows, columns, C) of the frame.
            bank: of the shot.
            state: after the frame before.
        """

        def support(correspondence: Correspondence) -> FloatArray:
            return correspondence_similarity(keys, correspondence, bank)

        propagation, weighted = propagate(
            self._flow, state.propagation, lightness, bank.references, support, self._paths
        )
        if propagation:
            return blend_correspondences(weighted, bank), replace(state, propagation=propagation, newest=None)
        if state.previous is None:
            return None, state
        return self._from_previous_output(lightness, state.previous, state)

    def _from_previous_output(
        self, lightness: FloatArray, previous: ColoredFrame, state: PropagatorState
    ) -> tuple[PropagatedColor, PropagatorState]:
        shape = previous.lightness.shape
        identity = Correspondence(pixel_positions(*shape), np.zeros(shape, np.int16))
        past = state.newest or PropagatedFrame(previous.lightness, identity)
        correspondence = compose_with_flow(self._flow, lightness, past)
        consistency = lightness_consistency(correspondence, lightness, [previous.lightness])
        similarity = sample_references([previous.similarity], correspondence)
        ab = sample_references([previous.ab], correspondence)
        covered, alike = np.ones_like(similarity), np.zeros_like(similarity)
        color = PropagatedColor(ab, similarity, consistency, covered, alike, from_reference=False)
        return color, replace(state, newest=PropagatedFrame(lightness, correspondence))


def blend_correspondences(weighted: Sequence[WeightedCorrespondence], bank: ReferenceBank) -> PropagatedColor:
    """The means, weighted by share, of the references' colors at the correspondences and of the other maps."""
    masks = [reference.mask.astype(np.float32) for reference in bank.references]
    colors = [reference.ab * mask[..., None] for reference, mask in zip(bank.references, masks, strict=True)]

    def mean(maps: Sequence[FloatArray]) -> FloatArray:
        total: FloatArray = np.add.reduce(
            [candidate.share * plane for candidate, plane in zip(weighted, maps, strict=True)]
        )
        return total

    samples = [sample_references(colors, candidate.correspondence) for candidate in weighted]
    ab = np.dstack([mean([sample[..., channel] for sample in samples]) for channel in (0, 1)])
    coverage = mean([sample_references(masks, candidate.correspondence) for candidate in weighted])
    similarity = mean([candidate.similarity for candidate in weighted])
    consistency = mean([candidate.consistency for candidate in weighted])
    mean_square = mean([np.square(sample).sum(axis=2) for sample in samples])
    spread = np.sqrt(np.maximum(mean_square - np.square(ab).sum(axis=2), 0))
    return PropagatedColor(ab, similarity, consistency, coverage, spread, from_reference=True)
