"""Training samples, batches of them, and batches as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from kinemacolor.core.types import Array, BoolArray, FloatArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A window of T frames with its truth and one reference, all H × W, float32 unless stated otherwise, Lab units.

    Attributes:
        luminance: (T, H, W), L* as the network sees it: possibly degraded, possibly that of luma.
        lightness: (T, H, W), CIE L* of the clean truth; with ``ab`` it makes the true picture.
        ab: (T, H, W, 2), the truth.
        reference_luminance: (H, W), L* as the network sees it.
        reference_ab: (H, W, 2).
        reference_mask: (H, W) bool, False where the reference gives no color.
        reference_frame: index of the frame of the window that is the reference, or None.
        name: of the clip, for pictures and messages.
        chained: whether a chain starts at the reference; it does not where the reference has another view.
        coordinates: (T, PATH_COUNT, H, W, 2), (x, y) of each pixel along the flow of ``luminance``: in the reference;
            without a chain, in the last frame of the block before, 0 in the first block; None if not requested.
        consistency: (T, PATH_COUNT, H, W) in (0, 1], of the lightness of the frame and of its origin at those
            coordinates; 0 where there is no origin; None with ``coordinates``.
        matches: (T, rows, columns, 3), what each key cell should be matched with (``cell_matches``), also where no
            chain starts; of no certainty where nothing may match; None if not requested.
        flow: (T − 1, H, W, 2), (x, y) pixels from frame t + 1 to frame t, of ``lightness``; None if not requested.
        visible: (T − 1, H, W) bool, False where frame t does not show what frame t + 1 does; None with ``flow``.
    """

    luminance: FloatArray
    lightness: FloatArray
    ab: FloatArray
    reference_luminance: FloatArray
    reference_ab: FloatArray
    reference_mask: BoolArray
    reference_frame: int | None
    name: str
    chained: bool
    coordinates: FloatArray | None = None
    consistency: FloatArray | None = None
    matches: FloatArray | None = None
    flow: FloatArray | None = None
    visible: BoolArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B samples, with their fields stacked (see ``Sample``).

    Attributes:
        luminance, lightness: (B, T, H, W).
        ab: (B, T, H, W, 2).
        reference_luminance: (B, H, W).
        reference_ab: (B, H, W, 2).
        reference_mask: (B, H, W) bool.
        reference_frame: (B,) int64; −1 where the reference is not a frame of the window.
        chained: (B,) bool, where a chain starts at the reference.
        coordinates, consistency: (B, T, PATH_COUNT, H, W, 2) and (B, T, PATH_COUNT, H, W), or None.
        matches: (B, T, rows, columns, 3), or None.
        flow, visible: (B, T − 1, H, W, 2) and (B, T − 1, H, W) bool; or None.
        names: of the clips.
        indices: of the samples.
    """

    luminance: FloatArray
    lightness: FloatArray
    ab: FloatArray
    reference_luminance: FloatArray
    reference_ab: FloatArray
    reference_mask: BoolArray
    reference_frame: Array
    chained: BoolArray
    coordinates: FloatArray | None
    consistency: FloatArray | None
    matches: FloatArray | None
    flow: FloatArray | None
    visible: BoolArray | None
    names: tuple[str, ...]
    indices: tuple[int, ...]

    def arrays(self) -> dict[str, Array]:
        """The arrays that are not None, by field: saved when a batch breaks a run."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, slots=True, eq=False)
class BatchTensors:
    """A batch as the network and the losses take it: float32, channels before rows.

    Attributes:
        luminance: (B, T, 1, H, W) in [-1, 1], L*/50 − 1, as the network sees it.
        lightness: (B, T, 1, H, W), L* of the truth.
        ab: (B, T, 2, H, W), Lab units.
        reference_luminance: (B, 1, 1, H, W) in [-1, 1].
        reference_ab: (B, 1, 2, H, W).
        reference_mask: (B, 1, 1, H, W), 0 or 1.
        flow: (B, T − 1, 2, H, W), pixels, or None.
        visible: (B, T − 1, 1, H, W), 0 or 1, or None.
        chained: (B,) bool.
        coordinates: (B, T, PATH_COUNT, 2, H, W), (x, y) pixels, or None.
        consistency: (B, T, PATH_COUNT, 1, H, W), or None.
        matches: (B, T, 3, rows, columns), or None.
        indices: of the samples.
    """

    luminance: torch.Tensor
    lightness: torch.Tensor
    ab: torch.Tensor
    reference_luminance: torch.Tensor
    reference_ab: torch.Tensor
    reference_mask: torch.Tensor
    flow: torch.Tensor | None
    visible: torch.Tensor | None
    chained: torch.Tensor
    coordinates: torch.Tensor | None
    consistency: torch.Tensor | None
    matches: torch.Tensor | None
    indices: tuple[int, ...]


def stack_samples(samples: Sequence[Sample], indices: Sequence[int]) -> Batch:
    """Samples of one size and length as a batch."""
    first = samples[0]

    def required(name: str) -> Array:
        return np.stack([getattr(sample, name) for sample in samples])

    def optional(name: str) -> Array | None:
        return None if getattr(first, name) is None else required(name)

    reference_frames = [-1 if sample.reference_frame is None else sample.reference_frame for sample in samples]
    assert all(sample.ab.shape == first.ab.shape for sample in samples)
    return Batch(
        luminance=required("luminance"),
        lightness=required("lightness"),
        ab=required("ab"),
        reference_luminance=required("reference_luminance"),
        reference_ab=required("reference_ab"),
        reference_mask=required("reference_mask"),
        reference_frame=np.array(reference_frames, dtype=np.int64),
        chained=np.array([sample.chained for sample in samples]),
        coordinates=optional("coordinates"),
        consistency=optional("consistency"),
        matches=optional("matches"),
        flow=optional("flow"),
        visible=optional("visible"),
        names=tuple(sample.name for sample in samples),
        indices=tuple(indices),
    )


def to_tensors(batch: Batch, device: str | torch.device = "cpu") -> BatchTensors:
    """A batch as tensors on a device."""
    import torch

    def plane(values: Array) -> torch.Tensor:  # (…, H, W) → (…, 1, H, W)
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).unsqueeze(-3).to(device)

    def pair(values: Array) -> torch.Tensor:  # (…, H, W, C) → (…, C, H, W)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, -3), dtype=np.float32)).to(device)

    return BatchTensors(
        luminance=plane(batch.luminance / 50 - 1),
        lightness=plane(batch.lightness),
        ab=pair(batch.ab),
        reference_luminance=plane(batch.reference_luminance[:, None] / 50 - 1),
        reference_ab=pair(batch.reference_ab[:, None]),
        reference_mask=plane(batch.reference_mask[:, None]),
        flow=None if batch.flow is None else pair(batch.flow),
        visible=None if batch.visible is None else plane(batch.visible),
        chained=torch.from_numpy(batch.chained).to(device),
        coordinates=None if batch.coordinates is None else pair(batch.coordinates),
        consistency=None if batch.consistency is None else plane(batch.consistency),
        matches=None if batch.matches is None else pair(batch.matches),
        indices=batch.indices,
    )
