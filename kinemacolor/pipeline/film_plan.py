"""The plan of a film: its frames, times and shots, the references of each shot, and the segments."""

from __future__ import annotations

from dataclasses import dataclass

from kinemacolor.core.events import PlannedEvent
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import FloatArray
from kinemacolor.pipeline.analysis import FilmAnalysis, analyze_film
from kinemacolor.pipeline.film_images import tell_damaged_images
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.prepared_film import PreparedFilm
from kinemacolor.pipeline.reference_plan import plan_references
from kinemacolor.pipeline.segment_plan import SegmentPlan, plan_segments
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.references.neutral_choice import neutral_choice
from kinemacolor.references.selection import ReferenceSelection, bindings_within, bound_frames
from kinemacolor.references.size import network_lightness
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.reader import VideoReader


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


def analyze_for_job(
    reader: VideoReader, spec: JobSpec, context: JobContext, timer: StageTimer | None = None
) -> FilmAnalysis:
    """Analyzes the part of a film that a job names, with its shots and its settings.

    Args:
        reader: of the film.
        spec: of the job.
        context: takes its events.
        timer: of its stages.

    Raises:
        InputError: the film or the list of shots cannot be used.
    """
    settings = spec.settings
    return analyze_film(
        reader,
        start=settings.start,
        end=settings.end,
        shots=spec.shots,
        find_cards=neutral_choice(settings.neutral_shots).find,
        timer=timer,
        progress=context.progress("analyze"),
    )


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
    settings = prepared.spec.settings
    analysis = (workdir.load_analysis() if workdir else None) or (begun.analysis if begun else None)
    if analysis is None:
        with prepared.open() as reader:
            analysis = analyze_for_job(reader, prepared.spec, context, prepared.timer)
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
