"""Several processes, started by ``torchrun``, that train one network: gradients are averaged, all else is done alike.

Averages over processes are averages over the whole batch for losses that are means over it. Two are not quite: the gate
loss (a weighted mean) and the adversarial loss (its averages of answers are those of a process). Batch normalization
sees the batch of its process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True, slots=True)
class Processes:
    """Who takes part.

    Attributes:
        rank: number of this process.
        count: of them.
        local: number on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0


def join_processes(device: str | None) -> Processes:
    """Joins those that ``torchrun`` started, where it did."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    if not distributed.is_initialized():
        cuda = torch.cuda.is_available() and not (device or "").startswith("cpu")
        distributed.init_process_group("nccl" if cuda else "gloo")
    return Processes(distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))


def leave_processes(processes: Processes) -> None:
    """After ``join_processes``."""
    if processes.count > 1 and distributed.is_initialized():
        distributed.destroy_process_group()


def share_state(modules: Iterable[nn.Module], processes: Processes) -> None:
    """Gives all processes the weights of the first."""
    if processes.count > 1:
        for module in modules:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)


def average_gradients(parameters: Iterable[Tensor], processes: Processes) -> None:
    """Replaces gradients by their means over the processes; where a process has none, it counts as 0."""
    trained = [p for p in parameters if p.requires_grad]
    if processes.count == 1 or not trained:
        return
    flags = torch.tensor([float(p.grad is not None) for p in trained], device=trained[0].device)
    distributed.all_reduce(flags)
    some = [p for p, flag in zip(trained, flags.tolist(), strict=True) if flag]
    if not some:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in some])
    distributed.all_reduce(flat)
    flat /= processes.count
    for p, part in zip(some, torch.split(flat, [p.numel() for p in some]), strict=True):
        grad = part.view(p.shape)
        if p.grad is None:
            p.grad = grad.clone()
        else:
            p.grad.copy_(grad)


def agreed(flag: bool, processes: Processes, device: torch.device) -> bool:
    """Whether any process says so."""
    if processes.count == 1:
        return flag
    told = torch.tensor(float(flag), device=device)
    distributed.all_reduce(told)
    return bool(told > 0)
