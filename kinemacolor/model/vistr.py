"""Initialization of the Transformer branch from a published VisTR checkpoint (section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor

from kinemacolor.model.blocks import CNNTransformerBlock, TransformerLayer
from kinemacolor.model.network import Network

PREFIX = "vistr.transformer.encoder.layers"
NAMES = {
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
"""Of an encoder layer: theirs → ours."""


def transformer_layers(network: Network) -> list[TransformerLayer]:
    """The Transformer branches in the order of the data: correspondence subnet, then colorization subnet."""
    blocks = chain(network.correspondence.blocks, network.colorization.blocks)
    return [b.transformer for b in blocks if isinstance(b, CNNTransformerBlock) and hasattr(b, "transformer")]


def initialize_from_vistr(network: Network, state_dict: Mapping[str, Tensor]) -> None:
    """Copies encoder layer k of VisTR into the k-th Transformer branch. All fits, or nothing is copied.

    Args:
        network: with Transformer branches of VisTR's widths (384, hidden 2048); head counts do not matter.
        state_dict: tensors ``vistr.transformer.encoder.layers.k.…``; others are ignored.

    Raises:
        ValueError: listing every tensor that is missing or has another shape.
    """
    layers = transformer_layers(network)
    if not layers:
        raise ValueError(f"network: expected one with Transformer branches, got {network.config.name} without")
    faults, copies = [], []
    for k, layer in enumerate(layers):
        own = layer.state_dict()
        for theirs, ours in NAMES.items():
            name, expected = f"{PREFIX}.{k}.{theirs}", tuple(own[ours].shape)
            given = state_dict.get(name)
            if given is None:
                faults.append(f"{name}: expected shape {expected}, got nothing")
            elif tuple(given.shape) != expected:
                faults.append(f"{name}: expected shape {expected}, got {tuple(given.shape)}")
            else:
                copies.append((own[ours], given))
    if faults:
        raise ValueError(f"VisTR checkpoint: {len(faults)} tensors do not fit\n" + "\n".join(faults))
    with torch.no_grad():
        for target, given in copies:
            target.copy_(given)
