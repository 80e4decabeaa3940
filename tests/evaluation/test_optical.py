"""Optical flow of a clip: occlusion against a slow loop, the direction of the flow, the cache, RAFT's wiring."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import FloatArray
from kinemacolor.evaluation import optical
from kinemacolor.evaluation.optical import (
    RAFT_FILE,
    ClipFlow,
    clip_flow,
    film_lightness,
    find_weights,
    flow_weights,
    occlusion_mask,
    pair_flow,
)
from kinemacolor.propagation.dis_flow import DisFlow


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def moving(frames: int = 3, height: int = 53, width: int = 67, step: int = 2) -> np.ndarray:
    """L* of a smooth texture that moves ``step`` pixels to the left a frame."""
    y, x = np.mgrid[0:height, 0 : width + step * frames]
    texture = 50 + 20 * np.sin(x * 0.31 + y * 0.07) + 15 * np.cos(y * 0.23 - x * 0.11) + 10 * np.sin(x * y * 0.004)
    return np.stack([texture[:, step * t : step * t + width] for t in range(frames)]).astype(np.float32)


# --- occlusion --------------------


def bilinear(flow: np.ndarray, x: float, y: float) -> np.ndarray:
    height, width = flow.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    total = np.zeros(2)
    for row in range(height):
        for column in range(width):
            total += max(0.0, 1 - abs(y - row)) * max(0.0, 1 - abs(x - column)) * flow[row, column].astype(np.float64)
    return total


def slow_occlusion(forward: np.ndarray, backward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which conditions hold, and by how much the tightest of them does: (H, W, 3) bool and (H, W) float."""
    height, width = backward.shape[:2]
    holds, margin = np.zeros((height, width, 3), np.bool_), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            w = backward[y, x].astype(np.float64)
            there = bilinear(forward, x + w[0], y + w[1])
            gap = ((there + w) ** 2).sum() - 0.01 * ((there**2).sum() + (w**2).sum()) - 0.5
            change = 0.0
            if y + 1 < height:
                change += ((backward[y + 1, x].astype(np.float64) - w) ** 2).sum()
            if x + 1 < width:
                change += ((backward[y, x + 1].astype(np.float64) - w) ** 2).sum()
            edge = change - 0.01 * (w**2).sum() - 0.002
            beyond = max(-0.5 - x - w[0], x + w[0] - width + 0.5, -0.5 - y - w[1], y + w[1] - height + 0.5)
            holds[y, x] = gap <= 0, edge <= 0, beyond <= 0
            margin[y, x] = min(abs(gap) / 10, abs(edge), abs(beyond))
    return holds, margin


def test_occlusion_is_that_of_a_slow_loop() -> None:
    height, width = 17, 13
    noise = np.random.default_rng(1)
    y, x = np.mgrid[0:height, 0:width]
    backward = np.stack([0.6 + 2.3 * np.sin(x * 0.13 + y * 0.05), 3 * np.cos(y * 0.09) - 2], axis=2)
    backward[6:10, 4:9] += 0.9  # a motion boundary
    backward = (backward + noise.normal(0, 0.01, backward.shape)).astype(np.float32)
    forward = (-backward + noise.normal(0, 0.3, backward.shape)).astype(np.float32)
    forward[:4] += 1.5
    holds, margin = slow_occlusion(forward, backward)
    for condition in range(3):
        others = np.delete(holds, condition, axis=2).all(axis=2)
        assert (others & ~holds[..., condition]).any(), "each condition alone hides something"
    clear = margin > 0.01  # OpenCV interpolates in steps of 1/32 pixel in some versions
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(occlusion_mask(forward, backward)[clear], holds.all(axis=2)[clear])


def test_a_still_picture_is_visible_everywhere() -> None:
    flow = np.zeros((11, 13, 2), np.float32)
    assert occlusion_mask(flow, flow).all()


def test_the_mask_lies_on_the_later_frame() -> None:
    backward = np.full((11, 29, 2), (3, 0), np.float32)  # all moved 3 pixels to the left: new is the right border
    visible = occlusion_mask(-backward, backward)
    assert visible[:, :-3].all()
    assert not visible[:, -3:].any()


# --- the flow of a clip --------------------


