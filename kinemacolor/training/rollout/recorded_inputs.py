"""Windows colored as in use, kept: what the colorization subnet was given in each block, and the truth beside it.

Features, matches and what is carried along the flow do not depend on the colorization subnet (but where no chain can
start). Once they have been made by the engine that users run, frame after frame, that subnet can learn from them again
and again, at a tenth of the price and from exactly what it will be given in use.

A folder of traces holds ``index.json`` and for each trace ``NNNNNN-maps.npy`` and ``NNNNNN-hidden.npy``, float16.
"""

from __future__ import annotations

import copy
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
from kinemacolor.core.types import Array, Reference
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.colorization import Candidates, Propagated
from kinemacolor.model.config import NetworkConfig
from kinemacolor.model.network import Network
from kinemacolor.training.data.windows import Sample, Windows
from kinemacolor.training.validation.validation import blocks

VERSION = 2
"""To be raised with every change of what engines hand to the colorization subnet: of what is carried, say."""
INDEX = "index.json"
FIRST = 2 * 10**9
"""Number of the first window of which a trace is made; no run's own samples come so far."""
Advance = Callable[[int, int], None]
"""Told after each trace that was made: traces there are, traces in all."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which channels of a trace's maps are what.

    Attributes:
        config: of the network.
    """

    config: NetworkConfig

    @property
    def given(self) -> int:
        """Channels that the subnet is given: a*, b* and similarity of each candidate, P's agreement, luminance."""
        return 3 * self.config.heads + (4 if self.config.propagation else 0) + 1

    @property
    def channels(self) -> int:
        """And the truth's L* / 50 − 1, a*, b*."""
        return self.given + 3

    @property
    def colors(self) -> list[int]:
        """First channel of each a*, b*: of the candidates, of the truth."""
        return [3 * k for k in range(self.config.heads + int(self.config.propagation))] + [self.given + 1]

    def candidates(self, maps: Tensor) -> list[Candidates]:
        """Of maps (B, N, channels, H, W)."""
        heads = 3 * self.config.heads
        found = [Candidates(maps[:, :, k : k + 2], maps[:, :, k + 2 : k + 3]) for k in range(0, heads, 3)]
        if self.config.propagation:
            ab, similarity = maps[:, :, heads : heads + 2], maps[:, :, heads + 2 : heads + 3]
            found.append(Propagated(ab, similarity, maps[:, :, heads + 3 : heads + 4]))
        return found

    def luminance(self, maps: Tensor) -> Tensor:
        """(B, N, 1, H, W) in [-1, 1]."""
        return maps[:, :, self.given - 1 : self.given]

    def without_carried(self, maps: Array) -> None:
        """Takes P out of maps (N, channels, H, W), in place."""
        first = 3 * self.config.heads
        maps[:, first : first + 4] = 0
        maps[:, first + 2] = -1


@dataclass(frozen=True, slots=True, eq=False)
class RecordedInputs:
    """A window, colored.

    Attributes:
        maps: (blocks, N, channels, H, W) float16, see ``Layout``.
        hidden: ho_t (blocks, N, h, w, d) float16, of tokens; d is 0 without the Transformer branch.
    """

    maps: Array
    hidden: Array


def watch(network: Network, runner: TorchRunner, sample: Sample, block: int, keep: int) -> RecordedInputs:
    """Colors a window by the engine that users run, and keeps what the colorization subnet was given.

    Args:
        network: that ``runner`` runs.
        runner: on its device.
        sample: whose sides are multiples of the network's stride; its last frames are left out where a block is short.
        block: N.
        keep: every so-manieth block is kept, as the ``keep``-th.
    """
    given: list[tuple[Any, ...]] = []
    hook = network.colorization.register_forward_pre_hook(lambda _module, arguments: given.append(arguments))
    engine = NetworkEngine(runner, color_memory=False, block_size=block)
    reference = Reference(sample.reference_luminance, sample.reference_ab, sample.reference_mask)
    maps: list[Array] = []
    hidden: list[Array] = []
    truth = np.concatenate([sample.lightness[..., None] / 50 - 1, sample.ab], axis=3).transpose(0, 3, 1, 2)
    whole = len(truth) // block * block
    try:
        for frames, _ in blocks(engine, sample.luminance[:whole], reference):
            arguments, given[:] = given[-1], []
            if frames.start // block % keep == keep - 1:
                made = torch.from_numpy(truth[frames.start : frames.stop]).to(arguments[0].device)
                maps.append(torch.cat([_flat(arguments), made], dim=1).half().cpu().numpy())
                hidden.append(_grid(arguments[3], network, truth.shape[2:], block))
    finally:
        hook.remove()
    return RecordedInputs(np.stack(maps), np.stack(hidden))


