"""THE path of a film: analyze it, color its segments, join them. Every front end takes it, through ``Job``.

    prepare     settings, film, stills, output, engine: everything that can be refused is refused here
    plan        frames, times, shots; references → shots; shots → segments
    color       read → network → full-resolution chroma → encode, segment by segment (``segment_runner``)
    join        segments, sound, subtitles → the film; then report and overlay

What is finished lies in a folder beside the output (``workdir``), so that a run that is interrupted can be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.events import FinishedEvent, PlannedEvent, ResumedEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import open_engine
from kinemacolor.filters.temporal import ChromaTemporalFilter
from kinemacolor.pipeline.analysis import FilmAnalysis, analyze_film
from kinemacolor.pipeline.decode_cost import repeated_decoding
from kinemacolor.pipeline.disk_space import estimate_disk_space
from kinemacolor.pipeline.film_images import missing_remarks, tell_damaged_images
from kinemacolor.pipeline.fingerprint import run_fingerprint
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.reference_plan import plan_references, tell_selection
from kinemacolor.pipeline.segment_plan import SegmentPlan, plan_segments
from kinemacolor.pipeline.segment_runner import RenderSettings, SegmentRunner
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.summary import Summary
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.references.loading import load_references
from kinemacolor.references.neutral_choice import neutral_choice
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.references.selection import ReferenceSelection, bindings_within, bound_frames
from kinemacolor.references.size import network_lightness, network_size, picture_aspect
from kinemacolor.report.film import film_report, write_film_report, write_overlay
from kinemacolor.shots.lists import read_list
from kinemacolor.video.codecs import CONTAINERS
from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding, check_destination, image_target
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import join_segments
from kinemacolor.video.writer import plan_output


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFilm:
    """Everything that is known before the film is read through.

    Attributes:
        spec: of the job.
        files: the stills that color it.
        info: of the film.
        encoding: of the output.
        shape: (h, w) at which the network sees frames.
        engine: colors them.
        references: the stills at network size.
        gray_files: stills without color, whose shots stay gray.
        fingerprint: of the run.
        remarks: what the user should know before the work, a line each.
        timer: of its stages.
        begin: when it was begun, in seconds of ``time.perf_counter``.
    """

    spec: JobSpec
    files: tuple[ReferenceFile, ...]
    info: VideoInfo
    encoding: Encoding
    shape: tuple[int, int]
    engine: Engine
    references: Sequence[Reference]
    fingerprint: dict[str, object]
    gray_files: tuple[ReferenceFile, ...] = ()
    remarks: tuple[str, ...] = ()
    timer: StageTimer = field(default_factory=StageTimer)
    begin: float = field(default_factory=time.perf_counter)

    def open(self) -> VideoReader:
        """A reader of the film."""
        return VideoReader(self.spec.film, rate=self.spec.settings.fps, stream=self.spec.settings.stream)


@dataclass(frozen=True, slots=True, eq=False)
class FilmPlan:
    """What is to be colored, from what, and in which pieces.

    Attributes:
        analysis: frames, times and shots of the film.
        selection: which references color which shot.
        segments: the pieces.
    """

    analysis: FilmAnalysis
    selection: ReferenceSelection
    segments: SegmentPlan


def color_film(prepared: PreparedFilm, context: JobContext, begun: FilmPlan | None = None) -> Summary:
    """Colors a film; it gets its name when it is complete.

    Args:
        prepared: the job.
        context: takes the job's events, and tells whether it was canceled.
        begun: a plan of the same job, where one was made before.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
        JobCanceled: finished segments are kept.
    """
    spec, timer = prepared.spec, prepared.timer
    with WorkDir(spec.output, prepared.fingerprint, restart=spec.restart) as workdir:
        _attach_events(workdir, context)
        for remark in prepared.remarks:
            context.warn(remark)
        plan = plan_film(prepared, context, workdir, begun)
        tell_selection(plan.selection, prepared.files, context, strict=spec.settings.strict)
        runner = SegmentRunner(
            workdir,
            plan.segments,
            _render_settings(prepared),
            prepared.engine,
            plan.selection.unmirrored(prepared.references),
            timer,
            lambda: plan.analysis.restore_frame_times(prepared.open()),
            context,
        )
        resumed = int(runner.done)
        _announce(prepared, plan, resumed, workdir, context)
        runner.run()
        confidence, regions = _read_confidence(workdir, plan.segments)
        warnings = _join(prepared, plan, workdir, context)
        warnings = [warning for warning in warnings if warning not in prepared.remarks]
        for warning in warnings:
            context.warn(warning)
        remarks = [*prepared.remarks, *([plan.analysis.remark] if plan.analysis.remark else [])]
        warnings = [*remarks, *plan.selection.warnings(prepared.files), *warnings]
        _write_extras(prepared, plan, confidence, regions, warnings)
        summary = Summary(
            output=spec.output,
            frames=plan.segments.frames,
            resumed=resumed,
            shots=len(plan.segments.shots),
            size=(prepared.info.width, prepared.info.height),
            network_size=(prepared.shape[1], prepared.shape[0]),
            seconds=time.perf_counter() - prepared.begin,
            stage_seconds=dict(timer.seconds),
            confidence=_mean_confidence(confidence, plan),
            warnings=tuple(warnings),
            damage=plan.analysis.damage,
        )
        context.emit(FinishedEvent(summary=summary.record()))
        workdir.remove()
    return summary


# --- prepare --------------------


def prepare_film(spec: JobSpec, engine: Engine | None = None) -> PreparedFilm:
    """Opens and checks everything that a job names, before hours of work.

    Args:
        spec: of the job.
        engine: one that the caller made, in place of the one that the settings name.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
    """
    begin, settings = time.perf_counter(), spec.settings
    files = spec.reference_files()
    if isinstance(spec.shots, Path):
        read_list(spec.shots)
    with reachable(spec.output, OutputError):
        check_destination(
            spec.output, source=spec.film, codec=settings.codec, overwrite=spec.overwrite, new_folders=True
        )
    _check_extras(spec)
    with reachable(spec.film, InputError):
        info = VideoReader(spec.film, rate=settings.fps, stream=settings.stream).info
    remarks = [*info.remarks, *missing_remarks(info, strict=settings.strict)]
    aspect = picture_aspect(info)
    shape = network_size(aspect, 1, side=settings.working_size)
    opened = engine or engine_of(settings)
    encoding = plan_output(
        spec.output,
        info,
        chroma_format=settings.chroma_format,
        codec=settings.codec,
        crf=settings.crf,
        color_range=settings.range,
    )
    remarks += encoding.warnings
    if image_target(spec.output) is None:  # what cannot be kept is refused or told now, not after the work is done
        remarks += check_muxing(spec.output, info, encoding, strict=settings.strict)
    loaded = load_references(files, info, shape)
    fingerprint = run_fingerprint(spec, (*loaded.files, *loaded.gray), engine)
    return PreparedFilm(
        spec,
        loaded.files,
        info,
        encoding,
        shape,
        opened,
        loaded.references,
        fingerprint,
        loaded.gray,
        (*remarks, *loaded.remarks),
        begin=begin,
    )


def engine_of(settings: ColorizeSettings) -> Engine:
    """The engine that the settings name."""
    return open_engine(
        settings.engine,
        propagation=settings.propagation,
        color_memory=settings.color_memory,
        weights=settings.weights,
        block_size=settings.block_size,
        device=settings.device,
    )


def _check_extras(spec: JobSpec) -> None:
    for name, path, suffixes in (("report", spec.report, (".html",)), ("overlay", spec.overlay, tuple(CONTAINERS))):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            raise UsageError(name, f"{path} has another extension", f"end it in {' or '.join(suffixes)}")
        if path.exists() and not spec.overwrite:
            raise OutputError(path, "exists already", "give another name, or `overwrite`")
        if not path.absolute().parent.is_dir():
            raise OutputError(path, "there is no such folder", "make it first")


@contextmanager
def reachable(path: str | Path, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """A path that the system cannot even look up (too long, in a locked folder) becomes an error for the user."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be reached ({error.strerror or error})"
        raise kind(path, problem, "check its name and the permissions of its folder") from error


