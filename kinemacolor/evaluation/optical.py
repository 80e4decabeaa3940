"""Optical flow of a clip on its luma: backward flow, pixels that are visible in both frames, and a cache on disk."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pickle
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions

FlowMethod = Literal["auto", "raft", "dis"]
"""``auto``: RAFT if its weights are found, else DIS."""
RAFT_FILE = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
"""Name of torchvision's weights of RAFT-large among torch's downloads."""
_VERSION = 1  # of the content of a cache file; must be raised when the code of a method changes
_RAFT_SIDE = 128
RAFT_BATCH = 4
"""Pairs of frames, each in both directions, that RAFT sees at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class ClipFlow:
    """The optical flow of a clip of T frames, from each frame but the first to the one before it.

    Attributes:
        flow: (T − 1, H, W, 2) float16, (x, y) pixels: frame t + 1 at p looks like frame t at p + flow[t](p). Half
            precision errs by at most 1/2048 of a displacement.
        visible: (T − 1, H, W) bool, on the grid of frame t + 1; False for pixels that frame t does not show (see
            ``occlusion_mask``).
        name: of the flow method, for reports: ``RAFT`` or ``DIS``.
    """

    flow: Array
    visible: BoolArray
    name: str

    def __post_init__(self) -> None:
        shape = self.flow.shape
        if len(shape) != 4 or shape[3] != 2 or shape[0] < 1 or not np.issubdtype(self.flow.dtype, np.floating):
            raise ValueError(f"flow: expected floats (T − 1, H, W, 2), T ≥ 2, got {self.flow.dtype} {shape}")
        if self.visible.shape != shape[:3] or self.visible.dtype != np.bool_:
            raise ValueError(f"visible: expected bool {shape[:3]}, got {self.visible.dtype} {self.visible.shape}")
        if not np.isfinite(self.flow).all():
            raise ValueError("flow: expected finite values, got NaN or infinity")


def film_lightness(film: Array) -> FloatArray:
    """L* (T, H, W) in [0, 100] of an RGB film, uint8 (T, H, W, 3), as input of ``clip_flow``."""
    frames = (rgb_to_lab(frame.astype(np.float32) / 255)[..., 0] for frame in film)
    return np.stack([np.clip(frame, 0, 100) for frame in frames])


def occlusion_mask(forward: FloatArray, backward: FloatArray) -> BoolArray:
    """Pixels of the later of two frames that the earlier one shows, too (Ruder et al. 2016, equations 4 and 5).

    A pixel is hidden if both flows are inconsistent, |w̃ + ŵ|² > 0.01 (|w̃|² + |ŵ|²) + 0.5, if it lies on a motion
    boundary, |∇û|² + |∇v̂|² > 0.01 |ŵ|² + 0.002 (forward differences, zero beyond the last row and column), or if it
    comes from outside of the frame. ŵ = (û, v̂) is the backward flow, w̃ the forward flow at the point that ŵ leads to.

    Args:
        forward: flow (H, W, 2) from the earlier frame to the later, pixels.
        backward: flow (H, W, 2) from the later frame to the earlier, pixels.

    Returns:
        (H, W) bool on the grid of the *later* frame (that of ``backward``); True for visible pixels.
    """
    height, width = backward.shape[:2]
    origin = pixel_positions(height, width) + backward
    within = ((origin >= -0.5) & (origin <= np.array([width - 0.5, height - 0.5], np.float32))).all(axis=2)
    down = np.diff(backward, axis=0, append=backward[-1:])
    across = np.diff(backward, axis=1, append=backward[:, -1:])
    change = np.square(down).sum(axis=2) + np.square(across).sum(axis=2)
    smooth = change <= 0.01 * np.square(backward).sum(axis=2) + 0.002
    return np.asarray(consistent(backward, forward) & smooth & within)


