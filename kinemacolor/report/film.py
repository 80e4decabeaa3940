"""The report on a finished film, and the overlay video of its confidence, from what a run knows."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.color import yuv_to_rgb
from kinemacolor.core.errors import OutputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray, Frame
from kinemacolor.report.advice import propose_frames
from kinemacolor.report.html import write_report
from kinemacolor.report.model import (
    THUMBNAIL_WIDTH,
    FilmReport,
    ShotReport,
    Thumbnail,
    low_stretches,
    report_to_json,
    thumbnail,
)
from kinemacolor.report.overlay import overlay
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.image_sequence import is_image_source
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

REPORT_THUMBNAILS = 60
"""Thumbnails in a report, at most."""
OVERLAY_WIDTH = 640
"""Width of an overlay video in pixels, at most."""
LOW_STRETCH_FRAMES = 12
"""Frames of the shortest stretch that counts as low."""
LOW_CONFIDENCE = 0.75
"""Mean similarity below which a frame counts as badly supported."""


# --- the report --------------------


def film_report(
    *,
    output: Path,
    rate: Fraction,
    shots: Sequence[Shot],
    references_by_shot: Sequence[Sequence[int]],
    reference_names: Sequence[str],
    painted: Mapping[int, int],
    confidence: FloatArray,
    notes: Sequence[str],
    first_frame: int,
    frame_numbers: Sequence[int],
    neutral: Collection[int] = (),
) -> FilmReport:
    """The report on a finished film; its frames are indices in ``output``.

    Args:
        output: the colored film of F frames, from which the thumbnails are taken.
        rate: frames a second.
        shots: with ends, in frames of the source; together they are the F frames.
        references_by_shot: for each shot the numbers of the references that colored it, best first.
        reference_names: of the references, by number.
        painted: frame of the source → number of the reference that is bound to it; other frames are ignored.
        confidence: (F,) float32 in [-1, 1], mean similarity of each frame.
        notes: warnings for the user, a line each.
        first_frame: frame of the source that is the first of ``output``.
        frame_numbers: (F,) by which people refer to the frames.
        neutral: numbers of the shots that stay gray, from 0.

    Raises:
        InputError: ``output`` cannot be read.
        ValueError: shots, references or confidence do not fit each other.
    """
    shots = [Shot(shot.start - first_frame, (shot.stop or 0) - first_frame) for shot in shots]
    colored = range(first_frame, first_frame + len(confidence))
    return FilmReport(
        film=output.name,
        rate=rate,
        shots=tuple(
            ShotReport(shot, tuple(reference_names[number] for number in numbers), index in neutral)
            for index, (shot, numbers) in enumerate(zip(shots, references_by_shot, strict=True))
        ),
        confidence=confidence,
        threshold=LOW_CONFIDENCE,
        strip=_film_thumbnails(output, len(confidence)),
        stretches=low_stretches(confidence, shots, LOW_CONFIDENCE, LOW_STRETCH_FRAMES),
        advice=tuple(propose_frames(confidence, shots)),
        painted=tuple(
            (frame - first_frame, reference_names[number])
            for frame, number in sorted(painted.items())
            if frame in colored
        ),
        notes=tuple(notes),
        numbers=() if list(frame_numbers) == list(range(len(confidence))) else tuple(frame_numbers),
    )


def _open_colored(film: Path) -> VideoReader:
    """A reader of a finished film, in which the colored pictures are the first stream."""
    return VideoReader(film, stream=None if is_image_source(film) else 0)


def _film_thumbnails(film: Path, frames: int) -> tuple[Thumbnail, ...]:
    """Thumbnails that are spread evenly over a film of so many frames."""
    step = max(1, -(-frames // REPORT_THUMBNAILS))
    with _open_colored(film) as reader:
        return tuple(
            thumbnail(frame.index, _upright(small_picture(frame, THUMBNAIL_WIDTH), reader.info))
            for frame in reader.frames(chroma=True)
            if frame.index % step == 0
        )


def write_film_report(path: Path, report: FilmReport, regions: Array) -> None:
    """Writes the page, and beside it as ``.json`` the same values with each frame's regions.

    Args:
        path: of the page.
        report: on the film.
        regions: (F, rows, columns) mean similarity of the regions of each frame, upright.

    Raises:
        OutputError: one of the two cannot be written.
    """
    write_report(path, report)
    record: dict[str, Any] = report_to_json(report)
    record["regions"] = [np.round(region.astype(float), 3).tolist() for region in regions]
    try:
        with atomic_write(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(record), "utf-8")
    except OSError as error:
        raise OutputError(path.with_suffix(".json"), f"cannot be written ({error.strerror})", "make room") from error


def _upright(picture: Array, info: VideoInfo) -> Array:
    return np.ascontiguousarray(info.orientation.upright(picture))


def small_picture(frame: Frame, width: int) -> Array:
    """R'G'B' (h, w, 3) uint8 of a colored frame as stored, at most ``width`` pixels wide, of even sides."""
    assert frame.chroma is not None
    rows, columns = frame.luma.shape
    scale = min(1.0, width / columns)
    size = (max(2, round(columns * scale / 2) * 2), max(2, round(rows * scale / 2) * 2))
    luma, u, v = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (frame.luma, *frame.chroma))
    rgb = yuv_to_rgb(luma, u, v, frame.coding)
    return np.asarray(np.rint(255 * np.clip(rgb, 0, 1)), dtype=np.uint8)


# --- the overlay --------------------


def write_overlay(path: Path, film: Path, regions: Array, rate: Fraction) -> None:
    """Writes the film, small and gray under its confidence, as H.264; no file is left if that fails.

    Args:
        path: ``.mp4``, ``.mkv`` or ``.mov``.
        film: the colored film.
        regions: (F, rows, columns) mean similarity of the regions of each frame, upright.
        rate: frames a second.

    Raises:
        OutputError: it cannot be written.
    """
    partial = path.with_name(f".{path.stem}.partial-{os.getpid()}{path.suffix}")
    try:
        with _open_colored(film) as reader, av.open(str(partial), "w") as container:
            stream: Any = None
            for frame, confidence in zip(reader.frames(chroma=True), regions, strict=True):
                image = overlay(
                    _upright(small_picture(frame, OVERLAY_WIDTH), reader.info), confidence.astype(np.float32)
                )
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
                    stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
                    stream.time_base = frame.time_base
                picture = av.VideoFrame.from_ndarray(image, format="rgb24")
                picture.pts, picture.time_base = frame.pts, frame.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        os.replace(partial, path)
    except (av.FFmpegError, OSError) as error:
        raise output_error(path, error) from error
    finally:
        partial.unlink(missing_ok=True)
