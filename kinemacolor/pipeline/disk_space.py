"""How much room a film takes on the disk while it is made: measured on short pieces before hours go into the whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinemacolor.core.errors import InputError
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


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes.

    Attributes:
        film: of the colored film, about, beside its sound.
        free: where it is made.
    """

    film: int
    free: int

    @property
    def needed(self) -> int:
        """While it is made: segments are kept until they are joined."""
        return 2 * self.film

    def __str__(self) -> str:
        room = "" if self.free > self.needed else "; that may not suffice"
        return (
            f"needs about {_size_text(self.needed)} on the disk while it is made, {_size_text(self.film)} in the end, beside "
            f"its sound; {_size_text(self.free)} are free{room}"
        )


def estimate_disk_space(
    reader: VideoReader, found: FilmAnalysis, encoding: Encoding, folder: Path
) -> DiskEstimate | None:
    """What a film will need; None for a short one.

    Args:
        reader: of the film.
        found: what is colored of it.
        encoding: of the colored film.
        folder: where it is made, and where pieces are encoded for a moment.

    Raises:
        InputError, OutputError: a piece cannot be read or written.
    """
    if found.frames <= SHORT_FILM:
        return None
    path, count, size = folder / "piece.segment", 0, 0
    try:
        for start in np.linspace(found.first, found.first + found.frames - PROBE_FRAMES, PROBES).astype(int):
            with SegmentWriter(path, reader.info, encoding) as writer:
                for frame in _colorless(reader, int(start), encoding):
                    writer.write(frame)
                    count += 1
            size += sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else (path,)))
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if path.is_file():
            path.unlink()
    return DiskEstimate(round(COLOR_OVERHEAD * size / count * found.frames), shutil.disk_usage(folder).free)


def _colorless(reader: VideoReader, start: int, encoding: Encoding) -> Iterator[Frame]:
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


def _size_text(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
