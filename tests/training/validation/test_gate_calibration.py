"""The gate's parameters fitted to films: known ones are recovered, and the network uses those that were fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kinemacolor.core.errors import UsageError
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.colorization import SHARPNESS
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import CachedClip, write_cache
from kinemacolor.training.validation import gate_calibration
from kinemacolor.training.validation.gate_calibration import (
    GateInputs,
    calibrate_gate,
    fit_gate,
    gate_inputs,
    mix_candidates,
)
from kinemacolor.training.validation.validation import held_out_clips
from tests.model import toys
from tests.training.toys import moving


def random_inputs(seed: int = 0, frames: int = 5, pixels: int = 200) -> GateInputs:
    noise = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise)

    support = torch.rand(frames, 3, pixels, generator=noise) * 2 - 1
    return GateInputs(
        votes=normal(frames, 3, pixels),
        support=support,
        residual=normal(frames, 2, pixels),
        candidates=30 * normal(frames, 3, 2, pixels),
        truth=torch.zeros(frames, 2, pixels),
    )


def test_mixing_against_a_plain_loop() -> None:
    inputs = random_inputs(frames=2, pixels=7)
    margins = torch.tensor([0.1, -0.2, 0.05])
    got = mix_candidates(inputs, torch.tensor(0.7), margins, torch.tensor(1.3), torch.tensor(0.4)).double().numpy()
    for frame in range(2):
        for pixel in range(7):
            logits = [
                1.3 * float(inputs.votes[frame, k, pixel])
                + SHARPNESS * 0.7 * (float(inputs.support[frame, k, pixel]) + float(margins[k]))
                for k in range(3)
            ]
            shares = np.exp(np.array(logits) - max(logits))
            shares /= shares.sum()
            for channel in range(2):
                color = sum(shares[k] * float(inputs.candidates[frame, k, channel, pixel]) for k in range(3))
                color += 0.4 * float(inputs.residual[frame, channel, pixel])
                assert got[frame, channel, pixel] == pytest.approx(color, abs=1e-4)


def test_known_parameters_are_recovered() -> None:
    inputs = random_inputs()
    known = (torch.tensor(0.6), torch.tensor([0.0, -0.1, 0.3]), torch.tensor(0.5), torch.tensor(0.2))
    inputs = inputs._replace(truth=mix_candidates(inputs, *known))
    fitted, before, after = fit_gate(inputs, 1.0, torch.zeros(3))
    assert after < before - 2
    assert float(fitted["sharpness"]) == pytest.approx(0.6, abs=0.05)
    assert float(fitted["votes"]) == pytest.approx(0.5, abs=0.05)
    assert float(fitted["residual"]) == pytest.approx(0.2, abs=0.1)
    np.testing.assert_allclose((fitted["margins"] - fitted["margins"][0]).numpy(), [0, -0.1, 0.3], atol=0.03)


def films(folder: Path) -> list[tuple[CachedClip, np.ndarray]]:
    return [(CachedClip(f"f{k}#0", f"f{k}", False, 24, 48, 64), moving(24, 48, 64, speed=1 + k)) for k in range(2)]


def network() -> Network:
    torch.manual_seed(0)
    net = Network(toys.toy_config("lite-full"), pretrained=False).eval()
    torch.nn.init.normal_(net.colorization.last.bias, std=0.1)  # type: ignore[arg-type]
    return net


def test_the_gates_inputs_give_the_films_colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = write_cache(tmp_path / "c", films(tmp_path), [], "k")
    monkeypatch.setattr(gate_calibration, "CALIBRATION_PIXELS", 30)
    net = network()
    (clip,) = held_out_clips(cache, ["f0"], 24, 48)
    runner = TorchRunner(net, device="cpu", bfloat16=False)
    inputs = gate_inputs(net, runner, clip, np.random.default_rng(1))
    count = len(net.colorization.margins)
    assert inputs.votes.shape == inputs.support.shape == (6, count, 30)
    assert inputs.candidates.shape == (6, count, 2, 30)
    assert not net.colorization._forward_hooks
    assert not net.colorization.last._forward_hooks
    one = torch.ones(())
    ab = mix_candidates(inputs, net.colorization.sharpness, net.colorization.margins, one, one)
    engine = NetworkEngine(runner, color_memory=False)
    state, by_engine = None, []
    bank = engine.start([clip.reference])
    for first in range(0, 24, engine.block_size):
        step = engine.step(clip.lightness[first : first + engine.block_size], bank, state)
        state = step.state
        by_engine += list(step.ab)
    noise = np.random.default_rng(1)
    for number, index in enumerate(range(3, 24, 4)):
        pixel = noise.integers(0, 48 * 64, 30)
        expected = by_engine[index].reshape(-1, 2)[pixel].T
        np.testing.assert_allclose(ab[number].detach().numpy(), expected, atol=1e-3)


def test_calibration_changes_these_parameters_alone_and_improves_the_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = write_cache(tmp_path / "c", films(tmp_path), [], "k")
    monkeypatch.setattr(gate_calibration, "CALIBRATION_PIXELS", 100)
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    line = calibrate_gate(net, cache, 5, device=torch.device("cpu"))
    assert line.startswith("gate on 2 films: sharpness ")
    assert "+" in line.split(";")[1]
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"colorization.{n}" for n in ("sharpness", "margins", "last.weight", "last.bias")}
    again = network()
    calibrate_gate(again, cache, 5, device=torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), net.state_dict().values(), strict=True))
    short = replace(cache, clips=())
    with pytest.raises(UsageError, match="no film has 20 frames"):
        calibrate_gate(net, short, 5)
