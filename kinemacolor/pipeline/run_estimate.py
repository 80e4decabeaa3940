"""What a film will cost before it runs: time, measured on a few frames, and room on the disk."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.job_context import JobContext
from kinemacolor.engine.protocol import Engine, EngineState
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.disk_space import estimate_disk_space
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.prepared_film import reachable
from kinemacolor.pipeline.segment_plan import plan_segments
from kinemacolor.references.image import read_reference, to_reference
from kinemacolor.references.selection import bindings_within, bound_frames
from kinemacolor.references.size import network_lightness, network_size, picture_aspect
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import plan_output

_TIMED_STEPS = 3
_OTHER_STAGES = 1.25
"""Time of a frame against that of the network alone: decoding, upsampling and encoding run beside it."""


def estimate_run(spec: JobSpec, analysis: FilmAnalysis, engine: Engine, context: JobContext) -> dict[str, Any]:
    """Frames, seconds, and bytes on the disk that coloring a film will take, as JSON-ready values.

    Args:
        spec: of the job.
        analysis: of the film.
        engine: that the settings name.
        context: of a job that may be canceled.

    Raises:
        UsageError, InputError, OutputError: the job cannot run; one line.
    """
    settings = spec.settings
    with reachable(spec.film, InputError):
        reader = VideoReader(spec.film, rate=settings.fps, stream=settings.stream)
    encoding = plan_output(
        spec.output,
        reader.info,
        chroma_format=settings.chroma_format,
        codec=settings.codec,
        crf=settings.crf,
        color_range=settings.range,
    )
    files = spec.reference_files()
    with analysis.restore_frame_times(reader):
        bound = bound_frames(bindings_within(files, analysis, reader.info))
        neutral = analysis.neutral_shots
        plan = plan_segments(
            analysis.shots,
            bound,
            [(0,)] * len(analysis.shots),
            max_segment_frames=settings.max_segment_frames,
            neutral=neutral,
        )
        passes = sum(
            segment.frames * (segment.forward + segment.backward) for segment in plan.segments if not segment.neutral
        )
        seconds = passes * _seconds_a_frame(spec, reader, analysis, engine) * _OTHER_STAGES
        with tempfile.TemporaryDirectory(dir=_writable(spec.output.absolute().parent)) as folder:
            disk = estimate_disk_space(reader, analysis, encoding, Path(folder), context)
    record: dict[str, Any] = {"frames": plan.frames, "segments": len(plan.segments), "seconds": round(seconds, 1)}
    if disk is not None:
        record |= {"needed": disk.needed, "output": disk.output, "free": disk.free, "message": disk.message}
    return record


def _writable(folder: Path) -> Path:
    return folder if folder.is_dir() else Path(tempfile.gettempdir())


def _seconds_a_frame(spec: JobSpec, reader: VideoReader, analysis: FilmAnalysis, engine: Engine) -> float:
    """Of the network, the fastest of a few steps on frames of the film."""
    info = reader.info
    shape = network_size(picture_aspect(info), 1, side=spec.settings.working_size)
    still = read_reference(spec.reference_files()[0])
    reference = to_reference(
        still, shape, info.coding.matrix, aspect=picture_aspect(info), orientation=info.orientation
    )
    frames = reader.frames(first=analysis.first, last=analysis.first + 12)
    images = [network_lightness(frame, shape) for frame in frames]
    fastest = float("inf")
    bank, size = engine.start([reference]), engine.block_size
    state: EngineState | None = None
    for number in range(_TIMED_STEPS):
        block = np.stack([images[(number * size + k) % len(images)] for k in range(size)])
        begin = time.perf_counter()
        state = engine.step(block, bank, state).state
        if number:
            fastest = min(fastest, (time.perf_counter() - begin) / size)
    return fastest
