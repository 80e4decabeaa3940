"""Pairs of a frame and a reference, from which descriptors or heads learn to match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.network import Network
from kinemacolor.training.data.samples import BatchTensors
from kinemacolor.training.losses.block import ColoredBlock, MatchedPictures, StudentFeatures
from kinemacolor.training.rollout.batches import WindowBatches
from kinemacolor.training.validation.key_init import centered_taps

_MIRROR_STREAM = 13
"""Number of the stream of random draws of a sample."""


class DescriptorRollout:
    """A batch of windows of one frame as a single block that is not colored, see ``Rollout``.

    Args:
        network: whose descriptors or heads learn.
        tensors: the windows; sizes are multiples of the network's stride.
        heads: whether heads learn, each and all as one; else taps and descriptors, with the length that these learned.
        mirrored: (B,) bool, references that the network sees mirrored. Their features are mirrored back.
        autocast: type of autocast, or None.
    """

    def __init__(
        self,
        network: Network,
        tensors: BatchTensors,
        mirrored: Tensor,
        autocast: torch.dtype | None = None,
        *,
        heads: bool = False,
    ) -> None:
        self._network, self._tensors, self._mirrored, self._autocast = network, tensors, mirrored, autocast
        self._heads = heads

    def __iter__(self) -> Iterator[ColoredBlock]:
        tensors = self._tensors
        frames, references = tensors.luminance[:, 0], tensors.reference_luminance[:, 0]
        seen = torch.cat([frames, self._mirror(references)])
        students = self._head_features(seen) if self._heads else (self._features(seen),)
        frame_colors, reference_colors = (
            functional.avg_pool2d(ab[:, 0], KEY_STRIDE) for ab in (tensors.ab, tensors.reference_ab)
        )
        pictures = MatchedPictures(students, frames, references, frame_colors, reference_colors)
        gray = torch.zeros_like(tensors.ab)
        yield ColoredBlock(slice(0, 1), gray, None, None, None, None, None, None, pictures)

    def _features(self, seen: Tensor) -> StudentFeatures:
        """Taps and descriptors of frames and references (2B, 1, H, W)."""
        with torch.autocast(seen.device.type, self._autocast or torch.bfloat16, enabled=self._autocast is not None):
            features = centered_taps(self._network, seen, learned_weight=True)
        return self._student(functional.normalize(features.float(), dim=1), self._network.descriptors.tau)

    def _head_features(self, seen: Tensor) -> tuple[StudentFeatures, ...]:
        """Keys of frames and references (2B, 1, H, W) by each head, and by all heads as one; in full precision."""
        network, alone = self._network, seen.unsqueeze(1)  # each picture is a block of its own
        keys = network.represent(network.encode(alone), network.inside(alone)).keys.squeeze(1)
        count, tau = network.config.heads, network.config.tau
        parts = keys.chunk(count, dim=1) if count > 1 else ()
        return tuple(self._student(part, tau) for part in (*parts, keys / count**0.5))

    def _student(self, features: Tensor, tau: Tensor | float) -> StudentFeatures:
        """Unit features of frames and references (2B, C, h, w), those of mirrored references turned back."""
        frames, references = features.chunk(2)
        return StudentFeatures(frames, self._mirror(references), tau)

    def _mirror(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) of references, with the mirrored ones turned over."""
        return torch.where(self._mirrored.view(-1, 1, 1, 1), maps.flip(3), maps)

    def backward_to_references(self) -> None:
        """See ``Rollout``: nothing is shared between blocks."""


class DescriptorBatches(WindowBatches):
    """Windows of one frame from which descriptors or heads learn to match, a ``BatchSource``."""

    def rollout(self, network: Network, tensors: BatchTensors, *, colored: bool) -> DescriptorRollout:  # type: ignore[override]
        """See ``BatchSource``."""
        assert not colored
        recipe = self._recipe
        mirrored = draw_mirrored(recipe.distillation.mirrored, recipe.run.seed, tensors.indices)
        place, heads = self._placement, recipe.learns_heads
        return DescriptorRollout(network, tensors, mirrored.to(place.device), place.autocast, heads=heads)


def draw_mirrored(share: float, seed: int, indices: Sequence[int]) -> Tensor:
    """Which samples' references are seen mirrored (B,), a function of seed and index alone."""
    draws = [np.random.default_rng((seed, index, _MIRROR_STREAM)).random() < share for index in indices]
    return torch.tensor(draws)
