"""All figures of a colored clip against its truth, and their means over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma, yuv_to_rgb
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, FloatArray, Frame
from kinemacolor.evaluation.metrics import (
    SSIM_WINDOW,
    cdc,
    check_pair,
    colorfulness,
    delta_e,
    psnr,
    ssim,
    warping_errors,
    wrapped_psnr,
)
from kinemacolor.evaluation.perceptual import LPIPS_SIDE, FeatureSets, frechet_distance
from kinemacolor.references.size import network_size
from kinemacolor.video.image_sequence import ImageSequence
from kinemacolor.video.planes import pixel_layout
from kinemacolor.video.reader import VideoReader

if TYPE_CHECKING:
    from kinemacolor.evaluation.optical import ClipFlow
    from kinemacolor.evaluation.perceptual import PerceptualMetrics

PSNR_CEILING = float(10 * np.log10(255**2 * 12))
"""58.9 dB, the PSNR of an exact result after rounding to 8 bits. A frame counts as at most this, so that an identical
frame (∞) does not dominate the mean."""
WRAPPED_CEILING = 999.0
"""Stands for ∞ among the values of ``wrapped_psnr``."""
CDC_STEPS = (1, 2, 4)
FIGURES = (
    "psnr",
    "ssim",
    "delta_e",
    "colorfulness",
    "colorfulness_ratio",
    "we",
    "we_truth",
    "cdc",
    "cdc_truth",
    "lpips",
    "fid",
)
"""Names of all figures, in the order of reports."""
PERCEPTUAL_NOT_SELECTED = "n/a: not selected"
FLOW_NOT_SELECTED = "n/a: no flow was selected"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The figures of one clip of T frames.

    Attributes:
        per_frame: figures of each frame by name: ``psnr`` (dB, at most 58.9), ``psnr_colormnet`` (``wrapped_psnr``, at
            most 999), ``ssim``, ``delta_e`` and ``colorfulness`` (T values each); with a flow ``we`` (× 10³, T − 1
            values, the first for the second frame); with weights ``lpips``.
        figures: by the names of ``FIGURES``: means over frames of the above; ``colorfulness_ratio`` to the truth's;
            ``we`` and ``we_truth`` × 10³; ``cdc`` and ``cdc_truth``. None for figures that are not available.
        notes: by the same names: why a figure is None, or a remark on it.
        features: for the FID of a set of clips; None where its weights are missing.
    """

    per_frame: dict[str, list[float]]
    figures: dict[str, float | None]
    notes: dict[str, str]
    features: FeatureSets | None = field(default=None, repr=False, compare=False)


def measure(
    result: Array, truth: Array, *, flow: ClipFlow | None, perceptual: PerceptualMetrics | None = None
) -> Measurement:
    """Measures a colored clip.

    Args:
        result, truth: uint8 RGB (T, H, W, 3), T at least 2, H and W at least 11.
        flow: the truth's (``clip_flow`` of its luma), or None for no warping error.
        perceptual: computes LPIPS and FID, or None for neither.

    Raises:
        ValueError: the films differ in length or size, are not uint8 RGB, contain NaN, or have one frame only, or the
            flow is not that of this clip. The message says which.
    """
    check_pair(result, truth)
    if len(truth) < 2:
        raise ValueError("truth: a clip of one frame has no motion to measure; expected at least 2 frames")
    frames = {
        "psnr": np.minimum(psnr(result, truth), PSNR_CEILING),
        "psnr_colormnet": np.minimum(wrapped_psnr(result, truth), WRAPPED_CEILING),
        "ssim": ssim(result, truth),
        "delta_e": delta_e(result, truth),
        "colorfulness": colorfulness(result),
    }
    notes: dict[str, str] = {}
    figures: dict[str, float | None] = dict.fromkeys(FIGURES)
    truth_colorfulness = float(colorfulness(truth).mean())
    if truth_colorfulness > 1e-6:
        figures["colorfulness_ratio"] = float(frames["colorfulness"].mean()) / truth_colorfulness
    else:
        notes["colorfulness_ratio"] = "n/a: the truth is gray"
    if flow is None:
        notes |= dict.fromkeys(("we", "we_truth"), FLOW_NOT_SELECTED)
    else:
        errors = 1000 * warping_errors([result, truth], flow.flow, flow.visible)
        frames["we"] = errors[0]
        figures["we_truth"] = float(errors[1].mean())
        notes |= dict.fromkeys(("we", "we_truth"), _flow_note(flow))
    if len(truth) > max(CDC_STEPS):
        figures |= {"cdc": cdc(result, CDC_STEPS), "cdc_truth": cdc(truth, CDC_STEPS)}
    else:
        notes |= dict.fromkeys(("cdc", "cdc_truth"), f"n/a: needs more than {max(CDC_STEPS)} frames")
    features = _measure_perceptual(result, truth, perceptual, frames, figures, notes)
    figures |= {name: float(values.mean()) for name, values in frames.items() if name in FIGURES}
    capped = int((frames["psnr"] == PSNR_CEILING).sum())
    if capped:
        notes["psnr"] = f"{capped} of {len(truth)} frames count as {PSNR_CEILING:.1f} dB, the limit of 8-bit rounding"
    per_frame = {name: [float(value) for value in values] for name, values in frames.items()}
    return Measurement(per_frame, figures, notes, features)


