"""Which stills color which shots of an analyzed film, and which shots stay gray; what is odd about them is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kinemacolor.core.errors import InputError
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.references.check import check_places
from kinemacolor.references.flip import frame_thumbnails, mirrored_stills
from kinemacolor.references.neutral import neutral_shots
from kinemacolor.references.neutral_choice import neutral_choice
from kinemacolor.references.place_search import surroundings
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.references.selection import ReferenceSelection, bindings_within, bound_frames, select_for_shots
from kinemacolor.video.info import VideoInfo


def plan_references(
    settings: ColorizeSettings,
    engine: Engine,
    references: Sequence[Reference],
    files: Sequence[ReferenceFile],
    gray: Sequence[ReferenceFile],
    analysis: FilmAnalysis,
    info: VideoInfo,
    lightness: Callable[[int], FloatArray],
) -> ReferenceSelection:
    """Compares the stills with the film, and decides what colors each shot.

    Args:
        settings: of the job.
        engine: its features are compared.
        references: at network size.
        files: of each.
        gray: files of stills whose shots stay gray.
        analysis: of the film.
        info: of the film.
        lightness: L* (h, w) of a frame at network size, by index.

    Raises:
        InputError: a still's place is not in the film, or contradicts another's.
        UsageError: a setting names a shot that is not in the film.
    """
    bindings, shots, thumbnail = bindings_within(files, analysis, info), analysis.shots, frame_thumbnails(lightness)
    numbers = analysis.numbers(info)

    def frame_name(index: int) -> int:
        return numbers[index - analysis.first]

    frames = {number: frame for frame, number in bound_frames(bindings).items()}
    also_read = surroundings(frames.values(), shots)
    mirrored = mirrored_stills(references, bindings, shots, thumbnail, also_read=also_read)
    upright = ReferenceSelection((), mirrored).unmirrored(references)
    check = check_places(engine, upright, frames, shots, lightness, thumbnail)
    neutral = neutral_shots(
        neutral_choice(settings.neutral_shots),
        shots,
        analysis.marks,
        bindings,
        bindings_within(gray, analysis, info),
        film=info.path,
        frame_name=frame_name,
        skipped=analysis.skipped,
        misplaced={still.number for still in check.misplaced},
    )
    chosen = select_for_shots(engine, upright, bindings, shots, lightness, neutral=neutral.numbers)
    by_time = [number for number, binding in enumerate(bindings) if binding.file.time is not None]
    mismatches = check.lines([str(file.path) for file in files], frame_name, by_time)
    return ReferenceSelection(tuple(chosen), mirrored, neutral.numbers, mismatches, neutral.lines)


def tell_selection(
    selection: ReferenceSelection, files: Sequence[ReferenceFile], context: JobContext, *, strict: bool
) -> None:
    """Warns of what is odd about stills and shots, before the work.

    Raises:
        InputError: ``strict``, and a still does not show the frame that it is bound to.
    """
    if strict and selection.mismatches:
        subject, _, rest = selection.mismatches[0].partition(": ")
        problem, _, remedy = rest.rpartition("; ")
        raise InputError(subject, problem, f"{remedy}, or leave out `strict`")
    for warning in selection.warnings(files):
        context.warn(warning)
