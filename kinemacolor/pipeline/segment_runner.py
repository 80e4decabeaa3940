"""A film's segments, one by one: read → network → full-resolution chroma → encode.

Stages are generators, each in a thread behind a short queue, so that decoding, network and encoding overlap while
memory stays the same however long the film is. The film is decoded twice side by side, small for the network and whole
for the result: that costs little, and no frame has to wait while later ones are colored first.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.events import SegmentFinishedEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.pipelining import StageTimer, prefetch
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.types import Array, FloatArray, Frame, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult
from kinemacolor.filters.chroma_upsample import chroma_planes, neutral_planes, scale_saturation
from kinemacolor.filters.denoise import denoise
from kinemacolor.filters.temporal import ChromaTemporalFilter
from kinemacolor.pipeline.bidirectional import BackwardPassProgress, FrameColors, PassStates, color_segment
from kinemacolor.pipeline.segment_frames import BackwardFrames, read_segments
from kinemacolor.pipeline.segment_plan import Segment, SegmentPlan
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.thumbnail import frame_thumbnail
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.references.size import network_lightness
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter

REGIONS = (6, 10)
"""Rows and columns of a frame whose confidence is recorded."""


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How the network sees frames, and how its colors become chroma of the film.

    Attributes:
        settings: of the job.
        shape: (h, w) at which the network sees frames.
        encoding: of the output.
        smoothing: filters colors over time, or None.
    """

    settings: ColorizeSettings
    shape: tuple[int, int]
    encoding: Encoding
    smoothing: ChromaTemporalFilter | None


