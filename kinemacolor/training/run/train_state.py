"""The state of a training run: network, its moving average, discriminator, optimizer; and how a step changes it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.config.sections import OptimizerSection
from kinemacolor.training.losses.discriminator import Discriminator


@dataclass(slots=True, eq=False)
class TrainState:
    """Everything that a run changes.

    Attributes:
        network: in training mode.
        average: its moving average, or the network itself where there is none.
        discriminator: of the adversarial loss, or None.
        optimizer: AdamW; its groups have names.
        step: number of steps done.
    """

    network: Network
    average: Network
    discriminator: Discriminator | None
    optimizer: torch.optim.AdamW
    step: int = 0


def make_train_state(recipe: Recipe, network: Network, device: torch.device | str) -> TrainState:
    """The state at step 0 on a device."""
    options = recipe.optimizer
    network = network.to(device)
    if recipe.run.channels_last:
        network = network.to(memory_format=torch.channels_last)
    network.train()
    for name, part in network.named_children():
        if name in recipe.network.freeze:
            part.requires_grad_(False)
    discriminator = Discriminator().to(device).train() if recipe.losses.adversarial.weight else None
    backbone = list(network.features.parameters())
    if network.config.tap_shortcut:  # it projects features of the backbone, and is useful from the start
        backbone += list(network.correspondence.shortcut.parameters())
    slow = set(map(id, backbone))
    groups = [
        _group("rest", [p for p in network.parameters() if id(p) not in slow], options.learning_rate),
        _group("backbone", backbone, options.backbone_rate),
    ]
    if discriminator is not None:
        groups.append(_group("discriminator", list(discriminator.parameters()), options.discriminator_rate))
    optimizer = torch.optim.AdamW(groups, betas=options.betas, weight_decay=options.weight_decay)
    average = copy.deepcopy(network).eval().requires_grad_(False) if options.average else network
    return TrainState(network, average, discriminator, optimizer)


def _group(name: str, parameters: list[nn.Parameter], rate: float) -> dict[str, object]:
    return {"params": parameters, "lr": rate, "rate": rate, "name": name}


def rate_factor(options: OptimizerSection, step: int, steps: int) -> float:
    """The factor on all learning rates in a step of a run of ``steps``."""
    warm_up = min(1.0, (step + 1) / options.warm_up) if options.warm_up else 1.0
    done = step / steps
    if options.schedule == "paper":
        return warm_up * (1.0 if done < 0.4 else 0.1 if done < 0.8 else 0.01)
    if options.schedule == "cosine":
        return warm_up * (options.last_share + (1 - options.last_share) * (1 + math.cos(math.pi * min(done, 1))) / 2)
    return warm_up


def set_rates(state: TrainState, factor: float) -> None:
    """Sets the learning rate of each group for a step."""
    for group in state.optimizer.param_groups:
        group["lr"] = group["rate"] * factor


def update_average(state: TrainState, decay: float) -> None:
    """Updates the moving average, with a decay of min(decay, (1 + n) / (10 + n)) after n steps."""
    if state.average is state.network:
        return
    d = min(decay, (1 + state.step) / (10 + state.step))
    averages, values = state.average.state_dict(), state.network.state_dict()
    floating = [name for name, tensor in averages.items() if tensor.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([averages[name] for name in floating], [values[name] for name in floating], 1 - d)
        for name, tensor in averages.items():
            if not tensor.is_floating_point():
                tensor.copy_(values[name])


def clip_gradients(parameters: Iterable[Tensor], largest: float) -> float:
    """Scales gradients down to a norm of at most ``largest`` (0 for no limit); returns the norm before."""
    norm = torch.nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], largest or math.inf)
    return float(norm)


@contextmanager
def calibrating_norms(state: TrainState, part: nn.Module) -> Iterator[None]:
    """Batch normalization in ``part`` of the network takes its statistics from the forward passes in the block.

    They are plain means over the passes. Those of the pretrained feature network stay. Afterward the average has the
    same statistics.
    """
    network = state.network
    norms = [module for module in part.modules() if isinstance(module, nn.BatchNorm2d)]
    pretrained = {id(module) for module in network.features.modules()}
    before = [(norm.momentum, norm.training) for norm in norms]
    for norm in norms:
        if id(norm) in pretrained:
            norm.eval()
        else:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None
    with torch.no_grad():
        yield
    for norm, (momentum, training) in zip(norms, before, strict=True):
        norm.momentum = momentum
        norm.train(training)
    if state.average is not network:
        state.average.load_state_dict(network.state_dict())


def freeze_statistics(network: Network) -> None:
    """Makes every batch normalization use its running statistics, and no longer update them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
