"""Initialization from a made checkpoint with VisTR's names and shapes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from kinemacolor.core.errors import InputError  # noqa: E402
from kinemacolor.model.network import Network  # noqa: E402
from kinemacolor.model.vistr import initialize_from_vistr, load_vistr, transformer_layers  # noqa: E402
from tests.model import toys  # noqa: E402

WIDTH, HIDDEN = 384, 2048


def network() -> Network:
    return toys.toy("lite-full", token_channels=WIDTH, ffn_channels=HIDDEN)


def checkpoint(layers: int = 6) -> dict[str, torch.Tensor]:
    """Torch's own encoder layers under VisTR's names, and tensors of other parts."""
    encoder = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(WIDTH, 8, HIDDEN) for _ in range(layers))
    named = {f"vistr.transformer.encoder.layers.{key}": value for key, value in encoder.state_dict().items()}
    return {**named, "vistr.transformer.decoder.norm.weight": torch.ones(WIDTH), "mask_head.lay1.bias": torch.ones(3)}


def test_every_tensor_arrives() -> None:
    torch.manual_seed(0)
    given, target = checkpoint(), network()
    others = {k: v.clone() for k, v in target.state_dict().items() if ".transformer." not in k}
    initialize_from_vistr(target, given)
    layers = transformer_layers(target)
    assert len(layers) == 6
    assert layers[0] is target.correspondence.blocks[0].transformer
    assert layers[5] is target.colorization.blocks[2].transformer
    for k, layer in enumerate(layers):
        own = layer.state_dict()
        prefix = f"vistr.transformer.encoder.layers.{k}."
        mine = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
        assert len(mine) == len(own) == 12
        for key, value in mine.items():
            assert torch.equal(own[key.replace("in_proj_", "in_proj.")], value.double()), key
    assert all(torch.equal(target.state_dict()[key], value) for key, value in others.items())


def test_the_layer_computes_what_torchs_does() -> None:
    """A pre-norm ``nn.TransformerEncoderLayer`` of the same weights, without positions; head counts are free."""
    torch.manual_seed(0)
    target = network()
    given = checkpoint()
    initialize_from_vistr(target, given)
    theirs = torch.nn.TransformerEncoderLayer(WIDTH, 6, HIDDEN, 0.0, batch_first=True, norm_first=True)
    prefix = "vistr.transformer.encoder.layers.2."
    theirs.load_state_dict({k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)})
    tokens = toys.noise(2, 5, WIDTH)
    positions = torch.zeros(5, WIDTH, dtype=torch.float64)
    got = transformer_layers(target)[2](tokens, positions, None)
    torch.testing.assert_close(got, theirs.double().train()(tokens))


def test_all_that_does_not_fit_is_listed_and_nothing_is_copied() -> None:
    given, target = checkpoint(), network()
    del given["vistr.transformer.encoder.layers.1.norm2.bias"]
    given["vistr.transformer.encoder.layers.4.linear1.weight"] = torch.zeros(1024, WIDTH)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(ValueError, match="2 tensors do not fit") as caught:
        initialize_from_vistr(target, given)
    assert "layers.1.norm2.bias: expected shape (384,), got nothing" in str(caught.value)
    assert "layers.4.linear1.weight: expected shape (2048, 384), got (1024, 384)" in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())


def test_a_network_without_the_branch_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one with Transformer branches"):
        initialize_from_vistr(toys.toy("lite-full", transformer=False, linkage=False), checkpoint())


# --- files --------------------


def as_published(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What VisTR's training saves: weights, state of the optimizer, and its command line as a ``Namespace``."""
    command = argparse.Namespace(backbone="resnet101", lr=1e-4, masks=True, device="cuda", num_frames=36)
    return {"model": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "epoch": 17, "args": command}


def test_a_published_checkpoint_is_read_with_its_namespace(tmp_path: Path) -> None:
    torch.manual_seed(0)
    given, target = checkpoint(), network()
    torch.save(as_published(given), tmp_path / "vistr.pth")
    tensors = load_vistr(tmp_path / "vistr.pth")
    assert tensors.keys() == given.keys()
    initialize_from_vistr(target, tensors)
    first = transformer_layers(target)[0].state_dict()["linear1.weight"]
    assert torch.equal(first, given["vistr.transformer.encoder.layers.0.linear1.weight"].double())
    torch.save(given, tmp_path / "bare.pth")  # weights alone
    assert load_vistr(tmp_path / "bare.pth").keys() == given.keys()


class Harmful:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path: Path) -> None:
    torch.save({**as_published(checkpoint()), "args": Harmful(tmp_path / "made")}, tmp_path / "harmful.pth")
    with pytest.raises(InputError, match=r"harmful.pth: is no checkpoint of weights \(it holds \w+.mkdir\)"):
        load_vistr(tmp_path / "harmful.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.write_bytes(b"PK\x03\x04 torn"), "is corrupt"),
        (lambda path: path.write_bytes(b""), "is corrupt"),
        (lambda path: torch.save([torch.ones(2)], path), "has no tensors vistr.transformer.encoder.layers"),
        (lambda path: torch.save({"model": {"head": torch.ones(2)}}, path), "has no tensors"),
        (lambda path: None, "cannot be read"),
    ],
    ids=["torn", "empty", "a list", "another network", "missing"],
)
def test_a_file_that_is_no_checkpoint_is_told_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], problem: str
) -> None:
    make(tmp_path / "file.pth")
    with pytest.raises(InputError, match=problem) as caught:
        load_vistr(tmp_path / "file.pth")
    assert "\n" not in str(caught.value)
