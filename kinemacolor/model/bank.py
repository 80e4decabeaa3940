"""The reference bank: keys and colors of the references, for matching. A value, made by ``Network.start``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Features(NamedTuple):
    """Features of F images, from which equation 4 starts.

    Attributes:
        high: R_high (B, F, C, H/8, W/8), or None where keys are not learned.
        low: R_low (B, F, key channels, H/4, W/4), or None there.
        direct: projection of the backbone's taps that the heads read directly (B, F, heads · key channels, H/4, W/4),
            or None.
    """

    high: Tensor | None
    low: Tensor | None
    direct: Tensor | None


@dataclass(frozen=True, eq=False)
class JointReferences:
    """References that attend with the frames (``reference_block = "joint"``), so that every step computes their keys.

    Attributes:
        features: of (B, R) images, sizes padded to the network's stride.
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

    def concatenated(self, frames: Features) -> Features:
        """Features of R + N images: the references', then the frames'."""
        pairs = zip(self.features, frames, strict=True)
        parts = (None if a is None or b is None else torch.cat([a, b], dim=1) for a, b in pairs)
        return Features(*parts)


@dataclass(frozen=True, eq=False)
class JointReferenceColors:
    """Colors of the references that attend with the frames.

    Attributes:
        ab: (B, R, 2, H/4, W/4), a* and b* of each cell.
        valid: as in ``JointReferences``.
        lab: y^lab (B, R, 3, H, W): luminance in [-1, 1], a*, b* (0 where masked).
    """

    ab: Tensor
    valid: Tensor
    lab: Tensor

    def image(self, shares: Tensor) -> Tensor:
        """y^lab of each frame (B, N, 3, H, W): the reference that contributes most of its color.

        Args:
            shares: (B, N, R), how much each reference contributes to a frame's color.
        """
        index = torch.arange(self.lab.shape[1], device=self.lab.device)
        chosen = (shares.argmax(dim=2, keepdim=True) == index).to(self.lab.dtype)  # one-hot (B, N, R)
        return torch.einsum("bnr,brchw->bnchw", chosen, self.lab)


@dataclass(frozen=True, eq=False)
class Bank:
    """A set of K entries for each item of the batch and, with joint references, one more entry for each of their cells.

    The order of entries does not matter.

    Attributes:
        keys: (B, K, heads · C), centered unit features of each head.
        ab: (B, K, 2), a* and b* of the entries.
        valid: (B, K), 1 for entries that may be matched, 0 for padding and masked areas; None where all may.
        references: joint references, whose keys depend on the frames and are computed in every step; or None.
        reference_colors: colors of the joint references, or None.
    """

    keys: Tensor
    ab: Tensor
    valid: Tensor | None
    references: JointReferences | None = None
    reference_colors: JointReferenceColors | None = None

    def concatenated(self, reference_keys: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """All entries of a step: keys (B, K', heads · C), values (B, K', 2 + R) and validity (B, K').

        Values are a*, b* and, with joint references, a one-hot code of the reference that an entry belongs to, which is
        0 for entries of no reference.

        Args:
            reference_keys: keys of the joint references (B, R, heads · C, H/4, W/4), or None where there are none.
        """
        if reference_keys is None or self.reference_colors is None:
            return self.keys, self.ab, self.valid
        count, cells = reference_keys.shape[1], reference_keys.shape[3] * reference_keys.shape[4]
        index = torch.arange(count, device=self.ab.device)
        one_hot = (index[:, None] == index).to(self.ab.dtype)[:, None].expand(-1, cells, -1).flatten(0, 1)
        joint_values = torch.cat([entries(self.reference_colors.ab), one_hot.expand(len(self.ab), -1, -1)], dim=2)
        values = torch.cat([joint_values, functional.pad(self.ab, (0, count))], dim=1)
        keys = torch.cat([entries(reference_keys).to(self.keys.dtype), self.keys], dim=1)
        return keys, values, torch.cat([entries(self.reference_colors.valid)[..., 0], self.validity()], dim=1)

    def validity(self) -> Tensor:
        """``valid`` as a tensor (B, K): ones where it is None."""
        return torch.ones_like(self.ab[..., 0]) if self.valid is None else self.valid

    def with_past_outputs(self, keys: Tensor, ab: Tensor, valid: Tensor | None = None) -> Bank:
        """The bank with further entries: frames that were colored before (color memory).

        Args:
            keys: (B, N, heads · C, h, w), as ``Network.step`` returned them.
            ab: (B, N, 2, H, W), the colors of the frames; each entry gets the mean of its cell.
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
            valid=torch.cat([self.validity(), marks], dim=1),
        )


def join(banks: Sequence[Bank]) -> Bank:
    """One bank of the entries of several, whose references may differ in size (``reference_block = "separate"``).

    Raises:
        ValueError: there is no bank, or one with joint references.
    """
    if not banks or any(bank.references is not None for bank in banks):
        raise ValueError("banks: expected one or more of separate references, got none or one of joint references")
    return Bank(
        torch.cat([bank.keys for bank in banks], dim=1),
        torch.cat([bank.ab for bank in banks], dim=1),
        torch.cat([bank.validity() for bank in banks], dim=1),
    )


def entries(maps: Tensor) -> Tensor:
    """Maps (B, F, C, h, w) → entries (B, F · h · w, C)."""
    return maps.movedim(2, 4).flatten(1, 3)


def cell_colors(ab: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean color of each cell over its unmasked pixels, and whether these are at least half of the cell.

    Args:
        ab: (n, 2, H, W), H and W multiples of ``size``.
        mask: (n, 1, H, W), 1 where the reference gives a color.
        size: side of a cell in pixels.

    Returns:
        (n, 2, H/size, W/size) and (n, 1, H/size, W/size) of 0 and 1.
    """
    share = functional.avg_pool2d(mask, size)
    mean = functional.avg_pool2d(ab * mask, size) / share.clamp_min(1e-6)
    return mean, (share >= 0.5).to(ab.dtype)
