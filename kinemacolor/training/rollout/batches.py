"""Sources of batches: windows that are colored while training, or recorded inputs of windows colored before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.data.loader import Loader
from kinemacolor.training.data.samples import Batch, BatchTensors, stack_samples, to_tensors
from kinemacolor.training.data.windows import WindowSampler
from kinemacolor.training.losses.block import LossTargets
from kinemacolor.training.rollout.recorded_inputs import MapLayout, RecordedInputs
from kinemacolor.training.rollout.recorded_training import (
    CropBatch,
    CropSampler,
    CropTensors,
    RecordedRollout,
    crop_tensors,
    stack_crops,
)
from kinemacolor.training.rollout.rollout import Rollout, WindowRollout, draw_rollout


@dataclass(frozen=True, slots=True)
class Placement:
    """The part of the work that a process does, and its arithmetic.

    Attributes:
        device: on which it runs.
        autocast: bfloat16, or None.
        rank: number of the process.
        processes: number of processes.
    """

    device: torch.device
    autocast: torch.dtype | None = None
    rank: int = 0
    processes: int = 1


class BatchSource(Protocol):
    """Batches of a run. ``tensors`` takes what ``loader`` yields, ``rollout`` takes what ``tensors`` returns."""

    def loader(self, start: int) -> Loader[Any]:
        """Batches from a step on, for this process."""
        ...

    def batch(self, indices: Sequence[int]) -> Any:
        """The batch of these samples, the same in every process."""
        ...

    def trained_part(self, network: Network) -> nn.Module:
        """The part of the network that batches pass through."""
        ...

    def tensors(self, batch: Any) -> LossTargets:
        """A batch on the run's device."""
        ...

    def rollout(self, network: Network, tensors: Any, *, colored: bool) -> Rollout:
        """The batch, colored block by block with gradients; gray without the third stage if not ``colored``."""
        ...


class WindowBatches:
    """Windows that are colored while training, a ``BatchSource``.

    Args:
        recipe: of the run.
        windows: samples of the run.
        placement: of this process.
    """

    def __init__(self, recipe: Recipe, windows: WindowSampler, placement: Placement) -> None:
        self._recipe, self._windows, self._placement = recipe, windows, placement

    def loader(self, start: int) -> Loader[Batch]:
        """See ``BatchSource``."""
        return _loader(self._windows, stack_samples, start, self._recipe, self._placement)

    def batch(self, indices: Sequence[int]) -> Batch:
        """See ``BatchSource``."""
        return stack_samples([self._windows.sample(index) for index in indices], indices)

    def trained_part(self, network: Network) -> nn.Module:
        """See ``BatchSource``."""
        return network

    def tensors(self, batch: Batch) -> BatchTensors:
        """See ``BatchSource``."""
        return to_tensors(batch, self._placement.device)

    def rollout(self, network: Network, tensors: BatchTensors, *, colored: bool) -> WindowRollout:
        """See ``BatchSource``."""
        recipe, placement = self._recipe, self._placement
        draws = draw_rollout(recipe.rollout, recipe.run.seed, tensors.indices, placement.device)
        return WindowRollout(
            network,
            tensors,
            draws,
            recipe.data.block,
            placement.autocast,
            colored=colored,
            gradient_blocks=recipe.rollout.gradient_blocks,
        )


class RecordedBatches:
    """Crops of recorded windows, a ``BatchSource``.

    Args:
        recipe: of the run.
        recorded: windows.
        placement: of this process.
    """

    def __init__(self, recipe: Recipe, recorded: Sequence[RecordedInputs], placement: Placement) -> None:
        self._recipe, self._placement = recipe, placement
        self._layout = MapLayout(recipe.network.network_config())
        self._crops = CropSampler(
            recorded,
            self._layout,
            recipe.data.size,
            recipe.data.augmentation,
            seed=recipe.run.seed,
            drop_propagated=recipe.rollout.drop_propagated,
        )

    def loader(self, start: int) -> Loader[CropBatch]:
        """See ``BatchSource``."""
        return _loader(self._crops, stack_crops, start, self._recipe, self._placement)

    def batch(self, indices: Sequence[int]) -> CropBatch:
        """See ``BatchSource``."""
        return stack_crops([self._crops.sample(index) for index in indices], indices)

    def trained_part(self, network: Network) -> nn.Module:
        """See ``BatchSource``: the stages before were passed through when the inputs were recorded."""
        return network.colorization

    def tensors(self, batch: CropBatch) -> CropTensors:
        """See ``BatchSource``."""
        return crop_tensors(batch, self._layout, self._placement.device)

    def rollout(self, network: Network, tensors: CropTensors, *, colored: bool) -> RecordedRollout:
        """See ``BatchSource``; recorded inputs are always colored."""
        return RecordedRollout(network, tensors, self._layout, self._placement.autocast)


def _loader(source: Any, collate: Callable[..., Any], start: int, recipe: Recipe, placement: Placement) -> Loader[Any]:
    rank, processes = placement.rank, placement.processes
    return Loader(source, recipe.data.batch, collate=collate, start=start, rank=rank, processes=processes)
