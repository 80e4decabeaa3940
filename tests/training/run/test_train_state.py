"""Learning rates, parameter groups, the moving average, and the initialization of the keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.config.sections import OptimizerSection
from kinemacolor.training.run.train_state import (
    calibrating_norms,
    clip_gradients,
    freeze_statistics,
    make_train_state,
    rate_factor,
    set_rates,
    update_average,
)
from kinemacolor.training.validation.key_init import (
    RIDGE,
    _directions,
    centered_taps,
    discriminant_basis,
    match_differences,
)
from tests.model import toys
from tests.training.runs import toy_recipe
from tests.training.toys import toy_cache


def network(recipe: Recipe) -> Network:
    torch.manual_seed(0)
    return Network(recipe.network.network_config(), pretrained=False)


def test_the_papers_schedule_divides_at_epochs_four_and_eight() -> None:
    options = OptimizerSection(schedule="paper")
    factors = [rate_factor(options, epoch * 7, 70) for epoch in range(10)]
    assert factors == [1] * 4 + [0.1] * 4 + [0.01] * 2
    assert rate_factor(options, 4 * 7 - 1, 70) == 1


def test_cosine_falls_to_its_last_share_and_rates_rise_at_first() -> None:
    options = OptimizerSection(schedule="cosine", last_share=0.1, warm_up=4)
    factors = [rate_factor(options, step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.25)
    assert factors[50] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert rate_factor(OptimizerSection(schedule="constant"), 99, 100) == 1


def test_groups_share_out_all_parameters_once_with_their_rates() -> None:
    recipe = toy_recipe(
        data={"size": [128, 128]},
        losses={"adversarial": 1},
        optimizer={"backbone_rate": 2e-5, "discriminator_rate": 3e-3},
    )
    state = make_train_state(recipe, network(recipe), "cpu")
    assert state.discriminator is not None
    groups = {group["name"]: group for group in state.optimizer.param_groups}
    ids = [id(p) for group in groups.values() for p in group["params"]]
    expected = [*state.network.parameters(), *state.discriminator.parameters()]
    assert sorted(ids) == sorted(map(id, expected))
    slow = [*state.network.features.parameters(), *state.network.correspondence.shortcut.parameters()]
    assert {id(p) for p in groups["backbone"]["params"]} == set(map(id, slow))
    set_rates(state, 0.5)
    assert [groups[n]["lr"] for n in ("rest", "backbone", "discriminator")] == pytest.approx([5e-4, 1e-5, 1.5e-3])
    assert groups["rest"]["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("frozen", [("features",), ("features", "correspondence", "linkage")])
def test_frozen_subnets_keep_their_weights(frozen: tuple[str, ...]) -> None:
    recipe = toy_recipe(network={"freeze": frozen})
    state = make_train_state(recipe, network(recipe), "cpu")
    for name, part in state.network.named_children():
        assert {p.requires_grad for p in part.parameters()} == {name not in frozen}


def test_the_average_follows_the_weights() -> None:
    recipe = toy_recipe(optimizer={"average": 0.8})
    state = make_train_state(recipe, network(recipe), "cpu")
    name = "colorization.sharpness"
    value = expected = float(state.network.state_dict()[name])
    for step in range(1, 60):
        value = value * 0.9 + step
        with torch.no_grad():
            state.network.get_parameter(name).fill_(value)
        state.step = step
        update_average(state, 0.8)
        d = min(0.8, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * value
    assert float(state.average.state_dict()[name]) == pytest.approx(expected, rel=1e-5)
    plain = make_train_state(toy_recipe(optimizer={"average": 0}), network(recipe), "cpu")
    assert plain.average is plain.network


def test_clipping_returns_the_norm_before() -> None:
    def parameters() -> list[torch.Tensor]:
        first, second = torch.zeros(3), torch.zeros(2)
        first.grad, second.grad = torch.tensor([3.0, 0, 0]), torch.tensor([0, 4.0])
        return [first, second]

    limited = parameters()
    assert clip_gradients(limited, 1.0) == pytest.approx(5)
    assert limited[1].grad is not None
    assert limited[1].grad.tolist() == pytest.approx([0, 0.8], rel=1e-4)
    unlimited = parameters()
    assert clip_gradients(unlimited, 0) == pytest.approx(5)
    assert unlimited[1].grad is not None
    assert unlimited[1].grad.tolist() == pytest.approx([0, 4])


def test_frozen_statistics_are_kept() -> None:
    net = network(toy_recipe()).train()
    name = next(n for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d) and "correspondence" in n)
    statistics = net.get_buffer(f"{name}.running_mean")
    luminance, ab = torch.rand(1, 1, 1, 32, 32), torch.zeros(1, 1, 2, 32, 32)
    before = statistics.clone()
    net.start(luminance, ab)
    moved = statistics.clone()
    assert not torch.equal(before, moved)
    freeze_statistics(net)
    net.start(luminance, ab)
    assert torch.equal(statistics, moved)


def test_calibration_takes_the_mean_over_passes() -> None:
    recipe = toy_recipe()
    state = make_train_state(recipe, network(recipe), "cpu")
    norm = state.network.correspondence.high[1]
    pretrained = next(m for m in state.network.features.modules() if isinstance(m, torch.nn.BatchNorm2d))
    before = pretrained.running_mean.clone()
    passes = [torch.randn(2, norm.num_features, 5, 7) * k + k for k in (1, 3)]
    with calibrating_norms(state, state.network):
        for features in passes:
            norm(features)
            pretrained(torch.randn(2, pretrained.num_features, 3, 3))
        assert not torch.is_grad_enabled()
    means = torch.stack([features.mean(dim=(0, 2, 3)) for features in passes]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, means)
    torch.testing.assert_close(state.average.correspondence.high[1].running_mean, means)
    torch.testing.assert_close(pretrained.running_mean, before)
    assert norm.momentum == 0.1
    assert norm.training
    assert torch.is_grad_enabled()


def test_the_basis_is_fishers_discriminant(tmp_path: Path) -> None:
    """Against scipy's generalized eigenvectors of the same scatters; keys are of length 1 on average."""
    noise = np.random.default_rng(0)
    within, total = (x @ x.T / 50 for x in noise.standard_normal((2, 11, 50)) * np.linspace(0.2, 2, 11)[:, None])
    got = _directions(torch.from_numpy(within), torch.from_numpy(total), 5).numpy()
    ridged = within + RIDGE * np.trace(within) / 11 * np.eye(11)
    values, vectors = eigh(total, ridged)
    expected = vectors[:, ::-1][:, :5] * np.sqrt(values[::-1][:5])
    expected /= np.sqrt(np.trace(expected.T @ total @ expected))
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=1e-8)
    assert _directions(torch.from_numpy(within), torch.from_numpy(total), 13)[:, 11:].abs().max() == 0


