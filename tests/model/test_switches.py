"""Ablations of Table 2, and arguments that the network refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.model.bank import join  # noqa: E402
from kinemacolor.model.linkage import LinkageMemory  # noqa: E402
from kinemacolor.model.network import Network  # noqa: E402
from tests.model import toys  # noqa: E402

both = pytest.mark.parametrize("name", ["paper", "lite-full"])


def names(network: Network) -> set[str]:
    return {key for key, _ in network.named_parameters()}


@both
@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"transformer": False, "linkage": False}, ("transformer", "to_cnn", "embed", "linkage")),
        ({"augmented_head": False}, ("heads.1",)),
        ({"linkage": False}, ("linkage",)),
    ],
    ids=["transformer", "augmented head", "linkage"],
)
def test_a_switch_takes_its_parameters_away(name: str, changes: dict[str, Any], gone: tuple[str, ...]) -> None:
    network, less = toys.shared(name), toys.toy(name, **changes)
    removed = names(network) - names(less)
    for part in gone:
        assert any(part in key for key in removed), part
        assert not any(part in key for key in names(less)), part
    left = {key for key in removed if not any(part in key for part in gone)}
    assert left <= ({"colorization.margins", "correspondence.alpha"} if "augmented_head" in changes else set())
    assert not names(less) - names(network)
    block = toys.luminance(1, 2)
    bank = toys.bank_of(less)
    first = less.step(block, bank)
    assert (first.memory is None) == (not less.config.linkage)
    less.step(block, bank, first.memory).ab.sum().backward()
    assert all(p.grad is not None for key, p in less.named_parameters() if "linkage" not in key)


def test_keys_of_the_taps_are_those_of_heads_without_a_learned_part() -> None:
    """``start_from_basis`` with ``learned=0`` silences exactly the layers that ``lite`` does not have."""
    less, full = toys.toy("lite"), toys.toy("lite-full", seed=1)
    gone = names(full) - names(less)
    assert not names(less) - names(full)
    assert {".".join(key.split(".")[:2]) for key in gone if key.startswith("correspondence")} == {
        *(f"correspondence.{part}" for part in ("low_half", "low_quarter", "high", "embed", "blocks", "to_quarter")),
        *(f"correspondence.{part}" for part in ("residual", "heads", "alpha")),
    }
    basis = torch.cat([layer.weight[:, :, 0, 0].T for layer in less.correspondence.shortcut])
    block = toys.luminance(1, 2, 37, 53)
    with torch.no_grad():
        learned = full.step(block, toys.bank_of(full)).keys
        full.correspondence.start_from_basis(basis, learned=0.0)
        bank, full_bank = toys.bank_of(less), toys.bank_of(full)
        step = less.step(block, bank)
        torch.testing.assert_close(step.keys, full.step(block, full_bank).keys)
    torch.testing.assert_close(bank.keys, full_bank.keys)
    assert (learned - step.keys).abs().max() > 0.1
    assert step.memory is None


@both
def test_parts_add_up(name: str) -> None:
    network = toys.shared(name)
    parts = network.parameters_by_part()
    assert list(parts) == ["features", "correspondence", "linkage", "colorization"]
    assert sum(parts.values()) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("norm", ["instance", "group", "batch", "none"])
def test_every_normalization_works(norm: str) -> None:
    network = toys.toy("lite-full", normalization=norm).train()
    ab = network.step(toys.luminance(2, 1), toys.bank_of(network, 2)).ab
    ab.square().sum().backward()
    gradient = network.colorization.last.weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("token_stride", [8, 16, 32])
def test_every_token_stride_works(token_stride: int) -> None:
    network = toys.toy("lite-full", token_stride=token_stride)
    step = network.step(toys.luminance(1, 1, 64, 96), toys.bank_of(network))
    assert step.memory is not None
    assert step.memory.information.shape[1] == 64 * 96 // token_stride**2


@both
def test_the_other_reference_block_works(name: str) -> None:
    """The switches are independent of each other, as long as y^lab is not an input of a network that lacks it."""
    other = {"paper": "separate", "lite-full": "joint"}[name]
    network = toys.toy(name, reference_block=other, reference_image=False, reference_frame=False)
    assert network.step(toys.luminance(1, 2, 37, 53), toys.bank_of(network, 1, 2, 37, 53)).ab.isfinite().all()


def test_backbone_statistics_stay_in_training() -> None:
    network = toys.own("lite-full").train()
    before = {key: v.clone() for key, v in network.features.state_dict().items() if "running" in key}
    network.step(toys.luminance(2, 1), toys.bank_of(network, 2))
    after = network.features.state_dict()
    assert before
    assert all(torch.equal(after[key], value) for key, value in before.items())


@both
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 0, 1, 48, 64), "luma_block: expected shape .*frames ≥ 1.*got \\(1, 0, 1, 48, 64\\)"),
        ((1, 2, 3, 48, 64), "luma_block: expected shape"),
        ((1, 2, 1, 31, 64), "luma_block: expected shape .*H ≥ 32"),
        ((2, 1, 48, 64), "luma_block: expected shape"),
        ((2, 2, 1, 48, 64), "bank.keys: expected shape \\(2, K"),
    ],
)
def test_wrong_blocks_are_named(name: str, shape: tuple[int, ...], message: str) -> None:
    network = toys.shared(name)
    with pytest.raises(ValueError, match=message):
        network.step(torch.zeros(shape, dtype=torch.float64), toys.bank_of(network))


@both
def test_wrong_references_are_named(name: str) -> None:
    network = toys.shared(name)
    luminance, ab = toys.references(1, 2)
    for arguments, message in (
        ((luminance[:, :0], ab[:, :0]), "luminance: expected shape"),
        ((luminance, ab[:, :1]), r"ab: expected shape \(1, 2, 2, 48, 64\), got \(1, 1, 2, 48, 64\)"),
        ((luminance, ab, luminance[..., 1:]), "mask: expected shape"),
        ((luminance, ab, luminance * 0), "mask: expected some color"),
    ):
        with pytest.raises(ValueError, match=message):
            network.start(*arguments)


def test_values_of_another_network_are_named() -> None:
    lite, paper = toys.shared("lite-full"), toys.shared("paper")
    block = toys.luminance(1, 1)
    bank = toys.bank_of(lite)
    other = toys.bank_of(toys.toy("lite-full", reference_block="joint"))
    with pytest.raises(ValueError, match=r"bank\.keys: expected shape \(1, K, 20\), got \(1, 0, 24\)"):
        lite.step(block, toys.bank_of(paper))
    with pytest.raises(ValueError, match="bank: expected one of separate references, got one of joint references"):
        lite.step(block, other)
    with pytest.raises(ValueError, match="bank: expected at least one entry"):
        lite.step(block, replace(bank, keys=bank.keys[:, :0], ab=bank.ab[:, :0], valid=bank.valid[:, :0]))
    with pytest.raises(ValueError, match=r"bank\.ab: expected shape"):
        lite.step(block, replace(bank, ab=bank.ab[:, 1:]))
    with pytest.raises(ValueError, match=r"memory: expected shape \(1, M ≥ 1, 12\), got \(1, 5, 24\)"):
        lite.step(block, bank, LinkageMemory(toys.noise(1, 5, 24), torch.ones(())))
    with pytest.raises(ValueError, match="memory: expected None"):
        toys.toy("lite-full", linkage=False).step(block, bank, LinkageMemory(toys.noise(1, 5, 12), torch.ones(())))
    with pytest.raises(ValueError, match="propagated: expected None"):
        paper.step(block, toys.bank_of(paper), None, toys.propagated(block))
    with pytest.raises(ValueError, match=r"propagated\.ab: expected shape \(1, 1, 2, 48, 64\)"):
        lite.step(block, bank, None, toys.propagated(block[..., 1:]))
    with pytest.raises(ValueError, match=r"bank\.references\.valid"):
        paper.step(toys.luminance(1, 1, 64, 48), toys.bank_of(paper))
    with pytest.raises(ValueError, match="banks: expected one or more of separate references"):
        join([other])
