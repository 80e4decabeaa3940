"""What several places offer together is the mean of their colors, and of what is told of them, by their shares."""

from __future__ import annotations

import numpy as np

from kinemacolor.core.types import Reference
from kinemacolor.engine.propagator import blend_correspondences
from kinemacolor.engine.protocol import ReferenceBank
from kinemacolor.propagation.correspondence import Correspondence, WeightedCorrespondence
from kinemacolor.propagation.dis_flow import pixel_positions
from tests.engine.conformance import scene


def test_offers_are_averaged_by_their_shares() -> None:
    film, colors = scene(37, 53)
    mask = np.ones((37, 53), np.bool_)
    mask[:, 40:] = False
    reference = Reference(film[0], colors[0], mask)
    bank = ReferenceBank(np.zeros((1, 4), np.float32), np.zeros((1, 2), np.float32), np.ones(1, np.bool_), (reference,))
    owner, flat = np.zeros((37, 53), np.int16), np.ones((37, 53), np.float32)
    share = np.linspace(0, 1, 37 * 53, dtype=np.float32).reshape(37, 53)
    here, there = pixel_positions(37, 53), pixel_positions(37, 53)[:, ::-1].copy()
    offers = (
        WeightedCorrespondence(Correspondence(here, owner), 0.9 * flat, 0.2 * flat, share),
        WeightedCorrespondence(Correspondence(there, owner), 0.5 * flat, 0.8 * flat, 1 - share),
    )
    made = blend_correspondences(offers, bank)
    shown = colors[0] * mask[..., None]
    expected = share[..., None] * shown + (1 - share[..., None]) * shown[:, ::-1]
    np.testing.assert_allclose(made.ab, expected, atol=1e-3)
    np.testing.assert_allclose(made.similarity, 0.9 * share + 0.5 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(made.agreement, 0.2 * share + 0.8 * (1 - share), rtol=1e-5)
    np.testing.assert_allclose(made.given, share * mask + (1 - share) * mask[:, ::-1], atol=1e-5)
    assert made.original
