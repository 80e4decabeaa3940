"""Deep video prior: reweighting, and a toy in which flicker is added to the truth."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.consistency.deep_video_prior import (  # noqa: E402
    PAPER_PRIOR,
    PriorNetwork,
    PriorSettings,
    deep_video_prior,
    reweighted_loss,
)
from kinemacolor.consistency.films import flow_of  # noqa: E402
from kinemacolor.evaluation.metrics import psnr, warping_errors  # noqa: E402
from tests.consistency.toys import flickering_film  # noqa: E402


def test_pixels_count_for_the_nearer_output() -> None:
    processed = torch.tensor([[[[0.5, 0.5, 0.5]]]]).expand(1, 3, 1, 3)
    main = torch.tensor([[[[0.5, 0.9, 0.51]]]]).expand(1, 3, 1, 3).clone().requires_grad_()
    minor = torch.tensor([[[[0.9, 0.6, 0.5]]]]).expand(1, 3, 1, 3).clone().requires_grad_()
    loss = reweighted_loss(main, minor, processed)
    assert float(loss.detach()) == pytest.approx(
        (0 + 0.1 + 0.01) / 3, abs=1e-6
    )  # the third is close enough for the main one
    loss.backward()
    assert main.grad[0, 0, 0].ne(0).tolist() == [False, False, True]
    assert minor.grad[0, 0, 0].ne(0).tolist() == [False, True, False]


def test_the_network_keeps_any_size_and_has_the_papers_settings() -> None:
    outputs = PriorNetwork(4, 4)(torch.rand(1, 1, 37, 53))
    assert [tuple(output.shape) for output in outputs] == [(1, 3, 37, 53)] * 2
    assert (PAPER_PRIOR.epochs, PAPER_PRIOR.rate) == (25, 1e-4)


def test_flicker_goes_and_the_picture_stays() -> None:
    """WE falls toward the truth's; PSNR does not fall. The same seed gives the same film."""
    gray, truth, flicker = flickering_film()
    settings = PriorSettings(channels=8, levels=3, epochs=30, rate=3e-3)
    steady = deep_video_prior(gray, flicker, settings)
    flow = flow_of(gray)
    errors = warping_errors([truth, flicker, steady], flow.flow, flow.visible).mean(axis=1)
    assert errors[2] - errors[0] < 0.3 * (errors[1] - errors[0])
    assert psnr(steady[1:], truth[1:]).mean() > psnr(flicker[1:], truth[1:]).mean()
    short = PriorSettings(channels=4, levels=2, epochs=1)
    np.testing.assert_array_equal(deep_video_prior(gray, flicker, short), deep_video_prior(gray, flicker, short))
