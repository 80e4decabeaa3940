"""The shipped graph equals the export, and its features are those of timm's network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("onnx", reason="needs the extra train")

import skimage.data  # noqa: E402
import timm  # noqa: E402

from kinemacolor.engine.weights import MATCHING  # noqa: E402
from kinemacolor.export.matching_graph import assert_parity, export_zero_shot, zero_shot_network  # noqa: E402
from kinemacolor.model.features import Lite0Features, lite0_weights, load_lite0  # noqa: E402


def test_features_are_timms() -> None:
    """Our constant padding and the taps against timm's own feature extractor."""
    network = load_lite0(lite0_weights())
    theirs = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=(1, 2, 3)
    ).eval()
    theirs.load_state_dict(network.state_dict(), strict=False)
    luminance = torch.rand(2, 1, 96, 160) * 2 - 1
    with torch.inference_mode():
        expected = theirs(luminance.expand(-1, 3, -1, -1))
        got = Lite0Features(network)(luminance)
    for want, have in zip(expected, got, strict=True):
        assert want.shape == have.shape
        torch.testing.assert_close(have, want, atol=1e-4, rtol=1e-4)


def test_the_weights_recognize_an_object() -> None:
    """The ImageNet weights are in the right places: a real cup is seen as one of the cup-like classes."""
    picture = np.asarray(skimage.data.coffee(), np.float32) / 127.5 - 1
    network = load_lite0(lite0_weights())
    gray = torch.from_numpy(picture.mean(axis=2))[None, None].expand(-1, 3, -1, -1)
    small = torch.nn.functional.interpolate(gray, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        best = network(small)[0].topk(5).indices.tolist()
    assert {504, 967, 968, 925, 969} & set(best), best  # coffee mug, espresso, cup, consommé, eggnog


def test_a_wrong_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"other\.pth: expected \d+ tensors"):
        load_lite0(path)


def test_the_shipped_file_equals_the_export(tmp_path: Path) -> None:
    made = tmp_path / "matching.onnx"
    export_zero_shot(made)
    network = zero_shot_network()
    assert_parity(network, MATCHING.path)
    ours, shipped = made.stat().st_size, MATCHING.path.stat().st_size
    assert abs(ours - shipped) < 0.05 * shipped
    assert shipped < 8 * 2**20
    assert b"site-packages" not in made.read_bytes() + MATCHING.path.read_bytes(), "paths of the exporting machine"


def test_parity_notices_other_weights() -> None:
    network = zero_shot_network()
    with torch.no_grad():
        next(network.parameters()).mul_(1.1)
    with pytest.raises(AssertionError, match="PyTorch and ONNX differ"):
        assert_parity(network, MATCHING.path)
