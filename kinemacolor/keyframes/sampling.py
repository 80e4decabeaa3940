"""Which frames of a film are compared with one another, and what the engine sees of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Frame
from kinemacolor.engine.features import FrameFeatures, extract_features
from kinemacolor.engine.protocol import Engine
from kinemacolor.references.size import network_lightness
from kinemacolor.video.reader import VideoReader

COMPARED_AREA = 256 * 144
"""Pixels at which frames are compared."""
FINEST_STEP = 4
"""Frames between two that are compared, at least, unless the caller says otherwise."""
MOST_SAMPLES = 1000
"""Frames that are compared, about, at most, unless the caller says otherwise: 0.4 MB of memory each."""


def sample_frames(shots: Sequence[Shot], every: int | None = None) -> list[int]:
    """Frames to compare: in each shot at least one, else one in the middle of each of its equal pieces.

    Args:
        shots: whose ends are known.
        every: longest piece, in frames; None for 4, or more where that made more than about ``MOST_SAMPLES`` frames.
    """
    lengths = [(shot.stop or shot.start + 1) - shot.start for shot in shots]
    step = every or max(FINEST_STEP, -(-sum(lengths) // MOST_SAMPLES))
    frames: list[int] = []
    for shot, length in zip(shots, lengths, strict=True):
        pieces = -(-length // step)
        frames += [shot.start + (2 * piece + 1) * length // (2 * pieces) for piece in range(pieces)]
    return frames


def sampled_features(
    reader: VideoReader,
    engine: Engine,
    indices: Sequence[int],
    shape: tuple[int, int],
    progress: ProgressCallback | None = None,
) -> list[FrameFeatures]:
    """What the engine sees of the frames ``indices``, ascending, at ``shape``, (height, width)."""
    features: list[FrameFeatures] = []
    for frame in read_frames(reader, indices):
        features.append(extract_features(engine, network_lightness(frame, shape)))
        if progress:
            progress(len(features), len(indices))
    return features


def read_frames(reader: VideoReader, indices: Sequence[int]) -> Iterator[Frame]:
    """The frames of these indices, in order, and no more of the film than that takes."""
    missing = set(indices)
    for frame in reader.frames():
        if frame.index in missing:
            missing.remove(frame.index)
            yield frame
        if not missing:
            return
