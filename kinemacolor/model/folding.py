"""Folding of batch normalization into the convolutions before it: the same network with fewer operations."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kinemacolor.model.network import Network


def fold_batch_norm(network: Network) -> Network:
    """A copy for inference without the batch normalizations that directly follow a convolution.

    Its tensors no longer match ``network.config``: it can be run and exported, but not saved.
    """
    copy = deepcopy(network).eval()
    for parent in list(copy.modules()):
        previous: nn.Module | None = None
        for name, child in list(parent.named_children()):
            conv = _last_convolution(previous)
            if conv is not None and isinstance(child, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, child)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(parent, name, _activation_of(child))
            previous = child
    return copy


def round_to_half(network: Network, min_size: int) -> Network:
    """Rounds tensors of at least ``min_size`` numbers to float16 values, in place; returns the same network."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.numel() >= min_size:
                tensor.copy_(tensor.half().float())
    return network


def _last_convolution(module: nn.Module | None) -> nn.Conv2d | None:
    """The module if it is a convolution, or the convolution behind its padding; else None."""
    if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[0], nn.ZeroPad2d):
        module = module[1]
    return module if isinstance(module, nn.Conv2d) else None


def _activation_of(normalization: nn.Module) -> nn.Module:
    """The layer in place of a normalization that is folded away: timm's normalizations include their activation."""
    activation = getattr(normalization, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