@dataclass(slots=True, eq=False)
class SegmentRunner:
    """The segments of a film, and what their stages share.

    Attributes:
        workdir: keeps what is finished.
        plan: the segments.
        render: how frames look to the network, and chroma in the film.
        engine: colors them.
        references: all of the film's, at network size.
        timer: measures how long each stage is busy.
        open_film: gives a reader of its own to each stage that reads.
        copies: of the frames of segments that are colored backward, where the film is slow to enter.
        context: of the job: takes its events, and tells whether it was canceled.
        banks: of the references of the newest segment.
        states: those that a segment left and none has taken yet, by number and kind.
        pending: segments that were not finished when this was made, in the order in which they are colored.
        done: frames that are finished; of two passes through a frame each counts half.
    """

    workdir: WorkDir
    plan: SegmentPlan
    render: RenderSettings
    engine: Engine
    references: Sequence[Reference]
    timer: StageTimer
    open_film: Callable[[], VideoReader]
    copies: BackwardFrames
    context: JobContext = field(default_factory=JobContext)
    banks: dict[tuple[int, ...], ReferenceBank] = field(default_factory=dict)
    states: dict[tuple[int, str], Any] = field(default_factory=dict)
    pending: list[Segment] = field(init=False)
    done: float = field(init=False)

    def __post_init__(self) -> None:
        self.pending = [segment for segment in self.plan.order() if not self.workdir.is_finished(segment)]
        self.done = self.plan.frames - sum(segment.frames for segment in self.pending)

    def run(self) -> None:
        """Colors what is not finished yet."""
        progress = self.context.progress("color")
        with ExitStack() as stack:
            small, whole = (stack.enter_context(self.open_film()) for _ in range(2))
            lightness = prefetch(self._lightness(small))
            colors = stack.enter_context(closing(prefetch(self._colors(lightness), self.context)))
            frames = stack.enter_context(closing(prefetch(self._frames(whole), self.context)))
            stack.callback(self.copies.close)
            for segment in self.pending:
                if segment.neutral:
                    self._render_neutral(segment, frames, whole.info, progress)
                else:
                    self._render_segment(segment, colors, frames, whole.info, progress)

    # --- what segments hand to one another --------------------

    def _load_state(self, number: int, kind: str) -> Any:
        """The state that segment ``number`` left: ``forward``, ``backward``, ``denoise`` or ``smoothing``."""
        state = self.states.pop((number, kind), None)
        return state if state is not None else self.workdir.load_state(self.plan.segments[number], kind)

    def _save_state(self, segment: Segment, kind: str, state: object) -> None:
        """Keeps a state, in memory and on disk, where a later segment takes it."""
        taken = self.plan.hands_back(segment) if kind == "backward" else self.plan.hands_on(segment)
        if taken and state is not None:
            self.states[segment.number, kind] = state
            self.workdir.save_state(segment, kind, state)

    # --- stages --------------------

    def _frames(self, reader: VideoReader, *, anchors: bool = False) -> Generator[Frame, None, None]:
        """Frames of the segments, in the order of these; see ``read_segments``."""
        return read_segments(reader, self.pending, self.copies, self.timer, self.context, anchors=anchors)

    def _lightness(self, reader: VideoReader) -> Generator[FloatArray, None, None]:
        """L* (h, w) of all frames that passes take, in their order: a segment's, then that at an anchored stop."""
        frames = self._frames(reader, anchors=True)
        for segment in self.pending:
            if segment.neutral:
                deque(islice(frames, segment.frames), maxlen=0)
                continue
            state = None
            if self.render.settings.denoise_input and segment.continues_forward:
                state = self._load_state(segment.number - 1, "denoise")
            for count in range(1, segment.frames + 1 + segment.anchored):
                lightness = network_lightness(next(frames), self.render.shape)
                if self.render.settings.denoise_input:
                    lightness, state = denoise(lightness, state)
                if count == segment.frames:
                    self._save_state(segment, "denoise", state)
                yield lightness

    def _colors(
        self, lightness: Generator[FloatArray, None, None]
    ) -> Generator[FrameColors | BackwardPassProgress | None, None, None]:
        """The segments' frames in order, those of a backward pass announced by ``BackwardPassProgress``, and after each
        segment None: by then its states are kept."""
        engine = _TimedEngine(self.engine, self.timer)
        with closing(lightness):
            for segment in self.pending:
                if segment.neutral:
                    continue
                images: Iterable[FloatArray] = (next(lightness) for _ in range(segment.frames))
                passes = PassStates()
                if segment.continues_forward:
                    passes.forward = self._load_state(segment.number - 1, "forward")
                if segment.continues_backward:
                    passes.backward = self._load_state(segment.number + 1, "backward")
                if segment.anchored:
                    images = list(images)
                    passes.anchor = next(lightness)
                colors = color_segment(engine, self._bank(segment), images, segment, passes)
                yield from self._smoothed(colors, segment)
                self._save_state(segment, "forward", passes.forward)
                self._save_state(segment, "backward", passes.backward)
                yield None

    def _smoothed(
        self, frames: Iterator[FrameColors | BackwardPassProgress], segment: Segment
    ) -> Iterator[FrameColors | BackwardPassProgress]:
        """Colors without the shimmer of grain."""
        if self.render.smoothing is None:
            yield from frames
            return
        state = self._load_state(segment.number - 1, "smoothing") if segment.continues_forward else None
        for colors in frames:
            if isinstance(colors, BackwardPassProgress):
                yield colors
                continue
            with self.timer.stage("smooth"):
                ab, state = self.render.smoothing(colors.lightness, colors.ab, colors.similarity, state)
            yield replace(colors, ab=ab)
        self._save_state(segment, "smoothing", state)

    def _bank(self, segment: Segment) -> ReferenceBank:
        """Of the segment's references; only the newest is kept."""
        if segment.reference_ids not in self.banks:
            self.banks.clear()
            references = [self.references[number] for number in segment.reference_ids]
            self.banks[segment.reference_ids] = self.engine.start(references)
        return self.banks[segment.reference_ids]

    def _render_segment(
        self,
        segment: Segment,
        colors: Iterator[FrameColors | BackwardPassProgress | None],
        frames: Iterator[Frame],
        info: VideoInfo,
        progress: ProgressCallback,
    ) -> None:
        """Full-resolution chroma, the frames encoded, and the record that says so."""
        confidence: list[float] = []
        regions: list[Array] = []
        thumbnail = b""
        share = 0.5 if segment.forward and segment.backward else 1.0
        with SegmentWriter(self.workdir.segment_path(segment), info, self.render.encoding) as writer:
            for position in range(segment.frames):
                while isinstance(frame_colors := next(colors), BackwardPassProgress):
                    self._advance(share, progress)
                frame = next(frames)
                if frame_colors is None or frame_colors.index != frame.index:
                    raise other_frames(info)
                with self.timer.stage("upsample"):
                    colored = frame.with_chroma(*self._planes(frame_colors, frame))
                with self.timer.stage("write"):
                    writer.write(colored)
                if position == segment.frames // 2:
                    thumbnail = frame_thumbnail(colored, info.orientation)
                confidence.append(float(frame_colors.similarity.mean()))
                regions.append(cv2.resize(frame_colors.similarity, REGIONS[::-1], interpolation=cv2.INTER_AREA))
                if segment.forward:
                    self._advance(share, progress)
        next(colors)
        self._record(segment, confidence, regions, thumbnail)

    def _render_neutral(
        self, segment: Segment, frames: Iterator[Frame], info: VideoInfo, progress: ProgressCallback
    ) -> None:
        """The frames of a shot that stays gray, encoded with exactly neutral chroma; their confidence is 1."""
        thumbnail = b""
        with SegmentWriter(self.workdir.segment_path(segment), info, self.render.encoding) as writer:
            for position in range(segment.frames):
                frame = next(frames)
                colored = frame.with_chroma(*neutral_planes(frame, self.render.encoding.subsampling))
                with self.timer.stage("write"):
                    writer.write(colored)
                if position == segment.frames // 2:
                    thumbnail = frame_thumbnail(colored, info.orientation)
                self._advance(1.0, progress)
        self._record(segment, [1.0] * segment.frames, [np.ones(REGIONS, np.float32)] * segment.frames, thumbnail)

    def _record(self, segment: Segment, confidence: list[float], regions: list[Array], thumbnail: bytes) -> None:
        record: dict[str, Array] = {
            "confidence": np.array(confidence, np.float32),
            "regions": np.stack(regions).astype(np.float16),
        }
        self.workdir.finish(self.plan, segment, record)
        self.context.emit(
            SegmentFinishedEvent(
                number=segment.number,
                start=segment.start,
                stop=segment.stop,
                shot=segment.shot,
                confidence=round(float(record["confidence"].mean()), 4),
                thumbnail=base64.b64encode(thumbnail).decode("ascii"),
            )
        )

    def _advance(self, share: float, progress: ProgressCallback) -> None:
        self.done += share
        progress(int(self.done), self.plan.frames)

    def _planes(self, colors: FrameColors, frame: Frame) -> tuple[Array, Array]:
        ab = scale_saturation(colors.ab, self.render.settings.saturation)
        return chroma_planes(
            ab,
            frame.luma,
            frame.coding,
            self.render.encoding.subsampling,
            quality=self.render.settings.chroma_upsampling,
        )


def other_frames(info: VideoInfo) -> InputError:
    """The error for a film that has changed since it was analyzed."""
    return InputError(info.path, "gives other frames than when it was analyzed", "check the disk it is on")


class _TimedEngine:
    """An engine whose steps are timed."""

    def __init__(self, engine: Engine, timer: StageTimer) -> None:
        self._engine, self._timer = engine, timer
        self.name, self.block_size = engine.name, engine.block_size

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return self._engine.start(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        with self._timer.stage("network"):
            return self._engine.step(luma_block, bank, state)
