"""Weights on disk: written files can be read again, and files that do not fit are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from safetensors.torch import load_file, save_file  # noqa: E402

from kinemacolor.core.errors import InputError  # noqa: E402
from kinemacolor.model.checkpoint import load_network, save_network  # noqa: E402
from tests.model import toys  # noqa: E402


def test_weights_come_back(tmp_path: Path) -> None:
    network = toys.own("lite").float()
    save_network(network, tmp_path / "a.safetensors")
    again = load_network(tmp_path / "a.safetensors", network.config)
    assert again.config == network.config
    assert not again.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_half_precision_is_half_the_size(tmp_path: Path) -> None:
    network = toys.own("lite").float()
    for dtype in (torch.float32, torch.float16):
        save_network(network, tmp_path / f"{dtype}", dtype)
    full, half = ((tmp_path / f"{dtype}").stat().st_size for dtype in (torch.float32, torch.float16))
    assert half < 0.6 * full
    again = load_network(tmp_path / "torch.float16")
    assert all(not t.is_floating_point() or t.dtype == torch.float32 for t in again.state_dict().values())


def test_another_configuration_is_named_field_by_field(tmp_path: Path) -> None:
    save_network(toys.own("lite").float(), tmp_path / "a")
    other = toys.toy_config("lite", key_channels=14, augmented_head=False).changed(name="else")
    with pytest.raises(InputError, match="another configuration: ") as caught:
        load_network(tmp_path / "a", other)
    assert "key_channels: expected 14, got 10; augmented_head: expected False, got True" in str(caught.value)
    load_network(tmp_path / "a", toys.toy_config("lite").changed(name="else"))


def test_files_that_are_no_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: weights cannot be read"):
        load_network(tmp_path / "none")
    (tmp_path / "corrupt").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InputError, match="corrupt: weights cannot be read"):
        load_network(tmp_path / "corrupt")
    save_file({"a": torch.zeros(3)}, tmp_path / "foreign")
    with pytest.raises(InputError, match="foreign: weights have no configuration"):
        load_network(tmp_path / "foreign")
    save_file({"a": torch.zeros(3)}, tmp_path / "old", metadata={"kinemacolor": '{"config": {"name": "lite"}}'})
    with pytest.raises(InputError, match="old: weights are of another version"):
        load_network(tmp_path / "old")


def test_missing_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    network = toys.own("lite").float()
    save_network(network, tmp_path / "good")
    tensors = load_file(tmp_path / "good")
    from safetensors import safe_open

    with safe_open(tmp_path / "good", "pt") as file:
        metadata = file.metadata()
    key = "colorization.last.weight"
    for name, changed, message in (
        (
            "missing",
            {k: v for k, v in tensors.items() if k != key},
            r"colorization\.last\.weight: expected .* got none",
        ),
        (
            "shape",
            {**tensors, key: tensors[key][:1]},
            r"colorization\.last\.weight: expected shape \(6, 4, 1, 1\), got",
        ),
        ("extra", {**tensors, "surplus": torch.zeros(2)}, "surplus: no such tensor"),
    ):
        save_file(changed, tmp_path / name, metadata=metadata)
        with pytest.raises(InputError, match=message):
            load_network(tmp_path / name)


def test_a_failed_save_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")

    def fail(_tensors: object, part: Path, **_: object) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kinemacolor.model.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="No space"):
        save_network(toys.own("lite"), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_that_claims_a_huge_network_takes_no_memory(tmp_path: Path) -> None:
    config = toys.toy_config("lite").model_dump() | {"ffn_channels": 2_000_000_000}
    record = json.dumps({"config": config})
    save_file({"a": torch.zeros(3)}, tmp_path / "huge", metadata={"kinemacolor": record})
    with pytest.raises(InputError, match=r"huge: .*expected shape|huge: weights claim"):
        load_network(tmp_path / "huge")
    for number, record in enumerate(("3", "[]", '{"config": []}')):
        save_file({"a": torch.zeros(3)}, tmp_path / f"odd{number}", metadata={"kinemacolor": record})
        with pytest.raises(InputError, match=f"odd{number}: weights are of another version"):
            load_network(tmp_path / f"odd{number}")
