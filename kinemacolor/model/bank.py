"""The reference bank: what references offer for matching. A value, made by ``Network.start``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Stills:
    """References that attend with the frames (``reference_block = "joint"``), so that keys are made in every step.

    Attributes:
        high: R_high (B, R, C, h/8, w/8), sizes padded to the network's stride.
        low: R_low (B, R, C', h/4, w/4).
        lab: y^lab (B, R, 3, h, w): luminance in [-1, 1], a*, b* (0 where masked).
        seen: (B, R · tokens), 1 for tokens that frames may attend to, 0 where the reference is masked.
        valid: (B, R, 1, rows, columns), 1 for cells of the key grid that may be matched.
    """

    high: Tensor
    low: Tensor
    lab: Tensor
    seen: Tensor
    valid: Tensor

    @property
    def count(self) -> int:
        """R."""
        return self.lab.shape[1]

    def owners(self, entries: int) -> Tensor:
        """One-hot (entries, R): which reference each of a bank's entries belongs to; 0 for those of none."""
        each = self.valid.shape[3] * self.valid.shape[4]
        owner = torch.eye(self.count, dtype=self.lab.dtype, device=self.lab.device).repeat_interleave(each, dim=0)
        return functional.pad(owner, (0, 0, 0, entries - len(owner)))

    def image(self, shares: Tensor) -> Tensor:
        """y^lab of each frame (B, N, 3, h, w): the reference that gives most of its colour.

        Args:
            shares: (B, N, R), how much of a frame's colour each reference gives.
        """
        choice = functional.one_hot(shares.argmax(dim=2), self.count).to(self.lab.dtype)
        return torch.einsum("bnr,brchw->bnchw", choice, self.lab)


@dataclass(frozen=True, eq=False)
class Bank:
    """A set of K entries for each item of the batch. Their order means nothing.

    Attributes:
        keys: (B, K, heads · C), centred unit features of each head; (B, 0, heads · C) where ``stills`` make them.
        ab: (B, K, 2), a* and b* of the entries: with ``stills`` theirs first, then those of ``keys``.
        valid: (B, K), 1 for entries that may be matched, 0 for padding and masked areas.
        stills: references whose entries' keys depend on the frames, or None.
    """

    keys: Tensor
    ab: Tensor
    valid: Tensor
    stills: Stills | None = None

    def remembering(self, keys: Tensor, ab: Tensor, valid: Tensor | None = None) -> Bank:
        """The bank and further entries, for instance past outputs (colour memory).

        Args:
            keys: (B, N, heads · C, h, w), as ``Network.step`` returned them.
            ab: (B, N, 2, H, W), the colours given; each entry gets the mean of its cell.
            valid: (B, N, 1, h, w) of 0 and 1; None for 1 throughout.
        """
        grid = keys.shape[-2:]
        cells = functional.adaptive_avg_pool2d(ab.flatten(0, 1), (int(grid[0]), int(grid[1])))
        colours = entries(torch.unflatten(cells, 0, ab.shape[:2]))
        marks = torch.ones_like(colours[..., 0]) if valid is None else entries(valid)[..., 0]
        return replace(
            self,
            keys=torch.cat([self.keys, entries(keys)], dim=1),
            ab=torch.cat([self.ab, colours], dim=1),
            valid=torch.cat([self.valid, marks], dim=1),
        )


def join(banks: Sequence[Bank]) -> Bank:
    """Banks whose keys are known (``reference_block = "separate"``), of references of any sizes, as one."""
    if not banks or any(bank.stills is not None for bank in banks):
        raise ValueError("banks: expected one or more without stills (reference_block = separate), got others or none")
    return Bank(
        torch.cat([bank.keys for bank in banks], dim=1),
        torch.cat([bank.ab for bank in banks], dim=1),
        torch.cat([bank.valid for bank in banks], dim=1),
    )


def entries(maps: Tensor) -> Tensor:
    """Maps (B, F, C, h, w) → entries (B, F · h · w, C)."""
    return maps.movedim(2, 4).flatten(1, 3)


def cell_colours(ab: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean colour of each cell over its unmasked pixels, and whether these are at least half of it.

    Args:
        ab: (n, 2, H, W), H and W multiples of ``size``.
        mask: (n, 1, H, W), 1 where the reference gives a colour.
        size: pixels of a side of a cell.

    Returns:
        (n, 2, H/size, W/size) and (n, 1, H/size, W/size) of 0 and 1.
    """
    share = functional.avg_pool2d(mask, size)
    mean = functional.avg_pool2d(ab * mask, size) / share.clamp_min(1e-6)
    return mean, (share >= 0.5).to(ab.dtype)