def _flat(arguments: tuple[Any, ...]) -> Tensor:
    """What ``ColorizationSubnet.forward`` was given, but for hidden and positions: (N, given, H, W)."""
    luminance, candidates = arguments[0], arguments[1]
    parts = []
    for one in candidates:
        parts += [one.ab, one.similarity]
        if isinstance(one, Propagated):
            parts.append(one.agreement)
    return torch.cat([*parts, luminance], dim=2)[0].float()


def _grid(hidden: Tensor | None, network: Network, size: tuple[int, ...], block: int) -> Array:
    """Tokens (1, T, d) by frame, row and column (N, h, w, d)."""
    rows, columns = (side // network.config.token_stride for side in size)
    if hidden is None:
        return np.zeros((block, rows, columns, 0), np.float16)
    found: Array = hidden[0].reshape(block, rows, columns, -1).half().cpu().numpy()
    return found


# --- a folder of them --------------------


def make_traces(
    first: Callable[[], Network],
    windows: Windows,
    folder: Path,
    count: int,
    *,
    block: int,
    keep: int,
    key: dict[str, Any],
    device: torch.device,
    advance: Advance | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[RecordedInputs] | None:
    """The traces of a folder, made where they are not there yet; mapped into memory, not read.

    None where ``go_on`` said so before all were there; those that are stay.

    Args:
        first: gives the network that colors, asked for where a trace is missing.
        windows: sample ``FIRST`` + k becomes trace k.
        folder: made where there is none.
        count: of traces.
        block, keep: see ``watch``.
        key: all that they depend on, as JSON takes it.
        device: where the network runs.
        advance: told of progress.
        go_on: asked before each.

    Raises:
        UsageError: the folder holds traces of something else.
        InputError: one is torn.
        OutputError: one cannot be written.
    """
    _claim(folder, {**key, "version": VERSION})
    network: Network | None = None  # a copy: who colors is put in evaluation mode
    for number in range(count):
        paths = _paths(folder, number)
        if not all(path.exists() for path in paths):
            if not go_on():
                return None
            network = network or copy.deepcopy(first())
            runner = TorchRunner(network, device=str(device), bfloat16=False)
            trace = watch(network, runner, windows.sample(FIRST + number), block, keep)
            for path, array in zip(paths, (trace.maps, trace.hidden), strict=True):
                try:
                    with atomic_write(path) as part, part.open("wb") as file:
                        np.save(file, array)
                except OSError as error:
                    raise OutputError(path, f"cannot be written ({error.strerror})", "make room") from error
            if advance:
                advance(number + 1, count)
    return [_open(folder, number) for number in range(count)]


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"{number:06d}-maps.npy", folder / f"{number:06d}-hidden.npy"


def _open(folder: Path, number: int) -> RecordedInputs:
    arrays = []
    for path in _paths(folder, number):
        try:
            arrays.append(np.load(path) if path.stem.endswith("hidden") else np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read ({error})", "delete it; it is made anew") from error
    return RecordedInputs(*arrays)


def _claim(folder: Path, key: dict[str, Any]) -> None:
    """Writes what the folder's traces depend on, or compares it with what is written there."""
    path = folder / INDEX
    text = json.dumps(key, sort_keys=True)
    try:
        if path.exists():
            if path.read_text("utf-8") != text:
                problem = "holds traces of another network, recipe or data"
                raise UsageError(folder, problem, "delete it, or choose another output")
            return
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder") from error
