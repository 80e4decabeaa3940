"""Evaluation inside training: held-out clips colored by the engine that users run, from their first frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.protocol import Engine, StepResult
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.evaluation.metrics import colorfulness, psnr
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.decode import shrink, to_codes

LAST = 8
"""Frames at the end of a clip that are looked at by themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """A clip to be colored.

    Attributes:
        name: of the clip.
        film: its truth (T, H, W, 3) uint8.
        lightness: L* (T, H, W).
        reference: its first frame.
    """

    name: str
    film: Array
    lightness: FloatArray
    reference: Reference


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of coloring the clips; means over frames but the first, which is the reference, then over clips.

    Attributes:
        psnr: dB.
        last: of the last frames alone, dB.
        colorfulness: ratio of the results' to the truths'.
        mirrored: PSNR with the first frame mirrored as reference, or None.
        by_clip: PSNR of each clip.
    """

    psnr: float
    last: float
    colorfulness: float
    mirrored: float | None
    by_clip: dict[str, float]

    def __str__(self) -> str:
        mirrored = "" if self.mirrored is None else f", mirrored {self.mirrored:.2f}"
        return f"PSNR {self.psnr:.2f} dB (last {self.last:.2f}{mirrored}), colorfulness {self.colorfulness:.2f}"


def held_out(cache: Cache, names: Sequence[str], frames: int, side: int) -> list[HeldOut]:
    """Clips to be colored: of each source its first shot of at least two frames.

    Args:
        cache: with those clips.
        names: of sources (``*`` stands for anything).
        frames: taken of each, at most.
        side: short side, pixels; smaller films keep their size.

    Raises:
        UsageError: a name is none of a film in the cache.
    """
    found: dict[str, HeldOut] = {}
    for name in names:
        clips = [clip for clip in cache.only([name]).clips if clip.frames > 1]
        if not clips:
            raise UsageError(cache.folder, f"{name} is no film, so that it cannot be evaluated", "name films")
        for clip in clips:
            if clip.source not in found:
                film = np.stack([shrink(frame, side) for frame in cache.frames(clip)[:frames]])
                lab = rgb_to_lab(film.astype(np.float32) / 255)
                lightness = np.clip(lab[..., 0], 0, 100)
                mask = np.ones(lightness.shape[1:], np.bool_)
                reference = Reference(lightness[0].copy(), np.ascontiguousarray(lab[0, ..., 1:]), mask)
                found[clip.source] = HeldOut(clip.source, film, lightness, reference)
    return list(found.values())


def blocks(engine: Engine, lightness: FloatArray, reference: Reference) -> Iterator[tuple[range, StepResult]]:
    """A film L* (T, H, W) colored from its start, as in use: of each block its frames and what the engine gave."""
    bank, memory = engine.start([reference]), None
    for first in range(0, len(lightness), engine.block_size):
        frames = range(first, min(first + engine.block_size, len(lightness)))
        step = engine.step(np.ascontiguousarray(lightness[frames.start : frames.stop]), bank, memory)
        memory = step.state
        yield frames, step


def color(engine: Engine, lightness: FloatArray, reference: Reference) -> Array:
    """The engine's film R'G'B' (T, H, W, 3) uint8 for L* (T, H, W)."""
    return np.stack(
        [
            to_codes(lab_to_rgb(np.dstack([lightness[frame], ab])))
            for frames, step in blocks(engine, lightness, reference)
            for frame, ab in zip(frames, step.ab, strict=True)
        ]
    )


def try_engine(engine: Engine, clips: Sequence[HeldOut], *, mirrored: bool = True) -> tuple[Trial, dict[str, Array]]:
    """Colors the clips; what came of it, and of each clip the last frame."""
    whole, last, ratios, other, shown = [], [], [], [], {}
    for clip in clips:
        result = color(engine, clip.lightness, clip.reference)
        values = np.minimum(psnr(result, clip.film), 100.0)
        whole.append(float(values[1:].mean()))  # the first frame is the reference
        last.append(float(values[-LAST:].mean()))
        ratios.append(float(colorfulness(result).mean() / max(colorfulness(clip.film).mean(), 1e-6)))
        shown[clip.name] = result[-1]
        if mirrored:
            half = len(clip.film) // 2 + 1
            again = color(engine, clip.lightness[:half], clip.reference.mirrored())
            other.append(float(np.minimum(psnr(again, clip.film[:half]), 100.0)[1:].mean()))
    by_clip = dict(zip([clip.name for clip in clips], whole, strict=True))
    mean = [float(np.mean(column)) for column in (whole, last, ratios)]
    return Trial(mean[0], mean[1], mean[2], float(np.mean(other)) if other else None, by_clip), shown


def try_network(
    network: Network, clips: Sequence[HeldOut], device: torch.device, *, mirrored: bool = True
) -> tuple[Trial, dict[str, Array]]:
    """The same for a network, which is left in the mode it was in; in float32, as what ships, on any hardware."""
    modes = {name: module.training for name, module in network.named_modules()}
    engine = NetworkEngine(TorchRunner(network, device=str(device), bfloat16=False))
    try:
        return try_engine(engine, clips, mirrored=mirrored)
    finally:
        for name, module in network.named_modules():
            module.training = modes[name]


def try_matching(clips: Sequence[HeldOut], *, mirrored: bool = True) -> Trial:
    """The same for the engine ``matching``, in which nothing is trained: what a network has to beat."""
    return try_engine(MatchingEngine(), clips, mirrored=mirrored)[0]
