"""What a report tells about a colored film: thumbnails, shots, confidence, and frames to paint next; also as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray

THUMBNAIL_WIDTH = 160
"""Width of a thumbnail in pixels, at most."""

_JPEG_QUALITY = 78


@dataclass(frozen=True, slots=True)
class ShotReport:
    """A shot, the names of the references that colored it, best first, and whether it stays gray."""

    shot: Shot
    references: tuple[str, ...]
    neutral: bool = False


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture of a colored frame: the frame's index, and the content of a JPEG file."""

    frame: int
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames of one shot with low confidence.

    Attributes:
        start, stop: indices of the first frame and of the one after the last.
        mean: of their confidence.
        lowest: index of the frame with the lowest confidence.
    """

    start: int
    stop: int
    mean: float
    lowest: int


@dataclass(frozen=True, slots=True, eq=False)
class FilmReport:
    """What a report tells about a colored film.

    Attributes:
        film: its name.
        rate: frames a second; the report's times are frames divided by it.
        shots: in order, without overlap; every end is known.
        confidence: (F,) float32 in [-1, 1], a value for each frame.
        threshold: confidence below which a frame counts as badly supported.
        strip: thumbnails of frames, ascending.
        stretches: where confidence is low, see ``low_stretches``.
        advice: frames worth painting next, with their gain: by how much the film's mean confidence would rise; in any
            order.
        painted: frames that have a reference of their own, with its name.
        notes: warnings, a line each.
        numbers: (F,) by which people, and file names of stills, refer to the frames; empty for their indices.
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
        _check(self.confidence, [entry.shot for entry in self.shots])
        if len(self.numbers) not in (0, len(self.confidence)):
            raise ValueError(
                f"numbers: expected one for each of {len(self.confidence)} frames, got {len(self.numbers)}"
            )
        if self.rate <= 0:
            raise ValueError(f"rate: expected > 0, got {self.rate}")
        frames = [
            *(thumbnail.frame for thumbnail in self.strip),
            *(frame for frame, _ in (*self.advice, *self.painted)),
        ]
        outside = [frame for frame in frames if not 0 <= frame < len(self.confidence)]
        if outside:
            raise ValueError(f"strip, advice, painted: expected frames below {len(self.confidence)}, got {outside[0]}")

    @property
    def best_first(self) -> list[tuple[int, float]]:
        """The advice by descending gain; equal gains by frame."""
        return sorted(self.advice, key=lambda item: (-item[1], item[0]))

    def number(self, frame: int) -> int:
        """The number by which people refer to a frame."""
        return self.numbers[frame] if self.numbers else frame

    def still(self, frame: int) -> str:
        """File name that binds a painted frame to its place."""
        return f"{self.number(frame):07}.png"

    def shot_of(self, frame: int) -> int | None:
        """Number of a frame's shot, from 1, or None."""
        return next((number for number, entry in enumerate(self.shots, 1) if frame in entry.shot), None)


def _check(confidence: FloatArray, shots: Sequence[Shot]) -> None:
    """Raises ValueError unless there is a value for each frame and the shots are ascending and within them."""
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
    """A thumbnail of a frame (H, W, 3) uint8, R'G'B', at most ``THUMBNAIL_WIDTH`` pixels wide."""
    height, width = rgb.shape[:2]
    if width > THUMBNAIL_WIDTH:
        size = (THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    encoded, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not encoded:
        raise RuntimeError(f"OpenCV cannot encode a JPEG of shape {rgb.shape}")
    return Thumbnail(frame, bytes(content.tobytes()))


def low_stretches(
    confidence: FloatArray, shots: Sequence[Shot], threshold: float, least_frames: int
) -> tuple[Stretch, ...]:
    """Where confidence is low for long enough to justify another reference.

    Stretches are runs of frames below the threshold, each within one shot. From a shot's start on, a run is joined with
    the next one if fewer than ``least_frames`` frames lie between them and their common mean stays below the threshold.
    Runs that are then shorter than ``least_frames`` are left out, unless they are a whole shot.

    Args:
        confidence: (F,) float32 in [-1, 1].
        shots: ascending, without overlap; frames outside all of them are ignored.
        threshold: lowest confidence that is high enough.
        least_frames: of the shortest stretch, at least 1.

    Raises:
        ValueError: another shape or range, shots out of order or beyond the film, or ``least_frames`` below 1.
    """
    _check(confidence, shots)
    if least_frames < 1:
        raise ValueError(f"least_frames: expected ≥ 1, got {least_frames}")
    stretches: list[Stretch] = []
    for shot in shots:
        assert shot.stop is not None
        values = np.asarray(confidence[shot.start : shot.stop], np.float64)
        for start, stop in _joined_runs(values, threshold, least_frames):
            if stop - start >= least_frames or stop - start == len(values):
                part = values[start:stop]
                lowest = shot.start + start + int(part.argmin())
                stretches.append(Stretch(shot.start + start, shot.start + stop, float(part.mean()), lowest))
    return tuple(stretches)


def _joined_runs(values: Array, threshold: float, least_frames: int) -> list[tuple[int, int]]:
    """Runs below the threshold as (start, stop), neighboring ones joined."""
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


# --- as JSON --------------------


def report_to_json(report: FilmReport) -> dict[str, Any]:
    """The report as JSON-ready values, without pictures: frames are indices, times are seconds, shots count from 1.

    ``numbers`` are those by which people refer to the frames, None where these are their indices.
    """
    confidence = np.asarray(report.confidence, np.float64)
    return {
        "film": report.film,
        "rate": str(report.rate),
        "frames": len(confidence),
        "threshold": report.threshold,
        "mean_confidence": round(float(confidence.mean()), 4),
        "low_share": round(float((confidence < report.threshold).mean()), 4),
        "shots": [_shot_to_json(report, number, shot) for number, shot in enumerate(report.shots, 1)],
        "low_stretches": [
            {
                "start": stretch.start,
                "stop": stretch.stop,
                "time": _rounded_seconds(report, stretch.start),
                "shot": report.shot_of(stretch.start),
                "confidence": round(stretch.mean, 4),
                "lowest": stretch.lowest,
            }
            for stretch in report.stretches
        ],
        "advice": [
            {
                "frame": frame,
                "still": report.still(frame),
                "time": _rounded_seconds(report, frame),
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


def _shot_to_json(report: FilmReport, number: int, entry: ShotReport) -> dict[str, Any]:
    start, stop = entry.shot.start, entry.shot.stop
    confidence = np.asarray(report.confidence[start:stop], np.float64)
    return {
        "number": number,
        "start": start,
        "stop": stop,
        "time": _rounded_seconds(report, start),
        "references": list(entry.references),
        "neutral": entry.neutral,
        "confidence": round(float(confidence.mean()), 4),
        "lowest": start + int(confidence.argmin()),
    }


def _rounded_seconds(report: FilmReport, frame: int) -> float:
    return round(float(frame / report.rate), 3)
