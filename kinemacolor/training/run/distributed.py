"""Several processes, started by ``torchrun``, that train one network: each averages gradients, and does the same steps.

For losses that are means over the batch, the average over processes is that over the whole batch. It is not quite for
the gate loss (a weighted mean) and the adversarial loss (which averages the outputs of one process). Batch
normalization uses the batch of its process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run.

    Attributes:
        rank: number of this process.
        count: of processes.
        local: number of this process on its machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0


def join_processes(device: str | None) -> Processes:
    """Joins the processes that ``torchrun`` started, if it did."""
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


def broadcast_state(modules: Iterable[nn.Module], processes: Processes) -> None:
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
    with_gradient = [p for p, flag in zip(trained, flags.tolist(), strict=True) if flag]
    if not with_gradient:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in with_gradient])
    distributed.all_reduce(flat)
    flat /= processes.count
    for p, part in zip(with_gradient, torch.split(flat, [p.numel() for p in with_gradient]), strict=True):
        grad = part.view(p.shape)
        if p.grad is None:
            p.grad = grad.clone()
        else:
            p.grad.copy_(grad)


def any_process(flag: bool, processes: Processes, device: torch.device) -> bool:
    """Whether ``flag`` is True in any process."""
    if processes.count == 1:
        return flag
    total = torch.tensor(float(flag), device=device)
    distributed.all_reduce(total)
    return bool(total > 0)
