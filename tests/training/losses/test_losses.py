"""Each loss against a plain loop in float64 at prime sizes, its sign, and where its gradients go."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kinemacolor.core.color import lab_to_rgb as numpy_lab_to_rgb
from kinemacolor.training.losses import losses
from kinemacolor.training.losses.feature_networks import RELU5_2, VGG19Features, freeze, lite0_features

B, H, W = 2, 5, 7


def noise(*shape: int, seed: int = 0, scale: float = 20.0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def lightness(*shape: int, seed: int = 9) -> Tensor:
    return 50 + noise(*shape, seed=seed, scale=10.0)


def wanted(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


# --- color --------------------


def test_lab_to_rgb_is_the_packages_own() -> None:
    lab = np.stack(np.meshgrid([0.0, 3, 8, 40, 71, 100], [-90.0, -7, 0, 55], [-80.0, 0, 12, 90]), axis=-1)
    lab = lab.reshape(6, -1, 3).astype(np.float32)
    got = losses.lab_to_rgb(torch.from_numpy(lab).permute(2, 0, 1).double())
    np.testing.assert_allclose(got.permute(1, 2, 0).numpy(), numpy_lab_to_rgb(lab), atol=2e-5)


def test_lab_to_rgb_has_true_and_finite_gradients() -> None:
    lab = torch.cat([lightness(1, 1, 3, 5), noise(1, 2, 3, 5)], dim=1)
    assert torch.autograd.gradcheck(losses.lab_to_rgb, (wanted(lab),))
    black = wanted(torch.zeros(1, 3, 2, 2, dtype=torch.float64))
    losses.lab_to_rgb(black).sum().backward()
    assert black.grad is not None
    assert torch.isfinite(black.grad).all()
    assert (black.grad[:, 0] > 0).all()


# --- equations 8 to 10 --------------------


def test_l1_is_the_mean_absolute_difference() -> None:
    a, b = noise(B, 3, 2, H, W), noise(B, 3, 2, H, W, seed=1)
    expected = np.mean([abs(x - y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)])
    assert losses.l1(a, b).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="truth: expected"):
        losses.l1(a, b[..., 1:])


class Probe(nn.Module):
    """A feature network that can be computed by hand: two maps."""

    def forward(self, rgb: Tensor) -> list[Tensor]:
        return [rgb.square(), rgb[:, :1] - rgb[:, 1:2]]


def test_perceptual_compares_maps_of_visible_colors() -> None:
    light, a, b = lightness(B, 1, H, W), noise(B, 2, H, W, scale=60), noise(B, 2, H, W, seed=1)

    def maps(ab: Tensor) -> list[np.ndarray]:
        lab = torch.cat([light, ab], dim=1).permute(0, 2, 3, 1).numpy().astype(np.float32)
        rgb = np.clip(numpy_lab_to_rgb(lab), 0, 1).astype(np.float64)
        return [rgb**2, rgb[..., 0] - rgb[..., 1]]

    expected = np.mean([np.mean((x - y) ** 2) for x, y in zip(maps(a), maps(b), strict=True)])
    assert losses.perceptual(Probe(), light, a, b).item() == pytest.approx(expected, rel=1e-4)
    block = losses.perceptual(Probe(), light[:, None], a[:, None], b[:, None])  # (B, N, …) as well
    assert block.item() == pytest.approx(expected, rel=1e-4)


def test_warp_samples_where_the_flow_points() -> None:
    image, flow = noise(B, 3, H, W), noise(B, 2, H, W, seed=2, scale=2)
    expected = torch.empty_like(image)
    for n in range(B):
        for y in range(H):
            for x in range(W):
                px = min(max(x + flow[n, 0, y, x].item(), 0), W - 1)
                py = min(max(y + flow[n, 1, y, x].item(), 0), H - 1)
                x0, y0 = min(int(px), W - 2), min(int(py), H - 2)
                u, v = px - x0, py - y0
                top = (1 - u) * image[n, :, y0, x0] + u * image[n, :, y0, x0 + 1]
                bottom = (1 - u) * image[n, :, y0 + 1, x0] + u * image[n, :, y0 + 1, x0 + 1]
                expected[n, :, y, x] = (1 - v) * top + v * bottom
    torch.testing.assert_close(losses.warp(image, flow), expected)


def test_temporal_is_the_masked_difference_to_the_warped_frame() -> None:
    current, previous, flow = noise(B, 2, H, W), noise(B, 2, H, W, seed=1), noise(B, 2, H, W, seed=2, scale=1)
    visible = (noise(B, 1, H, W, seed=3) > 0).double()
    warped = losses.warp(previous, flow)
    total = 0.0
    for n, c, y, x in np.ndindex(B, 2, H, W):
        total += visible[n, 0, y, x].item() * abs(warped[n, c, y, x].item() - current[n, c, y, x].item())
    assert losses.temporal(current, previous, flow, visible).item() == pytest.approx(total / (B * 2 * H * W))
    nothing = losses.temporal(current, previous, flow, torch.zeros_like(visible))
    assert nothing.item() == 0


def smooth_by_loop(prediction: Tensor, light: Tensor, truth: Tensor) -> float:
    lab = torch.cat([light, truth], dim=1)
    total = 0.0
    for n, y, x in np.ndindex(B, H, W):
        around = [(y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1) if 0 <= y + j < H and 0 <= x + i < W]
        raw = [math.exp(-float((lab[n, :, y, x] - lab[n, :, j, i]).square().sum()) / 10) for j, i in around]
        for c in range(2):
            mean = sum(w * prediction[n, c, j, i].item() for w, (j, i) in zip(raw, around, strict=True)) / sum(raw)
            total += (prediction[n, c, y, x].item() - mean) ** 2
    return total / (B * 2 * H * W)


def test_smooth_against_a_loop() -> None:
    prediction, light, truth = noise(B, 2, H, W), lightness(B, 1, H, W) / 10, noise(B, 2, H, W, seed=1, scale=2)
    expected = smooth_by_loop(prediction, light, truth)
    assert losses.smooth(prediction, light, truth).item() == pytest.approx(expected)
    block = losses.smooth(prediction[:, None], light[:, None], truth[:, None])
    assert block.item() == pytest.approx(expected)


# --- adversarial and gate --------------------


def test_relativistic_average_least_squares_by_loop() -> None:
    real, fake = noise(5, scale=1), noise(5, seed=1, scale=1)
    r, f = real.tolist(), fake.tolist()
    mean_r, mean_f = sum(r) / 5, sum(f) / 5
    expected = sum((x - mean_f - 1) ** 2 for x in r) / 10 + sum((x - mean_r + 1) ** 2 for x in f) / 10
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(expected)
    expected = sum((x - mean_r - 1) ** 2 for x in f) / 10 + sum((x - mean_f + 1) ** 2 for x in r) / 10
    assert losses.generator_loss(real, fake).item() == pytest.approx(expected)


def test_adversarial_signs_and_gradients() -> None:
    real, fake = wanted(noise(3, scale=1)), wanted(noise(3, seed=1, scale=1))
    assert losses.discriminator_loss(real + 1, fake - 1) < losses.discriminator_loss(real - 1, fake + 1)
    assert losses.generator_loss(real, fake + 0.5) < losses.generator_loss(real + 0.5, fake)
    losses.generator_loss(real, fake).backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_relative_counts_each_frame_by_the_share_of_its_error() -> None:
    truth, prediction = noise(B, 3, 2, H, W), noise(B, 3, 2, H, W, seed=1)
    errors = [(prediction - truth)[b, n].abs().mean().item() for b, n in np.ndindex(B, 3)]
    expected = sum(math.log(1 + error / 2) for error in errors) / len(errors)
    assert losses.relative(prediction, truth, floor=2.0).item() == pytest.approx(expected)
    frames = wanted(torch.stack([truth[:, 0] + 40, truth[:, 0] + 4], dim=1))
    losses.relative(frames, truth[:, :1].expand_as(frames), floor=1e-9).backward()
    assert frames.grad is not None
    pull = frames.grad.abs().sum(dim=(0, 2, 3, 4))
    assert pull[1] == pytest.approx(10 * pull[0])  # a tenth of the error, so ten times the gradient
    assert losses.relative(truth, truth) == 0


def gate_by_loop(logits: Tensor, candidates: Tensor, truth: Tensor, available: Tensor) -> float:
    _, _, count, height, width = logits.shape
    total = weights = 0.0
    for b, n, y, x in np.ndindex(*logits.shape[:2], height, width):
        there = [k for k in range(count) if available[b, n, k, y, x] > 0]
        gaps = [float((candidates[b, n, k, :, y, x] - truth[b, n, :, y, x]).norm()) for k in there]
        answer = [math.exp(-gap / 0.5) for gap in gaps]
        gate = [math.exp(logits[b, n, k, y, x].item()) for k in there]
        lost = sum(
            a / sum(answer) * math.log(a / sum(answer) / (g / sum(gate))) for a, g in zip(answer, gate, strict=True)
        )
        weight = min(max(gaps) - min(gaps), 10.0)
        total, weights = total + weight * lost, weights + weight
    return total / weights


def test_gate_against_a_loop() -> None:
    logits, candidates, truth = noise(B, 2, 3, H, W, scale=1), noise(B, 2, 3, 2, H, W, scale=6), noise(B, 2, 2, H, W)
    available = (noise(B, 2, 3, H, W, seed=4) > -15).double()
    available[:, :, 0] = 1
    expected = gate_by_loop(logits, candidates, truth, available)
    assert losses.gate(logits, candidates, truth, available).item() == pytest.approx(expected)
    everywhere = gate_by_loop(logits, candidates, truth, torch.ones_like(available))
    assert losses.gate(logits, candidates, truth).item() == pytest.approx(everywhere)


def test_gate_prefers_the_nearest_and_is_silent_without_a_choice() -> None:
    truth = noise(1, 1, 2, H, W)
    candidates = torch.stack([truth + 30, truth, truth - 25], dim=2)
    right = torch.zeros(1, 1, 3, H, W, dtype=torch.float64)
    right[:, :, 1] = 40
    assert losses.gate(right, candidates, truth) < 1e-3
    assert losses.gate(-right, candidates, truth) > 5
    alike = truth[:, :, None].expand(-1, -1, 3, -1, -1, -1)
    assert losses.gate(right, alike, truth) == 0
    with pytest.raises(ValueError, match="candidates: expected"):
        losses.gate(right, candidates[:, :, :2], truth)


# --- matching --------------------


def matches_by_loop(queries: Tensor, keys: Tensor, valid: Tensor, places: Tensor, grid: tuple[int, int]) -> float:
    rows, columns = grid
    total = weights = 0.0
    for b, t in np.ndindex(*queries.shape[:2]):
        x, y, weight = places[b, t].tolist()
        scores = [
            math.exp(float(queries[b, t] @ key) / 0.1) if ok else 0.0 for key, ok in zip(keys[b], valid[b], strict=True)
        ]
        ends = {
            min(max(math.floor(y) + dy, 0), rows - 1) * columns + min(max(math.floor(x) + dx, 0), columns - 1)
            for dx in (0, 1)
            for dy in (0, 1)
        }
        if any(not valid[b, k] for k in ends):
            continue
        lost = -math.log(sum(scores[k] for k in ends) / sum(scores))
        total, weights = total + weight * min(lost, 2.5), weights + weight
    return total / weights


def test_matches_against_a_loop() -> None:
    rows, columns = 5, 7
    unit = nn.functional.normalize
    queries, keys = unit(noise(B, 11, 3), dim=2), unit(noise(B, rows * columns + 4, 3, seed=1), dim=2)
    valid = torch.ones(B, rows * columns + 4, dtype=torch.float64)
    valid[0, [3, 17]] = 0
    spread = torch.tensor([columns - 1.0, rows - 1.0, 1.0], dtype=torch.float64)
    places = torch.rand(B, 11, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * spread
    places[0, 0, :2] = places.new_tensor([columns - 1, rows - 1])  # one entry, not four
    expected = matches_by_loop(queries, keys, valid, places, (rows, columns))
    got = losses.matches(queries, keys, valid, places, (rows, columns), 0.1, largest=2.5)
    assert got.item() == pytest.approx(expected)
    places[..., 2] = 0
    assert losses.matches(queries, keys, valid, places, (rows, columns), 0.1) == 0


def test_matches_draw_keys_of_one_thing_together() -> None:
    keys = wanted(noise(1, 6, 4, scale=1))
    queries = wanted(noise(1, 1, 4, seed=1, scale=1))
    place = torch.tensor([[[1.0, 1.0, 1.0]]], dtype=torch.float64)  # of a grid of 2 × 3: entry 4 and those beside it
    loss = losses.matches(queries, keys, torch.ones(1, 6, dtype=torch.float64), place, (2, 3), 1.0)
    loss.backward()
    assert keys.grad is not None
    along = (keys.grad @ queries.detach()[0, 0])[0]
    assert (along[[4, 5]] < 0).all()
    assert (along[[0, 1, 2, 3]] > 0).all()


# --- signs and gradients of all that compare with a truth --------------------

LIGHT, TRUTH, FLOW = lightness(B, 1, H, W), noise(B, 2, H, W, seed=1, scale=10), noise(B, 2, H, W, seed=2, scale=1)
VISIBLE = torch.ones(B, 1, H, W, dtype=torch.float64)
COMPARING: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Tensor]] = {
    "l1": (losses.l1, TRUTH),
    "perceptual": (lambda p, t: losses.perceptual(Probe(), LIGHT, p, t), TRUTH),
    "temporal": (lambda p, t: losses.temporal(p, t, FLOW, VISIBLE), losses.warp(TRUTH, FLOW)),
}
"""Loss of (prediction, truth or previous frame), and the prediction for which it is 0."""


@pytest.mark.parametrize("name", COMPARING)
def test_a_better_result_costs_less(name: str) -> None:
    loss, best = COMPARING[name]
    off = noise(B, 2, H, W, seed=5)
    values = [loss(best + share * off, TRUTH).item() for share in (0, 0.3, 1)]
    assert values[0] == pytest.approx(0, abs=1e-12)
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("name", COMPARING)
def test_gradients_reach_the_prediction_alone(name: str) -> None:
    loss, best = COMPARING[name]
    prediction, truth = wanted(best + noise(B, 2, H, W, seed=5)), wanted(TRUTH)
    loss(prediction, truth).backward()
    assert truth.grad is None
    assert prediction.grad is not None
    assert prediction.grad.abs().amin(dim=(1, 2, 3)).min() >= 0
    assert (prediction.grad != 0).all(dim=1).double().mean() > 0.9


def test_smooth_sign_and_gradients() -> None:
    """Colors that follow the truth's edges cost less than noise, and than colors that cross them."""
    columns = torch.arange(W).expand(B, 1, H, W)
    light, truth = 30 + 40 * (columns > 2).double(), torch.zeros(B, 2, H, W, dtype=torch.float64)
    edge = 30 * (columns > 2).double().expand(-1, 2, -1, -1)
    beside = 30 * (columns > 3).double().expand(-1, 2, -1, -1)
    assert losses.smooth(edge, light, truth) < 1e-9
    assert losses.smooth(beside, light, truth) > 1
    prediction, light, truth = wanted(noise(B, 2, H, W)), wanted(light), wanted(truth)
    losses.smooth(prediction, light, truth).backward()
    assert light.grad is None
    assert truth.grad is None
    assert prediction.grad is not None
    assert (prediction.grad != 0).all()


