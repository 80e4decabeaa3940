"""The colorization subnet (figure 3, equation 5): an encoder-decoder that corrects and completes the warped colors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.blocks import CNNTransformerBlock, convolution
from kinemacolor.model.config import FEATURE_STRIDE, NetworkConfig

SHARPNESS = 20.0
"""Initial weight of similarities in the gate: a cosine difference of 0.05 is one unit of the softmax."""
PROPAGATED_MARGIN = 0.15
"""Initially s_P may be this much below the best match before the match is preferred (cosine)."""
COARSE_HEAD_MARGIN = -0.15
"""The same for the match of the second, coarse head, which initially counts only where the first head fails."""
GRAY_MARGIN = 0.1
"""Initially gray is preferred to a color whose similarity is below this."""

SPREAD_FLOOR = 1e-4
"""Added to the variance of colors, in squared Lab units: the root of 0 has no gradient."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """A candidate color for each pixel of a block, taken from a reference, and how well it fits.

    Attributes:
        ab: (B, N, 2, H, W), a* and b*.
        similarity: (B, N, 1, H, W), cosine in [-1, 1].
        spread: (B, N, 1, H, W), how far the colors differ whose mean ``ab`` is, see ``color_spread``; None where that
            is no input.
    """

    ab: Tensor
    similarity: Tensor
    spread: Tensor | None = field(default=None, kw_only=True)


@dataclass(frozen=True, eq=False)
class Propagated(Candidates):
    """Colors propagated from a reference along the optical flow: P^ab and s_P, which is −1 where there are none.

    Attributes:
        consistency: (B, N, 1, H, W) in [0, 1], 1 where the frame is as light as the point its color comes from.
    """

    consistency: Tensor

    @classmethod
    def nothing(cls, luminance: Tensor) -> Propagated:
        """For frames (B, N, 1, H, W) without propagated colors: ab 0, similarity −1, consistency 0."""
        empty = torch.zeros_like(luminance)
        return cls(torch.cat([empty, empty], dim=2), empty - 1, empty, spread=empty)

    def map_each(self, function: Callable[[Tensor], Tensor]) -> Propagated:
        """The same with a function applied to each of the maps."""
        spread = None if self.spread is None else function(self.spread)
        return Propagated(*map(function, (self.ab, self.similarity, self.consistency)), spread=spread)


def color_spread(mean: Tensor, mean_square: Tensor) -> Tensor:
    """How far colors differ: √(E|ab|² − |E ab|²), in Lab units.

    Args:
        mean: E ab (B, N, 2, H, W).
        mean_square: E|ab|² (B, N, 1, H, W).

    Returns:
        (B, N, 1, H, W).
    """
    variance = mean_square - mean.square().sum(dim=2, keepdim=True)
    return (variance.clamp_min(0) + SPREAD_FLOOR).sqrt()


class Colors(NamedTuple):
    """Result of the colorization subnet for a block.

    Attributes:
        ab: a*, b* (B, N, 2, H, W).
        logits: of the gate's softmax over the K candidates (B, N, K, H, W): W_1, W_2, P and gray, those there are; None
            where the output is tanh.
        candidates: a* and b* of the K candidates (B, N, K, 2, H, W); None where the output is tanh.
    """

    ab: Tensor
    logits: Tensor | None
    candidates: Tensor | None


class EncoderBlock(nn.Module):
    """A convolution, whose output is the skip connection, and one of stride 2."""

    def __init__(self, channels: int, skip: int, out: int, norm: str) -> None:
        super().__init__()
        self.same = convolution(channels, skip, norm)
        self.down = convolution(skip, out, norm, stride=2)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C, h, w) → skip (n, skip, h, w) and (n, out, h/2, w/2)."""
        skip = self.same(features)
        return skip, self.down(skip)