def _flow_note(flow: ClipFlow) -> str:
    hidden = int((~flow.visible.any(axis=(1, 2))).sum())
    remark = f"; {hidden} of {len(flow.flow)} pairs have no common pixels and count as 0" if hidden else ""
    return f"flow: {flow.name}{remark}"


def _measure_perceptual(
    result: Array,
    truth: Array,
    perceptual: PerceptualMetrics | None,
    frames: dict[str, Array],
    figures: dict[str, float | None],
    notes: dict[str, str],
) -> FeatureSets | None:
    """Adds LPIPS to ``frames``, FID to ``figures`` and remarks to ``notes``; returns the features for FID."""
    if perceptual is None:
        notes |= dict.fromkeys(("lpips", "fid"), PERCEPTUAL_NOT_SELECTED)
        return None
    notes |= perceptual.notes
    if min(truth.shape[1:3]) < LPIPS_SIDE:
        notes["lpips"] = f"n/a: needs sides of at least {LPIPS_SIDE} pixels"
    else:
        values = perceptual.lpips(result, truth)
        if values is not None:
            frames["lpips"] = values
    features = perceptual.features(result, truth)
    if features is not None:
        figures["fid"] = frechet_distance(features)
    return features


def mean_of(measurements: Sequence[Measurement]) -> dict[str, float | None]:
    """The figures of a set of clips: means over clips, in which each clip counts the same regardless of its length.

    ``colorfulness_ratio`` is the mean of the clips' ratios. FID is not a mean but that of the frames of all clips
    together. A figure that is missing for one clip is None, and not the mean of the others.
    """
    if not measurements:
        raise ValueError("measurements: expected at least one clip")
    means: dict[str, float | None] = {}
    for name in FIGURES:
        values = [measurement.figures[name] for measurement in measurements]
        present = [value for value in values if value is not None]
        means[name] = float(np.mean(present)) if len(present) == len(values) else None
    features = [measurement.features for measurement in measurements if measurement.features is not None]
    if means["fid"] is not None:
        means["fid"] = frechet_distance(FeatureSets.joined(features)) if len(features) == len(measurements) else None
    return means


# --- two films --------------------

PAIR_MEMORY = 4 << 30
"""Maximum memory in bytes of two films and their flow in ``load_pair``."""
_BYTES_PER_PIXEL = 16  # of a pair of frames: twice RGB, L* in float32, flow and mask, and work space
_RATE_TOLERANCE = 5e-4  # distinguishes 24 from 24000/1001, and allows for the rounding of containers


def load_pair(
    result: str | Path,
    truth: str | Path,
    *,
    size: str = "network",
    max_frames: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Array, Array]:
    """Reads two films for ``measure``: uint8 RGB (T, H, W, 3) of the result and of the truth.

    Args:
        result, truth: film files, folders of images, or patterns such as ``frame_%06d.png``.
        size: ``full`` for the films' own, ``network`` for an area of 384×216 at their own aspect, or the short side in
            pixels. The decoded R'G'B' is reduced by area means, then rounded.
        max_frames: number of frames from the start of both; None for all.
        progress: called with the frames read, and the number of frames to read or None.

    Raises:
        InputError: a film cannot be read or is damaged; the films differ in length, size, rate or rotation; or there is
            one frame only.
        UsageError: ``size`` or ``max_frames`` is invalid, or the films need more memory than ``PAIR_MEMORY``.
    """
    if max_frames is not None and max_frames < 2:
        raise UsageError("max_frames", f"{max_frames} is too few for a film", "give at least 2")
    readers = VideoReader(result), VideoReader(truth)
    _check_alike(*readers)
    info = readers[1].info
    shape = _shape(size, float(info.width * info.sample_aspect_ratio), info.width, info.height)
    counts = [n for n in (max_frames, info.frames) if n is not None]
    films: tuple[list[Array], list[Array]] = ([], [])
    for pair in _side_by_side(readers, max_frames):
        for film, rgb in zip(films, pair, strict=True):
            film.append(_to_codes(rgb, shape))
        read = len(films[0])
        if max([read, *([min(counts)] if counts else [])]) * shape[0] * shape[1] * _BYTES_PER_PIXEL > PAIR_MEMORY:
            remedy = "set `max_frames`, or choose a smaller `size`"
            raise UsageError(truth, "is too long to measure at this size in 4 GiB", remedy)
        if progress:
            progress(read, min(counts, default=None))
    if len(films[0]) < 2:
        raise InputError(truth, "has a single frame, and thus no motion to measure", "give films of at least 2 frames")
    return np.stack(films[0]), np.stack(films[1])


