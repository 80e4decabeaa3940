"""Checkpoints of a run, each a folder of safetensors and a JSON file, which appears under its name when complete.

OUTPUT/checkpoints/step-000120/{network,average,discriminator,optimizer}.safetensors, state.json
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, KinemacolorError, OutputError
from kinemacolor.core.structured_text import parse_json
from kinemacolor.model.checkpoint import load_network, save_network
from kinemacolor.training.run.train_state import TrainState

CHECKPOINT_VERSION = 1
_FOLDER, _STATE, _OPTIMIZER = "checkpoints", "state.json", "optimizer.safetensors"
_FORMER_OPTIMIZER = "optimiser.safetensors"  # codespell:ignore
"""In checkpoints of earlier versions."""
_REMEDY = "delete that folder to resume from the checkpoint before it, or start over in another folder"


def checkpoints(output: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(p for p in (output / _FOLDER).glob("step-*") if p.suffix != ".part" and (p / _STATE).is_file())


def save_checkpoint(output: Path, state: TrainState, record: dict[str, Any], keep: int) -> Path:
    """Writes a checkpoint and deletes old ones.

    Args:
        output: folder of the run.
        state: of the run.
        record: further values that resuming needs, as JSON takes them.
        keep: checkpoints kept, including the new one.

    Raises:
        OutputError: it cannot be written. The checkpoints before stay complete.
    """
    folder = output / _FOLDER / f"step-{state.step:06d}"
    part = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_network(state.network, part / "network.safetensors")
        if state.average is not state.network:
            save_network(state.average, part / "average.safetensors")
        if state.discriminator is not None:
            save_file(_contiguous(state.discriminator.state_dict()), part / "discriminator.safetensors")
        optimizer = state.optimizer.state_dict()
        tensors = {f"{k}.{name}": value for k, entry in optimizer["state"].items() for name, value in entry.items()}
        save_file(_contiguous(tensors), part / _OPTIMIZER)
        values = {"version": CHECKPOINT_VERSION, "step": state.step, "groups": optimizer["param_groups"], **record}
        (part / _STATE).write_text(json.dumps(values, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
        for old in checkpoints(output)[:-keep]:
            shutil.rmtree(old)
        _publish(folder, output)
    except (OSError, SafetensorError) as error:
        problem = f"the checkpoint cannot be written ({getattr(error, 'strerror', None) or error})"
        raise OutputError(folder, problem, "make room, or choose another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def released_weights(folder: Path) -> Path:
    """The weights of a checkpoint that are released: the average, where there is one."""
    average = folder / "average.safetensors"
    return average if average.is_file() else folder / "network.safetensors"


def _publish(folder: Path, output: Path) -> None:
    """Copies the weights that engines take to ``OUTPUT/network.safetensors``."""
    with atomic_write(output / "network.safetensors") as part:
        shutil.copyfile(released_weights(folder), part)


def read_record(folder: Path) -> dict[str, Any]:
    """The values in the JSON file of a checkpoint.

    Raises:
        InputError: the file is corrupt, or the checkpoint is of another version.
    """
    try:
        values: dict[str, Any] = parse_json((folder / _STATE).read_text())
        version = values["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"{_STATE} is corrupt", _REMEDY) from error
    if version != CHECKPOINT_VERSION:
        problem = f"is a checkpoint of version {version}, not {CHECKPOINT_VERSION}"
        raise InputError(folder, problem, "start in another folder")
    return values


def load_checkpoint(folder: Path, state: TrainState) -> None:
    """Restores the state that was saved, to the last bit.

    Raises:
        InputError: the checkpoint is corrupt, or of another configuration.
    """
    record = read_record(folder)
    try:
        config = state.network.config
        _copy_network(folder / "network.safetensors", state.network, config)
        if state.average is not state.network:
            _copy_network(folder / "average.safetensors", state.average, config)
        if state.discriminator is not None:
            state.discriminator.load_state_dict(load_file(folder / "discriminator.safetensors"))
        optimizer = folder / _OPTIMIZER
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in load_file(optimizer if optimizer.is_file() else folder / _FORMER_OPTIMIZER).items():
            number, key = name.split(".")
            entries.setdefault(int(number), {})[key] = tensor
        state.optimizer.load_state_dict({"state": entries, "param_groups": record["groups"]})
        state.step = int(record["step"])
    except KinemacolorError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"is corrupt ({str(error).splitlines()[0]})", _REMEDY) from error
    for parameter, entry in state.optimizer.state.items():
        for name, value in entry.items():  # in the parameter's own memory layout
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _copy_network(path: Path, network: torch.nn.Module, config: Any) -> None:
    network.load_state_dict(load_network(path, config).state_dict())
