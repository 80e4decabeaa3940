"""What came of a film: its strip over time, shots, confidence, and frames to paint next; as a page and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array, FloatArray, Shot
from kinemacolor.report.html import page

THUMBNAIL = 160
"""Pixels across of a thumbnail, at most."""
JPEG_QUALITY = 78


@dataclass(frozen=True, slots=True)
class ShotReport:
    """A shot, and the names of the references that colored it, best first."""

    shot: Shot
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of a colored frame: the frame's index, and a JPEG."""

    frame: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames of one shot with low confidence.

    Attributes:
        start, stop: indices of the first frame and of the one after the last.
        mean: of their confidence.
        lowest: index of the frame with the least.
    """

    start: int
    stop: int
    mean: float
    lowest: int


@dataclass(frozen=True, slots=True, eq=False)
class FilmReport:
    """What is told about a colored film.

    Attributes:
        film: its name.
        rate: frames a second; the report's times are frames divided by it.
        shots: in order, without overlap; every end is known.
        confidence: (F,) float32 in [-1, 1], a value a frame.
        threshold: confidence below which a frame counts as badly supported.
        strip: thumbnails of frames, ascending.
        stretches: where confidence is low: ``low_stretches``.
        advice: frames worth painting next, with their gain: by how much the film's mean support would rise. Any order.
        painted: frames that have a reference of their own, with its name.
        notes: warnings, a line each.
        numbers: (F,) by which people, and names of stills, call the frames; empty for their indices.
    """

    film: str
    rate: Fraction
    shots: tuple[ShotReport, ...]
    confidence: FloatArray
    threshold: float
    strip: tuple[Thumbnail, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    advice: tuple[tuple[int, float], ...] = ()
    painted: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    numbers: Sequence[int] = ()

    def __post_init__(self) -> None:
        _check(self.confidence, [one.shot for one in self.shots])
        if len(self.numbers) not in (0, len(self.confidence)):
            raise ValueError(f"numbers: expected one of each of {len(self.confidence)} frames, got {len(self.numbers)}")
        if self.rate <= 0:
            raise ValueError(f"rate: expected > 0, got {self.rate}")
        frames = [*(one.frame for one in self.strip), *(frame for frame, _ in (*self.advice, *self.painted))]
        outside = [frame for frame in frames if not 0 <= frame < len(self.confidence)]
        if outside:
            raise ValueError(f"strip, advice, painted: expected frames below {len(self.confidence)}, got {outside[0]}")

    @property
    def best_first(self) -> list[tuple[int, float]]:
        """The advice in order of gain; equals by frame."""
        return sorted(self.advice, key=lambda item: (-item[1], item[0]))

    def number(self, frame: int) -> int:
        """What people call a frame."""
        return self.numbers[frame] if self.numbers else frame

    def still(self, frame: int) -> str:
        """Name under which a painted frame is bound to its place."""
        return f"{self.number(frame):07}.png"

    def shot_of(self, frame: int) -> int | None:
        """Number of a frame's shot, from 1, or None."""
        return next((number for number, one in enumerate(self.shots, 1) if frame in one.shot), None)


def _check(confidence: FloatArray, shots: Sequence[Shot]) -> None:
    """Raises ValueError unless there is a value a frame, and the shots are ascending and within them."""
    if confidence.ndim != 1 or confidence.size == 0:
        raise ValueError(f"confidence: expected (F,), F ≥ 1, got {confidence.shape}")
    if not (np.abs(confidence) <= 1.001).all():
        raise ValueError("confidence: expected values in [-1, 1]")
    stop = 0
    for shot in shots:
        if shot.start < stop or shot.stop is None or shot.stop > len(confidence):
            raise ValueError(f"shots: expected ascending frames up to {len(confidence)}, got {shot.start}, {shot.stop}")
        stop = shot.stop


