"""The weighted sum of losses over the blocks of a window."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from kinemacolor.model.config import load_config
from kinemacolor.training.config.sections import LossSection, LossTerm
from kinemacolor.training.losses import losses
from kinemacolor.training.losses.block import ColoredBlock
from kinemacolor.training.losses.objective import Objective, hop_weight


@dataclass(frozen=True)
class Targets:
    ab: Tensor
    lightness: Tensor
    flow: Tensor
    visible: Tensor
    matches: None = None


def window(frames: int, seed: int = 0) -> tuple[Targets, Tensor]:
    """Random truth, flow and colors of a window."""
    torch.manual_seed(seed)
    size = (6, 7)
    truth, ab = 20 * torch.randn(2, 2, frames, 2, *size, dtype=torch.float64)
    flow = torch.randn(2, frames - 1, 2, *size, dtype=torch.float64)
    visible = (torch.rand(2, frames - 1, 1, *size) > 0.3).double()
    return Targets(truth, 50 * torch.ones(2, frames, 1, *size), flow, visible), ab


@pytest.mark.parametrize(("frames", "block"), [(5, 2), (6, 2), (7, 3), (5, 1), (4, 4), (2, 2)])
def test_every_hop_of_a_window_counts_the_same(frames: int, block: int) -> None:
    """The first block has a hop less than frames: it must not count double."""
    targets, ab = window(frames)
    hops = [
        losses.temporal(ab[:, t + 1], ab[:, t], targets.flow[:, t], targets.visible[:, t]) for t in range(frames - 1)
    ]
    options = LossSection(l1=LossTerm(), temporal=LossTerm(weight=1))
    objective, total = Objective(options, load_config("lite"), None), 0.0
    for start in range(0, frames, block):
        part = slice(start, min(start + block, frames))
        before = ab[:, start - 1 : start] if start else None
        colored = ColoredBlock(part, ab[:, part], before, None, None, None, None, None)
        share = (part.stop - part.start) / frames
        total += share * float(objective(colored, targets, 0).get("temporal", 0.0))
    assert total == pytest.approx(float(torch.stack(hops).mean()))


def test_the_weights_of_hops_add_up_to_those_of_frames() -> None:
    counts = [(2, 1), (2, 2), (2, 2), (1, 1)]  # frames and hops of the blocks of a window of 7
    assert sum(frames / 7 * hop_weight(7, frames, hops) for frames, hops in counts) == pytest.approx(1)
    assert hop_weight(4, 4, 3) == 1
