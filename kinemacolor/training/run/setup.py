"""What a run needs before its first step: data opened, windows, clips to evaluate, device, number of steps, network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import torch

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.engine.torch_runner import best_device, fast_in_bfloat16
from kinemacolor.evaluation.optical import clip_flow, flow_weights
from kinemacolor.model.checkpoint import load_network
from kinemacolor.model.network import Network
from kinemacolor.model.vistr import initialize_from_vistr
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.data.cache import INDEX, Cache, CacheSettings, Report, build_cache, open_cache
from kinemacolor.training.data.pack import open_pack
from kinemacolor.training.data.sources import Source, find_sources
from kinemacolor.training.data.windows import FlowMethod, Windows
from kinemacolor.training.run.distributed import Processes, agreed
from kinemacolor.training.validation.key_init import discriminant_basis
from kinemacolor.training.validation.validation import HeldOut, held_out


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """All of a run that does not change.

    Attributes:
        recipe: of the run.
        cache: what is learned from; clips held out are not in it.
        windows: samples by number.
        clips: to evaluate.
        device: on which it runs.
        autocast: bfloat16, or None.
        steps: of the run.
        processes: that take part.
        flow: name of the optical flow of the temporal loss, or None without it.
    """

    recipe: Recipe
    cache: Cache
    windows: Windows
    clips: tuple[HeldOut, ...]
    device: torch.device
    autocast: torch.dtype | None
    steps: int
    processes: Processes
    flow: str | None

    @property
    def frames_a_step(self) -> int:
        """Frames colored in a step by all processes."""
        return self.recipe.data.batch * self.recipe.data.length * self.processes.count


def choose_device(name: str | None, processes: Processes) -> torch.device:
    """The device of that name, or the best there is; UsageError where there is none."""
    try:
        device = torch.device(name) if name else best_device()
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", processes.local)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        problem = f"there is no device {name} ({str(error).splitlines()[0]})"
        raise UsageError("--device", problem, "choose among cpu, cuda and mps") from error
    return device


def open_training_data(paths: Sequence[str], output: Path, recipe: Recipe, report: Report | None = None) -> Cache:
    """A cache, a pack, or folders, as a cache; decoded or unpacked into ``OUTPUT/cache`` where they are not one yet.

    Raises:
        InputError, OutputError, UsageError: naming what cannot be used.
    """
    if not paths:
        raise UsageError("--data", "there is nothing to train on", "give a folder, a cache or a pack")
    first = Path(paths[0])
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(path, "does not exist", "give a folder of films and photos, a cache, or a pack")
    if len(paths) == 1 and (first / INDEX).is_file():
        return open_cache(first)
    output.mkdir(parents=True, exist_ok=True)
    if len(paths) == 1 and first.is_file() and first.suffix == ".pack":
        return open_pack(first, output / "cache")
    sources: list[Source] = []
    for path in map(Path, paths):
        found = find_sources(path)
        sources += [replace(s, name=f"{path.name}/{s.name}") for s in found] if len(paths) > 1 else found
    settings = CacheSettings(side=recipe.data.side)
    return build_cache(sources, output / "cache", settings, exclude=recipe.data.exclude, report=report)


def prepare(
    recipe: Recipe,
    output: Path,
    *,
    data: Sequence[str] = (),
    device: str | None = None,
    processes: Processes | None = None,
    report: Report | None = None,
) -> Setup:
    """Opens all a run needs, and finds its faults before the first step.

    Args:
        recipe: of the run.
        output: its folder; data that is no cache yet is decoded there.
        data: in place of the recipe's paths.
        device: name, or None for the best there is.
        processes: that take part.
        report: told of progress where data has to be decoded.
    """
    processes = processes or Processes()
    cv2.setNumThreads(1)  # samples are made beside the training, which has the other cores
    where = choose_device(device, processes)
    options = recipe.data
    paths = tuple(data) or options.paths
    if processes.first:
        cache = open_training_data(paths, output, recipe, report)
        agreed(True, processes, where)
    else:
        agreed(True, processes, where)
        cache = open_training_data(paths, output, recipe)
    cache = cache.without(options.exclude)
    names = recipe.evaluation.clips or options.held_out
    clips = held_out(cache, names, recipe.evaluation.frames, recipe.evaluation.side) if names else []
    cache = cache.without(options.held_out)
    flow: FlowMethod | None = None
    name = None
    if recipe.losses.temporal.weight:
        weights = Path(options.flow_weights) if options.flow_weights else None
        name = "RAFT" if flow_weights(options.flow, weights) else "DIS"
        kept = output / "flow" if options.keep_flow else None
        flow = partial(clip_flow, cache=kept, method=options.flow, weights=weights)
    windows = Windows(
        cache,
        options.length,
        options.size,
        options.augmentation,
        seed=recipe.run.seed,
        flow=flow,
        carried=recipe.network.network_config().propagation,
        matches=recipe.losses.matches.weight > 0,
        block=options.block,
        weights=options.weights,
    )
    cast = recipe.run.bfloat16 == "on" or (recipe.run.bfloat16 == "auto" and fast_in_bfloat16(where))
    autocast = torch.bfloat16 if cast else None
    steps = recipe.run.steps or epoch_steps(windows, options.batch * processes.count, recipe.run.epochs or 1)
    return Setup(recipe, cache, windows, tuple(clips), where, autocast, steps, processes, name)


def epoch_steps(windows: Windows, batch: int, epochs: float) -> int:
    """Steps in which all films are seen ``epochs`` times, in windows that do not overlap; photos count as a window."""
    whole = sum(clip.frames // windows.length for clip in windows.films) + len(windows.photos)
    return max(1, round(epochs * whole / batch))


def first_network(setup: Setup) -> Network:
    """The network at step 0.

    Raises:
        InputError: weights to start from cannot be had.
    """
    part = setup.recipe.network
    config = part.network_config()
    torch.manual_seed(setup.recipe.run.seed)
    if part.initial:
        return load_network(part.initial, config).train()
    try:
        network = Network(config, pretrained=part.pretrained)
    except RuntimeError as error:
        raise InputError(config.backbone, str(error).splitlines()[0], "see network.pretrained of the recipe") from error
    if part.vistr:
        try:
            found = torch.load(part.vistr, map_location="cpu", weights_only=True)
            initialize_from_vistr(network, found.get("model", found))
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(part.vistr, str(error).splitlines()[0], "give a VisTR checkpoint") from error
    if part.basis and config.tap_shortcut:
        network.to(setup.device)
        data = setup.recipe.data
        basis = discriminant_basis(network, setup.cache, data.size, data.augmentation, data.weights)
        network.correspondence.start_as(basis, learned=0.0)
    return network
