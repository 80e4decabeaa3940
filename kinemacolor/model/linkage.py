"""The linkage subnet: information passed from block to block (equations 6 and 7). Its memory is a value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.model.blocks import CrossAttention


@dataclass(frozen=True, eq=False)
class LinkageMemory:
    """Information for the next block of a shot; its size is set by the shot's first block and does not change.

    Attributes:
        information: i_t (B, M, d).
        blocks: (), how many blocks it was made from; 0 means none yet, and its information is then ignored.
    """

    information: Tensor
    blocks: Tensor

    def detached(self) -> LinkageMemory:
        """The same values, through which no gradient flows back to earlier blocks."""
        return LinkageMemory(self.information.detach(), self.blocks)


def attend(query: Tensor, information: Tensor) -> Tensor:
    """softmax(q iᵀ / √d) i: query (B, T, d) and information (B, M, d) → (B, T, d)."""
    q, i = query.unsqueeze(1), information.unsqueeze(1)
    return functional.scaled_dot_product_attention(q, i, i).squeeze(1)


def query(high: Tensor, information: Tensor | None) -> Tensor:
    """Equation 6: hi_t = R_high + softmax(R_high iᵀ/√d) i, and hi_t = R_high for the first block.

    Args:
        high: R_high as tokens (B, T, d).
        information: i_{t−N} (B, M, d), or None for the first block.

    Returns:
        hi_t (B, T, d).
    """
    return high if information is None else high + attend(high, information)


def store(information: Tensor | None, hidden: Tensor) -> Tensor:
    """Equation 7: i_t = i_{t−N} + softmax(i_{t−N} hoᵀ/√d) ho, and i_t = ho_t for the first block.

    Args:
        information: i_{t−N} (B, M, d), or None for the first block.
        hidden: ho_t (B, T, d).

    Returns:
        i_t (B, M, d), or (B, T, d) for the first block.
    """
    return hidden if information is None else information + attend(information, hidden)


class ResidualLinear(nn.Module):
    """x + W x + b, which starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, d) → the same shape."""
        return tokens + self.linear(tokens)  # type: ignore[no-any-return]


class LinkageLayer(nn.Module):
    """Attention to other tokens and a feed-forward network of two linear layers, in residual form, each with LayerNorm.

    x' = LN(x + MHA(x, i)), then LN(x' + FFN(x')): equations 6 and 7, "together with residual linear layers".

    Args:
        channels: d.
        hidden: width of the feed-forward network.
        heads: of the attention.
    """

    def __init__(self, channels: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.attention = CrossAttention(channels, heads)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, information: Tensor) -> Tensor:
        """Tokens (B, T, d) and information (B, M, d) → (B, T, d)."""
        tokens = self.norm1(tokens + self.attention(tokens, information))
        return self.norm2(tokens + self.linear2(functional.relu(self.linear1(tokens))))  # type: ignore[no-any-return]


class AttentionLinkage(nn.Module):
    """The box between frame blocks in figure 2, as the released network has it: a layer for the query, one for storage.

    A shot's first block has hi = R_high and i = ho as they are. LayerNorm keeps i of one size in a film of any length.

    Args:
        channels: d.
        hidden: width of the feed-forward networks.
        heads: of multi-head attention.
    """

    def __init__(self, channels: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.query_layer = LinkageLayer(channels, hidden, heads)
        self.storage_layer = LinkageLayer(channels, hidden, heads)

    def query(self, high: Tensor, memory: LinkageMemory | None) -> Tensor:
        """Equation 6: R_high (B, T, d) and the memory before the block → hi_t (B, T, d)."""
        if memory is None:
            return high
        return torch.where(memory.blocks > 0, self.query_layer(high, memory.information), high)

    def store(self, memory: LinkageMemory | None, hidden: Tensor) -> LinkageMemory:
        """Equation 7: the memory before the block and ho_t (B, T, d) → the memory after it."""
        if memory is None:
            return LinkageMemory(hidden, hidden.new_ones(()))
        later = self.storage_layer(memory.information, hidden)
        first = fitted(hidden, memory.information.shape[1])
        return LinkageMemory(torch.where(memory.blocks > 0, later, first), memory.blocks + 1)


def fitted(tokens: Tensor, size: int) -> Tensor:
    """(B, T, d) → (B, size, d): the first tokens, or the last one again and again."""
    return tokens[:, torch.arange(size, device=tokens.device).clamp(max=tokens.shape[1] - 1)]


class LinkageSubnet(nn.Module):
    """The box between frame blocks in figure 2 with equations 6 and 7 alone: query before the Transformer branch,
    storage after it.

    The residual linear layers stand where tokens enter (R_high, ho_t) and where hi_t leaves, never on i_t itself, so
    that stored information is not multiplied again in every block of a film.

    Args:
        channels: d.
        mean: whether i is divided by the number of blocks it sums over when it is read.
    """

    def __init__(self, channels: int, *, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.ask = ResidualLinear(channels)
        self.answer = ResidualLinear(channels)
        self.keep = ResidualLinear(channels)

    def query(self, high: Tensor, memory: LinkageMemory | None) -> Tensor:
        """R_high (B, T, d) and the memory before the block → hi_t (B, T, d)."""
        high = self.ask(high)
        if memory is not None:
            high = torch.where(memory.blocks > 0, query(high, self._read(memory)), high)
        return self.answer(high)  # type: ignore[no-any-return]

    def store(self, memory: LinkageMemory | None, hidden: Tensor) -> LinkageMemory:
        """The memory before the block and ho_t (B, T, d) → the memory after it."""
        projected = self.keep(hidden)
        if memory is None:
            return LinkageMemory(store(None, projected), projected.new_ones(()))
        information = memory.information
        later = information + attend(self._read(memory), projected)
        first = fitted(projected, information.shape[1])
        return LinkageMemory(torch.where(memory.blocks > 0, later, first), memory.blocks + 1)

    def _read(self, memory: LinkageMemory) -> Tensor:
        return memory.information / memory.blocks.clamp(min=1) if self.mean else memory.information
