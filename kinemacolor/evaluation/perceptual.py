"""LPIPS and FID through torchmetrics, with weights that are on this machine: nothing is ever downloaded."""

from __future__ import annotations

import importlib.util
import pickle
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.optical import find_weights

LPIPS_FILE = "alexnet-owt-7be5be79.pth"
"""Name of torchvision's AlexNet weights; torchmetrics includes the layers that LPIPS adds to it."""
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
"""Name of the weights of FID's Inception network, as in torch-fidelity's downloads."""
LPIPS_SIDE = 64
"""Smallest side in pixels of a frame for which AlexNet has an output to compare."""
_HELP = "docs/evaluation.md"
_BATCH = 8


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSets:
    """Inception features of colored frames and of true frames: (n, d) and (m, d) float32."""

    result: Array
    truth: Array

    @classmethod
    def joined(cls, parts: Sequence[FeatureSets]) -> Self:
        """The features of the frames of all clips together."""
        return cls(np.concatenate([part.result for part in parts]), np.concatenate([part.truth for part in parts]))


def frechet_distance(features: FeatureSets) -> float:
    """The Fréchet distance between the normal distributions of two sets of features (Heusel et al. 2017): FID.

    |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) with covariances over n − 1, in float64. The trace of the root is the sum of
    the singular values of A Bᵀ, where Σ₁ = Aᵀ A and Σ₂ = Bᵀ B: few frames make small matrices.
    With few frames (less than some thousands) FID is biased upward: only sets of equal size can be compared.
    """
    means: list[Array] = []
    roots: list[Array] = []
    for values in (features.result, features.truth):
        if len(values) < 2:
            raise ValueError(f"features: expected at least 2 frames in each set, got {len(values)}")
        exact = values.astype(np.float64)
        means.append(exact.mean(axis=0))
        root = (exact - means[-1]) / np.sqrt(len(exact) - 1)
        roots.append(np.asarray(np.linalg.qr(root, mode="r")) if len(root) > root.shape[1] else root)
    spread = sum(float(np.square(root).sum()) for root in roots)
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(0.0, float(np.square(means[0] - means[1]).sum()) + spread - 2 * shared)


class PerceptualMetrics:
    """LPIPS and Inception features of 8-bit RGB films, each if its weights are found.

    Args:
        lpips_weights: file of torchvision's AlexNet, or a folder that contains it as ``LPIPS_FILE``.
        fid_weights: file of FID's Inception network, or a folder that contains it as ``INCEPTION_FILE``.
        features: a torch module from uint8 (n, 3, H, W) to (n, d) in place of Inception: this gives another distance
            than FID, for tests and for research.

    Without a path, weights are searched in the folder of torch's downloads (see ``find_weights``).

    Attributes:
        notes: for ``lpips`` and ``fid``, which network is used, or why there is no figure.

    Raises:
        InputError: a path does not exist, or does not contain these weights.
    """

    def __init__(
        self, lpips_weights: Path | None = None, fid_weights: Path | None = None, *, features: Any = None
    ) -> None:
        self.notes: dict[str, str] = {}
        self._lpips = self._open("lpips", LPIPS_FILE, lpips_weights, ("torchmetrics", "torchvision"), _open_lpips)
        if features is not None:
            from torchmetrics.image.fid import FrechetInceptionDistance

            self._features = FrechetInceptionDistance(features).inception
            self.notes["fid"] = f"features of {type(features).__name__}, not of FID's Inception network"
        else:
            libraries = ("torchmetrics", "torch_fidelity")
            self._features = self._open("fid", INCEPTION_FILE, fid_weights, libraries, _open_inception)

    def _open(self, figure: str, name: str, path: Path | None, libraries: Sequence[str], opener: Any) -> Any:
        file = find_weights(name, path)
        absent = [library for library in libraries if importlib.util.find_spec(library) is None]
        if absent:
            self.notes[figure] = f"n/a: {absent[0].replace('_', '-')} is not installed, see {_HELP}"
            return None
        if file is None:
            self.notes[figure] = f"n/a: weights not found ({name}), see {_HELP}"
            return None
        try:
            network, self.notes[figure] = opener(file)
        except (RuntimeError, ValueError, KeyError, EOFError, AttributeError, pickle.UnpicklingError) as error:
            raise InputError(file, f"does not contain the weights {name}", f"give that file, see {_HELP}") from error
        return network

    def lpips(self, result: Array, truth: Array) -> Array | None:
        """LPIPS 0.1 (Zhang et al. 2018) with AlexNet of each frame; lower is more similar, 0 for identical frames.

        Args:
            result, truth: uint8 (T, H, W, 3), H and W at least 64.

        Returns:
            (T,) float64, or None without weights.
        """
        if self._lpips is None:
            return None
        if min(truth.shape[1:3]) < LPIPS_SIDE:
            raise ValueError(
                f"truth: LPIPS needs sides of at least {LPIPS_SIDE} pixels, got {truth.shape[2]}x{truth.shape[1]}"
            )
        import torch

        with torch.inference_mode():
            for colored, true in zip(_batches(result), _batches(truth), strict=True):
                self._lpips.update(colored.float() / 255, true.float() / 255)
            values = np.atleast_1d(self._lpips.compute().double().numpy())
        self._lpips.reset()
        return values

    def features(self, result: Array, truth: Array) -> FeatureSets | None:
        """Inception features of films uint8 (T, H, W, 3), for ``frechet_distance``; None without weights."""
        if self._features is None:
            return None
        import torch

        with torch.inference_mode():
            sets = [torch.cat([self._features(batch) for batch in _batches(film)]) for film in (result, truth)]
        return FeatureSets(*(features.float().numpy() for features in sets))


def _batches(film: Array) -> Iterator[Any]:
    """Tensors uint8 (≤ 8, 3, H, W) of a film (T, H, W, 3)."""
    import torch

    for start in range(0, len(film), _BATCH):
        yield torch.from_numpy(np.ascontiguousarray(np.moveaxis(film[start : start + _BATCH], 3, 1)))


def _open_lpips(file: Path) -> tuple[Any, str]:
    import torch
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    torch.load(file, map_location="cpu", weights_only=True)  # refuses a file whose content could run code
    with _torch_downloads_at(file, LPIPS_FILE):
        metric = LearnedPerceptualImagePatchSimilarity("alex", reduction="none", normalize=True)
    return metric, "AlexNet, LPIPS 0.1"


@contextmanager
def _torch_downloads_at(file: Path, name: str) -> Iterator[None]:
    """Makes torch find ``file`` among its downloads as ``name``, as torchmetrics takes no path for LPIPS' network."""
    import torch

    previous = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / name).symlink_to(file.resolve())
        torch.hub.set_dir(folder)
        try:
            yield
        finally:
            torch.hub.set_dir(previous)


def _open_inception(file: Path) -> tuple[Any, str]:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    torch.load(file, map_location="cpu", weights_only=True)  # torch-fidelity would run any code in a pickle
    metric = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(file))
    return metric.inception, "Inception 2015-12-05, 2048 features; with few frames it is biased upward"
