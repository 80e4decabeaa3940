"""The setup of a run: data, windows, held-out clips, device, number of steps, first network, batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.engine.torch_runner import best_device, fast_in_bfloat16
from kinemacolor.evaluation.optical import flow_weights, pair_flow
from kinemacolor.model.checkpoint import load_descriptors, load_network
from kinemacolor.model.network import Network
from kinemacolor.model.vistr import initialize_from_vistr, load_vistr
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.data.cache import Cache, CacheSettings, build_cache, is_cache, open_cache
from kinemacolor.training.data.pack import open_pack
from kinemacolor.training.data.sources import Source, find_sources
from kinemacolor.training.data.windows import FlowEstimator, WindowSampler
from kinemacolor.training.distillation.rollout import DescriptorBatches
from kinemacolor.training.rollout.batches import BatchSource, Placement, RecordedBatches, WindowBatches
from kinemacolor.training.rollout.recorded_inputs import record_inputs, recording_folder, recording_key
from kinemacolor.training.run.distributed import Processes, any_process
from kinemacolor.training.run.weights import check_weights, fetch_from_torch, find_vistr
from kinemacolor.training.validation.key_init import discriminant_basis
from kinemacolor.training.validation.validation import HeldOutClip, held_out_clips


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSetup:
    """Everything in a run that does not change.

    Attributes:
        recipe: of the run.
        cache: training data, without the held-out clips.
        windows: samples by number.
        clips: held out, for validation.
        device: on which it runs.
        autocast: bfloat16, or None.
        steps: of the run.
        processes: of the run.
        flow: name of the optical flow of the temporal loss, or None without it.
    """

    recipe: Recipe
    cache: Cache
    windows: WindowSampler
    clips: tuple[HeldOutClip, ...]
    device: torch.device
    autocast: torch.dtype | None
    steps: int
    processes: Processes
    flow: str | None

    def left_out(self) -> list[str]:
        """What of the data no window is drawn from, a line each, with the reason."""
        lines = [f"{source.name}: {source.reason}" for source in self.cache.skipped]
        least = self.recipe.data.shortest or self.recipe.data.length
        return lines + [f"{clip.name}: has {clip.frames} frames, less than {least}" for clip in self.windows.too_short]

    @property
    def frames_per_step(self) -> int:
        """Frames colored in a step by all processes."""
        return self.recipe.data.batch * self.recipe.data.length * self.processes.count


def choose_device(name: str | None, processes: Processes) -> torch.device:
    """The device of that name, or the best one; UsageError where there is no such device."""
    try:
        device = torch.device(name) if name else best_device()
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", processes.local)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        problem = f"there is no device {name} ({str(error).splitlines()[0]})"
        raise UsageError("device", problem, "choose cpu, cuda or mps") from error
    return device


def open_training_data(
    paths: Sequence[str], output: Path, recipe: Recipe, progress: ProgressCallback | None = None
) -> Cache:
    """Opens a cache; a pack or folders are first unpacked or decoded into ``OUTPUT/cache``.

    Raises:
        InputError, OutputError, UsageError: naming what cannot be used.
    """
    if not paths:
        raise UsageError("data", "there is nothing to train on", "give a folder, a cache or a pack")
    first = Path(paths[0])
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(path, "does not exist", "give a folder of films and photos, a cache, or a pack")
    if len(paths) == 1 and is_cache(first):
        return open_cache(first)
    output.mkdir(parents=True, exist_ok=True)
    if len(paths) == 1 and first.is_file() and first.suffix == ".pack":
        return open_pack(first, output / "cache")
    sources: list[Source] = []
    for path in map(Path, paths):
        of_path = find_sources(path)
        sources += [replace(s, name=f"{path.name}/{s.name}") for s in of_path] if len(paths) > 1 else of_path
    settings = CacheSettings.for_side(recipe.data.side)
    return build_cache(sources, output / "cache", settings, exclude=recipe.data.exclude, progress=progress)


def prepare(
    recipe: Recipe,
    output: Path,
    *,
    data: Sequence[str] = (),
    device: str | None = None,
    processes: Processes | None = None,
    progress: ProgressCallback | None = None,
) -> TrainingSetup:
    """Opens everything that a run needs, so that errors are raised before the first step.

    Args:
        recipe: of the run.
        output: its folder; data that is not a cache yet is decoded there.
        data: in place of the recipe's paths.
        device: name, or None for the best one.
        processes: of the run.
        progress: called where data has to be decoded, see ``build_cache``.

    Raises:
        InputError: files of weights are missing (see ``check_weights``), or data cannot be used.
        UsageError, OutputError: naming what cannot be used.
    """
    processes = processes or Processes()
    check_weights(recipe, fetch_from_torch if processes.first else None)
    cv2.setNumThreads(1)  # samples are made beside the training, which uses the other cores
    where = choose_device(device, processes)
    options = recipe.data
    cache = _open_data_once(tuple(data) or options.paths, output, recipe, processes, where, progress)
    cache = cache.without(options.exclude)
    names = recipe.evaluation.clips or options.held_out
    clips = held_out_clips(cache, names, recipe.evaluation.frames, recipe.evaluation.side) if names else []
    cache = cache.without(options.held_out)
    flow_name, flow = _flow_estimator(recipe, output, where)
    windows = WindowSampler(
        cache,
        options.length,
        options.size,
        options.augmentation,
        seed=recipe.run.seed,
        flow=flow,
        propagated=recipe.network.network_config().propagation,
        matches=recipe.losses.matches.weight > 0,
        block=options.block,
        weights=options.weights,
        shortest=options.shortest,
    )
    use_bfloat16 = recipe.run.bfloat16 == "on" or (recipe.run.bfloat16 == "auto" and fast_in_bfloat16(where))
    autocast = torch.bfloat16 if use_bfloat16 else None
    steps = recipe.run.steps or epoch_steps(windows, options.batch * processes.count, recipe.run.epochs or 1)
    return TrainingSetup(recipe, cache, windows, tuple(clips), where, autocast, steps, processes, flow_name)


def _open_data_once(
    paths: Sequence[str],
    output: Path,
    recipe: Recipe,
    processes: Processes,
    device: torch.device,
    progress: ProgressCallback | None,
) -> Cache:
    """The training data, decoded by the first process while the others wait."""
    if processes.first:
        cache = open_training_data(paths, output, recipe, progress)
        any_process(True, processes, device)
        return cache
    any_process(True, processes, device)
    return open_training_data(paths, output, recipe)


def _flow_estimator(recipe: Recipe, output: Path, device: torch.device) -> tuple[str | None, FlowEstimator | None]:
    """Name and estimator of the optical flow of the temporal loss; None without that loss."""
    if not recipe.losses.temporal.weight:
        return None, None
    options = recipe.data
    weights = Path(options.flow_weights) if options.flow_weights else None
    name = "RAFT" if flow_weights(options.flow, weights) else "DIS"
    folder = Path(options.flow_folder) if options.flow_folder else output / "flow"
    cache = folder if options.keep_flow else None
    return name, partial(pair_flow, cache=cache, method=options.flow, weights=weights, device=str(device))


def epoch_steps(windows: WindowSampler, batch: int, epochs: float) -> int:
    """Steps in which all films are seen ``epochs`` times, in windows that do not overlap; photos count as a window, and
    so do shots that are shorter than one."""
    count = sum(max(1, clip.frames // windows.length) for clip in windows.films) + len(windows.photos)
    return max(1, round(epochs * count / batch))


def make_initial_network(setup: TrainingSetup) -> Network:
    """The network at step 0.

    Raises:
        InputError: weights to start from are not available.
    """
    options = setup.recipe.network
    config = options.network_config()
    torch.manual_seed(setup.recipe.run.seed)
    if options.initial:
        return load_network(options.initial, config).train()
    try:
        network = Network(config, pretrained=options.pretrained)
    except RuntimeError as error:
        raise InputError(config.backbone, str(error).splitlines()[0], "see network.pretrained of the recipe") from error
    if options.vistr:
        try:
            initialize_from_vistr(network, load_vistr(find_vistr(options.vistr) or options.vistr))
        except ValueError as error:
            raise InputError(options.vistr, str(error).splitlines()[0], "give a VisTR checkpoint") from error
    if options.descriptors:
        load_descriptors(network, options.descriptors)
    if options.key_init and config.tap_shortcut and (setup.recipe.learns_heads or not setup.recipe.distills):
        network.to(setup.device)
        data = setup.recipe.data
        basis = discriminant_basis(network, setup.cache, data.size, data.augmentation, data.weights)
        network.correspondence.start_from_basis(basis, learned=0.0)
    return network


def make_batches(
    setup: TrainingSetup,
    initial_network: Callable[[], Network],
    output: Path,
    *,
    most: int | None = None,
    progress: ProgressCallback | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> BatchSource | None:
    """The batches of a run, after recording inputs where the recipe says so; None if ``go_on`` stopped that.

    Args:
        setup: of the run.
        initial_network, progress, go_on: see ``record_inputs``.
        output: folder of the run, in which recorded inputs are kept.
        most: limit of recorded windows, for a dry run; None for the recipe's number.

    Raises:
        UsageError, InputError, OutputError: see ``record_inputs``.
    """
    recipe, options = setup.recipe, setup.recipe.recording
    placement = Placement(setup.device, setup.autocast, setup.processes.rank, setup.processes.count)
    if recipe.distills:
        return DescriptorBatches(recipe, setup.windows, placement)
    if not options.windows:
        return WindowBatches(recipe, setup.windows, placement)
    data = recipe.data
    recorded = record_inputs(
        initial_network,
        WindowSampler(
            setup.cache, options.length, options.size, data.augmentation, seed=recipe.run.seed, weights=data.weights
        ),
        recording_folder(output),
        options.windows if most is None else min(options.windows, most),
        block=data.block,
        keep_every=options.keep_every,
        key=recording_key(recipe, setup.cache),
        device=setup.device,
        progress=progress,
        go_on=go_on,
    )
    return None if recorded is None else RecordedBatches(recipe, recorded, placement)
