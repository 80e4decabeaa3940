"""A preview of what references will give, before the long run: single frames of each shot, small, on one sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.protocol import Engine, ReferenceBank
from kinemacolor.filters.chroma_upsample import scale_saturation
from kinemacolor.filters.denoise import denoise
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.film_images import missing_remarks
from kinemacolor.pipeline.film_plan import analyze_for_job
from kinemacolor.pipeline.job_spec import JobSpec, job_field
from kinemacolor.pipeline.prepared_film import engine_of, reachable
from kinemacolor.pipeline.project import Project
from kinemacolor.pipeline.reference_plan import plan_references, tell_selection
from kinemacolor.pipeline.settings import ColorizeSettings, setting_of
from kinemacolor.references.loading import load_references
from kinemacolor.references.placement import Binding
from kinemacolor.references.selection import ReferenceSelection, allowed_references, bindings_within
from kinemacolor.references.size import network_lightness, network_size, picture_aspect
from kinemacolor.report.contact_sheet import SHEET_SUFFIXES, contact_sheet, write_contact_sheet
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

PREVIEW_SIDE = 120
"""Short side at which a preview is colored, pixels: a quarter of the work, or less."""
PREVIEW_STEP = 48
"""Frames from one of a shot to the next."""
MOST_REFERENCES = 3
"""References of a frame, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviewFrame:
    """A frame of a preview.

    Attributes:
        frame: its index in the film.
        shot: number of its shot, from 0.
        time: seconds from the film's first frame.
        picture: R'G'B' (h, w, 3) uint8.
        confidence: mean similarity, in [-1, 1].
        references: numbers of those it was colored from.
    """

    frame: int
    shot: int
    time: Fraction
    picture: Array
    confidence: float
    references: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """A preview.

    Attributes:
        output: the sheet.
        frames: what it shows.
        shots: number of the film's shots.
    """

    output: Path
    frames: tuple[PreviewFrame, ...]
    shots: int

    @property
    def confidence(self) -> float:
        """Mean similarity to the references, in [-1, 1]."""
        return sum(frame.confidence for frame in self.frames) / len(self.frames)

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "output": str(self.output),
            "frames": len(self.frames),
            "shots": self.shots,
            "confidence": round(self.confidence, 4),
        }

    def __str__(self) -> str:
        return f"{self.output}: {len(self.frames)} frames of {self.shots} shots, mean confidence {self.confidence:.2f}"


def unused_by_preview(spec: JobSpec) -> list[str]:
    """Names of the fields and settings that the job sets and a preview cannot use."""
    return _unused(spec.model_fields_set - {"settings"}, spec.settings)


def without_unused(project: Project) -> tuple[Project, list[str]]:
    """The project without the fields and settings that a preview cannot use, and their names."""
    unused = _unused(project.fields.keys(), project.settings)
    fields = {name: value for name, value in project.fields.items() if name not in unused}
    settings = {name: value for name, value in project.settings.explicit().items() if name not in unused}
    return Project(fields, type(project.settings)(**settings)), unused


def _unused(fields: Iterable[str], settings: ColorizeSettings) -> list[str]:
    of_job = [name for name in fields if not job_field(JobSpec.model_fields[name]).preview]
    records = type(settings).model_fields
    return sorted([*of_job, *(name for name in settings.model_fields_set if not setting_of(records[name]).preview)])


def check_preview(spec: JobSpec, every: int) -> None:
    """Raises UsageError or OutputError where a preview cannot be made or written."""
    unused = unused_by_preview(spec)
    if unused:
        raise UsageError(unused[0], "a preview cannot use it", "leave it out, or color the film without `preview`")
    if spec.output.suffix.lower() not in SHEET_SUFFIXES:
        remedy = f"end it in {' or '.join(SHEET_SUFFIXES)}, or leave out `preview`"
        raise UsageError(spec.output, "is no name for a sheet", remedy)
    if spec.output.exists() and not spec.overwrite:
        raise OutputError(spec.output, "exists already", "give another name, or `overwrite`")
    if every < 1:
        raise UsageError("every", f"{every} is not a number of frames", "give 1 or more")


