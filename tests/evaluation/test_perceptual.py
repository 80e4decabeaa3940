"""LPIPS against its definition, the Fréchet distance against torchmetrics, and what is said without weights."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.evaluation.perceptual import (
    INCEPTION_FILE,
    LPIPS_FILE,
    FeatureSets,
    PerceptualMetrics,
    frechet_distance,
)

torch: Any = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)


def film(seed: int, frames: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed)
    return noise.integers(0, 256, (frames, 67, 73, 3)).astype(np.uint8)


class Means(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """Features for tests: channel means and squares over four quarters, (n, 24)."""

    num_features = 24

    def forward(self, images: Any) -> Any:
        values = images.double() / 255
        parts = [half for rows in values.chunk(2, dim=2) for half in rows.chunk(2, dim=3)]
        return torch.cat([part.pow(k).mean(dim=(2, 3)) for part in parts for k in (1, 2)], dim=1)


# --- without weights --------------------


def test_without_weights_there_is_a_note_and_no_figure() -> None:
    perceptual = PerceptualMetrics()
    assert perceptual.lpips(film(0), film(1)) is None
    assert perceptual.features(film(0), film(1)) is None
    assert perceptual.notes["lpips"].startswith(f"n/a: weights not found ({LPIPS_FILE}), see docs/")
    assert perceptual.notes["fid"].startswith("n/a: ")


def test_paths_that_are_wrong_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth: there is no such file"):
        PerceptualMetrics(tmp_path / "nowhere.pth")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"bad\.pth: does not contain the weights alexnet"):
        PerceptualMetrics(tmp_path / "bad.pth")
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: does not contain the weights"):
        PerceptualMetrics(tmp_path / "other.pth")


# --- LPIPS --------------------


@pytest.fixture
def alexnet(tmp_path: Path) -> dict[str, Any]:
    """Random weights of AlexNet, saved under torchvision's name; its last layers, which LPIPS drops, as one number."""
    torch.manual_seed(0)
    with torch.device("meta"):
        state = importlib.import_module("torchvision.models").alexnet(weights=None).state_dict()
    for name, value in state.items():
        if name.startswith("features"):
            state[name] = torch.randn(value.shape) / max(1, value[0].numel()) ** 0.5
        else:
            state[name] = torch.zeros(1).expand(value.shape)
    torch.save(state, tmp_path / LPIPS_FILE)
    return dict(state)


def lpips_by_definition(one: np.ndarray, other: np.ndarray, state: dict[str, Any]) -> list[float]:
    """Zhang et al. (2018), equation 1, with the released layers w_l that torchmetrics brings."""
    folder = Path(importlib.import_module("torchmetrics").__file__ or "").parent / "functional/image/lpips_models"
    heads = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(v)[:, None, None] for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    layers = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))
    values = []
    for a, b in zip(one, other, strict=True):
        maps = [(torch.from_numpy(x).permute(2, 0, 1) / 127.5 - 1 - shift) / scale for x in (a, b)]
        total = 0.0
        for index, (number, stride, padding) in enumerate(layers):
            for k in range(2):
                x = maps[k][None]
                if index in (1, 2):
                    x = torch.nn.functional.max_pool2d(x, 3, 2)
                weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
                maps[k] = torch.nn.functional.conv2d(x, weight, bias, stride, padding)[0].clamp(min=0)
            units = [x / (x.square().sum(dim=0).sqrt() + 1e-8) for x in maps]
            head = heads[f"lin{index}.model.1.weight"][0]
            total += float(((units[0] - units[1]).square() * head).sum(dim=0).mean())
        values.append(total)
    return values


def test_lpips_is_its_definition(tmp_path: Path, alexnet: dict[str, Any]) -> None:
    perceptual = PerceptualMetrics(tmp_path)
    assert perceptual.notes["lpips"] == "AlexNet, LPIPS 0.1"
    a, b = film(2), film(3)
    b[1] = a[1]
    b[2] = np.clip(a[2].astype(int) + 9, 0, 255)
    found = perceptual.lpips(a, b)
    assert found is not None
    assert (found[0] > 10 * found[2], found[1]) == (True, 0)
    np.testing.assert_allclose(found, lpips_by_definition(a, b, alexnet), rtol=1e-4, atol=1e-7)
    again = perceptual.lpips(a[::-1], b[::-1])  # nothing is left of the last call, and frames are on their own
    assert again is not None
    np.testing.assert_allclose(again, found[::-1], rtol=1e-5, atol=1e-9)