def test_differences_are_those_of_certain_matches() -> None:
    """A reference shifted by two cells: true matches have no difference, uncertain ones are left out."""
    noise = torch.Generator().manual_seed(1)
    frames = torch.randn(1, 3, 7, 9, generator=noise)
    reference = torch.roll(frames, 2, dims=3)
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    certainty = (x < 7).float()
    places = torch.stack([(x + 2) * 4 + 1.5, y * 4 + 1.5, certainty])[None]
    gaps = match_differences(frames, reference, places, 1)
    assert gaps.shape == (49, 3)
    assert gaps.abs().max() < 1e-5
    wrong = torch.stack([x * 4 + 1.5, y * 4 + 1.5, certainty])[None]
    assert match_differences(frames, reference, wrong, 1).abs().mean() > 0.5
    assert match_differences(frames, reference, places, 2).shape[1] == 3
    assert len(match_differences(frames, reference, places * torch.tensor([1, 1, 0.0])[:, None, None], 1)) == 0


def test_mirrored_places_match_better_than_by_the_taps_themselves(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "cache")
    net = Network(toys.toy_config("lite-full", key_channels=32), pretrained=True).eval()
    basis = discriminant_basis(net, cache, (48, 64), samples=30)
    assert basis.shape == (24 + 40 + 112, 64)
    frames = cache.frames(cache.clips[0])[0].astype(np.float32).mean(axis=2)[:48, :64]
    pictures = torch.from_numpy(np.stack([frames, frames[:, ::-1]]) / 127.5 - 1)[:, None]
    with torch.no_grad():
        plain = centered_taps(net, pictures)
    hits = {}
    for name, features in (("taps", plain), ("basis", torch.einsum("nchw,ck->nkhw", plain, basis[:, :32]))):
        keys = torch.nn.functional.normalize(features, dim=1)
        here, there = keys[0].flatten(1).T, keys[1].flip(2).flatten(1).T
        matched = (here @ there.T).argmax(dim=1)
        rows, columns = np.divmod(matched.numpy(), 16)
        y, x = np.divmod(np.arange(12 * 16), 16)
        hits[name] = (np.hypot(rows - y, columns - x) < 2).mean()
    assert hits["basis"] > hits["taps"] + 0.1


def test_the_network_starts_from_the_basis(tmp_path: Path) -> None:
    cache = toy_cache(tmp_path / "cache")
    net = Network(toys.toy_config("lite-full"), pretrained=True)
    basis = discriminant_basis(net, cache, (48, 64), samples=4)
    net.correspondence.start_from_basis(basis)
    layer = net.correspondence.shortcut[0]
    assert isinstance(layer, torch.nn.Conv2d)
    np.testing.assert_allclose(layer.weight[:, :, 0, 0].detach().numpy(), basis[:24].T.numpy())
