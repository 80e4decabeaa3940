"""A film's segments, one by one: read → network → full-resolution chroma → encode.

Stages are generators, each in a thread behind a short queue, so that decoding, network and encoding overlap while
memory stays the same however long the film is. The film is decoded twice side by side, small for the network and whole
for the result: that costs little, and no frame has to wait while later ones are colored first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma, luma_to_gray_lightness
from kinemacolor.core.errors import InputError
from kinemacolor.core.pipelining import StageTimer, prefetch
from kinemacolor.core.types import Array, FloatArray, Frame, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult
from kinemacolor.filters.chroma_upsample import UpsamplingQuality, chroma_planes, resize, scale_saturation
from kinemacolor.filters.denoise import DenoiseState, denoise
from kinemacolor.filters.temporal import ChromaTemporalFilter, TemporalFilterState
from kinemacolor.pipeline.bidirectional import BackwardPassProgress, FrameColors, PassStates, color_segment
from kinemacolor.pipeline.segment_plan import Segment, SegmentPlan
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter

REGIONS = (6, 10)
"""Rows and columns of a frame whose confidence is noted."""
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """How frames look to the network and how chroma looks in the film.

    Attributes:
        shape: (h, w) at which the network sees frames.
        encoding: of the output.
        quality: of chroma upsampling.
        saturation: factor on the colors.
        steadier: filters colors over time, or None.
        guide: whether the network sees frames with less noise.
    """

    shape: tuple[int, int]
    encoding: Encoding
    quality: UpsamplingQuality = "fast"
    saturation: float = 1.0
    steadier: ChromaTemporalFilter | None = None
    guide: bool = False


@dataclass(slots=True, eq=False)
class SegmentRunner:
    """The segments of a film, and what their stages share.

    Attributes:
        job: keeps what is finished.
        plan: the segments.
        look: how frames look to the network, and chroma in the film.
        engine: colors them.
        references: all of the film's, at network size.
        clock: told how long each stage is busy.
        open_film: gives a reader of its own to each stage that reads.
        progress: told after each frame of a pass how far the work is, in frames of the film.
        banks: of the references of the newest segment.
        kept: memories that a segment left and none has taken yet, by number and kind.
        todo: segments that were not finished when this was made, in the order in which they are colored.
        done: frames that are finished; of two passes through a frame each counts half.
    """

    job: WorkDir
    plan: SegmentPlan
    look: RenderSettings
    engine: Engine
    references: Sequence[Reference]
    clock: StageTimer
    open_film: Callable[[], VideoReader]
    progress: Progress | None
    banks: dict[tuple[int, ...], ReferenceBank] = field(default_factory=dict)
    kept: dict[tuple[int, str], EngineState] = field(default_factory=dict)
    todo: list[Segment] = field(init=False)
    done: float = field(init=False)

    def __post_init__(self) -> None:
        self.todo = [segment for segment in self.plan.order() if not self.job.finished(segment)]
        self.done = self.plan.frames - sum(segment.frames for segment in self.todo)

    def color(self) -> None:
        """Colors what is not finished yet."""
        with ExitStack() as stack:
            seen, written = (stack.enter_context(self.open_film()) for _ in range(2))
            lightness = prefetch(self._lightness(seen))
            answers = stack.enter_context(closing(prefetch(self._answers(lightness))))
            frames = stack.enter_context(closing(prefetch(_read_segments(written, self.todo, self.clock))))
            for segment in self.todo:
                self._finish(segment, answers, frames, written.info)

    # --- what segments hand to one another --------------------

    def _load_state(self, number: int, kind: str) -> EngineState:
        """A memory that segment ``number`` left: ``forward``, ``backward``, ``guide`` or ``steady``."""
        memory = self.kept.pop((number, kind), None)
        return memory if memory is not None else self.job.memory(self.plan.segments[number], kind)

    def _save_state(self, segment: Segment, kind: str, memory: EngineState | None) -> None:
        """Keeps a memory, in mind and on disk, where a later segment takes it."""
        wanted = self.plan.hands_back(segment) if kind == "backward" else self.plan.hands_on(segment)
        if wanted and memory is not None:
            self.kept[segment.number, kind] = memory
            self.job.keep_memory(segment, kind, memory)

    # --- stages --------------------

    def _lightness(self, reader: VideoReader) -> Generator[FloatArray, None, None]:
        """L* (h, w) of all frames that passes take, in their order: a segment's, then that at an anchored stop."""
        frames = _read_segments(reader, self.todo, self.clock, anchors=True)
        for segment in self.todo:
            guide = (
                self._load_state(segment.number - 1, "guide") if self.look.guide and segment.continues_forward else None
            )
            for count in range(1, segment.frames + 1 + segment.anchored):
                lightness = network_lightness(next(frames), self.look.shape)
                if self.look.guide:
                    assert guide is None or isinstance(guide, DenoiseState)
                    lightness, guide = denoise(lightness, guide)
                if count == segment.frames:
                    self._save_state(segment, "guide", guide)
                yield lightness

    def _answers(
        self, lightness: Generator[FloatArray, None, None]
    ) -> Generator[FrameColors | BackwardPassProgress | None, None, None]:
        """The segments' frames in order, those of a backward pass announced by ``BackwardPassProgress``, and after each segment None:
        by then its memories are kept."""
        engine = _Timed(self.engine, self.clock)
        with closing(lightness):
            for segment in self.todo:
                images: Iterable[FloatArray] = (next(lightness) for _ in range(segment.frames))
                passes = PassStates()
                if segment.continues_forward:
                    passes.forward = self._load_state(segment.number - 1, "forward")
                if segment.continues_backward:
                    passes.backward = self._load_state(segment.number + 1, "backward")
                if segment.anchored:
                    images = list(images)
                    passes.anchor = next(lightness)
                yield from self._smoothed(color_segment(engine, self._bank(segment), images, segment, passes), segment)
                self._save_state(segment, "forward", passes.forward)
                self._save_state(segment, "backward", passes.backward)
                yield None

    def _smoothed(
        self, frames: Iterator[FrameColors | BackwardPassProgress], segment: Segment
    ) -> Iterator[FrameColors | BackwardPassProgress]:
        """Colors without the shimmer of grain."""
        if self.look.steadier is None:
            yield from frames
            return
        state = self._load_state(segment.number - 1, "steady") if segment.continues_forward else None
        for colors in frames:
            if isinstance(colors, BackwardPassProgress):
                yield colors
                continue
            assert state is None or isinstance(state, TemporalFilterState)
            with self.clock.stage("steady"):
                ab, state = self.look.steadier(colors.lightness, colors.ab, colors.similarity, state)
            yield replace(colors, ab=ab)
        self._save_state(segment, "steady", state)

    def _bank(self, segment: Segment) -> ReferenceBank:
        """Of the segment's references; only the newest is kept."""
        if segment.reference_ids not in self.banks:
            self.banks.clear()
            self.banks[segment.reference_ids] = self.engine.start(
                [self.references[number] for number in segment.reference_ids]
            )
        return self.banks[segment.reference_ids]

    def _finish(
        self,
        segment: Segment,
        answers: Iterator[FrameColors | BackwardPassProgress | None],
        frames: Iterator[Frame],
        info: VideoInfo,
    ) -> None:
        """Full-resolution chroma, the frames encoded, and the record that says so."""
        confidence: list[float] = []
        regions: list[Array] = []
        worth = 0.5 if segment.forward and segment.backward else 1.0
        with SegmentWriter(self.job.path(segment), info, self.look.encoding) as writer:
            for _ in range(segment.frames):
                while isinstance(colors := next(answers), BackwardPassProgress):
                    self._went_on(worth)
                frame = next(frames)
                if colors is None or colors.index != frame.index:
                    raise InputError(info.path, "gives other frames than at the first look", "check the disk it is on")
                with self.clock.stage("upsample"):
                    planes = self._planes(colors, frame)
                with self.clock.stage("write"):
                    writer.write(frame.with_chroma(*planes))
                confidence.append(float(colors.similarity.mean()))
                regions.append(cv2.resize(colors.similarity, REGIONS[::-1], interpolation=cv2.INTER_AREA))
                if segment.forward:
                    self._went_on(worth)
        next(answers)
        record: dict[str, Array] = {
            "confidence": np.array(confidence, np.float32),
            "regions": np.stack(regions).astype(np.float16),
        }
        self.job.finish(self.plan, segment, record)

    def _went_on(self, worth: float) -> None:
        self.done += worth
        if self.progress:
            self.progress(int(self.done), self.plan.frames)

    def _planes(self, colors: FrameColors, frame: Frame) -> tuple[Array, Array]:
        ab = scale_saturation(colors.ab, self.look.saturation)
        return chroma_planes(ab, frame.luma, frame.coding, self.look.encoding.subsampling, quality=self.look.quality)


class _Timed:
    """An engine whose steps are timed."""

    def __init__(self, engine: Engine, clock: StageTimer) -> None:
        self._engine, self._clock = engine, clock
        self.name, self.block_size = engine.name, engine.block_size

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        return self._engine.start(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, memory: EngineState | None = None) -> StepResult:
        with self._clock.stage("network"):
            return self._engine.step(luma_block, bank, memory)


def _read_segments(
    reader: VideoReader, segments: Sequence[Segment], clock: StageTimer, *, anchors: bool = False
) -> Generator[Frame, None, None]:
    """Frames of segments in the order given; neighbors are read in one go."""
    at = -1
    source: Iterator[Frame] = iter(())
    for segment in segments:
        stop = segment.stop + int(anchors and segment.anchored)
        if at != segment.start:
            source = reader.frames(first=segment.start)
        for _ in range(segment.start, stop):
            with clock.stage("read"):
                frame = next(source)
            yield frame
        at = stop


def network_lightness(frame: Frame, shape: tuple[int, int]) -> FloatArray:
    """L* (h, w) of a frame at network size: area means of its luma."""
    return luma_to_gray_lightness(resize(codes_to_luma(frame.luma, frame.coding), shape))
