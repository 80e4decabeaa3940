"""Folding normalizations does not change results."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.folding import fold_batch_norm, round_to_half  # noqa: E402
from tests.model import toys  # noqa: E402


@pytest.mark.parametrize("name", ["paper", "lite-full"])
def test_a_folded_network_gives_the_same_results(name: str) -> None:
    network = toys.own(name)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2)
    less = fold_batch_norm(network)
    left = [m for m in less.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not left
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules()), "the original was changed"
    block = toys.luminance(1, 2)
    with torch.no_grad():
        want = network.step(block, toys.bank_of(network))
        got = less.step(block, toys.bank_of(less))
    torch.testing.assert_close(got.keys, want.keys, atol=1e-8, rtol=0)
    torch.testing.assert_close(got.ab, want.ab, atol=1e-5, rtol=0)


def test_rounded_tensors_hold_float16_values() -> None:
    network = round_to_half(toys.own("lite-full").float(), 256)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.numel() >= 256:
            assert torch.equal(tensor, tensor.half().float())
