"""Recorded inputs: what the colorization subnet received for windows colored as in use, with the truth.

Features, matches and propagated colors do not depend on the colorization subnet (except where no chain can start). Once
the engine that users run has computed them, frame after frame, that subnet can learn from them repeatedly, at a tenth
of the cost and from exactly the inputs that it will get in use.

A folder of recorded inputs holds ``index.json`` and for each window ``NNNNNN-maps.npy`` and ``NNNNNN-hidden.npy``,
float16.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.types import Array, Reference
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.colorization import Candidates, Propagated
from kinemacolor.model.config import NetworkConfig
from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe, with_current_names
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.samples import Sample
from kinemacolor.training.data.windows import WindowSampler
from kinemacolor.training.rollout.engine_rollout import color_blocks

RECORDING_VERSION = 3
"""To be raised with every change of what engines hand to the colorization subnet, of propagation for example."""
FIRST_RECORDED_SAMPLE = 2 * 10**9
"""Number of the first window that is recorded; the samples of a run never reach it."""
_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The channels of the maps of recorded inputs.

    Attributes:
        config: of the network.
    """

    config: NetworkConfig

    @property
    def input_channels(self) -> int:
        """Channels of the subnet's inputs: a*, b*, similarity and spread of each candidate, P's consistency,
        luminance."""
        candidates = self.config.heads + int(self.config.propagation)
        return candidates * self._step + int(self.config.propagation) + 1

    @property
    def _step(self) -> int:
        """Channels of a candidate from a head."""
        return 4 if self.config.color_spread else 3

    @property
    def channels(self) -> int:
        """All channels: the inputs and the truth's L* / 50 − 1, a*, b*."""
        return self.input_channels + 3

    @property
    def ab_channels(self) -> list[int]:
        """The first channel of each a*, b*: of the candidates, of the truth."""
        candidates = self.config.heads + int(self.config.propagation)
        return [self._step * k for k in range(candidates)] + [self.input_channels + 1]

    @property
    def spread_channels(self) -> list[int]:
        """The channel of each candidate's spread; none where that is no input."""
        if not self.config.color_spread:
            return []
        heads = [self._step * (k + 1) - 1 for k in range(self.config.heads)]
        return heads + [self._step * self.config.heads + 4] * self.config.propagation

    def candidates(self, maps: Tensor) -> list[Candidates]:
        """The candidates in maps (B, N, channels, H, W)."""
        step, with_spread, candidates = self._step, self.config.color_spread, list[Candidates]()
        for first in range(0, step * self.config.heads, step):
            ab, similarity, *spread = torch.split(maps[:, :, first : first + step], [2, 1] + [1] * with_spread, dim=2)
            candidates.append(Candidates(ab, similarity, spread=spread[0] if spread else None))
        if self.config.propagation:
            first = step * self.config.heads
            parts = torch.split(maps[:, :, first : first + step + 1], [2, 1, 1] + [1] * with_spread, dim=2)
            candidates.append(Propagated(*parts[:3], spread=parts[3] if with_spread else None))
        return candidates

    def luminance(self, maps: Tensor) -> Tensor:
        """(B, N, 1, H, W) in [-1, 1]."""
        return maps[:, :, self.input_channels - 1 : self.input_channels]

    def drop_propagated(self, maps: Array) -> None:
        """Removes P from maps (N, channels, H, W), in place."""
        first = self._step * self.config.heads
        maps[:, first : first + self._step + 1] = 0
        maps[:, first + 2] = -1


@dataclass(frozen=True, slots=True, eq=False)
class RecordedInputs:
    """A window that was colored.

    Attributes:
        maps: (blocks, N, channels, H, W) float16, see ``MapLayout``.
        hidden: ho_t (blocks, N, h, w, d) float16, of tokens; d is 0 without the Transformer branch.
    """

    maps: Array
    hidden: Array


def record_window(network: Network, runner: TorchRunner, sample: Sample, block: int, keep_every: int) -> RecordedInputs:
    """Colors a window by the engine that users run, and records the inputs of the colorization subnet.

    Args:
        network: that ``runner`` runs.
        runner: on its device.
        sample: whose sides are multiples of the network's stride; frames of a last, shorter block are left out.
        block: N.
        keep_every: one block in every ``keep_every`` is recorded, the last of them.
    """
    calls: list[tuple[Any, ...]] = []
    hook = network.colorization.register_forward_pre_hook(lambda _module, arguments: calls.append(arguments))
    engine = NetworkEngine(runner, color_memory=False, block_size=block)
    reference = Reference(sample.reference_luminance, sample.reference_ab, sample.reference_mask)
    maps: list[Array] = []
    hidden: list[Array] = []
    truth = np.concatenate([sample.lightness[..., None] / 50 - 1, sample.ab], axis=3).transpose(0, 3, 1, 2)
    length = len(truth) // block * block
    try:
        for frames, _ in color_blocks(engine, sample.luminance[:length], reference):
            arguments, calls[:] = calls[-1], []
            if frames.start // block % keep_every == keep_every - 1:
                true_maps = torch.from_numpy(truth[frames.start : frames.stop]).to(arguments[0].device)
                maps.append(torch.cat([_input_maps(arguments, network), true_maps], dim=1).half().cpu().numpy())
                hidden.append(_token_grid(arguments[3], network, truth.shape[2:], block))
    finally:
        hook.remove()
    return RecordedInputs(np.stack(maps), np.stack(hidden))


