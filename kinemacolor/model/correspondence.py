"""The correspondence subnet (figure 3(a)): features, their augmentation, the double head, and equations 1 to 3."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.bank import Features, entries
from kinemacolor.model.blocks import CNNTransformerBlock, ResidualBlock, convolution, to_tokens
from kinemacolor.model.config import FEATURE_STRIDE, NetworkConfig
from kinemacolor.model.features import Taps


def centered_unit(features: Tensor, weight: Tensor) -> Tensor:
    """The factors of equation 1: (F(i) − μ_F) / ‖F(i) − μ_F‖.

    Args:
        features: F (B, T, C).
        weight: (B, T), 1 where a position counts toward the mean μ_F, 0 where it is padding or masked.

    Returns:
        (B, T, C), rows of length 1.
    """
    share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1)
    mean = (share.unsqueeze(1) @ features).detach()
    return functional.normalize(features - mean, dim=2)


def match(query: Tensor, keys: Tensor, ab: Tensor, valid: Tensor | None, tau: float) -> tuple[Tensor, Tensor]:
    """Equations 1 to 3 over a bank of K entries.

    Args:
        query: centered unit features of the frames (B, T, C).
        keys: centered unit features of one bank (K, C), or of a bank for each item of the batch (B, K, C).
        ab: colors of the bank (K, 2) or (B, K, 2).
        valid: (K,) or (B, K), 1 for entries that may be matched, 0 for padding and masked areas; None where all may.
        tau: temperature τ of the softmax.

    Returns:
        warped colors W (B, T, 2) and similarity S = max_j M(i, j), (B, T), over valid entries.
    """
    # The mask is one more channel and τ divides the query, so that the T × K matrix is written only once.
    if valid is not None:  # cosines span 2: lowered by 4, a masked entry is never chosen
        query = torch.cat([query, torch.ones_like(query[..., :1])], dim=2)
        keys = torch.cat([keys, 4 * (valid - 1).unsqueeze(-1)], dim=-1)
    logits = (query / tau) @ keys.transpose(-1, -2)
    return torch.softmax(logits, dim=-1) @ ab, logits.amax(dim=-1) * tau


def unit_keys(maps: list[Tensor], weight: Tensor) -> Tensor:
    """Keys of the images of a block, in full precision: the factors of equation 1, head after head.

    Args:
        maps: F_k of each head (B, F, C, h, w).
        weight: (B, F, 1, h, w), 1 for cells that count toward μ, which is the mean over all F images.

    Returns:
        (B, F, heads · C, h, w), of unit length in each head.
    """
    grid = (weight.shape[1], *weight.shape[3:])
    share = weight.flatten(1)
    with torch.autocast(weight.device.type, enabled=False):
        heads = [centered_unit(entries(features.to(weight.dtype)), share) for features in maps]
        return torch.unflatten(torch.cat(heads, dim=2), 1, grid).movedim(4, 2)


def match_heads(
    queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None, tau: float, strides: Sequence[int]
) -> tuple[list[Tensor], list[Tensor]]:
    """Equations 1 to 3 for each head, in full precision.

    Args:
        queries: keys of the frames (B, N, heads · C, h, w).
        keys: of the bank (B, K, heads · C).
        values: (B, K, v) to be sampled: colors, and further channels of the entries.
        valid: (B, K), 1 for entries that may be matched; None where all may.
        tau: temperature.
        strides: of each head, side in cells of the squares that are matched: above 1, by the mean of their keys.

    Returns:
        for each head the sampled values (B, N, v, h / stride, w / stride) and S (B, N, 1, h / stride, w / stride).
    """
    sampled, similarity = [], []
    count = len(strides)
    with torch.autocast(keys.device.type, enabled=False):
        for head, head_keys, stride in zip(queries.chunk(count, dim=2), keys.chunk(count, dim=2), strides, strict=True):
            if stride > 1:
                pooled = functional.avg_pool2d(head.flatten(0, 1), stride)
                head = torch.unflatten(functional.normalize(pooled, dim=1), 0, queries.shape[:2])
            grid = (head.shape[1], *head.shape[3:])
            warped, best = match(entries(head), head_keys, values, valid, tau)
            sampled.append(torch.unflatten(warped, 1, grid).movedim(4, 2))
            similarity.append(torch.unflatten(best, 1, grid).unsqueeze(2))
    return sampled, similarity


class CorrespondenceSubnet(nn.Module):
    """Figure 3(a) up to the keys F_k.

    Tensors have an axis of F images: N frames, R references, or both.
    """

    def __init__(self, config: NetworkConfig, low_channels: tuple[int, int], high_channels: tuple[int, int]) -> None:
        super().__init__()
        self.count, key = config.heads, config.key_channels
        self.learned = config.learned_keys
        if config.learned_keys:
            self._make_learned(config, low_channels, high_channels)
        if config.tap_shortcut:
            descriptors = (config.descriptor_channels,) if config.descriptor_channels else ()
            self.tap_channels = (low_channels[1], *high_channels, *descriptors)
            self.shortcut = nn.ModuleList(
                nn.Conv2d(channels, config.heads * key, 1, bias=False) for channels in self.tap_channels
            )
            self.start_from_basis(random_basis(sum(self.tap_channels), config.heads * key))

    def _make_learned(
        self, config: NetworkConfig, low_channels: tuple[int, int], high_channels: tuple[int, int]
    ) -> None:
        """Makes the layers between the taps and the heads."""
        norm, width, key = config.normalization, config.feature_channels, config.key_channels
        self.factor = config.token_stride // FEATURE_STRIDE
        self.low_half = convolution(low_channels[0], key // 2, norm, stride=2)
        self.low_quarter = convolution(low_channels[1], key // 2, norm, size=1)
        self.high = convolution(sum(high_channels), width, norm, size=1)
        transformer = None
        if config.transformer:
            transformer = (config.token_channels, config.ffn_channels, config.correspondence_heads)
            self.embed = nn.Linear(width, config.token_channels)
        self.blocks = nn.ModuleList(
            CNNTransformerBlock(
                width, config.dilations, norm, transformer, self.factor, parallel=config.coupling == "parallel"
            )
            for _ in range(config.blocks)
        )
        self.to_quarter = nn.Conv2d(width, key, 1)
        self.residual = nn.Sequential(
            *(ResidualBlock(2 * key, config.residual_channels, norm) for _ in range(config.residual_blocks))
        )
        self.heads = nn.ModuleList(nn.Conv2d(2 * key, key, 1) for _ in range(config.heads))
        self.fixed_alpha = config.alpha
        if config.augmented_head and config.augmented_mix == "added":
            self.alpha = nn.Parameter(torch.tensor(config.alpha))

    def start_from_basis(self, basis: Tensor, learned: float = 0.1) -> None:
        """Sets the heads to the projection of the normalized taps by ``basis`` (taps' channels, heads · key channels).

        Matching starts as that of the taps themselves; the learned part of the heads is scaled by ``learned``.
        """
        with torch.no_grad():
            for layer, part in zip(self.shortcut, torch.split(basis, list(self.tap_channels)), strict=True):
                assert isinstance(layer, nn.Conv2d)
                layer.weight.copy_(part.T[:, :, None, None])
            if not self.learned:
                return
            for head in self.heads:
                for parameter in head.parameters():
                    parameter.mul_(learned)
            if hasattr(self, "alpha"):
                self.alpha.mul_(learned)

    def reduce(self, taps: Taps, batch: int) -> Features:
        """Activation maps of B · F images → the features from which equation 4 starts."""
        high = low = None
        if self.learned:
            fine, coarse = taps.high
            upsampled = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
            high = self.high(torch.cat([fine, upsampled], dim=1))
            low = torch.cat([self.low_half(taps.low[0]), self.low_quarter(taps.low[1])], dim=1)
        direct = self._direct(taps) if hasattr(self, "shortcut") else None
        return Features(
            *(None if part is None else torch.unflatten(part, 0, (batch, -1)) for part in (high, low, direct))
        )

    def _direct(self, taps: Taps) -> Tensor:
        """Sum over the taps, each normalized and upsampled to /4: (n, heads · key channels, H/4, W/4)."""
        fine, *others = (
            layer(functional.normalize(tap, dim=1)) for layer, tap in zip(self.shortcut, taps.of_heads, strict=True)
        )
        for part in others[: len(taps.high)]:
            fine = fine + functional.interpolate(part, size=fine.shape[2:], mode="bilinear", align_corners=False)
        return fine if taps.descriptors is None else fine + others[-1]  # type: ignore[no-any-return]

    def tokens(self, high: Tensor) -> Tensor:
        """R_high (B, F, C, h, w) as tokens (B, F · h/f · w/f, d), f the side of a token in cells."""
        return self.embed(to_tokens(high.flatten(0, 1), high.shape[0], self.factor))  # type: ignore[no-any-return]

    def augment(
        self, high: Tensor, hidden: Tensor | None, positions: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The CNN-Transformer blocks.

        Args:
            high: R_high (B, F, C, h, w), input of the CNN branch.
            hidden: hi_t (B, T, d), input of the Transformer branch; None without it.
            positions: (T, d).
            mask: (B, 1, 1, T) or None, see ``CNNTransformerBlock``.

        Returns:
            R'_high (B, F, C, h, w) and ho_t (B, T, d).
        """
        features = high.flatten(0, 1)
        for block in self.blocks:
            features, hidden = block(features, hidden, positions, mask)
        return torch.unflatten(features, 0, high.shape[:2]), hidden

    def represent(self, augmented: Tensor | None, low: Tensor | None, direct: Tensor | None) -> list[Tensor]:
        """R'_high (B, F, C, h, w), R_low (B, F, c, 2h, 2w) and ``Features.direct`` → F_1 (vanilla) and F_2 (augmented),
        each (B, F, c, 2h, 2w), c the key channels; only F_1 without the augmented head."""
        parts = [] if augmented is None or low is None else [self._learned(augmented, low)]
        if direct is not None:
            parts.append(list(direct.chunk(self.count, dim=2)))
        keys: list[Tensor] = [sum(head[1:], start=head[0]) for head in zip(*parts, strict=True)]
        return keys

    def _learned(self, augmented: Tensor, low: Tensor) -> list[Tensor]:
        """The heads over R'."""
        # 1×1 before upsampling: the same map with a quarter of the operations
        reduced = self.to_quarter(augmented.flatten(0, 1))
        upsampled = functional.interpolate(reduced, scale_factor=2.0, mode="bilinear", align_corners=False)
        features = self.residual(torch.cat([upsampled, low.flatten(0, 1)], dim=1))  # R'
        keys = [head(features) for head in self.heads]
        if len(keys) == 2:
            own, alpha = keys[1], self.fixed_alpha
            learned = hasattr(self, "alpha")
            keys[1] = own + self.alpha * upsampled if learned else (1 - alpha) * own + alpha * upsampled
        return [torch.unflatten(key, 0, low.shape[:2]) for key in keys]


def random_basis(channels: int, width: int) -> Tensor:
    """A random projection (channels, width) that keeps cosines on average: orthonormal columns, or rows if wider."""
    return nn.init.orthogonal_(torch.empty(channels, width))
