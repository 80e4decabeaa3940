"""The gate's few numbers, fitted at the end of a run to films colored as in use.

In training's windows the carried colors P are worse than in use, where every frame of a shot is a step of the chain
and features choose the place each time: a gate that has learned from windows alone trusts P too little. What is fitted
is how sharply similarities decide, what each candidate is trusted beforehand, and how far the votes and the residual of
the last map count; nothing else changes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.errors import UsageError
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.colorization import SHARPNESS, Colors
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.validation.validation import HeldOut, blocks, held_out

FRAMES, SIDE = 40, 144
"""Frames of a film that are colored, and their short side in pixels."""
EVERY = 4
"""Every so-manieth frame counts."""
PIXELS = 1000
"""Drawn of each such frame."""
STEPS, RATE = 300, 0.02
FLOOR = 0.05
"""Added to each frame's mean squared error (Lab units) before the logarithm."""


class Looks(NamedTuple):
    """Pixels of F frames, n of each.

    Attributes:
        votes, support: of the K candidates (F, K, n).
        residual: a*, b* (F, 2, n).
        candidates: (F, K, 2, n).
        truth: (F, 2, n).
    """

    votes: Tensor
    support: Tensor
    residual: Tensor
    candidates: Tensor
    truth: Tensor


def settle_gate(
    network: Network, cache: Cache, films: int, *, seed: int = 0, device: torch.device | None = None
) -> str:
    """Fits a gated network's ``sharpness``, ``margins``, and the scales of votes and residual, in place.

    The loss is the mean over frames of the logarithm of the squared error of a*, b*.

    Args:
        network: trained; in evaluation mode.
        cache: clips it has learned from.
        films: how many of them are looked at, at most.
        seed: of the choice of films and pixels.
        device: where it runs; None for the best there is.

    Returns:
        what was found, a line for the log.

    Raises:
        UsageError: there is no film that is long enough.
    """
    noise = np.random.default_rng((seed, films))
    names = sorted({clip.source for clip in cache.clips if not clip.photo and clip.frames >= FRAMES // 2})
    chosen = [names[k] for k in noise.permutation(len(names))[:films]]
    if not chosen:
        raise UsageError("network.settle", f"no film has {FRAMES // 2} frames", "set it to 0, or add films")
    runner = TorchRunner(network, device=None if device is None else str(device), bfloat16=False)
    looks = [looked_at(network, runner, clip, noise) for clip in held_out(cache, chosen, FRAMES, SIDE)]
    seen = Looks(*(torch.cat(column) for column in zip(*looks, strict=True)))
    subnet = network.colorization
    found, before, after = fit(seen, float(subnet.sharpness.detach()), subnet.margins.detach())
    votes, residual = float(found["votes"]), float(found["residual"])
    with torch.no_grad():
        subnet.sharpness.copy_(found["sharpness"])
        subnet.margins.copy_(found["margins"])
        for parameter in subnet.last.parameters():
            parameter[:2].mul_(residual)
            parameter[2:].mul_(votes)
    margins = ", ".join(f"{x:.3f}" for x in found["margins"].tolist())
    gained = 10 / math.log(10) * (before - after)
    return (
        f"gate on {len(looks)} films: sharpness {float(found['sharpness']):.2f}, margins {margins}, "
        f"votes × {votes:.2f}, residual × {residual:.2f}; {gained:+.2f} dB of a*, b* there"
    )


def looked_at(network: Network, runner: TorchRunner, clip: HeldOut, noise: np.random.Generator) -> Looks:
    """A clip colored by the engine, and of its frames what the gate saw."""
    film = rgb_to_lab(clip.film.astype(np.float32) / 255)
    last: list[Tensor] = []
    made: list[Colors] = []
    subnet = network.colorization
    hooks = (
        subnet.last.register_forward_hook(lambda _module, _given, got: last.append(got)),
        subnet.register_forward_hook(lambda _module, _given, got: made.append(got)),
    )
    engine = NetworkEngine(runner, color_memory=False)
    rows: list[tuple[Tensor, ...]] = []
    try:
        for frames, _ in blocks(engine, clip.lightness, clip.reference):
            for offset, index in enumerate(frames):
                if index % EVERY == EVERY - 1:
                    rows.append(_pixels(network, last[-1], made[-1], offset, film[index, ..., 1:], noise))
            last.clear()
            made.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return Looks(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _pixels(
    network: Network, last: Tensor, made: Colors, frame: int, truth: np.ndarray, noise: np.random.Generator
) -> tuple[Tensor, ...]:
    """Drawn pixels of a frame of a block, in the order of ``Looks``."""
    subnet, (height, width) = network.colorization, truth.shape[:2]
    assert made.logits is not None
    assert made.candidates is not None
    index = torch.from_numpy(noise.integers(0, height * width, PIXELS))
    votes, residual = last[frame, 2:], last[frame, :2] * subnet.scale
    support = (made.logits[0, frame] - votes) / (SHARPNESS * subnet.sharpness) - subnet.margins.view(-1, 1, 1)

    def draw(maps: Tensor) -> Tensor:
        return maps[..., :height, :width].flatten(-2)[..., index].detach().float().cpu()

    colors = torch.from_numpy(np.ascontiguousarray(np.moveaxis(truth, 2, 0)))
    return draw(votes), draw(support), draw(residual), draw(made.candidates[0, frame]), draw(colors)


def mixed(seen: Looks, sharpness: Tensor, margins: Tensor, votes: Tensor, residual: Tensor) -> Tensor:
    """What the gate gives with these numbers (F, 2, n), see ``ColorizationSubnet``."""
    logits = votes * seen.votes + SHARPNESS * sharpness * (seen.support + margins[:, None])
    shares = functional.softmax(logits, dim=1)
    return (shares.unsqueeze(2) * seen.candidates).sum(dim=1) + residual * seen.residual


def fit(seen: Looks, sharpness: float, margins: Tensor) -> tuple[dict[str, Tensor], float, float]:
    """The numbers by name, and the loss before and after."""
    start = {
        "sharpness": torch.tensor(sharpness),
        "margins": margins.clone().cpu(),
        "votes": torch.ones(()),
        "residual": torch.ones(()),
    }
    numbers = {name: value.requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.Adam(numbers.values(), lr=RATE)

    def loss() -> Tensor:
        error = (mixed(seen, **numbers) - seen.truth).square().sum(dim=1).mean(dim=1)
        return (error + FLOOR).log().mean()

    with torch.enable_grad():
        before = float(loss().detach())
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.autograd.backward(loss())
            optimizer.step()
        after = float(loss().detach())
    return {name: value.detach() for name, value in numbers.items()}, before, after
