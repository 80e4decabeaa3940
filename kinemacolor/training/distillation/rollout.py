"""Pairs of a frame and a reference, from whose features descriptors are learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.network import Network
from kinemacolor.training.data.samples import BatchTensors
from kinemacolor.training.losses.block import ColoredBlock, FeaturePair
from kinemacolor.training.rollout.batches import WindowBatches
from kinemacolor.training.validation.key_init import centered_taps

_MIRROR_STREAM = 13
"""Number of the stream of random draws of a sample."""


class DescriptorRollout:
    """A batch of windows of one frame as a single block that is not colored, see ``Rollout``.

    Args:
        network: with descriptors.
        tensors: the windows; sizes are multiples of the network's stride.
        mirrored: (B,) bool, references that the network sees mirrored. Their features are mirrored back.
        autocast: type of autocast, or None.
    """

    def __init__(
        self, network: Network, tensors: BatchTensors, mirrored: Tensor, autocast: torch.dtype | None = None
    ) -> None:
        self._network, self._tensors, self._mirrored, self._autocast = network, tensors, mirrored, autocast

    def __iter__(self) -> Iterator[ColoredBlock]:
        tensors = self._tensors
        frames, references = tensors.luminance[:, 0], tensors.reference_luminance[:, 0]
        seen = torch.cat([frames, self._mirror(references)])
        with torch.autocast(frames.device.type, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            features = centered_taps(self._network, seen, learned_weight=True)
        first, second = functional.normalize(features.float(), dim=1).chunk(2)
        frame_colors, reference_colors = (
            functional.avg_pool2d(ab[:, 0], KEY_STRIDE) for ab in (tensors.ab, tensors.reference_ab)
        )
        second, tau = self._mirror(second), self._network.descriptors.tau
        pair = FeaturePair(first, second, frames, references, frame_colors, reference_colors, tau)
        gray = torch.zeros_like(tensors.ab)
        yield ColoredBlock(slice(0, 1), gray, None, None, None, None, None, None, pair)

    def _mirror(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) of references, with the mirrored ones turned over."""
        return torch.where(self._mirrored.view(-1, 1, 1, 1), maps.flip(3), maps)

    def backward_to_references(self) -> None:
        """See ``Rollout``: nothing is shared between blocks."""


class DescriptorBatches(WindowBatches):
    """Windows of one frame from which descriptors are learned, a ``BatchSource``."""

    def rollout(self, network: Network, tensors: BatchTensors, *, colored: bool) -> DescriptorRollout:  # type: ignore[override]
        """See ``BatchSource``."""
        assert not colored
        recipe = self._recipe
        mirrored = draw_mirrored(recipe.distillation.mirrored, recipe.run.seed, tensors.indices)
        return DescriptorRollout(network, tensors, mirrored.to(self._placement.device), self._placement.autocast)


def draw_mirrored(share: float, seed: int, indices: Sequence[int]) -> Tensor:
    """Which samples' references are seen mirrored (B,), a function of seed and index alone."""
    draws = [np.random.default_rng((seed, index, _MIRROR_STREAM)).random() < share for index in indices]
    return torch.tensor(draws)
