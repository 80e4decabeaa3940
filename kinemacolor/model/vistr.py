"""Initialization of the Transformer branch from a published VisTR checkpoint (section 4)."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from kinemacolor.core.errors import InputError
from kinemacolor.model.blocks import CNNTransformerBlock, TransformerLayer
from kinemacolor.model.network import Network

VISTR_LAYERS = "vistr.transformer.encoder.layers"
"""Prefix of the names of VisTR's encoder layers."""
VISTR_TENSORS = {
    "self_attn.in_proj_weight": "self_attn.in_proj.weight",
    "self_attn.in_proj_bias": "self_attn.in_proj.bias",
    "self_attn.out_proj.weight": "self_attn.out_proj.weight",
    "self_attn.out_proj.bias": "self_attn.out_proj.bias",
    **{
        f"{part}.{kind}": f"{part}.{kind}"
        for part in ("linear1", "linear2", "norm1", "norm2")
        for kind in ("weight", "bias")
    },
}
"""Tensors of an encoder layer: VisTR's name → ours."""


VISTR_ALLOWED_TYPES = (argparse.Namespace,)
"""What a checkpoint may hold beside tensors and plain containers: VisTR's training saves its command line as well."""


def load_vistr(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a published VisTR checkpoint, by name. No code of the file runs.

    Raises:
        InputError: the file cannot be read, holds anything but tensors, plain values and ``VISTR_ALLOWED_TYPES``, or
            has no encoder of VisTR.
    """
    remedy = "give a checkpoint as VisTR publishes it"
    try:
        with torch.serialization.safe_globals(list(VISTR_ALLOWED_TYPES)):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(path, f"is no checkpoint of weights ({_reason(error)})", remedy) from error
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", remedy) from error
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise InputError(path, f"is corrupt ({type(error).__name__})", remedy) from error
    tensors = checkpoint.get("model", checkpoint) if isinstance(checkpoint, Mapping) else {}
    named = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    if not any(str(name).startswith(VISTR_LAYERS) for name in named):
        raise InputError(path, f"has no tensors {VISTR_LAYERS}", remedy)
    return named


def _reason(error: pickle.UnpicklingError) -> str:
    """What torch refused, without its advice to trust the file."""
    text = str(error)
    for line in text.splitlines():
        if "Unsupported global" in line or "GLOBAL" in line:
            return "it holds " + line.split("GLOBAL", 1)[-1].split()[0]
    return text.splitlines()[0] if text else type(error).__name__


def transformer_layers(network: Network) -> list[TransformerLayer]:
    """The Transformer branches in the order of the data flow: correspondence subnet, then colorization subnet."""
    blocks = chain(network.correspondence.blocks, network.colorization.blocks)
    return [b.transformer for b in blocks if isinstance(b, CNNTransformerBlock) and hasattr(b, "transformer")]


def initialize_from_vistr(network: Network, state_dict: Mapping[str, Tensor]) -> None:
    """Copies encoder layer k of VisTR into the k-th Transformer branch. Nothing is copied unless every tensor fits.

    Args:
        network: has Transformer branches of VisTR's widths (384, hidden 2048); head counts do not matter.
        state_dict: with tensors ``vistr.transformer.encoder.layers.k.…``; others are ignored.

    Raises:
        ValueError: listing every tensor that is missing or has another shape.
    """
    layers = transformer_layers(network)
    if not layers:
        raise ValueError(f"network: expected one with Transformer branches, got {network.config.name}, which has none")
    faults, copies = [], []
    for k, layer in enumerate(layers):
        targets = layer.state_dict()
        for theirs, ours in VISTR_TENSORS.items():
            name, expected = f"{VISTR_LAYERS}.{k}.{theirs}", tuple(targets[ours].shape)
            source = state_dict.get(name)
            if source is None:
                faults.append(f"{name}: expected shape {expected}, got nothing")
            elif tuple(source.shape) != expected:
                faults.append(f"{name}: expected shape {expected}, got {tuple(source.shape)}")
            else:
                copies.append((targets[ours], source))
    if faults:
        raise ValueError(f"VisTR checkpoint: {len(faults)} tensors do not fit\n" + "\n".join(faults))
    with torch.no_grad():
        for target, source in copies:
            target.copy_(source)
