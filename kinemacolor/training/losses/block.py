"""What the losses compare: a colored block of frames, and the truth of the windows it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from kinemacolor.model.bank import Bank


@dataclass(frozen=True, slots=True, eq=False)
class StudentFeatures:
    """Features that learn to match.

    Attributes:
        frames, references: centered, of unit length (n, C, h, w).
        tau: temperature at which they match.
    """

    frames: Tensor
    references: Tensor
    tau: Tensor | float


@dataclass(frozen=True, slots=True, eq=False)
class MatchedPictures:
    """Pairs of pictures that are matched by features that learn to, and by their teachers.

    Attributes:
        students: each learns by itself.
        frame_luminance, reference_luminance: of the pictures (n, 1, H, W) in [-1, 1].
        frame_colors, reference_colors: a*, b* of their cells (n, 2, h, w), Lab units.
    """

    students: tuple[StudentFeatures, ...]
    frame_luminance: Tensor
    reference_luminance: Tensor
    frame_colors: Tensor
    reference_colors: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class ColoredBlock:
    """N frames of B windows, colored.

    Attributes:
        frames: which of the windows' frames they are.
        ab: (B, N, 2, H, W).
        before: ab of the frame before the block (B, 1, 2, H, W), detached; None for the first block.
        logits: of the gate (B, N, K, H, W), or None without a gate.
        candidates: among which it chooses (B, N, K, 2, H, W); or None.
        available: (B, N, K, H, W), 0 where a candidate has no color; or None.
        keys: of the frames (B, N, heads · C, rows, columns); None for recorded inputs.
        bank: with which they were matched; its first entries are the reference's, row by row. None for recorded inputs.
        matched: from which descriptors or heads learn to match; None where colors are learned.
        ends_span: whether the backward pass has to run before the next block: False where the next block's losses send
            gradients through this one.
    """

    frames: slice
    ab: Tensor
    before: Tensor | None
    logits: Tensor | None
    candidates: Tensor | None
    available: Tensor | None
    keys: Tensor | None
    bank: Bank | None
    matched: MatchedPictures | None = None
    ends_span: bool = True


class LossTargets(Protocol):
    """The fields of a batch that losses need; see ``BatchTensors``."""

    @property
    def ab(self) -> Tensor: ...
    @property
    def lightness(self) -> Tensor: ...
    @property
    def matches(self) -> Tensor | None: ...
    @property
    def flow(self) -> Tensor | None: ...
    @property
    def visible(self) -> Tensor | None: ...