def clip_flow(
    luma_frames: FloatArray,
    cache: Path | None,
    method: FlowMethod = "auto",
    *,
    weights: Path | None = None,
    device: str = "cpu",
) -> ClipFlow:
    """The flow of a clip and its occlusions, computed once and cached on disk.

    Args:
        luma_frames: (T, H, W) float32, T ≥ 2, L* in [0, 100] of the *input* frames (see ``film_lightness``).
        cache: folder for the result, whose file is named by a hash of the frames and the method; None for no cache.
        method: ``raft`` (torchvision's RAFT-large), ``dis`` (OpenCV), or ``auto``: RAFT if its weights are found.
        weights: RAFT's weights, or a folder that contains them as ``RAFT_FILE`` (see ``find_weights``). Nothing is
            ever downloaded.
        device: on which RAFT runs, as torch names it.

    Raises:
        InputError: ``method`` is ``raft``, but its weights or torchvision are missing.
        OutputError: the cache cannot be written.
    """
    _check_frames(luma_frames)
    raft_weights = flow_weights(method, weights)
    file = cache and cache / f"{_key(luma_frames, raft_weights)}.npz"
    cached = _load(file) if file else None
    if cached is not None:
        return cached
    result = _compute(luma_frames, raft_weights, device)
    if file:
        _save(file, result)
    return result


def pair_flow(
    luma_frames: FloatArray,
    cache: Path | None,
    method: FlowMethod = "auto",
    *,
    weights: Path | None = None,
    device: str = "cpu",
) -> ClipFlow:
    """``clip_flow`` with a file of the cache for each pair of frames, so that clips that overlap share them.

    Pairs that are not in the cache are computed together.
    """
    _check_frames(luma_frames)
    raft_weights = flow_weights(method, weights)
    pairs = [luma_frames[t : t + 2] for t in range(len(luma_frames) - 1)]
    files = [cache / f"{_key(pair, raft_weights)}.npz" if cache else None for pair in pairs]
    flows = [_load(file) if file else None for file in files]
    missing = [t for t, flow in enumerate(flows) if flow is None]
    for first, last in _runs(missing):
        computed = _compute(luma_frames[first : last + 2], raft_weights, device)
        for t in range(first, last + 1):
            part = slice(t - first, t - first + 1)
            flows[t] = result = ClipFlow(computed.flow[part], computed.visible[part], computed.name)
            if (file := files[t]) is not None:
                _save(file, result)
    present = [flow for flow in flows if flow is not None]
    flow, visible = (np.concatenate(parts) for parts in ([p.flow for p in present], [p.visible for p in present]))
    return ClipFlow(flow, visible, present[0].name)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers, which ascend."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _check_frames(luma_frames: FloatArray) -> None:
    if luma_frames.ndim != 3 or len(luma_frames) < 2:
        raise ValueError(f"luma_frames: expected (T, H, W), T ≥ 2, got {luma_frames.shape}")
    if not np.isfinite(luma_frames).all():
        raise ValueError("luma_frames: expected finite values, got NaN or infinity")


def _compute(frames: FloatArray, raft_weights: Path | None, device: str) -> ClipFlow:
    """The flow of consecutive frames: by RAFT where its weights are given, else by DIS."""
    earlier, later = frames[:-1], frames[1:]
    flows = np.empty((len(earlier), *frames.shape[1:], 2), np.float16)
    visible = np.empty(flows.shape[:3], np.bool_)
    for t, (forward, backward) in enumerate(_flow_pairs(earlier, later, raft_weights, device)):
        visible[t] = occlusion_mask(forward, backward)
        flows[t] = backward
    return ClipFlow(flows, visible, "RAFT" if raft_weights else DisFlow.name)


def _flow_pairs(
    earlier: FloatArray, later: FloatArray, raft_weights: Path | None, device: str
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """The flow from each earlier frame to the later one, and back."""
    if raft_weights is None:
        dis = DisFlow()
        for before, after in zip(earlier, later, strict=True):
            yield dis(before, after), dis(after, before)
        return
    raft = _raft(raft_weights, device)
    for start in range(0, len(earlier), RAFT_BATCH):
        sources, targets = earlier[start : start + RAFT_BATCH], later[start : start + RAFT_BATCH]
        both = raft(np.concatenate([sources, targets]), np.concatenate([targets, sources]))
        yield from zip(both[: len(sources)], both[len(sources) :], strict=True)


def _key(frames: FloatArray, weights: Path | None) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(frames, dtype=np.float32).tobytes())
    model = f"raft {_fingerprint(weights, weights.stat().st_mtime_ns)}" if weights else "dis"
    digest.update(f"{_VERSION} {frames.shape} {model}".encode())
    return digest.hexdigest()[:32]


