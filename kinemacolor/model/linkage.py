"""The linkage subnet: information carried from block to block (equations 6 and 7). The memory itself is a value."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, eq=False)
class Memory:
    """What a block leaves for the next one of its shot; its size is that of the shot's first block for good.

    Attributes:
        information: i_t (B, M, d).
        blocks: (), how many blocks it comes from; 0 stands for "none yet": its information then counts for nothing.
    """

    information: Tensor
    blocks: Tensor

    def detached(self) -> Memory:
        """The same values, through which no gradient flows back to the blocks before."""
        return Memory(self.information.detach(), self.blocks)


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
    """x + W x + b, the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, d) → the same shape."""
        return tokens + self.linear(tokens)  # type: ignore[no-any-return]


class LinkageSubnet(nn.Module):
    """Figure 2's box between frame blocks: query before the Transformer branch, storage after it.

    The residual linear layers stand where tokens enter (R_high, ho_t) and where hi_t leaves, never on i_t itself: what
    is stored is not multiplied again and again along a film.

    Args:
        channels: d.
        mean: whether i is read divided by the number of blocks it was summed over.
    """

    def __init__(self, channels: int, *, mean: bool = False) -> None:
        super().__init__()
        self.mean = mean
        self.ask = ResidualLinear(channels)
        self.answer = ResidualLinear(channels)
        self.keep = ResidualLinear(channels)

    def query(self, high: Tensor, memory: Memory | None) -> Tensor:
        """R_high (B, T, d) and the memory before → hi_t (B, T, d)."""
        high = self.ask(high)
        if memory is not None:
            high = torch.where(memory.blocks > 0, query(high, self._read(memory)), high)
        return self.answer(high)  # type: ignore[no-any-return]

    def store(self, memory: Memory | None, hidden: Tensor) -> Memory:
        """The memory before and ho_t (B, T, d) → the memory after."""
        told = self.keep(hidden)
        if memory is None:
            return Memory(store(None, told), told.new_ones(()))
        information, size = memory.information, memory.information.shape[1]
        later = information + attend(self._read(memory), told)
        first = told[:, torch.arange(size, device=told.device).clamp(max=told.shape[1] - 1)]
        return Memory(torch.where(memory.blocks > 0, later, first), memory.blocks + 1)

    def _read(self, memory: Memory) -> Tensor:
        return memory.information / memory.blocks.clamp(min=1) if self.mean else memory.information