def _render_settings(prepared: PreparedFilm) -> RenderSettings:
    settings = prepared.spec.settings
    smoothing = ChromaTemporalFilter() if settings.temporal_smoothing else None
    return RenderSettings(settings, prepared.shape, prepared.encoding, smoothing)


# --- plan --------------------


def plan_film(
    prepared: PreparedFilm, context: JobContext, workdir: WorkDir | None = None, begun: FilmPlan | None = None
) -> FilmPlan:
    """Frames, times and shots of the film, its references' shots, and its segments.

    Args:
        prepared: the job.
        context: takes its events.
        workdir: keeps analysis and selection, and may hold those of an earlier run.
        begun: a plan of the same job, where one was made before.
    """
    spec, settings = prepared.spec, prepared.spec.settings
    analysis = (workdir.load_analysis() if workdir else None) or (begun.analysis if begun else None)
    if analysis is None:
        with prepared.open() as reader:
            analysis = analyze_film(
                reader,
                start=settings.start,
                end=settings.end,
                shots=spec.shots,
                find_cards=neutral_choice(settings.neutral_shots).find,
                timer=prepared.timer,
                progress=context.progress("analyze"),
            )
    tell_damaged_images(prepared.info, analysis.damage, context, strict=settings.strict)
    if analysis.remark:
        context.warn(analysis.remark)
    selection = (workdir.load_selection() if workdir else None) or (begun.selection if begun else None)
    bindings = bindings_within(prepared.files, analysis, prepared.info)
    if selection is None:
        with analysis.restore_frame_times(prepared.open()) as reader, FrameLookup(reader) as lookup:

            def lightness(index: int) -> FloatArray:
                context.check()
                return network_lightness(lookup.frame(index), prepared.shape)

            selection = plan_references(
                settings,
                prepared.engine,
                prepared.references,
                prepared.files,
                prepared.gray_files,
                analysis,
                prepared.info,
                lightness,
            )
    if workdir:
        workdir.save_analysis(analysis)
        workdir.save_selection(selection)
    segments = plan_segments(
        analysis.shots,
        bound_frames(bindings),
        selection.shots,
        max_segment_frames=settings.max_segment_frames,
        neutral=selection.neutral,
    )
    context.emit(PlannedEvent(frames=segments.frames, shots=len(segments.shots), segments=len(segments.segments)))
    return FilmPlan(analysis, selection, segments)