@lru_cache(maxsize=2)
def _fingerprint(weights: Path, changed: int) -> str:
    """The hash of a file that was last changed at ``changed`` (ns), cached because training needs it for each pair."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def _load(file: Path) -> ClipFlow | None:
    """The flow in a cache file; None if the file is missing or cannot be read."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return ClipFlow(arrays["flow"], arrays["visible"], str(arrays["name"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(file: Path, flow: ClipFlow) -> None:
    """Writes a cache file atomically."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as part, part.open("wb") as target:
            np.savez(target, flow=flow.flow, visible=flow.visible, name=np.array(flow.name))
    except OSError as error:
        problem = f"the flow cannot be saved there ({error.strerror})"
        raise OutputError(file.parent, problem, "choose another cache") from error


def flow_device(method: FlowMethod, weights: Path | None = None) -> str:
    """Where ``clip_flow`` should run: a GPU for RAFT if there is one, else the CPU."""
    if flow_weights(method, weights) is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def find_weights(name: str, path: Path | None) -> Path | None:
    """The file of some released weights, or None if they are not on this machine. Nothing is downloaded.

    Args:
        name: the file's name among torch's downloads.
        path: the file, or a folder that may contain it; None for the folder of torch's downloads.

    Raises:
        InputError: ``path`` does not exist.
    """
    if path is not None and not path.exists():
        raise InputError(path, "there is no such file or folder", "check the name of the weights")
    file = path if path is not None and path.is_file() else (path or torch_downloads()) / name
    return file if file.is_file() else None


def torch_downloads() -> Path:
    """The folder of the weights that torch downloads, determined without importing torch."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def flow_weights(method: FlowMethod, path: Path | None = None) -> Path | None:
    """The file of RAFT's weights if ``clip_flow`` uses RAFT; None if it uses DIS.

    Raises:
        InputError: as ``clip_flow``.
    """
    if method == "dis":
        return None
    installed = importlib.util.find_spec("torchvision") is not None
    file = find_weights(RAFT_FILE, path) if installed else None
    if method == "raft" and file is None:
        remedy = f"put {RAFT_FILE} into {path or torch_downloads()}" if installed else "install kinemacolor[train]"
        raise InputError(RAFT_FILE, "RAFT needs its weights", f"{remedy}, or choose the flow dis")
    return file


def _raft(weights: Path, device: str = "cpu") -> _Raft:
    """RAFT with the weights of a file; the last network is cached because training needs it for each window."""
    return _loaded_raft(weights, weights.stat().st_mtime_ns, device)


@lru_cache(maxsize=1)
def _loaded_raft(weights: Path, changed: int, device: str) -> _Raft:
    return _Raft(weights, device)


class _Raft:
    """RAFT-large (Teed and Deng, ECCV 2020) of torchvision on gray frames, with its default of 12 updates."""

    def __init__(self, weights: Path, device: str) -> None:
        import torch

        raft_large = importlib.import_module("torchvision.models.optical_flow").raft_large  # torchvision is not typed

        self._torch = torch
        self._network: Any = raft_large(weights=None)
        try:
            self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(weights, "does not contain weights of RAFT-large", f"give {RAFT_FILE}") from error
        self._device = device
        self._network.to(device).eval()

    def __call__(self, sources: FloatArray, targets: FloatArray) -> FloatArray:
        """Flow (n, H, W, 2) from L* (n, H, W) to L* (n, H, W), as ``DisFlow`` computes it for one pair."""
        height, width = sources.shape[1:]
        with self._torch.inference_mode():
            flow = self._network(self._input(sources), self._input(targets))[-1]
        return np.ascontiguousarray(flow[:, :, :height, :width].permute(0, 2, 3, 1).cpu().numpy())

    def _input(self, lightness: FloatArray) -> Any:
        """(n, 3, H', W') in [-1, 1]; H', W' at least 128 and multiples of 8, the last row and column repeated."""
        padding = [(0, max(_RAFT_SIDE, -(-side // 8) * 8) - side) for side in lightness.shape[1:]]
        gray = np.pad(np.asarray(lightness, np.float32) / 50 - 1, [(0, 0), *padding], mode="edge")
        return self._torch.from_numpy(gray).to(self._device)[:, None].expand(-1, 3, -1, -1)
