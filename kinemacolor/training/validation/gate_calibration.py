"""Calibration of the gate: at the end of a run, its few parameters are fitted to films colored as in use.

In the windows of training the propagated colors P are worse than in use, where the chain passes through every frame of
a shot and features choose among the paths in each: a gate that has learned from windows alone trusts P too little. The
fitted parameters are the sharpness of the similarities, the margin of each candidate, and the scales of the votes and
the residual in the last map; nothing else changes.
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
from kinemacolor.training.rollout.engine_rollout import color_blocks
from kinemacolor.training.validation.validation import HeldOutClip, held_out_clips

CALIBRATION_FRAMES, CALIBRATION_SIDE = 40, 144
"""Frames of a film that are colored, and their short side in pixels."""
CALIBRATION_PIXELS = 1000
"""Pixels drawn from each frame that is used."""
_FRAME_INTERVAL = 4
"""One frame in every N is used."""
_FIT_STEPS, _FIT_RATE = 300, 0.02
_ERROR_FLOOR = 0.05
"""Added to each frame's mean squared error (Lab units) before the logarithm."""


class GateInputs(NamedTuple):
    """Inputs of the gate at n pixels of each of F frames, and the truth.

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


def calibrate_gate(
    network: Network, cache: Cache, films: int, *, seed: int = 0, device: torch.device | None = None
) -> str:
    """Fits a gated network's ``sharpness``, ``margins``, and the scales of votes and residual, in place.

    The loss is the mean over frames of the logarithm of the squared error of a*, b*.

    Args:
        network: trained; in evaluation mode.
        cache: clips from which it has learned.
        films: how many of them are used, at most.
        seed: of the choice of films and pixels.
        device: on which it runs; None for the best one.

    Returns:
        the fitted parameters and the gain, as a line for the log.

    Raises:
        UsageError: no film is long enough.
    """
    noise = np.random.default_rng((seed, films))
    least = CALIBRATION_FRAMES // 2
    names = sorted({clip.source for clip in cache.clips if not clip.photo and clip.frames >= least})
    chosen = [names[k] for k in noise.permutation(len(names))[:films]]
    if not chosen:
        raise UsageError("network.gate_calibration", f"no film has {least} frames", "set it to 0, or add films")
    runner = TorchRunner(network, device=None if device is None else str(device), bfloat16=False)
    clips = held_out_clips(cache, chosen, CALIBRATION_FRAMES, CALIBRATION_SIDE)
    by_clip = [gate_inputs(network, runner, clip, noise) for clip in clips]
    inputs = GateInputs(*(torch.cat(column) for column in zip(*by_clip, strict=True)))
    subnet = network.colorization
    fitted, before, after = fit_gate(inputs, float(subnet.sharpness.detach()), subnet.margins.detach())
    votes, residual = float(fitted["votes"]), float(fitted["residual"])
    with torch.no_grad():
        subnet.sharpness.copy_(fitted["sharpness"])
        subnet.margins.copy_(fitted["margins"])
        for parameter in subnet.last.parameters():
            parameter[:2].mul_(residual)
            parameter[2:].mul_(votes)
    margins = ", ".join(f"{x:.3f}" for x in fitted["margins"].tolist())
    gain = 10 / math.log(10) * (before - after)
    return (
        f"gate on {len(by_clip)} films: sharpness {float(fitted['sharpness']):.2f}, margins {margins}, "
        f"votes × {votes:.2f}, residual × {residual:.2f}; {gain:+.2f} dB of a*, b* there"
    )


def gate_inputs(network: Network, runner: TorchRunner, clip: HeldOutClip, noise: np.random.Generator) -> GateInputs:
    """Inputs of the gate at drawn pixels of a clip, which the engine colors."""
    film = rgb_to_lab(clip.film.astype(np.float32) / 255)
    last_maps: list[Tensor] = []
    colors: list[Colors] = []
    subnet = network.colorization
    hooks = (
        subnet.last.register_forward_hook(lambda _module, _arguments, output: last_maps.append(output)),
        subnet.register_forward_hook(lambda _module, _arguments, output: colors.append(output)),
    )
    engine = NetworkEngine(runner, color_memory=False)
    rows: list[tuple[Tensor, ...]] = []
    try:
        for frames, _ in color_blocks(engine, clip.lightness, clip.reference):
            for offset, index in enumerate(frames):
                if index % _FRAME_INTERVAL == _FRAME_INTERVAL - 1:
                    rows.append(_draw_pixels(network, last_maps[-1], colors[-1], offset, film[index, ..., 1:], noise))
            last_maps.clear()
            colors.clear()
    finally:
        for hook in hooks:
            hook.remove()
    return GateInputs(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _draw_pixels(
    network: Network, last_map: Tensor, colors: Colors, frame: int, truth: np.ndarray, noise: np.random.Generator
) -> tuple[Tensor, ...]:
    """Drawn pixels of a frame of a block, in the order of ``GateInputs``."""
    subnet, (height, width) = network.colorization, truth.shape[:2]
    assert colors.logits is not None
    assert colors.candidates is not None
    index = torch.from_numpy(noise.integers(0, height * width, CALIBRATION_PIXELS))
    votes, residual = last_map[frame, 2:], last_map[frame, :2] * subnet.scale
    support = (colors.logits[0, frame] - votes) / (SHARPNESS * subnet.sharpness) - subnet.margins.view(-1, 1, 1)

    def draw(maps: Tensor) -> Tensor:
        return maps[..., :height, :width].flatten(-2)[..., index].detach().float().cpu()

    true_ab = torch.from_numpy(np.ascontiguousarray(np.moveaxis(truth, 2, 0)))
    return draw(votes), draw(support), draw(residual), draw(colors.candidates[0, frame]), draw(true_ab)


def mix_candidates(inputs: GateInputs, sharpness: Tensor, margins: Tensor, votes: Tensor, residual: Tensor) -> Tensor:
    """The gate's a*, b* (F, 2, n) with these parameters, see ``ColorizationSubnet``."""
    logits = votes * inputs.votes + SHARPNESS * sharpness * (inputs.support + margins[:, None])
    shares = functional.softmax(logits, dim=1)
    return (shares.unsqueeze(2) * inputs.candidates).sum(dim=1) + residual * inputs.residual


def fit_gate(inputs: GateInputs, sharpness: float, margins: Tensor) -> tuple[dict[str, Tensor], float, float]:
    """The fitted parameters by name, and the loss before and after."""
    start = {
        "sharpness": torch.tensor(sharpness),
        "margins": margins.clone().cpu(),
        "votes": torch.ones(()),
        "residual": torch.ones(()),
    }
    parameters = {name: value.requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.Adam(parameters.values(), lr=_FIT_RATE)

    def loss() -> Tensor:
        error = (mix_candidates(inputs, **parameters) - inputs.truth).square().sum(dim=1).mean(dim=1)
        return (error + _ERROR_FLOOR).log().mean()

    with torch.enable_grad():
        before = float(loss().detach())
        for _ in range(_FIT_STEPS):
            optimizer.zero_grad()
            torch.autograd.backward(loss())
            optimizer.step()
        after = float(loss().detach())
    return {name: value.detach() for name, value in parameters.items()}, before, after
