"""Weights on disk: one safetensors file that tells the configuration of its network."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kinemacolor.core.errors import InputError
from kinemacolor.model.config import ConfigError, NetworkConfig, parse_config
from kinemacolor.model.network import Network

REMEDY = "give a .safetensors file that kinemacolor wrote"


def save_network(network: Network, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes weights and configuration; ``path`` is replaced once the file is complete.

    Args:
        network: its tensors of floating point are stored as ``dtype``.
        path: of the file.
        dtype: float32, or float16 for release.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    part = Path(f"{path}.part")
    try:
        save_file(tensors, part, metadata={"kinemacolor": json.dumps({"config": network.config.model_dump()})})
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load_network(path: str | Path, config: NetworkConfig | None = None) -> Network:
    """The network at ``path``, in float32, ready for inference.

    Args:
        path: of a file that ``save_network`` wrote.
        config: what it has to be; None for whatever it is.

    Raises:
        InputError: no such file, none of ours, or of another configuration: the fields that differ are named.
    """
    try:
        with safe_open(path, "pt") as file:
            told = json.loads((file.metadata() or {}).get("kinemacolor", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(path, f"weights cannot be read ({error})", REMEDY) from error
    if "config" not in told:
        raise InputError(path, "weights tell no configuration", REMEDY)
    try:
        own = parse_config(told["config"], str(path))
    except ConfigError as error:
        raise InputError(path, f"weights are of another version ({str(error).splitlines()[0]})", REMEDY) from error
    if config is not None and (gaps := differences(config, own)):
        raise InputError(path, f"weights are of another configuration: {gaps}", "give those of this one")
    network = Network(own, pretrained=False)
    expected = network.state_dict()
    for name, tensor in expected.items():
        got = tuple(tensors[name].shape) if name in tensors else "none"
        if got != tuple(tensor.shape):
            raise InputError(path, f"{name}: expected shape {tuple(tensor.shape)}, got {got}", REMEDY)
    if extra := sorted(set(tensors) - set(expected)):
        raise InputError(path, f"{extra[0]}: no such tensor in the network", REMEDY)
    network.load_state_dict(tensors)
    return network.eval()


def differences(expected: NetworkConfig, got: NetworkConfig) -> str:
    """The fields that differ, "field: expected x, got y", in one line; empty if none does. The name does not matter."""
    fields = [name for name in NetworkConfig.model_fields if name != "name"]
    pairs = [(name, getattr(expected, name), getattr(got, name)) for name in fields]
    return "; ".join(f"{name}: expected {a!r}, got {b!r}" for name, a, b in pairs if a != b)
