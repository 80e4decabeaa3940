"""XFeat (Potje et al., CVPR 2024): the part of it that computes dense descriptors, to be loaded with its weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class _Layer(nn.Module):
    """Convolution, normalization without parameters and ReLU."""

    def __init__(self, channels: int, out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(channels, out, size, stride, size // 2, bias=False)
        self.layer = nn.Sequential(conv, nn.BatchNorm2d(out, affine=False), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.layer(features)  # type: ignore[no-any-return]


class XFeat(nn.Module):
    """Descriptors of 64 channels at /8. Names of the layers are those of the published weights."""

    unused = ("heatmap_head.", "keypoint_head.", "fine_matcher.")
    """Beginnings of names of tensors in these weights that dense descriptors do not need."""

    def __init__(self) -> None:
        super().__init__()
        self.skip1 = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(1, 24, 1))
        self.block1 = nn.Sequential(_Layer(1, 4), _Layer(4, 8, stride=2), _Layer(8, 8), _Layer(8, 24, stride=2))
        self.block2 = nn.Sequential(_Layer(24, 24), _Layer(24, 24))
        self.block3 = nn.Sequential(_Layer(24, 64, stride=2), _Layer(64, 64), _Layer(64, 64, size=1))
        self.block4 = nn.Sequential(_Layer(64, 64, stride=2), _Layer(64, 64), _Layer(64, 64))
        self.block5 = nn.Sequential(
            _Layer(64, 128, stride=2), _Layer(128, 128), _Layer(128, 128), _Layer(128, 64, size=1)
        )
        self.block_fusion = nn.Sequential(_Layer(64, 64), _Layer(64, 64), nn.Conv2d(64, 64, 1))

    def forward(self, luminance: Tensor) -> Tensor:
        """Luminance (n, 1, H, W) in any unit, H and W multiples of 32 → (n, 64, H/8, W/8)."""
        image = functional.instance_norm(luminance)
        quarter = self.block2(self.block1(image) + self.skip1(image))
        eighth = self.block3(quarter)
        sixteenth = self.block4(eighth)
        levels = (sixteenth, self.block5(sixteenth))
        for level in levels:
            eighth = eighth + functional.interpolate(level, size=eighth.shape[2:], mode="bilinear")
        return self.block_fusion(eighth)  # type: ignore[no-any-return]
