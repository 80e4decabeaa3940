"""What a network costs: parameters, arithmetic and memory of a step. Nothing is computed; only shapes are followed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from kinemacolor.model.bank import Bank, StillColors, Stills
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import KEY_STRIDE, NetworkConfig
from kinemacolor.model.correspondence import match_heads
from kinemacolor.model.linkage import Memory
from kinemacolor.model.network import Network

SIZE = (216, 384)
"""Height and width in pixels at which costs are told: the paper's."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a network in inference, in float32, with one reference.

    Attributes:
        size: (height, width) of frames, pixels.
        frames: N of the step.
        parameters: by part.
        gflop: 10⁹ floating-point operations a frame, by part; a multiplication and an addition are two. The memory of
            the block before is in use; what is done once for a reference that is a block of its own is not in it.
        start_gflop: the same for that reference; 0 where references attend with the frames.
        memory: bytes: weights, and the most that is alive at once in a step beside them.
    """

    size: tuple[int, int]
    frames: int
    parameters: dict[str, int]
    gflop: dict[str, float]
    start_gflop: float
    memory: dict[str, int]

    def record(self) -> dict[str, Any]:
        """JSON-ready, each with its total."""
        return {
            "size": list(self.size),
            "frames": self.frames,
            "parameters": {**self.parameters, "total": sum(self.parameters.values())},
            "gflop": {
                **{name: round(value, 3) for name, value in self.gflop.items()},
                "total": round(sum(self.gflop.values()), 3),
            },
            "start_gflop": round(self.start_gflop, 3),
            "memory": {**self.memory, "total": sum(self.memory.values())},
        }


def cost(config: NetworkConfig, frames: int | None = None, size: tuple[int, int] = SIZE) -> Cost:
    """Follows the shapes of a step of ``frames`` (None: the configuration's block size) at ``size``."""
    count = config.block_size if frames is None else frames
    with FakeTensorMode(), torch.no_grad():
        network = Network(config, pretrained=False).eval()
        block = network.pad(torch.empty(1, count, 1, *size))
        still = network.pad(torch.empty(1, 1, 1, *size))
        with counted() as start:
            bank = _bank(network, still)
        with counted(network) as whole, PeakMemory() as peak:
            memory = _memory(network, block)
            found = network.represent(network.encode(block), network.inside(block), memory, bank.stills)
            nothing = Propagated.nothing(block) if config.propagation else None
            network.colorize(block, found, bank, nothing)
        with counted() as matching:
            strides = (1, config.augmented_stride // KEY_STRIDE)[: config.heads]
            match_heads(found.keys, *bank.beside(found.still_keys), config.tau, strides)
        with counted() as linkage:
            if memory is not None and found.hidden is not None:
                network.linkage.query(found.hidden, memory)
                network.linkage.store(memory, found.hidden)
    parts = {"features": whole["features"], "matching": matching[""], "linkage": linkage[""]}
    parts["colorization"] = whole["colorization"]
    parts["correspondence"] = whole[""] - sum(parts.values())
    order = ("features", "correspondence", "linkage", "matching", "colorization")
    weights = sum(p.numel() * p.element_size() for p in network.state_dict().values())
    joint = bank.stills is not None
    return Cost(
        size=size,
        frames=count,
        parameters=network.parameters_by_part(),
        gflop={name: parts[name] / count / 1e9 for name in order},
        start_gflop=0.0 if joint else start[""] / 1e9,
        memory={"weights": weights, "step": peak.most},
    )


def _memory(network: Network, block: Tensor) -> Memory | None:
    if not network.config.linkage:
        return None
    stride = network.config.token_stride
    tokens = block.shape[1] * (block.shape[3] // stride) * (block.shape[4] // stride)
    return Memory(torch.empty(1, tokens, network.config.token_channels), torch.empty(()))


def _bank(network: Network, still: Tensor) -> Bank:
    """What ``Network.start`` would give: that looks at values, of which there are none here."""
    valid, wide = network.inside(still), network.config.heads * network.config.key_channels
    features = network.encode(still)
    if network.config.reference_block == "joint":
        colors = StillColors(torch.cat([valid, valid], dim=2), valid, torch.cat([still, still, still], dim=2))
        empty = (torch.empty(1, 0, wide), torch.empty(1, 0, 2), torch.empty(1, 0))
        return Bank(*empty, Stills(features, network.seen(still), valid), colors)
    keys = network.represent(features, valid).keys.flatten(3).flatten(1, 2).transpose(1, 2)
    return Bank(keys, keys[..., :2], None)


@contextmanager
def counted(network: Network | None = None) -> Iterator[Mapping[str, int]]:
    """Floating-point operations inside the block: under "" of all, by name of subnets that are called as modules."""
    result: dict[str, int] = {}
    with FlopCounterMode(display=False) as counter:
        yield result
    result[""] = counter.get_total_flops()
    if network is not None:
        by_module = counter.get_flop_counts()
        for name in ("features", "colorization"):
            module = network.get_submodule(name)
            names = [key for key in by_module if key.split(".")[-1] in (name, type(module).__name__)]
            result[name] = max((sum(by_module[key].values()) for key in names), default=0)


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of tensors made inside the block that are alive at once, at most.

    Attributes:
        most: the peak so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._owners: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._owners:
            self._now += size
            self.most = max(self.most, self._now)
        self._owners[key] = self._owners.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._owners[key] -= 1
        if not self._owners[key]:
            del self._owners[key]
            self._now -= size
