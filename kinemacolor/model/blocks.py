"""Building blocks of the subnets: convolutions, residual block, Transformer layer, CNN-Transformer block."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn, unflatten
from torch.nn import functional


def normalization(kind: str, channels: int) -> nn.Module:
    """The layer after a convolution: ``instance`` (the paper's), ``group``, ``batch`` or ``none``."""
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if kind == "group":
        return nn.GroupNorm(max(g for g in (8, 4, 2, 1) if channels % g == 0), channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.Identity()


def convolution(
    channels: int, out: int, norm: str, *, size: int = 3, stride: int = 1, dilation: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, normalization and (if ``active``) ReLU: (n, channels, h, w) → (n, out, h / stride, w / stride)."""
    padding = dilation * (size // 2)
    bias = norm == "none"  # a normalization removes a bias, or has its own
    layers = [nn.Conv2d(channels, out, size, stride, padding, dilation, bias=bias), normalization(norm, out)]
    return nn.Sequential(*layers, nn.ReLU()) if active else nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """x + two 3×3 convolutions of x: (n, C, h, w) → the same."""

    def __init__(self, channels: int, inner: int, norm: str) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(channels, inner, norm), convolution(inner, channels, norm, active=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, C, h, w) → the same shape."""
        branch: Tensor = self.branch(features)
        return functional.relu(features + branch)


class Attention(nn.Module):
    """Multi-head self-attention; positions are added to queries and keys only.

    The weights are those of ``nn.MultiheadAttention``, named ``in_proj`` (3d, d) and ``out_proj`` (d, d).
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(channels, 3 * channels)
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens (B, T, d), positions (T, d) and mask (B, 1, 1, T), added to the
        logits (very negative where a token must not be seen) → (B, T, d)."""
        channels = tokens.shape[2]
        weight, bias = self.in_proj.weight, self.in_proj.bias
        positioned = functional.linear(tokens + positions, weight[: 2 * channels], bias[: 2 * channels])
        values = functional.linear(tokens, weight[2 * channels :], bias[2 * channels :])
        # (B, T, d) → (B, heads, T, d / heads)
        query, key, value = (
            unflatten(part, 2, (self.heads, -1)).transpose(1, 2) for part in (*positioned.chunk(2, dim=2), values)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Multi-head attention from tokens to other tokens, without positions; weights as in ``Attention``."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(channels, 3 * channels)
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)

    def forward(self, tokens: Tensor, information: Tensor) -> Tensor:
        """Tokens (B, T, d) attend to information (B, M, d) → (B, T, d)."""
        parts = zip(self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3), strict=True)
        sources = (tokens, information, information)
        # (B, T, d) → (B, heads, T, d / heads)
        query, key, value = (
            unflatten(functional.linear(source, weight, bias), 2, (self.heads, -1)).transpose(1, 2)
            for source, (weight, bias) in zip(sources, parts, strict=True)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class TransformerLayer(nn.Module):
    """Pre-norm attention and a feed-forward network of two linear layers, both in residual form."""

    def __init__(self, channels: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.self_attn = Attention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens (B, T, d), positions (T, d), mask (B, 1, 1, T) or None → (B, T, d)."""
        tokens = tokens + self.self_attn(self.norm1(tokens), positions, mask)
        return tokens + self.linear2(functional.relu(self.linear1(self.norm2(tokens))))  # type: ignore[no-any-return]


def to_tokens(maps: Tensor, batch: int, factor: int) -> Tensor:
    """Maps (B · F, C, h, w) → tokens (B, F · h/f · w/f, C), each the mean of f × f cells."""
    if factor > 1:
        maps = functional.avg_pool2d(maps, factor)
    # (B·F, C, h', w') → (B·F, h'·w', C) → (B, F·h'·w', C)
    return maps.flatten(2).transpose(1, 2).reshape(batch, -1, maps.shape[1])


def to_maps(tokens: Tensor, like: Tensor, factor: int) -> Tensor:
    """Tokens (B, F · h/f · w/f, d) → maps (B · F, d, h, w), frames, h and w those of ``like``."""
    count, _, height, width = like.shape
    grid = (height // factor, width // factor)
    # (B, F·h'·w', d) → (B·F, h', w', d) → (B·F, d, h', w')
    maps = tokens.reshape(count, *grid, tokens.shape[2]).permute(0, 3, 1, 2)
    if factor > 1:
        maps = functional.interpolate(maps, scale_factor=float(factor), mode="bilinear", align_corners=False)
    return maps


class CNNTransformerBlock(nn.Module):
    """Figure 3(b): a CNN branch and a Transformer branch in parallel, each fed to the other.

    Args:
        channels: C of the CNN branch.
        dilations: of its 3×3 convolutions.
        norm: normalization after its convolutions.
        transformer: d, hidden width and heads of the Transformer branch; None for a CNN branch only.
        factor: side of a token in cells.
        parallel: whether the Transformer branch gets the block's input, so that the branches run side by side; else it
            gets what the CNN branch makes of it.
    """

    def __init__(
        self,
        channels: int,
        dilations: Sequence[int],
        norm: str,
        transformer: tuple[int, int, int] | None,
        factor: int = 1,
        *,
        parallel: bool = False,
    ) -> None:
        super().__init__()
        self.factor, self.parallel = factor, parallel
        self.cnn = nn.Sequential(*(convolution(channels, channels, norm, dilation=d) for d in dilations))
        if transformer:
            width, hidden, heads = transformer
            couple = nn.Linear(width + channels, width)
            nn.init.eye_(couple.weight[:, :width])  # tokens pass unchanged, and the CNN's features are added
            # Normalized, as in Conformer: else ho_t contains i_{t−N} whole, and equation 7 doubles it in every block.
            self.to_transformer = nn.Sequential(couple, nn.LayerNorm(width))
            self.transformer = TransformerLayer(width, hidden, heads)
            self.to_cnn = nn.Conv2d(channels + width, channels, 1)

    def forward(
        self, features: Tensor, tokens: Tensor | None, positions: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Runs both branches.

        Args:
            features: of the CNN branch (B · F, C, h, w); h and w multiples of ``factor``.
            tokens: of the Transformer branch (B, T, d), T = F · h/f · w/f; None without that branch.
            positions: (T, d).
            mask: (B, 1, 1, T), very negative where a token must not be seen by others, else 0; or None.

        Returns:
            features and tokens of the same shapes.
        """
        local: Tensor = self.cnn(features)  # texture and structure
        if tokens is None or positions is None:
            return features + local, None
        supplement = to_tokens(features if self.parallel else local, tokens.shape[0], self.factor)
        tokens = self.transformer(self.to_transformer(cat([tokens, supplement], dim=2)), positions, mask)
        distant = to_maps(tokens, local, self.factor)  # long-term dependency
        return features + self.to_cnn(cat([local, distant], dim=1)), tokens
