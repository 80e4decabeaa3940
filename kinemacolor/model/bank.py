"""The reference bank: what references offer for matching. A value, made by ``Network.start``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Features(NamedTuple):
    """What equation 4 starts from, of F images.

    Attributes:
        high: R_high (B, F, C, H/8, W/8), or None where keys are not learned.
        low: R_low (B, F, key channels, H/4, W/4), or None there.
        direct: what the backbone's taps say to the heads directly (B, F, heads · key channels, H/4, W/4), or None.
    """

    high: Tensor | None
    low: Tensor | None
    direct: Tensor | None


@dataclass(frozen=True, eq=False)
class Stills:
    """References that attend with the frames (``reference_block = "joint"``), so that keys are made in every step.

    Attributes:
        features: of B, R images, sizes padded to the network's stride.
        seen: (B, R · tokens), 1 for tokens that frames may attend to, 0 where the reference is masked.
        valid: (B, R, 1, H/4, W/4), 1 for cells of the key grid that may be matched.
    """

    features: Features
    seen: Tensor
    valid: Tensor

    @property
    def count(self) -> int:
        """R."""
        return self.valid.shape[1]

    def beside(self, frames: Features) -> Features:
        """The references' features and, after them, the frames', as those of R + N images."""
        pairs = zip(self.features, frames, strict=True)
        parts = (None if a is None or b is None else torch.cat([a, b], dim=1) for a, b in pairs)
        return Features(*parts)


@dataclass(frozen=True, eq=False)
class StillColors:
    """The colors of such references.

    Attributes:
        ab: (B, R, 2, H/4, W/4), a* and b* of each cell.
        valid: as in ``Stills``.
        lab: y^lab (B, R, 3, H, W): luminance in [-1, 1], a*, b* (0 where masked).
    """

    ab: Tensor
    valid: Tensor
    lab: Tensor

    def image(self, shares: Tensor) -> Tensor:
        """y^lab of each frame (B, N, 3, H, W): the reference that gives most of its color.

        Args:
            shares: (B, N, R), how much of a frame's color each reference gives.
        """
        number = torch.arange(self.lab.shape[1], device=self.lab.device)
        choice = (shares.argmax(dim=2, keepdim=True) == number).to(self.lab.dtype)  # one-hot (B, N, R)
        return torch.einsum("bnr,brchw->bnchw", choice, self.lab)


@dataclass(frozen=True, eq=False)
class Bank:
    """A set of K entries for each item of the batch, and where ``stills`` are, one more for each of their cells.

    The order of entries means nothing.

    Attributes:
        keys: (B, K, heads · C), centered unit features of each head.
        ab: (B, K, 2), a* and b* of the entries.
        valid: (B, K), 1 for entries that may be matched, 0 for padding and masked areas; None where all may.
        stills: references whose entries' keys depend on the frames, or None.
        colors: theirs, or None.
    """

    keys: Tensor
    ab: Tensor
    valid: Tensor | None
    stills: Stills | None = None
    colors: StillColors | None = None

    def beside(self, still_keys: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """All entries of a step: keys (B, K', heads · C), values (B, K', 2 + R) and marks (B, K').

        Values are a*, b* and, with stills, a one-hot of the reference that an entry belongs to, 0 for those of none.

        Args:
            still_keys: those of the stills (B, R, heads · C, H/4, W/4), or None where there are none.
        """
        if still_keys is None or self.colors is None:
            return self.keys, self.ab, self.valid
        count, cells = still_keys.shape[1], still_keys.shape[3] * still_keys.shape[4]
        number = torch.arange(count, device=self.ab.device)
        owner = (number[:, None] == number).to(self.ab.dtype)[:, None].expand(-1, cells, -1).flatten(0, 1)
        own = torch.cat([entries(self.colors.ab), owner.expand(len(self.ab), -1, -1)], dim=2)
        values = torch.cat([own, functional.pad(self.ab, (0, count))], dim=1)
        keys = torch.cat([entries(still_keys).to(self.keys.dtype), self.keys], dim=1)
        return keys, values, torch.cat([entries(self.colors.valid)[..., 0], self.marks()], dim=1)

    def marks(self) -> Tensor:
        """``valid``, written out."""
        return torch.ones_like(self.ab[..., 0]) if self.valid is None else self.valid

    def remembering(self, keys: Tensor, ab: Tensor, valid: Tensor | None = None) -> Bank:
        """The bank and further entries, for instance past outputs (color memory).

        Args:
            keys: (B, N, heads · C, h, w), as ``Network.step`` returned them.
            ab: (B, N, 2, H, W), the colors given; each entry gets the mean of its cell.
            valid: (B, N, 1, h, w) of 0 and 1; None for 1 throughout.
        """
        grid = keys.shape[-2:]
        cells = functional.adaptive_avg_pool2d(ab.flatten(0, 1), (int(grid[0]), int(grid[1])))
        colors = entries(torch.unflatten(cells, 0, ab.shape[:2]))
        marks = torch.ones_like(colors[..., 0]) if valid is None else entries(valid)[..., 0]
        return replace(
            self,
            keys=torch.cat([self.keys, entries(keys)], dim=1),
            ab=torch.cat([self.ab, colors], dim=1),
            valid=torch.cat([self.marks(), marks], dim=1),
        )


def join(banks: Sequence[Bank]) -> Bank:
    """Banks whose keys are known (``reference_block = "separate"``), of references of any sizes, as one."""
    if not banks or any(bank.stills is not None for bank in banks):
        raise ValueError("banks: expected one or more without stills (reference_block = separate), got others or none")
    return Bank(
        torch.cat([bank.keys for bank in banks], dim=1),
        torch.cat([bank.ab for bank in banks], dim=1),
        torch.cat([bank.marks() for bank in banks], dim=1),
    )


def entries(maps: Tensor) -> Tensor:
    """Maps (B, F, C, h, w) → entries (B, F · h · w, C)."""
    return maps.movedim(2, 4).flatten(1, 3)


def cell_colors(ab: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean color of each cell over its unmasked pixels, and whether these are at least half of it.

    Args:
        ab: (n, 2, H, W), H and W multiples of ``size``.
        mask: (n, 1, H, W), 1 where the reference gives a color.
        size: pixels of a side of a cell.

    Returns:
        (n, 2, H/size, W/size) and (n, 1, H/size, W/size) of 0 and 1.
    """
    share = functional.avg_pool2d(mask, size)
    mean = functional.avg_pool2d(ab * mask, size) / share.clamp_min(1e-6)
    return mean, (share >= 0.5).to(ab.dtype)
