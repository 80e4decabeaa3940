"""GMFlow (Xu et al., CVPR 2022): its CNN and its Transformer at the coarse scale, to be loaded with its weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 128
LAYERS = 6
WINDOWS = 2
"""Windows of the attention along each side of a picture."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _ResidualBlock(nn.Module):
    """Two 3×3 convolutions with instance normalization, added to what came in."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.downsample: nn.Sequential | None = None
        if stride > 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.InstanceNorm2d(out))

    def forward(self, features: Tensor) -> Tensor:
        branch = functional.relu(functional.instance_norm(self.conv1(features)))
        branch = functional.relu(functional.instance_norm(self.conv2(branch)))
        return functional.relu(branch + (features if self.downsample is None else self.downsample(features)))


class _SharedConvolution(nn.Module):
    """One 3×3 convolution with several strides."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(CHANNELS, CHANNELS, 3, 3))

    def forward(self, features: Tensor, stride: int) -> Tensor:
        return functional.conv2d(features, self.weight, stride=stride, padding=1)


class _Encoder(nn.Module):
    """Pictures (n, 3, H, W) → features (n, 128, H/4, W/4) before the shared convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.layer1 = nn.Sequential(_ResidualBlock(64, 64, 1), _ResidualBlock(64, 64, 1))
        self.layer2 = nn.Sequential(_ResidualBlock(64, 96, 2), _ResidualBlock(96, 96, 1))
        self.layer3 = nn.Sequential(_ResidualBlock(96, CHANNELS, 1), _ResidualBlock(CHANNELS, CHANNELS, 1))
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.trident_conv = _SharedConvolution()

    def forward(self, pictures: Tensor) -> Tensor:
        features = functional.relu(functional.instance_norm(self.conv1(pictures)))
        return self.conv2(self.layer3(self.layer2(self.layer1(features))))  # type: ignore[no-any-return]


class _Attention(nn.Module):
    """Attention of a single head, and a feed-forward network after attention to the other picture."""

    def __init__(self, *, feed_forward: bool) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.merge = (
            nn.Linear(CHANNELS, CHANNELS, bias=False) for _ in range(4)
        )
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.mlp: nn.Sequential | None = None
        if feed_forward:
            wide = 8 * CHANNELS
            self.mlp = nn.Sequential(
                nn.Linear(2 * CHANNELS, wide, bias=False), nn.GELU(), nn.Linear(wide, CHANNELS, bias=False)
            )
            self.norm2 = nn.LayerNorm(CHANNELS)

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor | None, shift: tuple[int, int]) -> Tensor:
        """Tokens (n, h, w, C) and those they attend to → tokens; windows are moved by ``shift``."""
        height, width = tokens.shape[1:3]
        queries, keys, values = (
            _windows(torch.roll(part, (-shift[0], -shift[1]), (1, 2)))
            for part in (self.q_proj(tokens), self.k_proj(others), self.v_proj(others))
        )
        if mask is not None:
            mask = mask.repeat(len(tokens), 1, 1)
        message = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        message = torch.roll(_whole(message, height, width), shift, (1, 2))
        message = self.norm1(self.merge(message))
        if self.mlp is not None:
            message = self.norm2(self.mlp(torch.cat([tokens, message], dim=3)))
        return tokens + message  # type: ignore[no-any-return]


class _TransformerBlock(nn.Module):
    """Attention within a picture, then to the other one."""

    def __init__(self) -> None:
        super().__init__()
        self.self_attn, self.cross_attn_ffn = _Attention(feed_forward=False), _Attention(feed_forward=True)

    def forward(self, tokens: Tensor, others: Tensor, mask: Tensor | None, shift: tuple[int, int]) -> Tensor:
        tokens = self.self_attn(tokens, tokens, mask, shift)
        return self.cross_attn_ffn(tokens, others, mask, shift)  # type: ignore[no-any-return]


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TransformerBlock() for _ in range(LAYERS))

    def forward(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """Features of pairs of pictures (n, C, h, w), h and w even → the same, each having seen the other."""
        height, width = frames.shape[2:]
        shift = (height // WINDOWS // 2, width // WINDOWS // 2)
        mask = _shifted_window_mask(height, width, shift, frames.device)
        tokens = torch.cat([frames, references]).movedim(1, 3)
        for number, layer in enumerate(self.layers):
            others = torch.cat(tokens.chunk(2)[::-1])
            tokens = layer(tokens, others, mask, shift) if number % 2 else layer(tokens, others, None, (0, 0))
        first, second = tokens.movedim(3, 1).chunk(2)
        return first, second


class GMFlow(nn.Module):
    """Names of the layers are those of the published weights."""

    unused = ("feature_flow_attn.", "upsampler.")
    """Beginnings of names of tensors in these weights that features do not need."""
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Encoder()
        self.transformer = _Transformer()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1), persistent=False)

    def features(self, luminance: Tensor, stride: int) -> Tensor:
        """Luminance (n, 1, H, W) in [-1, 1] → (n, 128, H/stride, W/stride), stride 4 or 8, of the CNN alone."""
        pictures = (luminance / 2 + 0.5 - self.mean) / self.deviation
        return self.backbone.trident_conv(self.backbone(pictures), stride // 4)  # type: ignore[no-any-return]

    def pair_features(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of luminance (n, 1, H, W), H and W multiples of 16 → (n, 128, H/8, W/8) of each, having seen the
        other."""
        first, second = self.features(torch.cat([frames, references]), 8).chunk(2)
        positions = _positions(first.shape[2] // WINDOWS, first.shape[3] // WINDOWS, first.device)
        positions = positions.repeat(1, 1, WINDOWS, WINDOWS)
        return self.transformer(first + positions, second + positions)  # type: ignore[no-any-return]


# --- windows --------------------


def _windows(maps: Tensor) -> Tensor:
    """(n, h, w, C) → (n · windows, h/2 · w/2, C)."""
    count, height, width, channels = maps.shape
    split = maps.reshape(count, WINDOWS, height // WINDOWS, WINDOWS, width // WINDOWS, channels)
    return split.transpose(2, 3).reshape(count * WINDOWS**2, -1, channels)


def _whole(windows: Tensor, height: int, width: int) -> Tensor:
    """The inverse of ``_windows``."""
    split = windows.reshape(-1, WINDOWS, WINDOWS, height // WINDOWS, width // WINDOWS, windows.shape[2])
    return split.transpose(2, 3).reshape(-1, height, width, windows.shape[2])


def _shifted_window_mask(height: int, width: int, shift: tuple[int, int], device: torch.device) -> Tensor:
    """(windows, T, T), −100 between cells of moved windows that do not touch in the picture."""
    areas = torch.zeros(1, height, width, 1, device=device)
    sides = [(0, size - size // WINDOWS, size - step, size) for size, step in ((height, shift[0]), (width, shift[1]))]
    for row in range(3):
        for column in range(3):
            rows, columns = (slice(side[k], side[k + 1]) for side, k in zip(sides, (row, column), strict=True))
            areas[:, rows, columns] = 3 * row + column
    marks = _windows(areas)[..., 0]
    return (marks[:, None] != marks[:, :, None]).float() * -100


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    """Sine positions (1, 128, height, width): 64 channels for y, then 64 for x."""
    half = CHANNELS // 2
    period = 10000 ** (2 * torch.div(torch.arange(half, device=device), 2, rounding_mode="floor") / half)
    axes = []
    for count in (height, width):
        angles = torch.arange(1, count + 1, device=device)[:, None] / (count + 1e-6) * (2 * math.pi) / period
        axes.append(torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=2).flatten(1))
    y = axes[0][:, None].expand(-1, width, -1)
    x = axes[1][None].expand(height, -1, -1)
    return torch.cat([y, x], dim=2).movedim(2, 0)[None]
