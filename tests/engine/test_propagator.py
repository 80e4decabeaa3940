"""Colors of several candidate correspondences are averaged, weighted by their shares, and so are the other maps."""

from __future__ import annotations

import numpy as np

from kinemacolor.core.types import Reference
from kinemacolor.engine.propagator import blend_correspondences
from kinemacolor.engine.protocol import ReferenceBank
from kinemacolor.propagation.correspondence import Correspondence, WeightedCorrespondence
from kinemacolor.propagation.dis_flow import pixel_positions
from tests.engine.conformance import scene


def test_candidates_are_averaged_by_their_shares() -> None:
    film, colors = scene(37, 53)
    mask = np.ones((37, 53), np.bool_)
    mask[:, 40:] = False
    reference = Reference(film[0], colors[0], mask)
    bank = ReferenceBank(np.zeros((1, 4), np.float32), np.zeros((1, 2), np.float32), np.ones(1, np.bool_), (reference,))
    index, flat = np.zeros((37, 53), np.int16), np.ones((37, 53), np.float32)
    share = np.linspace(0, 1, 37 * 53, dtype=np.float32).reshape(37, 53)
    identity, mirrored = pixel_positions(37, 53), pixel_positions(37, 53)[:, ::-1].copy()
    candidates = (
        WeightedCorrespondence(Correspondence(identity, index), 0.9 * flat, 0.2 * flat, share),
        WeightedCorrespondence(Correspondence(mirrored, index), 0.5 * flat, 0.8 * flat, 1 - share),
    )
    blended = blend_correspondences(candidates, bank)
    masked_ab = colors[0] * mask[..., None]
    expected = share[..., None] * masked_ab + (1 - share[..., None]) * masked_ab[:, ::-1]
    np.testing.assert_allclose(blended.ab, expected, atol=1e-3)
    np.testing.assert_allclose(blended.similarity, 0.9 * share + 0.5 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(blended.consistency, 0.2 * share + 0.8 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(blended.coverage, share * mask + (1 - share) * mask[:, ::-1], atol=1e-5)
    apart = np.linalg.norm(masked_ab - masked_ab[:, ::-1], axis=2)
    np.testing.assert_allclose(blended.spread, np.sqrt(share * (1 - share)) * apart, atol=0.05)
    assert blended.spread.max() > 5
    assert blended.from_reference
