"""What a run of training changes: network, its moving average, discriminator, optimizer. And how: rates, averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.config.sections import OptimizerPart
from kinemacolor.training.losses.discriminator import Discriminator

GROUPS = ("rest", "backbone", "discriminator")


@dataclass(slots=True, eq=False)
class Learner:
    """The state of a run, bar its data.

    Attributes:
        network: in training mode.
        average: its moving average, or the network itself where there is none.
        discriminator: or None.
        optimizer: AdamW; its groups have names.
        step: steps done.
    """

    network: Network
    average: Network
    discriminator: Discriminator | None
    optimizer: torch.optim.AdamW
    step: int = 0


def make_learner(recipe: Recipe, network: Network, device: torch.device | str) -> Learner:
    """A learner at step 0 on a device."""
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
    if network.config.tap_shortcut:  # a projection of its features, right from the start
        backbone += list(network.correspondence.shortcut.parameters())
    known = set(map(id, backbone))
    groups = [
        _group("rest", [p for p in network.parameters() if id(p) not in known], options.learning_rate),
        _group("backbone", backbone, options.backbone_rate),
    ]
    if discriminator is not None:
        groups.append(_group("discriminator", list(discriminator.parameters()), options.discriminator_rate))
    optimizer = torch.optim.AdamW(groups, betas=options.betas, weight_decay=options.weight_decay)
    average = copy.deepcopy(network).eval().requires_grad_(False) if options.average else network
    return Learner(network, average, discriminator, optimizer)


def _group(name: str, parameters: list[nn.Parameter], rate: float) -> dict[str, object]:
    return {"params": parameters, "lr": rate, "rate": rate, "name": name}


def rate_factor(options: OptimizerPart, step: int, steps: int) -> float:
    """What the rates are multiplied with in a step of a run of ``steps``."""
    rising = min(1.0, (step + 1) / options.warm_up) if options.warm_up else 1.0
    done = step / steps
    if options.schedule == "paper":
        return rising * (1.0 if done < 0.4 else 0.1 if done < 0.8 else 0.01)
    if options.schedule == "cosine":
        return rising * (options.last_share + (1 - options.last_share) * (1 + math.cos(math.pi * min(done, 1))) / 2)
    return rising


def set_rates(learner: Learner, factor: float) -> None:
    """Sets the rate of each group for a step."""
    for group in learner.optimizer.param_groups:
        group["lr"] = group["rate"] * factor


def update_average(learner: Learner, decay: float) -> None:
    """Moves the average on: at first quickly, d = min(decay, (1 + n) / (10 + n)) after n steps."""
    if learner.average is learner.network:
        return
    d = min(decay, (1 + learner.step) / (10 + learner.step))
    mine, theirs = learner.average.state_dict(), learner.network.state_dict()
    floating = [name for name, tensor in mine.items() if tensor.is_floating_point()]
    with torch.no_grad():
        torch._foreach_lerp_([mine[name] for name in floating], [theirs[name] for name in floating], 1 - d)
        for name, tensor in mine.items():
            if not tensor.is_floating_point():
                tensor.copy_(theirs[name])


def clip(parameters: list[Tensor], largest: float) -> float:
    """Scales gradients down to a norm of at most ``largest`` (0 for any), and tells the norm before."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest or math.inf)
    return float(norm)


@contextmanager
def calibrating(learner: Learner, part: nn.Module) -> Iterator[None]:
    """What passes forward in the block gives batch normalization in ``part`` of the network its statistics, as plain
    means over the passes; those of the pretrained feature network stay. Afterward the average has them too."""
    network = learner.network
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
    if learner.average is not network:
        learner.average.load_state_dict(network.state_dict())


def freeze_statistics(network: Network) -> None:
    """Lets every batch normalization use, and keep, its running statistics."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