def thumbnail(frame: int, rgb: Array) -> Thumbnail:
    """A thumbnail of a frame (H, W, 3) uint8, R'G'B', at most ``THUMBNAIL`` pixels across."""
    height, width = rgb.shape[:2]
    if width > THUMBNAIL:
        size = (THUMBNAIL, max(1, round(height * THUMBNAIL / width)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    good, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {rgb.shape}")
    return Thumbnail(frame, bytes(content.tobytes()))


def low_stretches(
    confidence: FloatArray, shots: Sequence[Shot], threshold: float, least_frames: int
) -> tuple[Stretch, ...]:
    """Where confidence is low for long enough to be worth a reference.

    Runs of frames below the threshold, each within one shot. From a shot's start on, a run takes in the next one where
    fewer than ``least_frames`` frames lie between them and their common mean stays below the threshold. What is then
    shorter than ``least_frames`` is left out, unless it is a whole shot.

    Args:
        confidence: (F,) float32 in [-1, 1].
        shots: ascending, without overlap; frames outside all of them are not looked at.
        threshold: confidence that is high enough.
        least_frames: shortest stretch, at least 1.

    Raises:
        ValueError: another shape or range, shots out of order or beyond the film, or ``least_frames`` below 1.
    """
    _check(confidence, shots)
    if least_frames < 1:
        raise ValueError(f"least_frames: expected ≥ 1, got {least_frames}")
    found: list[Stretch] = []
    for shot in shots:
        assert shot.stop is not None
        values = np.asarray(confidence[shot.start : shot.stop], np.float64)
        for start, stop in _joined(values, threshold, least_frames):
            if stop - start >= least_frames or stop - start == len(values):
                part = values[start:stop]
                lowest = shot.start + start + int(part.argmin())
                found.append(Stretch(shot.start + start, shot.start + stop, float(part.mean()), lowest))
    return tuple(found)


def _joined(values: Array, threshold: float, least_frames: int) -> list[tuple[int, int]]:
    """Runs below the threshold, (start, stop), near ones joined."""
    low = np.concatenate([[False], values < threshold, [False]])
    edges = np.flatnonzero(low[1:] != low[:-1])
    sums = np.concatenate([[0.0], np.cumsum(values)])
    runs: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < least_frames:
            begin = runs[-1][0]
            if sums[stop] - sums[begin] < threshold * (stop - begin):
                runs[-1] = (begin, stop)
                continue
        runs.append((start, stop))
    return runs


def to_json(report: FilmReport) -> dict[str, Any]:
    """The report as JSON-ready values, pictures left out: frames are indices, times are seconds, shots go from 1.

    ``numbers`` are what people call the frames, None where that is their indices.
    """
    confidence = np.asarray(report.confidence, np.float64)

    def seconds(frame: int) -> float:
        return round(float(frame / report.rate), 3)

    shots = []
    for number, one in enumerate(report.shots, 1):
        assert one.shot.stop is not None
        part = confidence[one.shot.start : one.shot.stop]
        shots.append(
            {
                "number": number,
                "start": one.shot.start,
                "stop": one.shot.stop,
                "time": seconds(one.shot.start),
                "references": list(one.references),
                "confidence": round(float(part.mean()), 4),
                "lowest": one.shot.start + int(part.argmin()),
            }
        )
    return {
        "film": report.film,
        "rate": str(report.rate),
        "frames": len(confidence),
        "threshold": report.threshold,
        "mean_confidence": round(float(confidence.mean()), 4),
        "low_share": round(float((confidence < report.threshold).mean()), 4),
        "shots": shots,
        "low_stretches": [
            {
                "start": one.start,
                "stop": one.stop,
                "time": seconds(one.start),
                "shot": report.shot_of(one.start),
                "confidence": round(one.mean, 4),
                "lowest": one.lowest,
            }
            for one in report.stretches
        ],
        "advice": [
            {
                "frame": frame,
                "still": report.still(frame),
                "time": seconds(frame),
                "shot": report.shot_of(frame),
                "gain": round(float(gain), 5),
            }
            for frame, gain in report.best_first
        ],
        "painted": [{"frame": frame, "reference": name} for frame, name in report.painted],
        "notes": list(report.notes),
        "numbers": list(report.numbers) or None,
        "confidence": [round(float(value), 4) for value in confidence],
    }


def write_report(path: str | Path, report: FilmReport) -> None:
    """Writes the page, which stands alone; it appears, or takes the place of an older one, when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    try:
        with atomic_write(path) as part:
            part.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder and its space") from error
