"""THE path of a film: analyze it, color its segments, join them. Every front end takes it, through ``Job``.

    prepare     settings, film, stills, output, engine: everything that can be refused is refused (``prepared_film``)
    plan        frames, times, shots; references → shots; shots → segments (``film_plan``)
    color       read → network → full-resolution chroma → encode, segment by segment (``segment_runner``)
    join        segments, sound, subtitles → the film; then report and overlay

What is finished lies in a folder beside the output (``workdir``), so that a run that is interrupted can be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from kinemacolor.core.events import FinishedEvent, ResumedEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.filters.temporal import ChromaTemporalFilter
from kinemacolor.pipeline.disk_space import estimate_disk_space
from kinemacolor.pipeline.film_plan import FilmPlan, plan_film
from kinemacolor.pipeline.prepared_film import PreparedFilm
from kinemacolor.pipeline.reference_plan import tell_selection
from kinemacolor.pipeline.segment_frames import BackwardFrames
from kinemacolor.pipeline.segment_plan import SegmentPlan
from kinemacolor.pipeline.segment_runner import RenderSettings, SegmentRunner
from kinemacolor.pipeline.summary import Summary
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.references.selection import bindings_within, bound_frames
from kinemacolor.report.film import film_report, write_film_report, write_overlay
from kinemacolor.video.segments import join_segments


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
        with plan.analysis.restore_frame_times(prepared.open()) as reader:
            damaged = plan.analysis.damage is not None
            copies = BackwardFrames(workdir, plan.segments, reader, damaged=damaged)
        runner = SegmentRunner(
            workdir,
            plan.segments,
            _render_settings(prepared),
            prepared.engine,
            plan.selection.unmirrored(prepared.references),
            timer,
            lambda: plan.analysis.restore_frame_times(prepared.open()),
            copies,
            context,
        )
        resumed = int(runner.done)
        _announce(prepared, plan, resumed, copies.largest_run, workdir, context)
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


def _render_settings(prepared: PreparedFilm) -> RenderSettings:
    settings = prepared.spec.settings
    smoothing = ChromaTemporalFilter() if settings.temporal_smoothing else None
    return RenderSettings(settings, prepared.shape, prepared.encoding, smoothing)


def _announce(
    prepared: PreparedFilm, plan: FilmPlan, resumed: int, copied: int, workdir: WorkDir, context: JobContext
) -> None:
    """Emits what an earlier run has finished, or how much room a long film is going to take."""
    if resumed or workdir.has_finished_segments:
        context.emit(ResumedEvent(frames=resumed))
        return
    with plan.analysis.restore_frame_times(prepared.open()) as reader:
        estimate = estimate_disk_space(reader, plan.analysis, prepared.encoding, workdir.folder, context, copied)
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
