"""A film's segments, one by one: read → network → full-resolution chroma → encode.

Stages are generators, each in a thread behind a short queue, so that decoding, network and encoding overlap while
memory stays the same however long the film is. The film is decoded twice side by side, small for the network and whole
for the result: that costs little, and no frame has to wait while later ones are coloured first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from kinemacolor.color import codes_to_luma, luma_to_grey_lightness
from kinemacolor.colouring import Colours, Passed, Passes, colour_segment
from kinemacolor.engine import Bank, Engine, Memory, Step
from kinemacolor.errors import InputError
from kinemacolor.frames import Array, FloatArray, Frame, Reference
from kinemacolor.guide import Guide, denoised
from kinemacolor.job import Job
from kinemacolor.plan import Plan, Segment
from kinemacolor.stages import Clock, in_background
from kinemacolor.steady import Steadier, Steady
from kinemacolor.upsample import Quality, chroma_planes, resize, saturated
from kinemacolor.video import Encoding, SegmentWriter, VideoInfo, VideoReader

REGIONS = (6, 10)
"""Rows and columns of a frame whose confidence is noted."""
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Look:
    """How frames look to the network and how chroma looks in the film.

    Attributes:
        shape: (h, w) at which the network sees frames.
        encoding: of the output.
        quality: of chroma upsampling.
        saturation: factor on the colours.
        steadier: filters colours over time, or None.
        guide: whether the network sees frames with less noise.
    """

    shape: tuple[int, int]
    encoding: Encoding
    quality: Quality = "fast"
    saturation: float = 1.0
    steadier: Steadier | None = None
    guide: bool = False


@dataclass(slots=True, eq=False)
class Work:
    """The segments of a film, and what their stages share.

    Attributes:
        job: keeps what is finished.
        plan: the segments.
        look: how frames look to the network, and chroma in the film.
        engine: colours them.
        references: all of the film's, at network size.
        clock: told how long each stage is busy.
        open_film: gives a reader of its own to each stage that reads.
        progress: told after each frame of a pass how far the work is, in frames of the film.
        banks: of the references of the newest segment.
        kept: memories that a segment left and none has taken yet, by number and kind.
        todo: segments that were not finished when this was made, in the order in which they are coloured.
        done: frames that are finished; of two passes through a frame each counts half.
    """

    job: Job
    plan: Plan
    look: Look
    engine: Engine
    references: Sequence[Reference]
    clock: Clock
    open_film: Callable[[], VideoReader]
    progress: Progress | None
    banks: dict[tuple[int, ...], Bank] = field(default_factory=dict)
    kept: dict[tuple[int, str], Memory] = field(default_factory=dict)
    todo: list[Segment] = field(init=False)
    done: float = field(init=False)

    def __post_init__(self) -> None:
        self.todo = [segment for segment in self.plan.order() if not self.job.finished(segment)]
        self.done = self.plan.frames - sum(segment.frames for segment in self.todo)

    def colour(self) -> None:
        """Colours what is not finished yet."""
        with ExitStack() as stack:
            seen, written = (stack.enter_context(self.open_film()) for _ in range(2))
            lightness = in_background(self._lightness(seen))
            answers = stack.enter_context(closing(in_background(self._answers(lightness))))
            frames = stack.enter_context(closing(in_background(_reading(written, self.todo, self.clock))))
            for segment in self.todo:
                self._finish(segment, answers, frames, written.info)

    # --- what segments hand to one another --------------------

    def _taken(self, number: int, kind: str) -> Memory:
        """A memory that segment ``number`` left: ``forward``, ``backward``, ``guide`` or ``steady``."""
        memory = self.kept.pop((number, kind), None)
        return memory if memory is not None else self.job.memory(self.plan.segments[number], kind)

    def _left(self, segment: Segment, kind: str, memory: Memory | None) -> None:
        """Keeps a memory, in mind and on disk, where a later segment takes it."""
        wanted = self.plan.hands_back(segment) if kind == "backward" else self.plan.hands_on(segment)
        if wanted and memory is not None:
            self.kept[segment.number, kind] = memory
            self.job.keep_memory(segment, kind, memory)

    # --- stages --------------------

    def _lightness(self, reader: VideoReader) -> Generator[FloatArray, None, None]:
        """L* (h, w) of all frames that passes take, in their order: a segment's, then that at an anchored stop."""
        frames = _reading(reader, self.todo, self.clock, anchors=True)
        for segment in self.todo:
            guide = self._taken(segment.number - 1, "guide") if self.look.guide and segment.goes_on else None
            for count in range(1, segment.frames + 1 + segment.anchored):
                lightness = network_lightness(next(frames), self.look.shape)
                if self.look.guide:
                    assert guide is None or isinstance(guide, Guide)
                    lightness, guide = denoised(lightness, guide)
                if count == segment.frames:
                    self._left(segment, "guide", guide)
                yield lightness

    def _answers(self, lightness: Generator[FloatArray, None, None]) -> Generator[Colours | Passed | None, None, None]:
        """The segments' frames in order, those of a backward pass announced by ``Passed``, and after each segment None:
        by then its memories are kept."""
        engine = _Timed(self.engine, self.clock)
        with closing(lightness):
            for segment in self.todo:
                images: Iterable[FloatArray] = (next(lightness) for _ in range(segment.frames))
                passes = Passes()
                if segment.goes_on:
                    passes.forward = self._taken(segment.number - 1, "forward")
                if segment.goes_back:
                    passes.backward = self._taken(segment.number + 1, "backward")
                if segment.anchored:
                    images = list(images)
                    passes.anchor = next(lightness)
                yield from self._steadied(colour_segment(engine, self._bank(segment), images, segment, passes), segment)
                self._left(segment, "forward", passes.forward)
                self._left(segment, "backward", passes.backward)
                yield None

    def _steadied(self, frames: Iterator[Colours | Passed], segment: Segment) -> Iterator[Colours | Passed]:
        """Colours without the shimmer of grain."""
        if self.look.steadier is None:
            yield from frames
            return
        state = self._taken(segment.number - 1, "steady") if segment.goes_on else None
        for colours in frames:
            if isinstance(colours, Passed):
                yield colours
                continue
            assert state is None or isinstance(state, Steady)
            with self.clock.stage("steady"):
                ab, state = self.look.steadier(colours.lightness, colours.ab, colours.similarity, state)
            yield replace(colours, ab=ab)
        self._left(segment, "steady", state)

    def _bank(self, segment: Segment) -> Bank:
        """Of the segment's references; only the newest is kept."""
        if segment.stills not in self.banks:
            self.banks.clear()
            self.banks[segment.stills] = self.engine.start([self.references[number] for number in segment.stills])
        return self.banks[segment.stills]

    def _finish(
        self,
        segment: Segment,
        answers: Iterator[Colours | Passed | None],
        frames: Iterator[Frame],
        info: VideoInfo,
    ) -> None:
        """Full-resolution chroma, the frames encoded, and the record that says so."""
        confidence: list[float] = []
        regions: list[Array] = []
        worth = 0.5 if segment.forward and segment.backward else 1.0
        with SegmentWriter(self.job.path(segment), info, self.look.encoding) as writer:
            for _ in range(segment.frames):
                while isinstance(colours := next(answers), Passed):
                    self._went_on(worth)
                frame = next(frames)
                if colours is None or colours.index != frame.index:
                    raise InputError(info.path, "gives other frames than at the first look", "check the disk it is on")
                with self.clock.stage("upsample"):
                    planes = self._planes(colours, frame)
                with self.clock.stage("write"):
                    writer.write(frame.with_chroma(*planes))
                confidence.append(float(colours.similarity.mean()))
                regions.append(cv2.resize(colours.similarity, REGIONS[::-1], interpolation=cv2.INTER_AREA))
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

    def _planes(self, colours: Colours, frame: Frame) -> tuple[Array, Array]:
        ab = saturated(colours.ab, self.look.saturation)
        return chroma_planes(ab, frame.luma, frame.coding, self.look.encoding.subsampling, quality=self.look.quality)


class _Timed:
    """An engine whose steps are timed."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.name, self.block_size = engine.name, engine.block_size

    def start(self, references: Sequence[Reference]) -> Bank:
        return self._engine.start(references)

    def step(self, luma_block: FloatArray, bank: Bank, memory: Memory | None = None) -> Step:
        with self._clock.stage("network"):
            return self._engine.step(luma_block, bank, memory)


def _reading(
    reader: VideoReader, segments: Sequence[Segment], clock: Clock, *, anchors: bool = False
) -> Generator[Frame, None, None]:
    """Frames of segments in the order given; neighbours are read in one go."""
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
    return luma_to_grey_lightness(resize(codes_to_luma(frame.luma, frame.coding), shape))
