"""The feature networks against timm's own, and the error where weights are not available."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

import timm  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from kinemacolor.model import features  # noqa: E402
from kinemacolor.model.features import (  # noqa: E402
    RESNET101_FILE,
    Lite0Features,
    Lite0Pyramid,
    ResNet101Pyramid,
    find_resnet101,
    lite0_weights,
    load_lite0,
    load_resnet101,
    make_pyramid,
)
from tests.model import toys  # noqa: E402


def test_resnet101_is_read_where_the_paper_says() -> None:
    """timm's network, its max-pool an identity, its outputs taken by hooks at the named units."""
    torch.manual_seed(0)
    theirs = load_resnet101(pretrained=False).eval()
    ours = ResNet101Pyramid(theirs).eval()
    gray = toys.luminance(1, 1, 40, 56)[:, 0].float()
    theirs.maxpool = nn.Identity()
    seen: dict[str, Tensor] = {}
    for name in ("layer1.1", "layer2.2", "layer3.2", "layer3.18"):
        theirs.get_submodule(name).register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out}))
    picture = (gray + 1) / 2
    mean, deviation = ([*values] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    rgb = torch.cat([(picture - m) / d for m, d in zip(mean, deviation, strict=True)], dim=1)
    with torch.no_grad():
        theirs.forward_features(rgb)
        low, high, _ = ours(gray)
    for (name, want), got, shape in zip(
        seen.items(), (*low, *high), ((256, 20, 28), (512, 10, 14), (1024, 5, 7), (1024, 5, 7)), strict=True
    ):
        assert got.shape[1:] == shape, name
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))
    assert (ours.low_channels, ours.high_channels) == ((256, 512), (1024, 1024))
    kept = sum(p.numel() for p in ours.parameters())
    assert kept < sum(p.numel() for p in theirs.parameters()) - 15_000_000  # the fourth stage and the classifier went


def test_lite0_is_read_at_2_as_well() -> None:
    network = load_lite0(lite0_weights())
    gray = toys.luminance(2, 1, 48, 64)[:, 0].float()
    with torch.no_grad():
        low, high, _ = Lite0Pyramid(network)(gray)
        quarter, eighth, sixteenth = Lite0Features(network)(gray)
        half = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(0,)).eval()
        half.load_state_dict(network.state_dict(), strict=False)
        torch.testing.assert_close(low[0], half(gray.expand(-1, 3, -1, -1))[0], atol=1e-4, rtol=1e-4)
    assert [tuple(tap.shape) for tap in (*low, *high)] == [
        (2, 16, 24, 32),
        (2, 24, 12, 16),
        (2, 40, 6, 8),
        (2, 112, 3, 4),
    ]
    for got, want in ((low[1], quarter), (high[0], eighth), (high[1], sixteenth)):
        assert torch.equal(got, want)


def test_missing_weights_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, *, pretrained: bool, **rest: Any) -> nn.Module:
        assert pretrained, "random weights only when asked for"
        raise OSError("cannot reach the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        RuntimeError, match=r"backbone: expected the ImageNet weights resnet101\.tv_in1k .* got OSError"
    ):
        make_pyramid("resnet101", pretrained=True)


def test_resnet101_is_read_from_torchs_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hub, and with the file's own weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(3)
    theirs = load_resnet101(pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "checkpoints" / RESNET101_FILE)
    ours = load_resnet101(pretrained=True)
    assert torch.equal(ours.state_dict()["layer3.18.conv2.weight"], theirs.state_dict()["layer3.18.conv2.weight"])
    (tmp_path / "checkpoints" / RESNET101_FILE).unlink()
    monkeypatch.setattr(features, "try_to_load_from_cache", lambda *_: None)
    assert find_resnet101() is None
