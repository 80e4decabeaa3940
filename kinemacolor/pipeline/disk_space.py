"""How much room a film takes on the disk while it is made: measured on short pieces before hours of work."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinemacolor.core.events import DiskEstimateEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.types import Frame
from kinemacolor.filters.chroma_upsample import neutral_planes
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.video.frame_cache import write_frame_cache
from kinemacolor.video.frame_lookup import FrameLookup
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
    reader: VideoReader,
    analysis: FilmAnalysis,
    encoding: Encoding,
    folder: Path,
    context: JobContext,
    copied: int = 0,
) -> DiskEstimateEvent | None:
    """The room that a film is going to need; None for a short one. Segments are kept until they are joined.

    Args:
        reader: of the film.
        analysis: what is colored of it.
        encoding: of the colored film.
        folder: where it is made, and where pieces are encoded for a moment.
        context: of the job, which may be canceled meanwhile.
        copied: frames of which copies are kept at a time, at most.

    Raises:
        InputError, OutputError: a piece cannot be read or written.
    """
    if analysis.frames + copied <= SHORT_FILM:
        return None
    encoded = copies = count = 0
    starts = np.linspace(analysis.first, analysis.first + analysis.frames - PROBE_FRAMES, PROBES).astype(int)
    with FrameLookup(reader) as film:
        for start in starts:
            frames = range(int(start), int(start) + PROBE_FRAMES)
            encoded += _encoded_size(reader, (film.frame(index) for index in frames), encoding, folder, context)
            copies += _copied_size((film.frame(index) for index in frames[-1:]), folder) if copied else 0
            count += len(frames)
    output = round(COLOR_OVERHEAD * encoded / count * analysis.frames)
    needed = 2 * output + round(copies / PROBES * copied)
    return DiskEstimateEvent(needed=needed, output=output, free=shutil.disk_usage(folder).free)


def _encoded_size(
    reader: VideoReader, frames: Iterable[Frame], encoding: Encoding, folder: Path, context: JobContext
) -> int:
    """Bytes of frames without colors as a segment."""
    path = folder / "piece.segment"
    try:
        with SegmentWriter(path, reader.info, encoding) as writer:
            for frame in frames:
                context.check()
                writer.write(frame.with_chroma(*neutral_planes(frame, encoding.subsampling)))
        return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else (path,)))
    finally:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def _copied_size(frames: Iterable[Frame], folder: Path) -> int:
    """Bytes of a lossless copy of frames."""
    path = folder / "piece.frames"
    try:
        write_frame_cache(path, frames)
        return path.stat().st_size
    finally:
        path.unlink(missing_ok=True)
