"""What a run knows of a film, as a report, and as an overlay video of its confidence."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.color import yuv_to_rgb
from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array, FloatArray, Frame, Shot
from kinemacolor.engine.features import propagated_support
from kinemacolor.pipeline.segment_plan import SegmentPlan
from kinemacolor.report.model import THUMBNAIL, FilmReport, ShotReport, low_stretches, thumbnail, to_json, write_report
from kinemacolor.report.overlay import overlay
from kinemacolor.video.film_sink import write_error
from kinemacolor.video.reader import VideoReader

PICTURES = 60
"""Thumbnails in a report's strip, at most."""
ADVICE = 12
"""Frames that a report proposes to paint, at most."""
OVERLAY_WIDTH = 640
"""Pixels across of an overlay video, at most."""
LEAST_GAIN = 1.0
"""Least gain for which a frame is proposed: as much as one frame that goes from no confidence to full."""
SHORTEST_STRETCH = 12
"""Frames of the shortest stretch that is called low."""
REACH = 15.0
"""Frames after which a painted frame's carried colors are taken to have lost 1 − 1/e of their worth."""
THRESHOLD = 0.75
"""Mean similarity below which a frame counts as badly supported."""


def advise(confidence: FloatArray, shots: Sequence[Shot], most: int = ADVICE) -> list[tuple[int, float]]:
    """Frames worth painting next, each with how much the film's mean confidence would rise by it, best first.

    A painted frame is taken to support its neighbors in the shot by what it would carry to them
    (``coverage.propagated_support``); what it offers to other shots is not counted. Each gain is that after those before it.

    Args:
        confidence: (F,) float32, of the frames of all shots in order.
        shots: they divide 0 … F − 1.
        most: frames.
    """
    level = np.clip(np.asarray(confidence, np.float32), 0, 1)
    found: list[tuple[int, float]] = []
    best = {number: _best(level, shot) for number, shot in enumerate(shots)}
    while best and len(found) < most:
        number = max(best, key=lambda one: best[one][1])
        frame, gain = best[number]
        if gain < LEAST_GAIN:
            break
        found.append((frame, gain / len(level)))
        part = slice(shots[number].start, shots[number].stop)
        level[part] = _painted(level[part], frame - shots[number].start)
        best[number] = _best(level, shots[number])
    return found


def _painted(level: FloatArray, at: int) -> FloatArray:
    """Confidence of a shot's frames after frame ``at`` of it is painted."""
    return propagated_support(level, np.abs(np.arange(len(level)) - at) / REACH)


def _best(level: FloatArray, shot: Shot) -> tuple[int, float]:
    """The frame of a shot by which its confidence would rise most, and by how much in sum; about 30 are tried."""
    assert shot.stop is not None
    part = level[shot.start : shot.stop]
    tried = range(0, len(part), max(1, len(part) // 30))
    gains = [float((_painted(part, at) - part).sum()) for at in tried]
    at = int(np.argmax(gains))
    return shot.start + tried[at], gains[at]


def film_report(
    output: Path, rate: Fraction, plan: SegmentPlan, names: Sequence[str], bound: Mapping[int, int], confidence: FloatArray,
    notes: Sequence[str], start: int, numbers: Sequence[int],
) -> FilmReport:  # fmt: skip
    """The report of a finished film; its frames are indices of ``output``'s.

    Args:
        output: the colored film, whose pictures are shown.
        rate: frames a second.
        plan: how it was colored, in frames of the source.
        names: of the references.
        bound: frame of the source → number of its reference.
        confidence: (F,) of all frames.
        notes: warnings.
        start: frame of the source that is the first of ``output``.
        numbers: (F,) by which people call the frames of the source.
    """
    shots = [Shot(shot.start - start, (shot.stop or 0) - start) for shot in plan.shots]
    used: list[dict[int, None]] = [{} for _ in shots]
    for segment in plan.segments:
        used[segment.shot].update(dict.fromkeys(segment.reference_ids))
    told = tuple(
        ShotReport(shot, tuple(names[number] for number in numbers)) for shot, numbers in zip(shots, used, strict=True)
    )
    every = max(1, -(-len(confidence) // PICTURES))
    inside = range(start, start + len(confidence))
    with VideoReader(output) as reader:
        shown = (frame for frame in reader.frames(chroma=True) if frame.index % every == 0)
        strip = [thumbnail(frame.index, small_picture(frame, THUMBNAIL)) for frame in shown]
    return FilmReport(
        film=output.name,
        rate=rate,
        shots=told,
        confidence=confidence,
        threshold=THRESHOLD,
        strip=tuple(strip),
        stretches=low_stretches(confidence, shots, THRESHOLD, SHORTEST_STRETCH),
        advice=tuple(advise(confidence, shots)),
        painted=tuple((frame - start, names[number]) for frame, number in sorted(bound.items()) if frame in inside),
        notes=tuple(notes),
        numbers=() if list(numbers) == list(range(len(confidence))) else tuple(numbers),
    )


def write_film_report(path: Path, report: FilmReport, regions: Array) -> None:
    """The page, and beside it as ``.json`` the same with each frame's regions, rows of (rows, columns) means."""
    write_report(path, report)
    record: dict[str, Any] = to_json(report)
    record["regions"] = [np.round(one.astype(float), 3).tolist() for one in regions]
    try:
        with atomic_write(path.with_suffix(".json")) as part:
            part.write_text(json.dumps(record), "utf-8")
    except OSError as error:
        raise OutputError(path.with_suffix(".json"), f"cannot be written ({error.strerror})", "make room") from error


def small_picture(frame: Frame, width: int) -> Array:
    """R'G'B' (h, w, 3) uint8 of a colored frame as stored, at most ``width`` pixels across, of even sides."""
    assert frame.chroma is not None
    rows, columns = frame.luma.shape
    scale = min(1.0, width / columns)
    size = (max(2, round(columns * scale / 2) * 2), max(2, round(rows * scale / 2) * 2))
    luma, u, v = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (frame.luma, *frame.chroma))
    rgb = yuv_to_rgb(luma, u, v, frame.coding)
    return np.asarray(np.rint(255 * np.clip(rgb, 0, 1)), dtype=np.uint8)


def write_overlay(path: Path, film: Path, regions: Array, rate: Fraction) -> None:
    """The film small and gray under its confidence, as H.264; nothing is left under the name if it fails.

    Args:
        path: ``.mp4``, ``.mkv`` or ``.mov``.
        film: the colored film.
        regions: (F, rows, columns) mean similarity of each frame.
        rate: frames a second.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        with VideoReader(film) as reader, av.open(str(part), "w") as container:
            stream: Any = None
            for frame, confidence in zip(reader.frames(chroma=True), regions, strict=True):
                image = overlay(small_picture(frame, OVERLAY_WIDTH), confidence.astype(np.float32))
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
                    stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
                    stream.time_base = frame.time_base
                shown = av.VideoFrame.from_ndarray(image, format="rgb24")
                shown.pts, shown.time_base = frame.pts, frame.time_base
                container.mux(stream.encode(shown))
            container.mux(stream.encode(None))
        os.replace(part, path)
    except (av.FFmpegError, OSError) as error:
        raise write_error(path, error) from error
    finally:
        part.unlink(missing_ok=True)