def test_the_flow_leads_from_a_frame_to_the_one_before() -> None:
    found = clip_flow(moving(), None, "dis")
    assert (found.flow.shape, found.visible.shape, found.name) == ((2, 53, 67, 2), (2, 53, 67), "DIS")
    inner = found.flow[:, 10:-10, 10:-10].astype(np.float64)
    assert np.median(inner[..., 0]) == pytest.approx(2, abs=0.1)
    assert np.median(inner[..., 1]) == pytest.approx(0, abs=0.1)
    assert found.visible[:, 10:-10, 10:-10].mean() > 0.9


def test_auto_is_dis_where_there_are_no_weights() -> None:
    assert clip_flow(moving(2), None).name == "DIS"


@pytest.mark.parametrize("frames", [moving(1), moving(3)[0], np.full((2, 40, 40), np.nan, np.float32)])
def test_frames_that_have_no_flow_are_refused(frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match="luma_frames"):
        clip_flow(frames, None, "dis")


def test_a_record_checks_its_fields() -> None:
    flow, visible = np.zeros((2, 5, 7, 2), np.float16), np.ones((2, 5, 7), np.bool_)
    ClipFlow(flow, visible, "DIS")
    with pytest.raises(ValueError, match="visible"):
        ClipFlow(flow, visible[:1], "DIS")
    with pytest.raises(ValueError, match="flow: expected floats"):
        ClipFlow(flow[..., :1], visible, "DIS")
    flow[1, 2, 3, 0] = np.inf
    with pytest.raises(ValueError, match="expected finite values"):
        ClipFlow(flow, visible, "DIS")


def test_lightness_of_gray_black_and_white() -> None:
    film = np.zeros((3, 2, 2, 3), np.uint8)
    film[1], film[2] = 119, 255
    np.testing.assert_allclose(film_lightness(film)[:, 0, 0], [0, 50.03, 100], atol=0.02)


# --- the cache --------------------


def refuse(*_: object) -> None:
    raise AssertionError("the flow was computed again")


def test_flow_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = clip_flow(moving(), tmp_path / "new" / "cache", "dis")
    with monkeypatch.context() as patch:
        patch.setattr(DisFlow, "__call__", refuse)
        second = clip_flow(moving(), tmp_path / "new" / "cache", "dis")
        with pytest.raises(AssertionError, match="computed again"):
            clip_flow(moving() + np.float32(0.001), tmp_path / "new" / "cache", "dis")
    np.testing.assert_array_equal(first.flow, second.flow)
    np.testing.assert_array_equal(first.visible, second.visible)
    assert second.name == "DIS"
    assert len(list((tmp_path / "new" / "cache").iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"no archive at all"])
def test_a_corrupt_cache_is_computed_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    first = clip_flow(moving(2), tmp_path, "dis")
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    np.testing.assert_array_equal(clip_flow(moving(2), tmp_path, "dis").flow, first.flow)
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the flow cannot be saved there"):
        clip_flow(moving(2), tmp_path / "file", "dis")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match="No space left"):
        clip_flow(moving(2), tmp_path / "cache", "dis")
    assert not os.listdir(tmp_path / "cache")


# --- RAFT --------------------


