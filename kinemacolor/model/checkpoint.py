"""Weights on disk: one safetensors file, with the configuration of its network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError
from kinemacolor.model.config import ConfigError, NetworkConfig, parse_config_record
from kinemacolor.model.network import Network

_REMEDY = "give a .safetensors file that kinemacolor wrote"


def save_network(network: Network, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Writes weights and configuration. ``path`` is replaced once the file is complete.

    Args:
        network: its floating-point tensors are stored as ``dtype``.
        path: of the file.
        dtype: float32, or float16 for releases.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"kinemacolor": json.dumps({"config": network.config.model_dump()})}
    with atomic_write(Path(path)) as part:
        save_file(tensors, part, metadata=metadata)


def load_network(path: str | Path, config: NetworkConfig | None = None) -> Network:
    """The network at ``path``, in float32, ready for inference.

    Args:
        path: of a file that ``save_network`` wrote.
        config: the configuration that the network must have; None for any.

    Raises:
        InputError: the file is missing, was not written by ``save_network``, or has another configuration, in which
            case the fields that differ are named.
    """
    try:
        with safe_open(path, "pt") as file:
            record = (file.metadata() or {}).get("kinemacolor")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise InputError(path, f"weights cannot be read ({error})", _REMEDY) from error
    if record is None:
        raise InputError(path, "weights have no configuration", _REMEDY)
    try:
        stored = parse_config_record(record, str(path))
    except ConfigError as error:
        raise InputError(path, f"weights are of another version ({str(error).splitlines()[0]})", _REMEDY) from error
    if config is not None and (mismatch := differences(config, stored)):
        raise InputError(
            path, f"weights are of another configuration: {mismatch}", "give weights of this configuration"
        )
    _check_tensors(path, tensors, stored)
    network = Network(stored, pretrained=False)
    network.load_state_dict(tensors)
    return network.eval()


def load_descriptors(network: Network, path: str | Path) -> None:
    """Loads the descriptor network of the weights at ``path`` into a network, in place.

    Raises:
        InputError: see ``load_network``; or the descriptor networks differ.
    """
    source = load_network(path)
    fields = ("backbone", "descriptor_channels", "descriptor_width", "descriptor_blocks")
    pairs = [(name, getattr(network.config, name), getattr(source.config, name)) for name in fields]
    mismatch = "; ".join(f"{name}: expected {a!r}, got {b!r}" for name, a, b in pairs if a != b)
    if mismatch or not network.config.descriptor_channels:
        problem = f"has other descriptors: {mismatch}" if mismatch else "the network has no descriptors"
        raise InputError(path, problem, "give weights of the same descriptor network")
    network.descriptors.load_state_dict(source.descriptors.state_dict())


def _check_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], config: NetworkConfig) -> None:
    """Compares names and shapes with the network's, which takes no memory yet: a corrupt record may claim anything."""
    try:
        with torch.device("meta"):
            expected = Network(config, pretrained=False).state_dict()
    except (RuntimeError, ValueError, TypeError) as error:
        problem = f"weights claim a network that cannot be built ({str(error).splitlines()[0][:100]})"
        raise InputError(path, problem, _REMEDY) from error
    for name, tensor in expected.items():
        got = tuple(tensors[name].shape) if name in tensors else "none"
        if got != tuple(tensor.shape):
            raise InputError(path, f"{name}: expected shape {tuple(tensor.shape)}, got {got}", _REMEDY)
    if extra := sorted(set(tensors) - set(expected)):
        raise InputError(path, f"{extra[0]}: no such tensor in the network", _REMEDY)


def differences(expected: NetworkConfig, got: NetworkConfig) -> str:
    """The fields that differ, "field: expected x, got y", in one line; empty if none does. Names are not compared."""
    fields = [name for name in NetworkConfig.model_fields if name != "name"]
    pairs = [(name, getattr(expected, name), getattr(got, name)) for name in fields]
    return "; ".join(f"{name}: expected {a!r}, got {b!r}" for name, a, b in pairs if a != b)
