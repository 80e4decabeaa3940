"""Initialization of the Transformer branch from a published VisTR checkpoint (section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor

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
