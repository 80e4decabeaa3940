"""Validation: held-out clips, colored from their first frames by the engine that users run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.evaluation.metrics import colorfulness, psnr
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.decode import shrink, to_codes
from kinemacolor.training.rollout.engine_rollout import color_blocks

LAST_FRAMES = 8
"""Frames at the end of a clip that are also measured alone."""


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutClip:
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
class ValidationResult:
    """Figures of the colored clips: means over all frames but the first, which is the reference, then over clips.

    Attributes:
        psnr: dB.
        last: PSNR of the last frames alone, dB.
        colorfulness: ratio of the results' to the truths'.
        mirrored: PSNR with the mirrored first frame as reference, or None.
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


def held_out_clips(cache: Cache, names: Sequence[str], frames: int, side: int) -> list[HeldOutClip]:
    """Clips to be colored: of each source its first shot of at least two frames.

    Args:
        cache: with those clips.
        names: of sources (``*`` stands for anything).
        frames: taken of each, at most.
        side: short side, pixels; smaller films keep their size.

    Raises:
        UsageError: a name is not that of a film in the cache.
    """
    by_source: dict[str, HeldOutClip] = {}
    for name in names:
        clips = [clip for clip in cache.only([name]).clips if clip.frames > 1]
        if not clips:
            raise UsageError(cache.folder, f"{name} is not a film, so that it cannot be colored", "name films")
        for clip in clips:
            if clip.source not in by_source:
                film = np.stack([shrink(frame, side) for frame in cache.frames(clip)[:frames]])
                lab = rgb_to_lab(film.astype(np.float32) / 255)
                lightness = np.clip(lab[..., 0], 0, 100)
                mask = np.ones(lightness.shape[1:], np.bool_)
                reference = Reference(lightness[0].copy(), np.ascontiguousarray(lab[0, ..., 1:]), mask)
                by_source[clip.source] = HeldOutClip(clip.source, film, lightness, reference)
    return list(by_source.values())


def color_film(engine: Engine, lightness: FloatArray, reference: Reference) -> Array:
    """The engine's film R'G'B' (T, H, W, 3) uint8 for L* (T, H, W)."""
    return np.stack(
        [
            to_codes(lab_to_rgb(np.dstack([lightness[frame], ab])))
            for frames, result in color_blocks(engine, lightness, reference)
            for frame, ab in zip(frames, result.ab, strict=True)
        ]
    )


def validate_engine(
    engine: Engine, clips: Sequence[HeldOutClip], *, mirrored: bool = True
) -> tuple[ValidationResult, dict[str, Array]]:
    """Colors the clips; returns the figures, and the last frame of each clip by its name."""
    psnrs, last_psnrs, ratios, mirrored_psnrs, last_frames = [], [], [], [], {}
    for clip in clips:
        film = color_film(engine, clip.lightness, clip.reference)
        values = np.minimum(psnr(film, clip.film), 100.0)
        psnrs.append(float(values[1:].mean()))  # the first frame is the reference
        last_psnrs.append(float(values[-LAST_FRAMES:].mean()))
        ratios.append(float(colorfulness(film).mean() / max(colorfulness(clip.film).mean(), 1e-6)))
        last_frames[clip.name] = film[-1]
        if mirrored:
            half = len(clip.film) // 2 + 1
            film = color_film(engine, clip.lightness[:half], clip.reference.mirrored())
            mirrored_psnrs.append(float(np.minimum(psnr(film, clip.film[:half]), 100.0)[1:].mean()))
    result = ValidationResult(
        psnr=float(np.mean(psnrs)),
        last=float(np.mean(last_psnrs)),
        colorfulness=float(np.mean(ratios)),
        mirrored=float(np.mean(mirrored_psnrs)) if mirrored_psnrs else None,
        by_clip=dict(zip([clip.name for clip in clips], psnrs, strict=True)),
    )
    return result, last_frames


def validate_network(
    network: Network, clips: Sequence[HeldOutClip], device: torch.device, *, mirrored: bool = True
) -> tuple[ValidationResult, dict[str, Array]]:
    """The same for a network, which stays in its mode; in float32 on any hardware, like the released weights."""
    modes = {name: module.training for name, module in network.named_modules()}
    engine = NetworkEngine(TorchRunner(network, device=str(device), bfloat16=False))
    try:
        return validate_engine(engine, clips, mirrored=mirrored)
    finally:
        for name, module in network.named_modules():
            module.training = modes[name]


def validate_matching(clips: Sequence[HeldOutClip], *, mirrored: bool = True) -> ValidationResult:
    """The same for the engine ``matching``, which has no training: a network has to be better."""
    return validate_engine(MatchingEngine(), clips, mirrored=mirrored)[0]