def test_gate_gradients_reach_the_logits_alone() -> None:
    truth = wanted(noise(1, 1, 2, H, W))
    candidates, logits = wanted(noise(1, 1, 3, 2, H, W, seed=1)), wanted(noise(1, 1, 3, H, W, seed=2, scale=1))
    losses.gate(logits, candidates, truth).backward()
    assert candidates.grad is None
    assert truth.grad is None
    assert logits.grad is not None
    assert (logits.grad != 0).all()


def test_losses_of_half_precision_are_computed_in_single() -> None:
    """What a network gives under autocast is bfloat16; its losses are not, and inside autocast neither."""
    off = (TRUTH + noise(B, 2, H, W, seed=5)).bfloat16()
    light, truth, flow, visible = (x.float() for x in (LIGHT, TRUTH, FLOW, VISIBLE))
    logits, candidates = noise(1, B, 2, H, W, scale=1).bfloat16(), torch.stack([off, -off], dim=1)[None]
    with torch.autocast("cpu", torch.bfloat16):
        got = [
            losses.l1(off, truth),
            losses.perceptual(Probe(), light, off, truth),
            losses.temporal(off, truth.bfloat16(), flow, visible),
            losses.smooth(off, light, truth),
            losses.gate(logits, candidates, truth[None]),
            losses.generator_loss(off[:, 0, 0, 0], off[:, 1, 0, 0]),
        ]
    exact = off.double()
    expected = [
        losses.l1(exact, TRUTH),
        losses.perceptual(Probe(), LIGHT, exact, TRUTH),
        losses.temporal(exact, TRUTH.bfloat16().double(), FLOW, VISIBLE),
        losses.smooth(exact, LIGHT, TRUTH),
        losses.gate(logits.double(), candidates.double(), TRUTH[None]),
        losses.generator_loss(exact[:, 0, 0, 0], exact[:, 1, 0, 0]),
    ]
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == torch.float32
        assert a.item() == pytest.approx(b.item(), rel=1e-4)


