"""Checkpoints of a run: a folder each, of safetensors and a JSON of state; written aside, renamed when complete.

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

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError
from kinemacolor.model.checkpoint import load_network, save_network
from kinemacolor.training.run.train_state import Learner

VERSION = 1
FOLDER, STATE = "checkpoints", "state.json"
REMEDY = "delete that folder to go on from the checkpoint before it, or start anew in another folder"


def checkpoints(output: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(p for p in (output / FOLDER).glob("step-*") if p.suffix != ".part" and (p / STATE).is_file())


def save_checkpoint(output: Path, learner: Learner, state: dict[str, Any], keep: int) -> Path:
    """Writes a checkpoint and deletes old ones.

    Args:
        output: folder of the run.
        learner: its state.
        state: what else it takes to go on, as JSON takes it.
        keep: checkpoints kept, the new one among them.

    Raises:
        OutputError: it cannot be written. The checkpoints before are whole.
    """
    folder = output / FOLDER / f"step-{learner.step:06d}"
    part = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_network(learner.network, part / "network.safetensors")
        if learner.average is not learner.network:
            save_network(learner.average, part / "average.safetensors")
        if learner.discriminator is not None:
            save_file(_plain(learner.discriminator.state_dict()), part / "discriminator.safetensors")
        kept = learner.optimizer.state_dict()
        tensors = {f"{k}.{name}": value for k, entry in kept["state"].items() for name, value in entry.items()}
        save_file(_plain(tensors), part / "optimizer.safetensors")
        record = {"version": VERSION, "step": learner.step, "groups": kept["param_groups"], **state}
        (part / STATE).write_text(json.dumps(record, indent=1))
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


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def released(folder: Path) -> Path:
    """The weights of a checkpoint that are to be used: the average, where there is one."""
    average = folder / "average.safetensors"
    return average if average.is_file() else folder / "network.safetensors"


def _publish(folder: Path, output: Path) -> None:
    """``OUTPUT/network.safetensors`` is what engines take."""
    part = output / "network.safetensors.part"
    shutil.copyfile(released(folder), part)
    os.replace(part, output / "network.safetensors")


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON of a checkpoint.

    Raises:
        InputError: torn, or of another version.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
        version = state["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"{STATE} is damaged", REMEDY) from error
    if version != VERSION:
        raise InputError(folder, f"is a checkpoint of version {version}, not {VERSION}", "start in another folder")
    return state


def load_checkpoint(folder: Path, learner: Learner) -> None:
    """Puts a learner into the state that was saved, to the last bit.

    Raises:
        InputError: torn, or of another configuration.
    """
    state = read_state(folder)
    try:
        config = learner.network.config
        _copy_network(folder / "network.safetensors", learner.network, config)
        if learner.average is not learner.network:
            _copy_network(folder / "average.safetensors", learner.average, config)
        if learner.discriminator is not None:
            learner.discriminator.load_state_dict(load_file(folder / "discriminator.safetensors"))
        entries: dict[int, dict[str, Tensor]] = {}
        for name, tensor in load_file(folder / "optimizer.safetensors").items():
            number, key = name.split(".")
            entries.setdefault(int(number), {})[key] = tensor
        learner.optimizer.load_state_dict({"state": entries, "param_groups": state["groups"]})
        learner.step = int(state["step"])
    except KinemacolorError:
        raise
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"is damaged ({str(error).splitlines()[0]})", REMEDY) from error
    for parameter, entry in learner.optimizer.state.items():
        for name, value in entry.items():  # in the parameter's own memory layout
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def _copy_network(path: Path, network: torch.nn.Module, config: Any) -> None:
    network.load_state_dict(load_network(path, config).state_dict())
