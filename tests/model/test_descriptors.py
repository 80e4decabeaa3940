"""The descriptor network: one more tap of the heads."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.core.errors import InputError  # noqa: E402
from kinemacolor.model.checkpoint import load_descriptors, load_network, save_network  # noqa: E402
from kinemacolor.model.config import ConfigError, load_config, parse_config  # noqa: E402
from kinemacolor.model.network import Network  # noqa: E402
from tests.model import toys  # noqa: E402

SMALL = {"descriptor_channels": 10, "descriptor_width": 12, "descriptor_blocks": (2, 1)}


def test_descriptors_are_one_more_tap_of_the_heads() -> None:
    with_them, without = toys.toy("lite", **SMALL), toys.toy("lite")
    without.load_state_dict(
        {name: tensor for name, tensor in with_them.state_dict().items() if name in without.state_dict()}
    )
    pictures = toys.luminance(1, 2, 37, 53)
    assert with_them.correspondence.tap_channels == (24, 40, 112, 10)
    taps = with_them.taps(with_them.pad(pictures)[0])
    assert taps.descriptors is not None
    assert taps.descriptors.shape == (2, 10, 12, 16)
    before = with_them.step(pictures, toys.bank_of(with_them, 1, 1, 37, 53)).keys
    with torch.no_grad():
        with_them.correspondence.shortcut[3].weight.zero_()
    after = with_them.step(pictures, toys.bank_of(with_them, 1, 1, 37, 53)).keys
    plain = without.step(pictures, toys.bank_of(without, 1, 1, 37, 53)).keys
    torch.testing.assert_close(after, plain)
    assert float((before - after).detach().abs().max()) > 0.01


def test_a_place_sees_far_and_near() -> None:
    network = toys.toy("lite", **SMALL)
    picture = toys.luminance(1, 1, 128, 192).double()[0]
    picture.requires_grad_()
    taps = network.taps(picture)
    assert taps.descriptors is not None
    taps.descriptors[0, :, 16, 24].sum().backward()
    assert picture.grad is not None
    seen = picture.grad[0, 0].abs() > 1e-12
    rows, columns = (seen.any(dim=axis).nonzero() for axis in (1, 0))
    assert int(rows.max() - rows.min()) > 100
    assert int(columns.max() - columns.min()) > 100


def test_files_of_version_0_1_have_no_descriptors() -> None:
    fields = load_config("lite").model_dump()
    old = {name: value for name, value in fields.items() if not name.startswith("descriptor_")}
    assert parse_config(old, "old.toml") == load_config("lite").changed(descriptor_channels=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"descriptor_width": 10}, "descriptor_width: .*a multiple of 4"),
        ({"descriptor_channels": 8, "tap_shortcut": False, "learned_keys": True}, "0 without tap_shortcut"),
        ({"descriptor_channels": -1}, "descriptor_channels"),
    ],
)
def test_faults_of_a_configuration_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("lite").changed(**changes)


def test_descriptors_of_other_weights_are_taken(tmp_path) -> None:  # type: ignore[no-untyped-def]
    source = Network(toys.toy_config("lite", **SMALL), pretrained=False)
    save_network(source, tmp_path / "keys.safetensors")
    network = Network(toys.toy_config("lite", **SMALL, encoder_channels=(2, 4, 6)), pretrained=False)
    load_descriptors(network, tmp_path / "keys.safetensors")
    for name, tensor in source.descriptors.state_dict().items():
        torch.testing.assert_close(network.descriptors.state_dict()[name], tensor)
    assert load_network(tmp_path / "keys.safetensors").config == source.config
    other = Network(toys.toy_config("lite", **{**SMALL, "descriptor_channels": 6}), pretrained=False)
    with pytest.raises(InputError, match="descriptor_channels: expected 6, got 10"):
        load_descriptors(other, tmp_path / "keys.safetensors")
    with pytest.raises(InputError, match="descriptor_channels: expected 0, got 10"):
        load_descriptors(Network(toys.toy_config("lite"), pretrained=False), tmp_path / "keys.safetensors")
