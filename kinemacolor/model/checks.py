"""Checks of the network's arguments: each error names the argument, what was expected and what was given."""

from __future__ import annotations

from torch import Tensor

from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.model.bank import Bank
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import KEY_STRIDE, NetworkConfig
from kinemacolor.model.linkage import LinkageMemory


def check_images(name: str, images: Tensor) -> None:
    """Raises ValueError unless ``images`` are (B, F, 1, H, W), B and F at least 1, of a sufficient size."""
    shape = tuple(images.shape)
    if len(shape) != 5 or min(shape[:2]) < 1 or shape[2] != 1 or min(shape[3:]) < MINIMUM_SIDE:
        expected = f"(B ≥ 1, frames ≥ 1, 1, H ≥ {MINIMUM_SIDE}, W ≥ {MINIMUM_SIDE})"
        raise ValueError(f"{name}: expected shape {expected}, got {shape}")


def check_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    """Raises ValueError unless ``tensor`` has the shape ``expected``."""
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"{name}: expected shape {tuple(expected)}, got {tuple(tensor.shape)}")


def check_bank(bank: Bank, config: NetworkConfig, batch: int, size: tuple[int, int]) -> None:
    """Raises ValueError unless the bank belongs to a network of this configuration and has entries.

    Args:
        bank: from ``Network.start``.
        config: of the network.
        batch: B.
        size: (H', W') of the padded frames.
    """
    width = config.heads * config.key_channels
    if bank.keys.dim() != 3 or bank.keys.shape[0] != batch or bank.keys.shape[2] != width:
        raise ValueError(f"bank.keys: expected shape ({batch}, K, {width}), got {tuple(bank.keys.shape)}")
    count = bank.keys.shape[1]
    kind = "separate" if bank.references is None else "joint"
    if config.reference_block != kind:
        raise ValueError(f"bank: expected one of {config.reference_block} references, got one of {kind} references")
    if bank.references is not None:
        # The paper's references attend with the frames, and y^lab is concatenated with them: all have one size.
        cells = (size[0] // KEY_STRIDE, size[1] // KEY_STRIDE)
        check_shape("bank.references.valid (padded)", bank.references.valid, (batch, bank.references.count, 1, *cells))
    elif count == 0:
        raise ValueError("bank: expected at least one entry, got none")
    check_shape("bank.ab", bank.ab, (batch, count, 2))
    check_shape("bank.valid", bank.validity(), (batch, count))


def check_memory(memory: LinkageMemory | None, config: NetworkConfig, batch: int) -> None:
    """Raises ValueError unless the memory is None or belongs to a network of this configuration."""
    if memory is None:
        return
    if not config.linkage:
        raise ValueError(f"memory: expected None, as {config.name} has no linkage subnet, got one")
    shape = tuple(memory.information.shape)
    if len(shape) != 3 or shape[0] != batch or shape[1] < 1 or shape[2] != config.token_channels:
        raise ValueError(f"memory: expected shape ({batch}, M ≥ 1, {config.token_channels}), got {shape}")


def check_propagated(propagated: Propagated | None, config: NetworkConfig, luma_block: Tensor) -> None:
    """Raises ValueError unless the propagated colors fit the block, and the network takes any."""
    if propagated is None:
        return
    if not config.propagation:
        raise ValueError(f"propagated: expected None, as {config.name} has no propagation, got colors")
    batch, frames, _, height, width = luma_block.shape
    check_shape("propagated.ab", propagated.ab, (batch, frames, 2, height, width))
    check_shape("propagated.similarity", propagated.similarity, (batch, frames, 1, height, width))
    check_shape("propagated.consistency", propagated.consistency, (batch, frames, 1, height, width))
    if config.color_spread:
        if propagated.spread is None:
            raise ValueError(f"propagated.spread: expected maps, as it is an input of {config.name}, got None")
        check_shape("propagated.spread", propagated.spread, (batch, frames, 1, height, width))