def test_torchs_folder_is_put_back(tmp_path: Path, alexnet: dict[str, Any]) -> None:
    before = torch.hub.get_dir()
    PerceptualMetrics(tmp_path / LPIPS_FILE)
    assert torch.hub.get_dir() == before
    assert alexnet


def test_lpips_of_more_frames_than_a_batch(tmp_path: Path, alexnet: dict[str, Any]) -> None:
    perceptual = PerceptualMetrics(tmp_path)
    a, b = film(4, 9), film(5, 9)
    found, last = perceptual.lpips(a, b), perceptual.lpips(a[8:], b[8:])
    assert found is not None
    assert last is not None
    assert (found.shape, last.shape) == ((9,), (1,))
    np.testing.assert_allclose(found[8:], last, rtol=1e-5)
    with pytest.raises(ValueError, match="sides of at least 64 pixels"):
        perceptual.lpips(a[:, :60], b[:, :60])


# --- FID --------------------


@pytest.mark.parametrize(("frames", "others"), [(7, 11), (11, 7), (60, 41)])
def test_the_frechet_distance_is_torchmetrics(frames: int, others: int) -> None:
    """With fewer frames than features, and with more."""
    fid = importlib.import_module("torchmetrics.image.fid").FrechetInceptionDistance(Means()).set_dtype(torch.float64)
    one, other = (film(seed, n)[:, :16, :16] // (1 + seed) for seed, n in ((0, frames), (1, others)))
    perceptual = PerceptualMetrics(features=Means())
    features = perceptual.features(one, other)
    assert features is not None
    assert features.result.shape == (frames, 24)
    fid.update(torch.from_numpy(other).permute(0, 3, 1, 2), real=True)
    fid.update(torch.from_numpy(one).permute(0, 3, 1, 2), real=False)
    assert frechet_distance(features) == pytest.approx(float(fid.compute()), rel=1e-3, abs=1e-5)
    assert "not of FID's Inception" in perceptual.notes["fid"]


def test_the_frechet_distance_by_hand() -> None:
    values = np.random.default_rng(0).normal(size=(9, 5))
    same = frechet_distance(FeatureSets(values, values[::-1]))
    assert same == pytest.approx(0, abs=1e-12)
    assert frechet_distance(FeatureSets(values, values + np.array([3, 0, 0, 4, 0]))) == pytest.approx(25)
    spread = frechet_distance(FeatureSets(values * 3, values))  # (3 − 1)² tr Σ, and the means are three times as far
    mean, variance = values.mean(axis=0), values.var(axis=0, ddof=1)
    assert spread == pytest.approx(4 * (mean @ mean) + 4 * variance.sum())
    with pytest.raises(ValueError, match="at least 2 frames"):
        frechet_distance(FeatureSets(values[:1], values))


def test_fid_takes_inception_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights: the features are those of torch-fidelity's network on the same frames."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: None)
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_, **__: None)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), tmp_path / INCEPTION_FILE)
    perceptual = PerceptualMetrics(fid_weights=tmp_path)
    assert "Inception 2015-12-05" in perceptual.notes["fid"]
    a, b = film(6, 2), film(7, 2)
    features = perceptual.features(a, b)
    assert features is not None
    assert features.result.shape == (2, 2048)
    with torch.inference_mode():
        expected = network(torch.from_numpy(a).permute(0, 3, 1, 2))[0].numpy()
    assert expected.std() > 0
    closeness = np.corrcoef(features.result.ravel(), expected.ravel())[0, 1]  # torchmetrics resizes with antialiasing
    assert closeness > 0.9
    torch.save({"fc.bias": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: does not contain"):
        PerceptualMetrics(fid_weights=tmp_path / "other.pth")
