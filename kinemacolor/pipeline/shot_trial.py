"""A shot tried out: the frames around a place in it, colored as the film would be, the nearest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import FrameColoredEvent, JobKind
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray, Frame, Matrix, Reference
from kinemacolor.engine.features import COMPARED_REFERENCES, choose_references, extract_features
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank
from kinemacolor.filters.chroma_upsample import scale_saturation
from kinemacolor.filters.denoise import denoise
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.bidirectional import blend, blocks
from kinemacolor.pipeline.event_job import EventJob
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.trial_plan import TrialPass, frames_of, plan_trial
from kinemacolor.references.loading import load_references
from kinemacolor.references.placement import Binding, ReferenceFile
from kinemacolor.references.selection import allowed_references, bindings_within, bound_frames
from kinemacolor.references.size import network_lightness, network_size, picture_aspect
from kinemacolor.strokes.picture import as_codes, full_size_colors
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

SHOWN_SIDE = 432
"""Short side in pixels, at most, of a trial's pictures."""
DEFAULT_RADIUS, MOST_RADIUS = 24, 72
"""Frames on each side of the place that are colored."""
MOST_REFERENCES_TRIED = 3


@dataclass(frozen=True, slots=True, eq=False)
class TrialFrame:
    """A frame of a trial.

    Attributes:
        frame: index in the film.
        luma: (H, W) uint8, Y' · 255, at the size that is shown, as stored in the film.
        ab: (h, w, 2) float16, a* and b* at network size.
        similarity: (h, w) float16 in [-1, 1].
        final: whether no better version follows.
    """

    frame: int
    luma: Array
    ab: Array
    similarity: Array
    final: bool

    @property
    def confidence(self) -> float:
        """Mean similarity."""
        return float(self.similarity.mean(dtype=np.float32))


@dataclass(frozen=True, slots=True, eq=False)
class ShotTrial:
    """A trial that is over.

    Attributes:
        frame: the place in the film.
        frames: colored frames by index.
    """

    frame: int
    frames: dict[int, TrialFrame]

    @property
    def weakest(self) -> int:
        """The frame with the least confidence: the one to paint next."""
        return min(self.frames.values(), key=lambda frame: frame.confidence).frame

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        confidence = {str(index): round(frame.confidence, 4) for index, frame in sorted(self.frames.items())}
        return {"frame": self.frame, "weakest": self.weakest, "confidence": confidence}


class TrialJob(EventJob[ShotTrial]):
    """FoundColors the frames around a place of an analyzed film.

    It takes the path of the film (stills, passes in both directions, blending) but for temporal smoothing, mirrored
    stills, and leads from stills far away, which are shortened.

    Args:
        spec: film, stills and settings.
        analysis: of the film.
        frame: index of the place.
        engine: that the settings name; a ``SharedEngine`` where others use it at the same time.
        radius: frames on each side; 0 for this frame alone.
        without: index of a frame whose own still is not used, or None.
    """

    kind: ClassVar[JobKind] = "try"

    def __init__(
        self,
        spec: JobSpec,
        analysis: FilmAnalysis,
        frame: int,
        engine: Engine,
        *,
        radius: int = DEFAULT_RADIUS,
        without: int | None = None,
    ) -> None:
        super().__init__(spec.film, spec.output)
        if not 0 <= radius <= MOST_RADIUS:
            raise UsageError("radius", f"{radius} is no number of frames", f"give 0 to {MOST_RADIUS}")
        self.spec, self.frame = spec, frame
        self.frames: dict[int, TrialFrame] = {}
        self._matrix: Matrix = "bt709"
        self._analysis, self._engine, self._radius, self._without = analysis, engine, radius, without

    def picture(self, index: int) -> Array | None:
        """R'G'B' (H, W, 3) uint8 of a frame that is colored, as stored; None where it is not yet."""
        frame = self.frames.get(index)
        if frame is None:
            return None
        luma = frame.luma.astype(np.float32) / np.float32(255)
        rgb = full_size_colors(luma, frame.ab.astype(np.float32), self._matrix)
        return as_codes(rgb)

    def _work(self) -> ShotTrial:
        spec, settings = self.spec, self.spec.settings
        number, shot = shot_at(self._analysis, self.frame, spec)
        with ExitStack() as stack:
            reader = stack.enter_context(
                self._analysis.restore_frame_times(VideoReader(spec.film, rate=settings.fps, stream=settings.stream))
            )
            self._matrix = reader.info.coding.matrix
            lookup = stack.enter_context(FrameLookup(reader))
            shape = network_size(picture_aspect(reader.info), 1, side=settings.working_size)
            look = _FrameSource(lookup, shape, denoised=settings.denoise_input)
            stills = trial_stills(
                self._engine,
                spec.reference_files(),
                self._analysis,
                reader.info,
                shape,
                (number, shot),
                look.lightness,
                (self.frame, self._without),
            )
            assert shot.stop is not None
            window = max(shot.start, self.frame - self._radius), min(shot.stop, self.frame + self._radius + 1)
            passes = plan_trial(shot, window, stills.bound, stills.chosen)
            painter = _Painter(self._engine, stills.references, look, settings.saturation, self._context, self._keep)
            painter.first(self.frame, passes)
            painter.run(passes, window, self.frame)
        return ShotTrial(self.frame, dict(self.frames))

    def _keep(self, frame: TrialFrame) -> None:
        self.frames[frame.frame] = frame
        confidence = round(frame.confidence, 4)
        self._context.emit(FrameColoredEvent(frame=frame.frame, confidence=confidence, final=frame.final))