# --- feature networks --------------------


def test_vgg19_is_read_at_relu5_2() -> None:
    """relu5_2 is the second ReLU after the fourth pooling."""
    models = pytest.importorskip("torchvision.models")
    features = VGG19Features(models.vgg19(weights=None, init_weights=False).features).layers
    assert len(features) == RELU5_2
    kinds = [type(layer).__name__ for layer in features]
    assert kinds.count("MaxPool2d") == 4
    assert kinds[-5:] == ["MaxPool2d", "Conv2d", "ReLU", "Conv2d", "ReLU"]
    assert features[-2].out_channels == 512


def test_lite0_reads_color_and_stays_frozen() -> None:
    network = lite0_features()
    rgb = wanted(torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(0)))
    maps = network(rgb)
    assert [tuple(one.shape[1:]) for one in maps] == [(24, 8, 16), (40, 4, 8), (112, 2, 4)]
    gray = network(rgb.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1))
    assert (maps[0] - gray[0]).abs().max() > 0.1
    torch.stack([one.sum() for one in maps]).sum().backward()
    assert rgb.grad is not None
    assert rgb.grad.abs().max() > 0
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert not freeze(nn.BatchNorm2d(3)).training


def test_vgg19_without_weights_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    models = pytest.importorskip("torchvision.models")
    from kinemacolor.core.errors import InputError
    from kinemacolor.training.losses.feature_networks import vgg19_features

    def offline(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models, "vgg19", offline)
    with pytest.raises(
        InputError, match=r"perceptual loss: VGG19's ImageNet weights are not available .* choose another"
    ):
        vgg19_features()


