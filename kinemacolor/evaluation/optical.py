"""Optical flow of a whole clip, on its luma: backward flow, what is visible in both frames, and a cache on disk."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.propagation.dis_flow import DisFlow, consistent, pixel_positions

Method = Literal["auto", "raft", "dis"]
"""``auto``: RAFT where its weights are found, else DIS."""
RAFT_FILE = "raft_large_C_T_SKHT_V2-ff5fadd5.pth"
"""Name of torchvision's weights of RAFT-large, as it stores them when it downloads them."""
_VERSION = 1  # of what a cache file holds; a change of the method's code must count it up
_RAFT_SIDE = 128


@dataclass(frozen=True, slots=True, eq=False)
class ClipFlow:
    """The optical flow of a clip of T frames, from each frame but the first to the one before it.

    Attributes:
        flow: (T − 1, H, W, 2) float16, (x, y) pixels: frame t + 1 at p looks like frame t at p + flow[t](p). Half
            precision errs by at most 1/2048 of a displacement.
        visible: (T − 1, H, W) bool, on the grid of frame t + 1; False where frame t does not show it (see
            ``occlusion_mask``).
        name: of the method, for reports: ``RAFT`` or ``DIS``.
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
            raise ValueError("flow: holds values that are no numbers")


def film_lightness(film: Array) -> FloatArray:
    """L* (T, H, W) in [0, 100] of an RGB film, uint8 (T, H, W, 3): what ``clip_flow`` takes."""
    frames = (rgb_to_lab(frame.astype(np.float32) / 255)[..., 0] for frame in film)
    return np.stack([np.clip(frame, 0, 100) for frame in frames])


def occlusion_mask(forward: FloatArray, backward: FloatArray) -> BoolArray:
    """Where the earlier of two frames shows what the later one does (Ruder et al. 2016, equations 4 and 5).

    Hidden is what fails forward and backward, |w̃ + ŵ|² > 0.01 (|w̃|² + |ŵ|²) + 0.5, and what lies on a motion boundary,
    |∇û|² + |∇v̂|² > 0.01 |ŵ|² + 0.002 (forward differences, zero beyond the last row and column), and what comes from
    beyond the frame's border. ŵ = (û, v̂) is the backward flow, w̃ the forward flow where ŵ points.

    Args:
        forward: flow (H, W, 2) from the earlier frame to the later, pixels.
        backward: flow (H, W, 2) from the later frame to the earlier, pixels.

    Returns:
        (H, W) bool on the grid of the *later* frame (that of ``backward``); True is visible.
    """
    height, width = backward.shape[:2]
    place = pixel_positions(height, width) + backward
    within = ((place >= -0.5) & (place <= np.array([width - 0.5, height - 0.5], np.float32))).all(axis=2)
    down = np.diff(backward, axis=0, append=backward[-1:])
    across = np.diff(backward, axis=1, append=backward[:, -1:])
    change = np.square(down).sum(axis=2) + np.square(across).sum(axis=2)
    smooth = change <= 0.01 * np.square(backward).sum(axis=2) + 0.002
    return np.asarray(consistent(backward, forward) & smooth & within)


def clip_flow(
    luma_frames: FloatArray, cache: Path | None, method: Method = "auto", *, weights: Path | None = None
) -> ClipFlow:
    """The flow of a clip and its occlusions, computed once and kept on disk.

    Args:
        luma_frames: (T, H, W) float32, T ≥ 2, L* in [0, 100] of the *input* frames (see ``film_lightness``).
        cache: folder for the result, named by a hash of the frames and the method; None keeps nothing.
        method: ``raft`` (torchvision's RAFT-large), ``dis`` (OpenCV), or ``auto``: RAFT where its weights are found.
        weights: RAFT's weights, or a folder that holds them as ``RAFT_FILE`` (see ``find_weights``). Nothing is ever
            downloaded.

    Raises:
        InputError: ``raft`` was asked for and its weights (or torchvision) are not there.
        OutputError: the cache cannot be written.
    """
    if luma_frames.ndim != 3 or len(luma_frames) < 2:
        raise ValueError(f"luma_frames: expected (T, H, W), T ≥ 2, got {luma_frames.shape}")
    if not np.isfinite(luma_frames).all():
        raise ValueError("luma_frames: hold values that are no numbers")
    found = flow_weights(method, weights)
    file = cache and cache / f"{_key(luma_frames, found)}.npz"
    known = _load(file) if file else None
    if known is not None:
        return known
    engine: Callable[[FloatArray, FloatArray], FloatArray] = _raft(found) if found else DisFlow()
    result = _compute(luma_frames, engine, "RAFT" if found else DisFlow.name)
    if file:
        _save(file, result)
    return result


def _compute(frames: FloatArray, engine: Callable[[FloatArray, FloatArray], FloatArray], name: str) -> ClipFlow:
    flows = np.empty((len(frames) - 1, *frames.shape[1:], 2), np.float16)
    visible = np.empty(flows.shape[:3], np.bool_)
    for t, (earlier, later) in enumerate(pairwise(frames)):
        backward = engine(later, earlier)
        visible[t] = occlusion_mask(engine(earlier, later), backward)
        flows[t] = backward
    return ClipFlow(flows, visible, name)


def _key(frames: FloatArray, weights: Path | None) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(frames, dtype=np.float32).tobytes())
    model = f"raft {_fingerprint(weights, weights.stat().st_mtime_ns)}" if weights else "dis"
    digest.update(f"{_VERSION} {frames.shape} {model}".encode())
    return digest.hexdigest()[:32]


@lru_cache(maxsize=2)
def _fingerprint(weights: Path, changed: int) -> str:
    """The hash of a file last ``changed`` then (ns): training asks once a pair of frames."""
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def _load(file: Path) -> ClipFlow | None:
    """What a cache file holds; None where there is none, or it cannot be read."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return ClipFlow(kept["flow"], kept["visible"], str(kept["name"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(file: Path, flow: ClipFlow) -> None:
    """Written aside, then renamed: a reader never sees half a file, and two writers do no harm."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=file.parent, prefix=".flow-", suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as target:
                np.savez(target, flow=flow.flow, visible=flow.visible, name=np.array(flow.name))
            os.replace(aside, file)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise OutputError(
            file.parent, f"the flow cannot be kept there ({error.strerror})", "choose another cache"
        ) from error


def find_weights(name: str, given: Path | None) -> Path | None:
    """The file of some released weights, or None where they are not on this machine. Nothing is downloaded.

    Args:
        name: the file's name, as torch saves it when it downloads it.
        given: the file, or a folder that may hold it; where None, torch's own folder (``torch_downloads``).

    Raises:
        InputError: there is no ``given``.
    """
    if given is not None and not given.exists():
        raise InputError(given, "there is no such file or folder", "check the name of the weights")
    file = given if given is not None and given.is_file() else (given or torch_downloads()) / name
    return file if file.is_file() else None


def torch_downloads() -> Path:
    """The folder to which torch saves weights, found without importing torch."""
    home = os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def flow_weights(method: Method, given: Path | None = None) -> Path | None:
    """RAFT's weights where ``clip_flow`` would use them, else None: it will be DIS.

    Raises:
        InputError: as ``clip_flow``.
    """
    if method == "dis":
        return None
    installed = importlib.util.find_spec("torchvision") is not None
    file = find_weights(RAFT_FILE, given) if installed else None
    if method == "raft" and file is None:
        place = f"put {RAFT_FILE} into {given or torch_downloads()}" if installed else "install kinemacolor[train]"
        raise InputError(RAFT_FILE, "RAFT cannot be had without its weights", f"{place}, or choose the flow dis")
    return file


def _raft(weights: Path) -> _Raft:
    """The network of a file; the last one is kept, for training asks once a pair of frames."""
    return _loaded_raft(weights, weights.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _loaded_raft(weights: Path, changed: int) -> _Raft:
    return _Raft(weights)


class _Raft:
    """RAFT-large (Teed and Deng, ECCV 2020) of torchvision on gray frames, with its default of 12 updates."""

    def __init__(self, weights: Path) -> None:
        import torch

        raft_large = importlib.import_module("torchvision.models.optical_flow").raft_large  # torchvision is not typed

        self._torch = torch
        self._network: Any = raft_large(weights=None)
        try:
            self._network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise InputError(weights, "does not hold weights of RAFT-large", f"give {RAFT_FILE}") from error
        self._network.eval()

    def __call__(self, source: FloatArray, target: FloatArray) -> FloatArray:
        """As ``DisFlow``: L* (H, W) twice to flow (H, W, 2)."""
        height, width = source.shape
        with self._torch.inference_mode():
            flow = self._network(self._input(source), self._input(target))[-1]
        return np.ascontiguousarray(flow[0, :, :height, :width].permute(1, 2, 0).numpy())

    def _input(self, lightness: FloatArray) -> Any:
        """(1, 3, H', W') in [-1, 1]; H', W' at least 128 and multiples of 8, the last row and column repeated."""
        extra = [(0, max(_RAFT_SIDE, -(-side // 8) * 8) - side) for side in lightness.shape]
        gray = np.pad(np.asarray(lightness, np.float32) / 50 - 1, extra, mode="edge")
        return self._torch.from_numpy(gray).expand(1, 3, -1, -1)