def shot_at(analysis: FilmAnalysis, frame: int, spec: JobSpec) -> tuple[int, Shot]:
    """Number (from 0) and shot of a frame.

    Raises:
        InputError: the film has no such frame, or its shot stays gray.
    """
    number = next((k for k, shot in enumerate(analysis.shots) if frame in shot), None)
    if number is None:
        last = analysis.first + analysis.frames - 1
        raise InputError(spec.film, f"has no frame {frame}", f"choose one of {analysis.first} to {last}")
    if number in analysis.neutral_shots:
        raise InputError(spec.film, f"shot {number + 1} stays gray", "mark it as colored first")
    return number, analysis.shots[number]


@dataclass(frozen=True, slots=True, eq=False)
class TrialStills:
    """The stills of a trial.

    Attributes:
        references: at network size.
        bound: frame → number of the one bound to it.
        chosen: numbers of those bound to no frame of the shot, best first.
    """

    references: Sequence[Reference]
    bound: dict[int, int]
    chosen: tuple[int, ...]


def trial_stills(
    engine: Engine,
    files: Sequence[ReferenceFile],
    analysis: FilmAnalysis,
    info: VideoInfo,
    shape: tuple[int, int],
    place: tuple[int, Shot],
    lightness: Callable[[int], FloatArray],
    frames: tuple[int, int | None],
) -> TrialStills:
    """Those stills of a film that color a shot; only they are read.

    Args:
        engine: its features are compared where there are more candidates than are used.
        files: all stills.
        analysis, info: of the film.
        shape: (h, w) at network size.
        place: number and frames of the shot.
        lightness: L* of a frame, by index.
        frames: the frame that is tried, and one whose still is not used.

    Raises:
        InputError: none is left, or one cannot be read.
    """
    number, shot = place
    at, without = frames
    bindings = [
        binding for binding in bindings_within(files, analysis, info) if without is None or binding.frame != without
    ]
    bound = {frame: still for frame, still in bound_frames(bindings).items() if frame in shot}
    candidates = _nearest(
        [still for still in allowed_references(bindings, number, shot) if still not in bound.values()], bindings, at
    )
    needed = [*bound.values(), *candidates]
    if not needed:
        raise InputError(info.path, "no still is there to color this shot from", "paint one first")
    loaded = load_references([bindings[still].file for still in needed], info, shape)
    places = {file: place for place, file in enumerate(loaded.files)}
    bound = {frame: places[bindings[still].file] for frame, still in bound.items() if bindings[still].file in places}
    chosen = tuple(places[bindings[still].file] for still in candidates if bindings[still].file in places)
    if len(chosen) > MOST_REFERENCES_TRIED:
        query = [extract_features(engine, lightness(at))]
        features = [
            extract_features(engine, loaded.references[still].lightness, loaded.references[still].mask)
            for still in chosen
        ]
        chosen = tuple(chosen[index] for index in choose_references(query, features, MOST_REFERENCES_TRIED))
    if not bound and not chosen:
        raise InputError(info.path, "no still is there to color this shot from", "paint one first")
    return TrialStills(loaded.references, bound, chosen)


def _nearest(stills: Sequence[int], bindings: Sequence[Binding], frame: int) -> list[int]:
    """At most as many stills as are compared: those bound to nothing, then the nearest in time."""

    def distance(still: int) -> int:
        at = bindings[still].frame
        return -1 if at is None else abs(at - frame)

    return sorted(stills, key=distance)[:COMPARED_REFERENCES]


# --- frames and colors --------------------


