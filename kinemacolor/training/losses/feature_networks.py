"""Frozen networks for the perceptual loss: R'G'B' in [0, 1] in, activation maps out."""

from __future__ import annotations

import importlib
from typing import TypeVar

import torch
from torch import Tensor, nn

from kinemacolor.core.errors import InputError

ModuleT = TypeVar("ModuleT", bound=nn.Module)

VGG19_FILE = "vgg19-dcbb9e9d.pth"
"""Name of torchvision's ImageNet weights of VGG19 among torch's downloads."""
RELU5_2 = 32
"""Number of layers of torchvision's VGG19 ``features`` up to relu5_2, which is included."""


def freeze(module: ModuleT) -> ModuleT:
    """The module in evaluation mode, without gradients for its own weights; gradients still pass through it."""
    return module.eval().requires_grad_(False)


class VGG19Features(nn.Module):
    """VGG19 up to relu5_2 (section 3.3): (n, 3, H, W) → (n, 512, H/16, W/16)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers[:RELU5_2]
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> Tensor:
        """R'G'B' (n, 3, H, W) in [0, 1], H and W at least 16."""
        return self.layers((rgb - self.mean) / self.deviation)  # type: ignore[no-any-return]


class Lite0RGBFeatures(nn.Module):
    """EfficientNet-lite0 of color pictures, read after stages 1, 2 and 4: 24, 40, 112 channels at /4, /8, /16."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        stages = network.blocks
        assert isinstance(stages, nn.Sequential)
        stem, norm = network.get_submodule("conv_stem"), network.get_submodule("bn1")
        self.parts = nn.ModuleList([nn.Sequential(stem, norm, *stages[:2]), stages[2], nn.Sequential(*stages[3:5])])

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """R'G'B' (n, 3, H, W) in [0, 1]."""
        maps = [2 * rgb - 1]
        for part in self.parts:
            maps.append(part(maps[-1]))
        return maps[1:]


def vgg19_features() -> VGG19Features:
    """VGG19 with torchvision's ImageNet weights, from its cache or the internet.

    Raises:
        InputError: the weights are not available.
    """
    models = importlib.import_module("torchvision.models")  # torchvision is not typed
    try:
        network = models.vgg19(weights=models.VGG19_Weights.IMAGENET1K_V1)
    except (OSError, RuntimeError) as error:
        raise InputError(
            "perceptual loss",
            f"VGG19's ImageNet weights are not available ({type(error).__name__})",
            "connect to the internet once, or choose another feature network in the recipe (lite0)",
        ) from error
    return freeze(VGG19Features(network.features))


def lite0_features() -> Lite0RGBFeatures:
    """EfficientNet-lite0 with the ImageNet weights that come with the extra ``train``."""
    from kinemacolor.model.features import lite0_weights, load_lite0

    return freeze(Lite0RGBFeatures(load_lite0(lite0_weights())))
