"""Costs of a network: parameters, arithmetic and memory of a step. Only shapes are followed; nothing is computed."""

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

from kinemacolor.model.bank import Bank, JointReferenceColors, JointReferences
from kinemacolor.model.colorization import Propagated
from kinemacolor.model.config import KEY_STRIDE, NetworkConfig
from kinemacolor.model.correspondence import match_heads
from kinemacolor.model.linkage import LinkageMemory
from kinemacolor.model.network import Network

PAPER_SIZE = (216, 384)
"""Height and width in pixels of the paper's frames."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of a network in inference, in float32, with one reference.

    Attributes:
        size: (height, width) of frames, pixels.
        frames: N of the step.
        parameters: by part.
        gflop: 10⁹ floating-point operations per frame, by part; a multiplication and an addition are two. The step
            reads the memory of a previous block; work done once for a separate reference is not included.
        start_gflop: work done once for a separate reference; 0 for joint references.
        memory: in bytes: ``weights``, and ``step``: the peak of all other tensors that are alive at once.
    """

    size: tuple[int, int]
    frames: int
    parameters: dict[str, int]
    gflop: dict[str, float]
    start_gflop: float
    memory: dict[str, int]

    def record(self) -> dict[str, Any]:
        """The costs as JSON-ready values, with totals."""
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


def cost(config: NetworkConfig, frames: int | None = None, size: tuple[int, int] = PAPER_SIZE) -> Cost:
    """Costs of a step of ``frames`` (None for the configuration's block size) at ``size`` (height, width)."""
    count = config.block_size if frames is None else frames
    with FakeTensorMode(), torch.no_grad():
        network = Network(config, pretrained=False).eval()
        block = network.pad(torch.empty(1, count, 1, *size))
        reference = network.pad(torch.empty(1, 1, 1, *size))
        with counted_flops() as start:
            bank = _bank(network, reference)
        with counted_flops(network) as whole, PeakMemory() as peak:
            memory = _memory(network, block)
            representation = network.represent(network.encode(block), network.inside(block), memory, bank.references)
            propagated = Propagated.nothing(block) if config.propagation else None
            network.colorize(block, representation, bank, propagated)
        with counted_flops() as matching:
            strides = (1, config.augmented_stride // KEY_STRIDE)[: config.heads]
            bank_entries = bank.concatenated(representation.reference_keys)
            match_heads(representation.keys, *bank_entries, config.tau, strides)
        with counted_flops() as linkage:
            if memory is not None and representation.hidden is not None:
                own = representation.hidden[:, -memory.information.shape[1] :]
                network.linkage.query(own, memory)
                network.linkage.store(memory, own)
    parts = {"features": whole["features"], "matching": matching[""], "linkage": linkage[""]}
    parts["colorization"] = whole["colorization"]
    parts["correspondence"] = whole[""] - sum(parts.values())
    order = ("features", "correspondence", "linkage", "matching", "colorization")
    weights = sum(p.numel() * p.element_size() for p in network.state_dict().values())
    joint = bank.references is not None
    return Cost(
        size=size,
        frames=count,
        parameters=network.parameters_by_part(),
        gflop={name: parts[name] / count / 1e9 for name in order},
        start_gflop=0.0 if joint else start[""] / 1e9,
        memory={"weights": weights, "step": peak.most},
    )


def _memory(network: Network, block: Tensor) -> LinkageMemory | None:
    if not network.config.linkage:
        return None
    stride = network.config.token_stride
    tokens = block.shape[1] * (block.shape[3] // stride) * (block.shape[4] // stride)
    return LinkageMemory(torch.empty(1, tokens, network.config.token_channels), torch.empty(()))


def _bank(network: Network, luminance: Tensor) -> Bank:
    """A bank of the shapes that ``Network.start`` would return; that function reads values, which do not exist here."""
    valid, width = network.inside(luminance), network.config.heads * network.config.key_channels
    features = network.encode(luminance)
    if network.config.reference_block == "joint":
        lab = torch.cat([luminance, luminance, luminance], dim=2)
        colors = JointReferenceColors(torch.cat([valid, valid], dim=2), valid, lab)
        empty = (torch.empty(1, 0, width), torch.empty(1, 0, 2), torch.empty(1, 0))
        return Bank(*empty, JointReferences(features, network.seen(luminance), valid), colors)
    keys = network.represent(features, valid).keys.flatten(3).flatten(1, 2).transpose(1, 2)
    return Bank(keys, keys[..., :2], None)


@contextmanager
def counted_flops(network: Network | None = None) -> Iterator[Mapping[str, int]]:
    """Counts floating-point operations inside the block: the total under "", those of two subnets by their names."""
    flops: dict[str, int] = {}
    with FlopCounterMode(display=False) as counter:
        yield flops
    flops[""] = counter.get_total_flops()
    if network is not None:
        by_module = counter.get_flop_counts()
        for name in ("features", "colorization"):
            module = network.get_submodule(name)
            names = [key for key in by_module if key.split(".")[-1] in (name, type(module).__name__)]
            flops[name] = max((sum(by_module[key].values()) for key in names), default=0)


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Peak of the bytes of all tensors made inside the block that are alive at the same time.

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
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
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
