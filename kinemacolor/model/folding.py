"""Batch normalization folded into the convolutions before it: the same network for inference, with fewer operations."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kinemacolor.model.network import Network


def folded(network: Network) -> Network:
    """A copy for inference in which no batch normalization is left that directly follows a convolution.

    Its tensors are no longer those of ``network.config``: it is to be run or exported, not saved.
    """
    copy = deepcopy(network).eval()
    for parent in list(copy.modules()):
        before: nn.Module | None = None
        for name, child in list(parent.named_children()):
            conv = _last_convolution(before)
            if conv is not None and isinstance(child, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv, child)
                conv.weight, conv.bias = fused.weight, fused.bias
                setattr(parent, name, _activation_of(child))
            before = child
    return copy


def rounded(network: Network, least: int) -> Network:
    """The same object, its tensors of at least ``least`` numbers rounded to what float16 can hold."""
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point() and tensor.numel() >= least:
                tensor.copy_(tensor.half().float())
    return network


def _last_convolution(module: nn.Module | None) -> nn.Conv2d | None:
    """A convolution, or the one that ends a sequence (after its padding)."""
    if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[0], nn.ZeroPad2d):
        module = module[1]
    return module if isinstance(module, nn.Conv2d) else None


def _activation_of(normalization: nn.Module) -> nn.Module:
    """What is left of a normalization that is folded away: timm's carry their activation with them."""
    activation = getattr(normalization, "act", None)
    return activation if isinstance(activation, nn.Module) else nn.Identity()
