"""Pairs of a frame and a reference, from whose features descriptors are learned."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from kinemacolor.model.network import Network
from kinemacolor.training.data.samples import BatchTensors
from kinemacolor.training.losses.block import ColoredBlock, FeaturePair
from kinemacolor.training.rollout.batches import WindowBatches
from kinemacolor.training.validation.key_init import centered_taps


class DescriptorRollout:
    """A batch of windows of one frame as a single block that is not colored, see ``Rollout``.

    Args:
        network: with descriptors.
        tensors: the windows; sizes are multiples of the network's stride.
        autocast: type of autocast, or None.
    """

    def __init__(self, network: Network, tensors: BatchTensors, autocast: torch.dtype | None = None) -> None:
        self._network, self._tensors, self._autocast = network, tensors, autocast

    def __iter__(self) -> Iterator[ColoredBlock]:
        frames, references = self._tensors.luminance[:, 0], self._tensors.reference_luminance[:, 0]
        device = frames.device.type
        with torch.autocast(device, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            features = centered_taps(self._network, torch.cat([frames, references]), learned_weight=True)
        unit = functional.normalize(features.float(), dim=1)
        first, second = unit.chunk(2)
        pair = FeaturePair(first, second, frames, references, self._network.descriptors.tau)
        gray = torch.zeros_like(self._tensors.ab)
        yield ColoredBlock(slice(0, 1), gray, None, None, None, None, None, None, pair)

    def backward_to_references(self) -> None:
        """See ``Rollout``: nothing is shared between blocks."""


class DescriptorBatches(WindowBatches):
    """Windows of one frame from which descriptors are learned, a ``BatchSource``."""

    def rollout(self, network: Network, tensors: BatchTensors, *, colored: bool) -> DescriptorRollout:  # type: ignore[override]
        """See ``BatchSource``."""
        assert not colored
        return DescriptorRollout(network, tensors, self._placement.autocast)