@pytest.mark.parametrize("floor", [1.0, 0.25])
def test_psnr_against_a_plain_loop(floor: float) -> None:
    result, truth = wanted(noise(B, 3, 2, H, W)), noise(B, 3, 2, H, W, seed=1)
    got = losses.psnr(result, truth, floor)
    total = 0.0
    for item in range(B):
        for frame in range(3):
            squares = [
                sum(float(result[item, frame, c, y, x].detach() - truth[item, frame, c, y, x]) ** 2 for c in range(2))
                for y in range(H)
                for x in range(W)
            ]
            total += math.log(1 + sum(squares) / len(squares) / floor)
    assert float(got.detach()) == pytest.approx(total / (3 * B), rel=1e-5)
    torch.autograd.backward(got)
    assert result.grad is not None
    assert ((result.grad * (result.detach() - truth)) >= 0).all()  # each step down leads toward the truth
    nearer = truth + 0.5 * (result.detach() - truth)
    assert losses.psnr(nearer, truth, floor) < got
    assert float(losses.psnr(truth, truth, floor)) == 0


def test_chroma_against_a_plain_loop() -> None:
    result, truth = wanted(noise(B, 3, 2, H, W)), noise(B, 3, 2, H, W, seed=1)
    got = losses.chroma(result, truth)
    total = 0.0
    for item in range(B):
        for frame in range(3):
            for y in range(H):
                for x in range(W):
                    found, aim = (math.hypot(*one[item, frame, :, y, x].tolist(), 0.1) for one in (result, truth))
                    total += abs(found - aim)
    assert float(got.detach()) == pytest.approx(total / (B * 3 * H * W), rel=1e-5)
    torch.autograd.backward(got)
    assert result.grad is not None
    stronger = result.detach().square().sum(2) > truth.square().sum(2)
    outward = (result.grad * result.detach()).sum(2)
    assert (outward[stronger] > 0).all()  # each step down makes colors that are too strong weaker
    assert (outward[~stronger] < 0).all()


def test_chroma_does_not_ask_for_a_hue() -> None:
    truth = noise(1, 1, 2, H, W)
    assert float(losses.chroma(truth.flip(2), truth)) == pytest.approx(0, abs=1e-5)
    assert float(losses.chroma(0.5 * truth, truth)) > 0
    flat = wanted(torch.zeros(1, 1, 2, H, W))
    torch.autograd.backward(losses.chroma(flat, truth))
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()