def _check_alike(result: VideoReader, truth: VideoReader) -> None:
    a, b = result.info, truth.info
    if (a.width, a.height) != (b.width, b.height):
        problem = f"is {a.width}x{a.height}, the truth is {b.width}x{b.height}"
        raise InputError(a.path, problem, "make the result at the truth's size: figures of resized films mean little")
    if a.orientation != b.orientation:
        problem = f"is to be shown {a.orientation}, the truth {b.orientation}"
        raise InputError(a.path, problem, "turn one of them")
    of_images = "image" in (a.codec, b.codec)
    if not of_images and abs(a.rate - b.rate) > _RATE_TOLERANCE * b.rate:
        problem = f"has {float(a.rate):.3f} frames per second, the truth {float(b.rate):.3f}"
        raise InputError(a.path, problem, "convert the result to the truth's rate")


def _shape(size: str, display_width: float, width: int, height: int) -> tuple[int, int]:
    if size == "full":
        shape = height, width
    elif size == "network":
        shape = network_size(display_width, height)
    elif size.isascii() and size.isdigit() and int(size) >= MINIMUM_SIDE:
        shape = network_size(display_width, height, side=int(size))
    else:
        raise UsageError(
            "size", f"{size} is not a size", f"give full, network or a short side of at least {MINIMUM_SIDE}"
        )
    if min(shape) < SSIM_WINDOW:
        problem = f"{shape[1]}x{shape[0]} is too small"
        raise UsageError("size", problem, f"choose sides of at least {SSIM_WINDOW} pixels")
    return shape


def _side_by_side(
    readers: tuple[VideoReader, VideoReader], limit: int | None
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """R'G'B' of two films frame by frame.

    Raises:
        InputError: a film is damaged, or they differ in length or in times.
    """
    pairs = zip_longest(*(rgb_frames(reader) for reader in readers))
    for count, (first, second) in enumerate(pairs):
        if count == limit:
            return
        if first is None or second is None:
            ended, other = readers if first is None else readers[::-1]
            _refuse_damage(ended)
            problem = f"ends after {count} frames, {other.info.path.name} continues"
            raise InputError(ended.info.path, problem, "give two films of the same frames")
        _check_times(readers, (first[0], second[0]))
        yield first[1], second[1]
    for reader in readers:
        _refuse_damage(reader)


def _refuse_damage(reader: VideoReader) -> None:
    if reader.damage:
        raise InputError(reader.info.path, f"is damaged: {reader.damage}", "download or make it again")


def _check_times(readers: tuple[VideoReader, VideoReader], frames: tuple[Frame, Frame]) -> None:
    infos = [reader.info for reader in readers]
    for info, frame in zip(infos, frames, strict=True):
        if info.codec == "image" and frame.pts != frame.index:
            raise InputError(info.path, f"image number {frame.index + 1} cannot be read", "make it again")
    if all(info.codec != "image" for info in infos):
        times = [frame.time - info.first_time for info, frame in zip(infos, frames, strict=True)]
        if 2 * abs(times[0] - times[1]) * infos[1].rate > 1:
            seconds = [f"{float(time):.3f} s" for time in times]
            problem = f"frame {frames[0].index} is at {seconds[0]}, the truth's at {seconds[1]}"
            raise InputError(infos[0].path, problem, "give two films of the same frames")


def rgb_frames(reader: VideoReader) -> Iterator[tuple[Frame, FloatArray]]:
    """The frames of a film with their R'G'B' (H, W, 3) in [0, 1]; a frame without color is gray.

    Images that are stored as RGB are read as such: the Y'CbCr code values of ``Frame`` would change them by a code,
    which limits PSNR to about 50 dB.
    """
    info = reader.info
    files: list[Path] = []
    if info.codec == "image" and pixel_layout(info.pixel_format).planes == "rgb":
        files = ImageSequence(info.path, info.rate).files
    for frame in reader.frames(chroma=True):
        rgb = _read_image(files[frame.pts]) if files else None
        yield frame, _decoded(frame) if rgb is None else rgb


def _decoded(frame: Frame) -> FloatArray:
    if frame.chroma is None:
        return np.repeat(codes_to_luma(frame.luma, frame.coding)[..., None], 3, axis=2)
    return yuv_to_rgb(frame.luma, *frame.chroma, frame.coding)


def _read_image(file: Path) -> FloatArray | None:
    """R'G'B' of an image of 8 or 16 bits; None if OpenCV cannot read it (DPX, EXR)."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.fromfile(file, np.uint8), flags)
    except cv2.error:
        return None
    if image is None or image.dtype not in (np.uint8, np.uint16):
        return None
    return np.asarray(image[..., ::-1] / np.float32(np.iinfo(image.dtype).max), dtype=np.float32)


def _to_codes(rgb: FloatArray, shape: tuple[int, int]) -> Array:
    """uint8 (H, W, 3) at a size."""
    codes: Array = np.clip(np.rint((rgb if rgb.shape[:2] == shape else resize(rgb, shape)) * 255), 0, 255)
    return codes.astype(np.uint8)