@dataclass(slots=True, eq=False)
class _FrameSource:
    """Frames as the network sees them, and as they are shown; each is decoded once."""

    lookup: FrameLookup
    shape: tuple[int, int]
    denoised: bool
    seen: dict[int, tuple[FloatArray, Array]] = field(default_factory=dict)

    def lightness(self, index: int) -> FloatArray:
        """L* (h, w)."""
        return self._read(index)[0]

    def luma(self, index: int) -> Array:
        """(H, W) uint8, at the size that is shown."""
        return self._read(index)[1]

    def _read(self, index: int) -> tuple[FloatArray, Array]:
        if index not in self.seen:
            frame = self.lookup.frame(index)
            image = network_lightness(frame, self.shape)
            self.seen[index] = (denoise(image)[0] if self.denoised else image), shown_luma(frame)
        return self.seen[index]


def shown_luma(frame: Frame) -> Array:
    """Luma (H, W) uint8 of a frame at most ``SHOWN_SIDE`` pixels on its short side, as stored."""
    luma = np.clip(codes_to_luma(frame.luma, frame.coding), 0, 1)
    scale = min(1.0, SHOWN_SIDE / min(luma.shape))
    if scale < 1:
        size = max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale))
        luma = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    codes: Array = np.rint(luma * 255).astype(np.uint8)
    return codes


FoundColors = tuple[FloatArray, FloatArray]
"""a*, b* (h, w, 2) and similarity (h, w)."""


@dataclass(slots=True, eq=False)
class _Painter:
    """Runs passes in turn, so that colors grow outward from the place on both sides."""

    engine: Engine
    references: Sequence[Reference]
    source: _FrameSource
    saturation: float
    context: JobContext
    keep: Callable[[TrialFrame], None]
    banks: dict[tuple[int, ...], ReferenceBank] = field(default_factory=dict)

    def first(self, frame: int, passes: Sequence[TrialPass]) -> None:
        """The place itself, matched alone: something to see within moments."""
        nearest = next(trial for trial in passes if frame in trial.frames)
        step = self.engine.step(self.source.lightness(frame)[None], self._bank(nearest.references))
        self._emit(frame, (step.ab[0], step.similarity[0]), final=False)

    def run(self, passes: Sequence[TrialPass], window: tuple[int, int], frame: int) -> None:
        """Every pass, a block at a time in turn; frames that two passes reach are blended."""
        for index in frames_of(passes):  # in the order of the film, which is the quickest
            self.context.check()
            self.source.lightness(index)
        halves: dict[int, FoundColors] = {}
        progress = self.context.progress("color")
        total, done = sum(len(trial.frames) for trial in passes), 0
        ordered = sorted(passes, key=lambda trial: min(abs(index - frame) for index in trial.frames))
        running = [(trial, self._pass(trial)) for trial in ordered]
        while running:
            for trial, colors in list(running):
                block = next(colors, None)
                if block is None:
                    running.remove((trial, colors))
                    continue
                for index, found in block:
                    done += 1
                    progress(done, total)
                    if window[0] <= index < window[1] and trial.span[0] <= index < trial.span[1]:
                        self._combine(trial, index, found, halves)

    def _combine(self, trial: TrialPass, index: int, found: FoundColors, halves: dict[int, FoundColors]) -> None:
        if not trial.shared:
            self._emit(index, found, final=True)
            return
        other = halves.pop(index, None)
        if other is None:
            halves[index] = found
            self._emit(index, found, final=False)
            return
        earlier, later = (found, other) if trial.forward else (other, found)
        self._emit(index, blend(earlier, later, trial.share(index)), final=True)

    def _pass(self, trial: TrialPass) -> Iterator[list[tuple[int, FoundColors]]]:
        bank = self._bank(trial.references)
        state: EngineState | None = None
        frames = ((index, self.source.lightness(index)) for index in trial.frames)
        for block in blocks(frames, self.engine.block_size):
            self.context.check()
            step = self.engine.step(np.stack([image for _, image in block]), bank, state)
            state = step.state
            yield [
                (index, (ab, similarity))
                for (index, _), ab, similarity in zip(block, step.ab, step.similarity, strict=True)
            ]

    def _bank(self, references: tuple[int, ...]) -> ReferenceBank:
        if references not in self.banks:
            self.banks[references] = self.engine.start([self.references[number] for number in references])
        return self.banks[references]

    def _emit(self, index: int, colors: FoundColors, *, final: bool) -> None:
        ab = scale_saturation(colors[0], self.saturation)
        frame = TrialFrame(index, self.source.luma(index), ab.astype(np.float16), colors[1].astype(np.float16), final)
        self.keep(frame)