class DecoderBlock(nn.Module):
    """A convolution, upsampling ×2, the skip connection, and one more convolution."""

    def __init__(self, channels: int, skip: int, norm: str) -> None:
        super().__init__()
        self.narrow = convolution(channels, skip, norm)
        self.merge = convolution(2 * skip, skip, norm)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(n, C, h, w) and skip (n, skip, 2h, 2w) → (n, skip, 2h, 2w)."""
        finer = functional.interpolate(self.narrow(features), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.merge(torch.cat([finer, skip], dim=1))  # type: ignore[no-any-return]


class ColorizationSubnet(nn.Module):
    """Equation 5: B̃^ab = C(W_1 ⊕ S_1 ⊕ W_2 ⊕ S_2 ⊕ B^l ⊕ y^lab, ho_t); with propagation ⊕ P^ab ⊕ s_P ⊕ consistency."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.scale = config.ab_scale
        norm, width, fine = config.normalization, config.feature_channels, config.encoder_channels
        self.candidates = config.heads + int(config.propagation)
        self.color_spread = config.color_spread
        channels = 4 if config.color_spread else 3
        self.inputs = 1 + channels * self.candidates + int(config.propagation)
        self.inputs += 3 * int(config.reference_image and not config.reference_frame)
        transformer = None
        if config.transformer:
            transformer = (config.token_channels, config.ffn_channels, config.colorization_heads)
        below = (*fine[1:], width)
        above = (self.inputs, *fine[1:])
        self.encoder = nn.ModuleList(
            EncoderBlock(channels, skip, out, norm) for channels, skip, out in zip(above, fine, below, strict=True)
        )
        factor = config.token_stride // FEATURE_STRIDE
        self.blocks = nn.ModuleList(
            CNNTransformerBlock(
                width, config.dilations, norm, transformer, factor, parallel=config.coupling == "parallel"
            )
            for _ in range(config.blocks)
        )
        self.decoder = nn.ModuleList(
            DecoderBlock(channels, skip, norm) for channels, skip in reversed(list(zip(below, fine, strict=True)))
        )
        self.gated, self.neutral = config.output == "gated", config.neutral
        choices = self.candidates + int(config.neutral)
        self.last = nn.Conv2d(fine[0], 2 + choices if self.gated else 2, 1)
        if self.gated:
            margins = torch.zeros(choices)
            margins[1 : config.heads] = COARSE_HEAD_MARGIN
            if config.propagation:
                margins[config.heads] = PROPAGATED_MARGIN
            if config.neutral:
                margins[-1] = GRAY_MARGIN
            self.margins = nn.Parameter(margins)
            self.sharpness = nn.Parameter(torch.ones(()))  # in units of SHARPNESS
            with torch.no_grad():  # initially the gate decides alone
                self.last.weight.mul_(0.01)
                self.last.bias.zero_()  # type: ignore[union-attr]

    def forward(
        self,
        luminance: Tensor,
        candidates: list[Candidates],
        reference: Tensor | None,
        hidden: Tensor | None,
        positions: Tensor | None,
        mask: Tensor | None = None,
    ) -> Colors:
        """Colors a block.

        Args:
            luminance: B^l (B, N, 1, H, W) in [-1, 1], H and W multiples of the network's stride.
            candidates: (W_1, S_1), (W_2, S_2) and, with propagation, P.
            reference: y^lab (B, N, 3, H, W): luminance in [-1, 1], a*, b*; None where it is no input.
            hidden: ho_t (B, T, d) of the frames; None without the Transformer branch.
            positions: (T, d).
            mask: (B, 1, 1, T), see ``CNNTransformerBlock``.
        """
        skips = []
        features = self._inputs(luminance, candidates, reference).flatten(0, 1)
        for encoder in self.encoder:
            skip, features = encoder(features)
            skips.append(skip)
        for block in self.blocks:
            features, hidden = block(features, hidden, positions, mask)
        for decoder, skip in zip(self.decoder, reversed(skips), strict=True):
            features = decoder(features, skip)
        last = torch.unflatten(self.last(features), 0, luminance.shape[:2]).to(luminance.dtype)
        return self._gate(last, candidates) if self.gated else Colors(torch.tanh(last) * self.scale, None, None)

    def _inputs(self, luminance: Tensor, candidates: list[Candidates], reference: Tensor | None) -> Tensor:
        """The inputs of equation 5, concatenated: (B, N, inputs, H, W)."""
        parts = []
        for candidate in candidates:
            parts += [candidate.ab / self.scale, candidate.similarity]
            if isinstance(candidate, Propagated):
                parts.append(candidate.consistency)
            if self.color_spread and candidate.spread is not None:
                parts.append(candidate.spread / self.scale)
        parts.append(luminance)
        if reference is not None:
            parts += [reference[:, :, :1], reference[:, :, 1:] / self.scale]
        return torch.cat(parts, dim=2)

    def _gate(self, last: Tensor, candidates: list[Candidates]) -> Colors:
        """Softmax over the K candidates at each pixel, and a residual, from the last map (B, N, 2 + K, H, W)."""
        residual, votes = last[:, :, :2], last[:, :, 2:]
        if self.neutral:
            similarity = torch.zeros_like(candidates[0].similarity)
            candidates = [*candidates, Candidates(torch.zeros_like(candidates[0].ab), similarity)]
        support = torch.cat([candidate.similarity for candidate in candidates], dim=2)
        trust = SHARPNESS * self.sharpness * (support + self.margins.view(1, 1, -1, 1, 1))
        logits = votes + trust
        ab = _mix(logits, [candidate.ab for candidate in candidates]) + residual * self.scale
        return Colors(ab, logits, torch.stack([candidate.ab for candidate in candidates], dim=2))


def _mix(logits: Tensor, colors: list[Tensor]) -> Tensor:
    """Σ_k softmax(logits)_k colors_k: (B, N, K, H, W) and K times (B, N, 2, H, W) → (B, N, 2, H, W).

    Written out map by map: runtimes take longer for a softmax over an axis of length three than for this arithmetic.
    """
    highest = logits[:, :, :1]
    for k in range(1, len(colors)):
        highest = torch.maximum(highest, logits[:, :, k : k + 1])
    weights = [(logits[:, :, k : k + 1] - highest.detach()).exp() for k in range(len(colors))]
    mixed, total = weights[0] * colors[0], weights[0]
    for weight, color in zip(weights[1:], colors[1:], strict=True):
        mixed, total = mixed + weight * color, total + weight
    return mixed / total