def _input_maps(arguments: tuple[Any, ...], network: Network) -> Tensor:
    """Arguments of ``ColorizationSubnet.forward`` but for hidden and positions: (N, input channels, H, W)."""
    luminance, candidates = arguments[0], arguments[1]
    parts = []
    for candidate in candidates:
        parts += [candidate.ab, candidate.similarity]
        if isinstance(candidate, Propagated):
            parts.append(candidate.consistency)
        if network.config.color_spread and candidate.spread is not None:
            parts.append(candidate.spread)
    return torch.cat([*parts, luminance], dim=2)[0].float()


def _token_grid(hidden: Tensor | None, network: Network, size: tuple[int, ...], block: int) -> Array:
    """Tokens (1, T, d) by frame, row and column (N, h, w, d)."""
    rows, columns = (side // network.config.token_stride for side in size)
    if hidden is None:
        return np.zeros((block, rows, columns, 0), np.float16)
    grid: Array = hidden[0].reshape(block, rows, columns, -1).half().cpu().numpy()
    return grid


# --- a folder of them --------------------


def recording_folder(output: Path) -> Path:
    """The folder of recorded inputs of the run in ``output``; runs of earlier versions have them in ``traces``."""
    former = output / "traces"
    return former if former.is_dir() else output / "recorded"


def recording_key(recipe: Recipe, cache: Cache) -> dict[str, Any]:
    """Everything that recorded inputs depend on, as JSON takes it."""
    data, initial = recipe.data, recipe.network.initial
    digest = None if initial is None else hashlib.sha256(Path(initial).read_bytes()).hexdigest()
    return {
        "network": [recipe.network.model_dump(mode="json"), digest],
        "recording": recipe.recording.model_dump(mode="json", exclude={"windows"}),
        "data": [cache.digest, *(clip.name for clip in cache.clips)],
        "drawn": [repr(data.augmentation), sorted(data.weights.items()), recipe.run.seed, data.block],
        "version": RECORDING_VERSION,
    }


def record_inputs(
    initial_network: Callable[[], Network],
    windows: WindowSampler,
    folder: Path,
    count: int,
    *,
    block: int,
    keep_every: int,
    key: dict[str, Any],
    device: torch.device,
    progress: ProgressCallback | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[RecordedInputs] | None:
    """The recorded inputs of a folder, made where they are missing; mapped into memory, not read.

    None if ``go_on`` returned False before all were made; those that were made stay.

    Args:
        initial_network: gives the network that colors, called where a window is missing.
        windows: sample ``FIRST_RECORDED_SAMPLE`` + k becomes window k.
        folder: created where there is none.
        count: of windows.
        block, keep_every: see ``record_window``.
        key: from ``recording_key``.
        device: on which the network runs.
        progress: called after each window that was made, with the windows there are and the windows in all.
        go_on: called before each window; False stops.

    Raises:
        UsageError: the folder holds recorded inputs of another key.
        InputError: a file is corrupt.
        OutputError: a file cannot be written.
    """
    _check_key(folder, key)
    network: Network | None = None  # a copy, since the engine puts it in evaluation mode
    for number in range(count):
        paths = _paths(folder, number)
        if not all(path.exists() for path in paths):
            if not go_on():
                return None
            network = network or copy.deepcopy(initial_network())
            runner = TorchRunner(network, device=str(device), bfloat16=False)
            sample = windows.sample(FIRST_RECORDED_SAMPLE + number)
            inputs = record_window(network, runner, sample, block, keep_every)
            for path, array in zip(paths, (inputs.maps, inputs.hidden), strict=True):
                try:
                    with atomic_write(path) as part, part.open("wb") as file:
                        np.save(file, array)
                except OSError as error:
                    raise OutputError(path, f"cannot be written ({error.strerror})", "make room") from error
            if progress:
                progress(number + 1, count)
    return [_open(folder, number) for number in range(count)]


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"{number:06d}-maps.npy", folder / f"{number:06d}-hidden.npy"


def _open(folder: Path, number: int) -> RecordedInputs:
    arrays = []
    for path in _paths(folder, number):
        try:
            arrays.append(np.load(path) if path.stem.endswith("hidden") else np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read ({error})", "delete it, and it is recorded again") from error
    return RecordedInputs(*arrays)


def _check_key(folder: Path, key: dict[str, Any]) -> None:
    """Writes the key into the folder, or compares it with the one that is there."""
    path = folder / _INDEX
    text = json.dumps(key, sort_keys=True)
    try:
        if path.exists():
            if _read_key(path) != json.loads(text):
                problem = "holds recorded inputs of another network, recipe or data"
                raise UsageError(folder, problem, "delete it, or choose another output")
            return
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder") from error


def _read_key(path: Path) -> Any:
    """The key of a folder, with the recipe's current names; None where it cannot be read."""
    try:
        key = json.loads(path.read_text("utf-8"))
        if "replay" in key:  # of earlier versions
            settings, digest = key["network"]
            key |= with_current_names({"network": settings, "replay": key.pop("replay")})
            key["network"] = [key["network"], digest]
            for old, new in (("thing=", "moving_object="), ("wear=Wear(", "wear=FilmWear(")):
                key["drawn"][0] = key["drawn"][0].replace(old, new)
    except (ValueError, KeyError, TypeError):
        return None
    return key
