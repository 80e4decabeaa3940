"""Where a run's batches come from, and how a batch is colored: windows as they are, or traces of windows, replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from kinemacolor.model.network import Network
from kinemacolor.training.data.loader import Batch, Loader, Tensors, stack, to_tensors
from kinemacolor.training.data.windows import Windows
from kinemacolor.training.losses.objective import Truth
from kinemacolor.training.rollout.recorded_inputs import Advance, Layout, RecordedInputs, make_traces
from kinemacolor.training.rollout.recorded_training import (
    Replay,
    ReplayBatch,
    Replays,
    ReplayTensors,
    replay_tensors,
    stack_crops,
)
from kinemacolor.training.rollout.rollout import Block, Window, draw
from kinemacolor.training.run.setup import Setup


class Blocks(Protocol):
    """Blocks of a batch in order. Go backward from each before asking for the next, then call ``finish``."""

    def __iter__(self) -> Iterator[Block]: ...
    def finish(self) -> None:
        """Goes backward through what all blocks share."""
        ...


class Lessons(Protocol):
    """Batches of a run. What ``loader`` yields ``tensors`` takes, what that returns ``blocks`` takes."""

    def loader(self, start: int) -> Loader[Any]:
        """Batches from a step on, for this process."""
        ...

    def batch(self, indices: Sequence[int]) -> Any:
        """The batch of these samples, whatever the process."""
        ...

    def taught(self, network: Network) -> nn.Module:
        """The part of the network that batches pass through."""
        ...

    def tensors(self, batch: Any) -> Truth:
        """A batch on the run's device."""
        ...

    def blocks(self, network: Network, tensors: Any, *, colored: bool) -> Blocks:
        """The batch, colored block by block with gradients; gray without the third stage if not ``colored``."""
        ...


class WindowLessons:
    """Windows, colored as they are learned from."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def loader(self, start: int) -> Loader[Batch]:
        """See ``Lessons``."""
        return _loader(self._setup, self._setup.windows, stack, start)

    def batch(self, indices: Sequence[int]) -> Batch:
        """See ``Lessons``."""
        return stack([self._setup.windows.sample(index) for index in indices], indices)

    def taught(self, network: Network) -> nn.Module:
        """See ``Lessons``."""
        return network

    def tensors(self, batch: Batch) -> Tensors:
        """See ``Lessons``."""
        return to_tensors(batch, self._setup.device)

    def blocks(self, network: Network, tensors: Tensors, *, colored: bool) -> Window:
        """See ``Lessons``."""
        recipe = self._setup.recipe
        draws = draw(recipe.rollout, recipe.run.seed, tensors.indices, self._setup.device)
        return Window(network, tensors, draws, recipe.data.block, self._setup.autocast, colored=colored)


class ReplayLessons:
    """Crops of windows that were colored as in use.

    Args:
        setup: of the run.
        traces: of those windows.
    """

    def __init__(self, setup: Setup, traces: Sequence[RecordedInputs]) -> None:
        recipe = setup.recipe
        self._setup, self._layout = setup, Layout(recipe.network.network_config())
        self._replays = Replays(
            traces,
            self._layout,
            recipe.data.size,
            recipe.data.augmentation,
            seed=recipe.run.seed,
            drop_carried=recipe.rollout.drop_carried,
        )

    @classmethod
    def made(
        cls,
        setup: Setup,
        first: Callable[[], Network],
        folder: Path,
        count: int,
        advance: Advance | None = None,
        go_on: Callable[[], bool] = lambda: True,
    ) -> ReplayLessons | None:
        """Those of traces in a folder, made where they are missing.

        Args:
            setup: of the run.
            first: gives the network at step 0.
            folder: of the traces.
            count: of traces.
            advance: told of their making.
            go_on: asked before each; where it says no, None is returned.
        """
        recipe = setup.recipe
        part, options = recipe.replay, recipe.data.augmentation
        windows = Windows(
            setup.cache, part.length, part.size, options, seed=recipe.run.seed, weights=recipe.data.weights
        )
        key = {
            "network": [recipe.network.model_dump(mode="json"), _sha256(recipe.network.initial)],
            "replay": part.model_dump(mode="json", exclude={"traces"}),
            "data": [setup.cache.digest, *(clip.name for clip in setup.cache.clips)],
            "drawn": [repr(options), sorted(recipe.data.weights.items()), recipe.run.seed, recipe.data.block],
        }
        block, keep = recipe.data.block, part.keep
        traces = make_traces(
            first, windows, folder, count, block=block, keep=keep, key=key, device=setup.device, advance=advance,
            go_on=go_on,
        )  # fmt: skip
        return None if traces is None else cls(setup, traces)

    def loader(self, start: int) -> Loader[ReplayBatch]:
        """See ``Lessons``."""
        return _loader(self._setup, self._replays, stack_crops, start)

    def batch(self, indices: Sequence[int]) -> ReplayBatch:
        """See ``Lessons``."""
        return stack_crops([self._replays.sample(index) for index in indices], indices)

    def taught(self, network: Network) -> nn.Module:
        """See ``Lessons``: all before was passed through when the traces were made."""
        return network.colorization

    def tensors(self, batch: ReplayBatch) -> ReplayTensors:
        """See ``Lessons``."""
        return replay_tensors(batch, self._layout, self._setup.device)

    def blocks(self, network: Network, tensors: ReplayTensors, *, colored: bool) -> Replay:
        """See ``Lessons``; replays are colored always."""
        return Replay(network, tensors, self._layout, self._setup.autocast)


def _loader(setup: Setup, source: Any, collate: Callable[..., Any], start: int) -> Loader[Any]:
    rank, count = setup.processes.rank, setup.processes.count
    return Loader(source, setup.recipe.data.batch, collate=collate, start=start, rank=rank, processes=count)


def _sha256(file: str | None) -> str | None:
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()


def make_lessons(
    setup: Setup,
    first: Callable[[], Network],
    output: Path,
    most: int | None = None,
    advance: Advance | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Lessons | None:
    """The lessons of a recipe; None where ``go_on`` said no before they were made.

    Args:
        setup: of the run.
        first, go_on: see ``ReplayLessons.made``.
        output: folder of the run, in which traces are kept.
        most: traces at most, for a trial; None for the recipe's number.
        advance: told of the making of traces.

    Raises:
        UsageError, InputError, OutputError: see ``make_traces``.
    """
    count = setup.recipe.replay.traces
    if not count:
        return WindowLessons(setup)
    count = count if most is None else min(count, most)
    return ReplayLessons.made(setup, first, output / "traces", count, advance, go_on)
