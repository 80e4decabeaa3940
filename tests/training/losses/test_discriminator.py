"""The discriminator: its layers as published, its answers, and that it leaves the generator alone when it should."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kinemacolor.training.losses.discriminator import DISCRIMINATOR_CHANNELS, Discriminator, SelfAttention
from kinemacolor.training.losses.losses import discriminator_loss, generator_loss

SMALL = (3, 4, 5, 6, 7, 8)


def pair(seed: int = 0, batch: int = 2, height: int = 131, width: int = 128) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    light = 100 * torch.rand(batch, 2, 1, height, width, generator=draw)
    return light, 40 * torch.randn(batch, 2, 2, height, width, generator=draw)


def test_layers_are_the_published_ones() -> None:
    network = Discriminator()
    convolutions = [layer for layer in network.layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 64, 128, 256, 512, 1024] == list(DISCRIMINATOR_CHANNELS)
    assert all(c.kernel_size == (4, 4) and c.stride == (2, 2) for c in convolutions)
    assert convolutions[0].in_channels == 6
    kinds = [type(layer).__name__.removeprefix("Parametrized") for layer in network.layers]
    first, second = ["Conv2d", "LeakyReLU"], ["Conv2d", "InstanceNorm2d", "LeakyReLU"]
    assert kinds == [*first, *second, "SelfAttention", *second * 4]
    slopes = {layer.negative_slope for layer in network.layers if isinstance(layer, nn.LeakyReLU)}
    assert slopes == {0.2}


def test_every_convolution_has_spectral_norm_one() -> None:
    torch.manual_seed(0)
    network = Discriminator(SMALL)
    for _ in range(60):  # power iteration, one step a time they are asked for in training
        [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    network.eval()
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(weights) == 10
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.03)


def test_one_answer_a_pair_and_items_do_not_mix() -> None:
    torch.manual_seed(0)
    network = Discriminator(SMALL).eval()
    light, ab = pair()
    both = network(light, ab)
    assert both.shape == (2,)
    alone = torch.cat([network(light[i : i + 1], ab[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(light, ab.flip(1)), both)  # the order of frames is seen
    assert not torch.allclose(network(light, ab.flip(2)), both)  # and so is the color


def test_self_attention_is_plain_attention_over_positions() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16).double().eval()
    x = torch.randn(2, 16, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x)  # it starts as the identity
    nn.init.constant_(layer.weight, 0.7)
    q, k, v = (part(x).flatten(2) for part in (layer.query, layer.key, layer.value))
    expected = torch.empty_like(x.flatten(2))
    for b in range(2):
        for i in range(15):
            shares = torch.softmax(torch.stack([q[b, :, i] @ k[b, :, j] for j in range(15)]), dim=0)
            expected[b, :, i] = x.flatten(2)[b, :, i] + 0.7 * sum(shares[j] * v[b, :, j] for j in range(15))
    torch.testing.assert_close(layer(x), expected.view_as(x))


def test_each_side_trains_its_own() -> None:
    torch.manual_seed(0)
    network = Discriminator(SMALL)
    (light, real), (_, fake) = pair(0), pair(1)
    fake.requires_grad_()
    discriminator_loss(network(light, real), network(light, fake.detach())).backward()
    assert fake.grad is None
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    network.zero_grad()
    network.requires_grad_(False)
    generator_loss(network(light, real), network(light, fake)).backward()
    assert fake.grad is not None
    assert (fake.grad.flatten(2).abs().sum(dim=2) > 0).all()  # both frames of each pair
    assert all(p.grad is None for p in network.parameters())


def test_a_few_steps_tell_real_from_fake() -> None:
    torch.manual_seed(0)
    network = Discriminator(SMALL)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, betas=(0.5, 0.999))
    light, real = pair(0)
    fake = real * 0.1
    before = discriminator_loss(network(light, real), network(light, fake)).item()
    for _ in range(8):
        optimizer.zero_grad()
        loss = discriminator_loss(network(light, real), network(light, fake))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6 * before
    assert network(light, real).mean() > network(light, fake).mean()


@pytest.mark.parametrize("shape", [(2, 2, 2, 127, 200), (2, 2, 2, 200, 100), (2, 1, 2, 128, 128), (2, 2, 3, 128, 128)])
def test_what_it_cannot_take_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ab: expected"):
        Discriminator(SMALL)(torch.zeros(*shape[:2], 1, *shape[3:]), torch.zeros(shape))