def test_raft_without_weights_is_named_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(InputError, match=f"put {RAFT_FILE} into .*torch/hub/checkpoints, or choose the flow dis"):
        clip_flow(moving(2), None, "raft")
    with pytest.raises(InputError, match="no such file or folder"):
        clip_flow(moving(2), None, "raft", weights=tmp_path / "nowhere.pth")
    (tmp_path / "bad.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"bad\.pth: does not contain weights of RAFT-large"):
        clip_flow(moving(2), None, "raft", weights=tmp_path / "bad.pth")
    assert flow_weights("auto") is None


def test_weights_are_found_by_file_folder_and_in_torchs_downloads(tmp_path: Path) -> None:
    assert find_weights("net.pth", None) is None
    assert find_weights("net.pth", tmp_path) is None
    downloads = tmp_path / "torch" / "hub" / "checkpoints"
    downloads.mkdir(parents=True)
    for folder in (tmp_path, downloads):
        (folder / "net.pth").write_bytes(b"x")
    assert find_weights("net.pth", None) == downloads / "net.pth"
    assert find_weights("net.pth", tmp_path) == tmp_path / "net.pth"
    assert find_weights("net.pth", tmp_path / "net.pth") == tmp_path / "net.pth"


def test_raft_is_torchvisions_on_luma(tmp_path: Path) -> None:
    """With random weights: the same numbers as torchvision's network on a padded pair, later frame first."""
    torch = pytest.importorskip("torch")
    raft_large = pytest.importorskip("torchvision.models.optical_flow").raft_large
    torch.manual_seed(0)
    network = raft_large(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / RAFT_FILE)
    frames = moving(2, 131, 141)
    found = clip_flow(frames, None, "auto", weights=tmp_path)
    assert found.name == "RAFT"
    assert found.flow.shape == (1, 131, 141, 2)
    gray = np.pad(frames / 50 - 1, ((0, 0), (0, 5), (0, 3)), mode="edge")
    pair = torch.from_numpy(np.repeat(gray[:, None], 3, axis=1))
    with torch.inference_mode():
        expected = network(pair[1:], pair[:1])[-1][0, :, :131, :141].permute(1, 2, 0).numpy()
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found.flow[0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    assert optical._key(frames, tmp_path / RAFT_FILE) != optical._key(frames, None)


def test_raft_is_loaded_once_for_a_file_and_again_when_the_file_changes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    raft_large = pytest.importorskip("torchvision.models.optical_flow").raft_large
    file, frames, found = tmp_path / RAFT_FILE, moving(2, 128, 128), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(raft_large(weights=None).state_dict(), file)
        os.utime(file, ns=(seed, seed))
        found.append((optical._raft(file), optical._key(frames, file)))
        assert optical._raft(file) is found[seed][0]
    assert found[0][0] is not found[1][0]
    assert found[0][1] != found[1][1]


# --- pairs that clips share, and batches --------------------


def test_pairs_of_a_window_are_those_of_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, computed = moving(6, 48, 64), []
    whole = clip_flow(frames, None, "dis")
    once = optical._compute

    def counted(part: FloatArray, weights: Path | None, device: str) -> ClipFlow:
        computed.append(len(part) - 1)
        return once(part, weights, device)

    monkeypatch.setattr(optical, "_compute", counted)
    for first, last in ((1, 3), (0, 6), (2, 6)):
        part = pair_flow(frames[first:last], tmp_path, "dis")
        np.testing.assert_array_equal(part.flow, whole.flow[first : last - 1])
        np.testing.assert_array_equal(part.visible, whole.visible[first : last - 1])
    assert computed == [1, 1, 3]  # 1→2 first, then what lies before and after it, then nothing
    np.testing.assert_array_equal(pair_flow(frames, None, "dis").flow, whole.flow)
    assert computed[3:] == [5]


def test_raft_sees_several_pairs_at_a_time_on_the_device_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    optical_flow = pytest.importorskip("torchvision.models.optical_flow")
    seen: list[tuple[int, str]] = []

    class Shift(torch.nn.Module):
        """In place of RAFT: the flow is the mean luminance of both frames."""

        def __init__(self) -> None:
            super().__init__()
            self.anchor = torch.nn.Parameter(torch.zeros(()))

        def forward(self, source: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
            assert source.device == self.anchor.device
            seen.append((len(source), source.device.type))
            levels = torch.stack([source.mean(dim=(1, 2, 3)), target.mean(dim=(1, 2, 3))], dim=1)
            return [levels[:, :, None, None].expand(-1, -1, *source.shape[2:])]

    monkeypatch.setattr(optical_flow, "raft_large", lambda weights: Shift())
    torch.save(Shift().state_dict(), tmp_path / RAFT_FILE)
    levels = np.arange(10, 22, dtype=np.float32) * 4
    frames = np.broadcast_to(levels[:, None, None], (12, 128, 136)).copy()
    flow = clip_flow(frames, None, "raft", weights=tmp_path, device="cpu")
    assert seen == [(8, "cpu"), (8, "cpu"), (6, "cpu")]  # four pairs, there and back; the last three
    later, earlier = levels[1:] / 50 - 1, levels[:-1] / 50 - 1
    np.testing.assert_allclose(flow.flow[:, 5, 5], np.stack([later, earlier], axis=1), atol=1e-3)
    optical._loaded_raft.cache_clear()
