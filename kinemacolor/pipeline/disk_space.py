"""How much room a film takes on the disk while it is made: measured on short pieces before hours of work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.events import DiskEstimateEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.types import Array, Frame
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.video.output import Encoding
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter

PROBES, PROBE_FRAMES = 4, 24
"""Pieces of a film that are encoded for measuring, and the frames of each."""
SHORT_FILM = 1500
"""Frames of a film, at most, whose size is not worth measuring."""
COLOR_OVERHEAD = 1.1
"""Bytes of a colored film against those of the same film without colors."""


def estimate_disk_space(
    reader: VideoReader, analysis: FilmAnalysis, encoding: Encoding, folder: Path, context: JobContext
) -> DiskEstimateEvent | None:
    """The room that a film is going to need; None for a short one. Segments are kept until they are joined.

    Args:
        reader: of the film.
        analysis: what is colored of it.
        encoding: of the colored film.
        folder: where it is made, and where pieces are encoded for a moment.
        context: of the job, which may be canceled meanwhile.

    Raises:
        InputError, OutputError: a piece cannot be read or written.
    """
    if analysis.frames <= SHORT_FILM:
        return None
    path, count, size = folder / "piece.segment", 0, 0
    try:
        for start in np.linspace(analysis.first, analysis.first + analysis.frames - PROBE_FRAMES, PROBES).astype(int):
            with SegmentWriter(path, reader.info, encoding) as writer:
                for frame in _colorless_frames(reader, int(start), encoding):
                    context.check()
                    writer.write(frame)
                    count += 1
            size += sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else (path,)))
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()
    output = round(COLOR_OVERHEAD * size / count * analysis.frames)
    return DiskEstimateEvent(needed=2 * output, output=output, free=shutil.disk_usage(folder).free)


def _colorless_frames(reader: VideoReader, start: int, encoding: Encoding) -> Iterator[Frame]:
    rows, columns = encoding.subsampling
    empty = True
    for frame in reader.frames(first=start, last=start + PROBE_FRAMES):
        height, width = frame.luma.shape
        shape = (-(-height // rows), -(-width // columns))
        gray: Array = np.full(shape, 1 << (frame.coding.bit_depth - 1), frame.luma.dtype)
        yield frame.with_chroma(gray, gray)
        empty = False
    if empty:
        raise InputError(reader.info.path, f"gives no frame {start}", "check the disk it is on")