def color_preview(spec: JobSpec, every: int, context: JobContext, engine: Engine | None = None) -> Preview:
    """Colors single frames of a film and writes them as a sheet to the job's output.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
        JobCanceled: it was canceled.
    """
    check_preview(spec, every)
    settings = spec.settings
    files = spec.reference_files()
    opened = engine or engine_of(settings)
    with reachable(spec.film, InputError):
        reader = VideoReader(spec.film, rate=settings.fps, stream=settings.stream)
    with reader, FrameLookup(reader) as lookup:
        info, aspect = reader.info, picture_aspect(reader.info)
        for remark in info.remarks:
            context.warn(remark)
        shape = network_size(aspect, 1, side=settings.working_size or PREVIEW_SIDE)
        loaded = load_references(files, info, shape)
        files, references = loaded.files, loaded.references
        for remark in (*missing_remarks(info, strict=False), *loaded.remarks):
            context.warn(remark)
        analysis = analyze_for_job(reader, spec, context)
        bindings = bindings_within(files, analysis, info)

        def lightness(index: int) -> FloatArray:
            return network_lightness(lookup.frame(index), shape)

        selection = plan_references(settings, opened, references, files, loaded.gray, analysis, info, lightness)
        tell_selection(selection, files, context, strict=False)
        previewer = _Previewer(opened, selection, selection.unmirrored(references), bindings, analysis, info)
        progress = context.progress("color")
        indices = preview_frames(analysis.shots, every)
        frames = []
        for index in indices:
            image = lightness(index)
            seen = denoise(image)[0] if settings.denoise_input else image
            frames.append(previewer.color(index, seen, settings.saturation))
            progress(len(frames), len(indices))
    write_preview(spec.output, frames)
    return Preview(spec.output, tuple(frames), len(analysis.shots))


@dataclass(slots=True, eq=False)
class _Previewer:
    """Colors single frames, each from its shot's references alone: nothing is propagated from other frames."""

    engine: Engine
    selection: ReferenceSelection
    references: Sequence[Reference]
    bindings: Sequence[Binding]
    analysis: FilmAnalysis
    info: VideoInfo
    bank: ReferenceBank | None = None
    numbers: tuple[int, ...] = ()

    def color(self, index: int, lightness: FloatArray, saturation: float) -> PreviewFrame:
        """The frame ``index``, whose L* (h, w) is given."""
        shot = next(number for number, shot in enumerate(self.analysis.shots) if index in shot)
        numbers = self._references_near(index, shot)
        if shot in self.selection.neutral:
            return self._frame(index, shot, lightness, np.zeros((*lightness.shape, 2), np.float32), 1.0, ())
        if self.bank is None or numbers != self.numbers:
            self.bank, self.numbers = self.engine.start([self.references[number] for number in numbers]), numbers
        step = self.engine.step(lightness[None], self.bank)
        ab = scale_saturation(step.ab[0], saturation)
        return self._frame(index, shot, lightness, ab, float(step.similarity.mean()), numbers)

    def _frame(
        self,
        index: int,
        shot: int,
        lightness: FloatArray,
        ab: FloatArray,
        confidence: float,
        numbers: tuple[int, ...],
    ) -> PreviewFrame:
        """The frame in color, as a viewer sees it."""
        rgb = np.clip(lab_to_rgb(np.dstack([lightness, ab])), 0, 1)
        picture = self.info.orientation.upright((255 * rgb + 0.5).astype(np.uint8))
        time = int(self.analysis.pts[index - self.analysis.first]) * self.analysis.time_base - self.info.first_time
        return PreviewFrame(index, shot, time, np.ascontiguousarray(picture), confidence, numbers)

    def _references_near(self, index: int, shot: int) -> tuple[int, ...]:
        """Numbers of the references nearest in time in the shot, and of those chosen for it."""
        span = self.analysis.shots[shot]
        frames = {number: binding.frame for number, binding in enumerate(self.bindings) if binding.frame is not None}
        inside = {number: frame for number, frame in frames.items() if frame in span}
        nearest = sorted(inside, key=lambda number: abs(inside[number] - index))[:2]
        chosen = self.selection.shots[shot][: MOST_REFERENCES - len(nearest)]
        return tuple(sorted({*nearest, *chosen})) or tuple(allowed_references(self.bindings, shot, span))


def preview_frames(shots: Sequence[Shot], every: int) -> list[int]:
    """One frame in ``every`` of each shot, the middle one at least; ascending."""
    frames: list[int] = []
    for shot in shots:
        assert shot.stop is not None
        inside = list(range(shot.start + every // 2, shot.stop, every))
        frames += inside or [(shot.start + shot.stop) // 2]
    return frames


def write_preview(path: Path, frames: Sequence[PreviewFrame]) -> None:
    """A contact sheet, each frame with its number, time and confidence."""
    pictures = [
        (f"{frame.frame}  {float(frame.time):.1f} s  {frame.confidence:.2f}", frame.picture) for frame in frames
    ]
    write_contact_sheet(path, contact_sheet(pictures))