def _announce(prepared: PreparedFilm, plan: FilmPlan, resumed: int, workdir: WorkDir, context: JobContext) -> None:
    """Emits what an earlier run has finished, or how much room a long film is going to take."""
    if resumed or workdir.has_finished_segments:
        context.emit(ResumedEvent(frames=resumed))
        return
    with plan.analysis.restore_frame_times(prepared.open()) as reader:
        slow = repeated_decoding(reader, plan.segments)
        if slow:
            context.warn(slow)
        estimate = estimate_disk_space(reader, plan.analysis, prepared.encoding, workdir.folder, context)
    if estimate is not None:
        context.emit(estimate)


def _attach_events(workdir: WorkDir, context: JobContext) -> None:
    if context.on_folder:
        context.on_folder(workdir.folder)


# --- join --------------------


def _join(prepared: PreparedFilm, plan: FilmPlan, workdir: WorkDir, context: JobContext) -> list[str]:
    """Makes the film of its segments; returns what could not be kept, a line each."""
    spec, settings = prepared.spec, prepared.spec.settings
    with prepared.timer.stage("join"), prepared.open() as reader:
        paths = [workdir.segment_path(segment) for segment in plan.segments.segments]
        start, end = (None if at is None else float(at) for at in (settings.start, settings.end))
        return join_segments(
            spec.output,
            reader,
            paths,
            prepared.encoding,
            overwrite=spec.overwrite,
            strict=settings.strict,
            start=start,
            end=end,
            progress=context.progress("join"),
        )


def _read_confidence(workdir: WorkDir, segments: SegmentPlan) -> tuple[FloatArray, Array]:
    """Of each frame (T,), and of its regions (T, rows, columns)."""
    records = [workdir.read_record(segment) for segment in segments.segments]
    confidence, regions = (np.concatenate([record[name] for record in records]) for name in ("confidence", "regions"))
    return confidence, regions


def _mean_confidence(confidence: FloatArray, plan: FilmPlan) -> float:
    """Of the frames that were colored; 1 where none was."""
    colored = [
        confidence[segment.start - plan.analysis.first : segment.stop - plan.analysis.first]
        for segment in plan.segments.segments
        if not segment.neutral
    ]
    if len(colored) == len(plan.segments.segments):
        return float(confidence.mean())
    return float(np.concatenate(colored).mean()) if colored else 1.0


def _write_extras(
    prepared: PreparedFilm, plan: FilmPlan, confidence: FloatArray, regions: Array, warnings: Sequence[str]
) -> None:
    """Report and overlay, where they are wanted."""
    spec, info, analysis = prepared.spec, prepared.info, plan.analysis
    if not (spec.overlay or spec.report):
        return
    regions = np.stack([info.orientation.upright(region) for region in regions])
    with prepared.timer.stage("report"):
        if spec.overlay:
            write_overlay(spec.overlay, spec.output, regions, info.rate)
        if spec.report:
            report = film_report(
                output=spec.output,
                rate=info.rate,
                shots=plan.segments.shots,
                references_by_shot=plan.segments.references_by_shot(),
                neutral=plan.selection.neutral,
                reference_names=[file.path.name for file in prepared.files],
                painted=bound_frames(bindings_within(prepared.files, analysis, info)),
                confidence=confidence,
                notes=warnings,
                first_frame=analysis.first,
                frame_numbers=analysis.numbers(info),
            )
            write_film_report(spec.report, report, regions)
