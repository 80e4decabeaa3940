"""THE path of a film: look at it, color its segments, join them. Every front end takes it.

    survey      frames, times, shots                                             survey.py
    assign      references → shots, shots → segments                             assignment.py, plan.py
    segments    read → network → full-resolution chroma → encode, one by one     work.py
    join        segments, sound, subtitles → the film                            video/segments.py

What is finished lies in a folder beside the output (``job.py``), so that a run that breaks off can go on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.pipelining import StageTimer
from kinemacolor.core.types import Array, FloatArray, Reference, Shot
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import DEFAULT_ENGINE, open_engine
from kinemacolor.filters.chroma_upsample import UpsamplingQuality
from kinemacolor.filters.temporal import ChromaTemporalFilter
from kinemacolor.pipeline.analysis import FilmAnalysis, analyze_film
from kinemacolor.pipeline.disk_space import estimate_disk_space
from kinemacolor.pipeline.fingerprint import run_fingerprint
from kinemacolor.pipeline.segment_plan import MAX_SEGMENT_FRAMES, SegmentPlan, plan_segments
from kinemacolor.pipeline.segment_runner import Progress, RenderSettings, SegmentRunner, network_lightness
from kinemacolor.pipeline.workdir import WorkDir
from kinemacolor.references.image import network_size, to_reference
from kinemacolor.references.placement import ReferenceFile, read_reference, reference_files
from kinemacolor.references.selection import ReferenceSelection, bindings_within, bound_frames, select_references
from kinemacolor.report.film import film_report, write_film_report, write_overlay
from kinemacolor.report.model import FilmReport
from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import CONTAINERS, CodecName, Encoding, check_destination, image_target
from kinemacolor.video.planes import ChromaFormat
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import join_segments
from kinemacolor.video.writer import plan_output


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done.

    Attributes:
        output: the colored film.
        frames: colored, those of earlier runs included.
        resumed: frames that an earlier run had finished.
        shots: of the film.
        size: (width, height) of the film.
        network_size: (width, height) at which the network saw it.
        seconds: wall time from opening the film to its final name.
        stage_seconds: busy time by stage: look, read, network, steady, upsample, write, join, report. They overlap.
        confidence: mean similarity to the references, in [-1, 1].
        warnings: what could not be kept, a line each.
        damage: None, or where and how the input broke off; what decodes was colored.
    """

    output: Path
    frames: int
    resumed: int
    shots: int
    size: tuple[int, int]
    network_size: tuple[int, int]
    seconds: float
    stage_seconds: dict[str, float]
    confidence: float
    warnings: tuple[str, ...]
    damage: str | None

    @property
    def frames_per_second(self) -> float:
        """Of the whole, less what was finished before."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0


def colorize(
    film: str | Path,
    references: str | Path | Sequence[str | Path | ReferenceFile],
    output: str | Path,
    *,
    size: int | None = None,
    engine: str | Engine = DEFAULT_ENGINE,
    identity: Mapping[str, Any] | None = None,
    propagate: bool = True,
    shots: Literal["auto", "none"] | Path | Sequence[Shot] = "auto",
    codec: CodecName = "h264",
    crf: int | None = None,
    start: float | None = None,
    end: float | None = None,
    chroma: ChromaFormat | None = None,
    upsample: UpsamplingQuality = "fast",
    saturation: float = 1.0,
    steady: bool = True,
    denoise_guide: bool = False,
    rate: Fraction | None = None,
    overwrite: bool = False,
    restart: bool = False,
    strict: bool = False,
    longest: int = MAX_SEGMENT_FRAMES,
    report: str | Path | None = None,
    overlay: str | Path | None = None,
    progress: Progress | None = None,
    looking: Progress | None = None,
    noting: Callable[[str], None] | None = None,
) -> Summary:
    """Colors a film from colored stills.

    Luma is passed through bit for bit; sound, subtitles, chapters, tags and frame times are kept. The output gets its
    name when it is complete; until then what was there before is untouched. A run that breaks off goes on from its last
    finished segment when it is called again in the same way; the film is the same then.

    Args:
        film: a film file, a folder of images or a pattern such as ``frame_%06d.png``.
        references: colored stills or folders of them, of any size and shape; transparent areas mean "no color given
            here". Names may say which frame or time one belongs to (``kinemacolor.references.placement``).
        output: ``.mp4``, ``.mkv`` or ``.mov``, a folder or a pattern.
        size: short side in pixels at which the network sees the film; None for about 384 × 216 pixels in area.
        engine: name of an engine, or an engine.
        identity: what tells this engine from others, JSON-ready, where an engine is given: goes on are only made with
            the same one.
        propagate: carry the references' colors along the optical flow as well (engines that can).
        shots: ``auto`` finds cuts; ``none`` takes the film for one shot; or a list's path, or the shots.
        codec: ``h264``, ``h265``, ``prores`` or ``ffv1``.
        crf: quality of h264 and h265, lower is better; None for visually lossless.
        start: seconds from the film's first frame; None for its beginning.
        end: seconds, not included; None for its end.
        chroma: subsampling of the output; None keeps the film's, and gives 4:2:0 to a gray film.
        upsample: ``fast`` or ``best``, of chroma.
        saturation: factor on the colors; 1 leaves them as they are.
        steady: hold colors still over time where the picture is still, against the shimmer of grain and flicker.
        denoise_guide: show the network the film with less grain and flicker; the written luma stays untouched.
        rate: frames a second of a folder of images; None for 24.
        overwrite: replace an existing output.
        restart: begin anew where an earlier run broke off.
        strict: fail where a stream of the film cannot be kept, instead of warning.
        longest: frames of a segment at most, that is, of work lost where a run is killed.
        report: an HTML page that tells where references helped and where more would; beside it, the same as JSON.
        overlay: a small film of the confidence in each region, ``.mp4``, ``.mkv`` or ``.mov``.
        progress: called after each frame with the number done and the number of all. Where a shot is colored from both
            sides, each pass through a frame counts half.
        looking: called during the first look with the number of frames seen and expected, None where unknown.
        noting: told in a sentence, before the work on a long film begins, how much room it will take.

    Returns:
        A ``Summary``. Its ``damage`` tells whether the film broke off before its end.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy.
    """
    begin, clock, output = time.perf_counter(), StageTimer(), Path(output)
    _check_arguments(size, start, end, saturation)
    files = _reference_files(references)
    with _reachable(output, OutputError):
        check_destination(output, source=film, codec=codec, overwrite=overwrite)
    _check_extras(report, overlay, overwrite)
    stills = [read_reference(file) for file in files]
    with _reachable(film, InputError):
        reader = VideoReader(film, rate=rate)
    info = reader.info
    aspect = float(info.width * info.sample_aspect_ratio) / info.height
    shape = network_size(aspect, 1, side=size)
    runner = open_engine(engine, propagation="full" if propagate else "off") if isinstance(engine, str) else engine
    encoding = plan_output(output, info, chroma=chroma, codec=codec, crf=crf)
    if image_target(output) is None:  # what cannot be kept is refused now, not after the work is done
        check_muxing(output, info, encoding, strict=strict)
    known = [to_reference(one, shape, info.coding.matrix, aspect=aspect, rotation=info.rotation) for one in stills]
    look = RenderSettings(
        shape, encoding, upsample, saturation, ChromaTemporalFilter() if steady else None, denoise_guide
    )
    settings = {
        **{"shape": shape, "encoding": [encoding.pixel_format, encoding.options], "codec": codec},
        **{"start": _seconds(start), "end": _seconds(end), "rate": str(rate), "longest": longest},
        **{"upsample": upsample, "saturation": saturation, "steady": steady, "denoise_guide": denoise_guide},
    }
    who = identity or {"name": runner.name, "block_size": runner.block_size, "propagate": propagate}
    told = run_fingerprint(film, files, who, shots, settings)
    with WorkDir(output, told, restart=restart) as job:
        found = job.load_analysis()
        if found is None:
            found = analyze_film(reader, start, end, shots, clock, looking)
            job.save_analysis(found)

        def open_film() -> VideoReader:
            return found.restore_frame_times(VideoReader(film, rate=rate))

        with open_film() as sampled:
            choice, plan = _planned(job, sampled, runner, known, files, found, shape, longest)
            if noting and not any(map(job.finished, plan.segments)):
                _note_space(noting, sampled, found, encoding, job)
        work = SegmentRunner(job, plan, look, runner, choice.unmirrored(known), clock, open_film, progress)
        resumed = int(work.done)
        work.color()
        confidence, regions = _confidence(job, plan)
        with clock.stage("join"):
            paths = [job.path(segment) for segment in plan.segments]
            options: dict[str, Any] = {"overwrite": overwrite, "strict": strict, "start": start, "end": end}
            warnings = join_segments(output, reader, paths, encoding, **options)
        warnings += choice.warnings(files)
        if overlay or report:
            with clock.stage("report"):
                if overlay:
                    write_overlay(Path(overlay), output, regions, info.rate)
                if report:
                    tell = _told_film(output, info, plan, files, found, confidence, warnings)
                    write_film_report(Path(report), tell, regions)
        job.remove()
    return Summary(
        output=output,
        frames=plan.frames,
        resumed=resumed,
        shots=len(plan.shots),
        size=(info.width, info.height),
        network_size=(shape[1], shape[0]),
        seconds=time.perf_counter() - begin,
        stage_seconds=dict(clock.seconds),
        confidence=float(confidence.mean()),
        warnings=tuple(warnings),
        damage=found.damage,
    )


# --- before the first segment --------------------


def _reference_files(
    references: str | Path | Sequence[str | Path | ReferenceFile],
) -> tuple[ReferenceFile, ...]:
    if isinstance(references, str | Path):
        references = [references]
    found: list[ReferenceFile] = []
    for one in references:
        found += [one] if isinstance(one, ReferenceFile) else reference_files([one])
    if not found:
        raise UsageError("--reference", "no colored still was given", "give at least one image")
    return tuple(found)


def _seconds(time: float | Fraction | None) -> float | None:
    return None if time is None else float(time)


def _check_arguments(size: int | None, start: float | None, end: float | None, saturation: float) -> None:
    if size is not None and not 32 <= size <= 2160:
        raise UsageError("--size", f"{size} is not a short side in pixels", "give 32 to 2160")
    for option, seconds in (("--start", start), ("--end", end)):
        if seconds is not None and not math.isfinite(seconds):
            raise UsageError(option, f"{seconds} is not a time", "give seconds")
    if not 0 <= saturation <= 4:
        raise UsageError("--saturation", f"{saturation} is not a factor on colors", "give 0 to 4; 1 changes nothing")


def _check_extras(report: str | Path | None, overlay: str | Path | None, overwrite: bool) -> None:
    for option, name, suffixes in (("--report", report, (".html",)), ("--overlay", overlay, tuple(CONTAINERS))):
        if name is None:
            continue
        path = Path(name)
        if path.suffix.lower() not in suffixes:
            raise UsageError(option, f"{path} has another extension", f"end it in {' or '.join(suffixes)}")
        if path.exists() and not overwrite:
            raise OutputError(path, "exists already", "give another name, or --overwrite")
        if not path.absolute().parent.is_dir():
            raise OutputError(path, "there is no such folder", "make it first")


@contextmanager
def _reachable(path: str | Path, kind: type[InputError] | type[OutputError]) -> Iterator[None]:
    """A path that the system does not even let one look at (too long, in a locked folder) is the user's to mend."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be reached ({error.strerror or error})"
        raise kind(path, problem, "check its name and the permissions of its folder") from error


def _planned(
    job: WorkDir,
    reader: VideoReader,
    engine: Engine,
    references: Sequence[Reference],
    files: Sequence[ReferenceFile],
    found: FilmAnalysis,
    shape: tuple[int, int],
    longest: int,
) -> tuple[ReferenceSelection, SegmentPlan]:
    """References bound, chosen for each shot, and the film divided."""

    def sample(index: int) -> FloatArray:
        (frame,) = reader.frames(first=index, last=index + 1)
        return network_lightness(frame, shape)

    bindings = bindings_within(files, found, reader.info)
    choice = job.load_selection()
    if choice is None:
        choice = select_references(engine, references, bindings, found.shots, sample)
        job.save_selection(choice)
    return choice, plan_segments(found.shots, bound_frames(bindings), choice.shots, max_segment_frames=longest)


def _note_space(
    noting: Callable[[str], None], reader: VideoReader, found: FilmAnalysis, encoding: Encoding, job: WorkDir
) -> None:
    """Tells how much room a long film will take."""
    space = estimate_disk_space(reader, found, encoding, job.folder)
    if space is not None:
        noting(str(space))


# --- after the last one --------------------


def _confidence(job: WorkDir, plan: SegmentPlan) -> tuple[FloatArray, Array]:
    """Of each frame (T,), and of its regions (T, rows, columns)."""
    records = [job.record(segment) for segment in plan.segments]
    confidence, regions = (np.concatenate([one[name] for one in records]) for name in ("confidence", "regions"))
    return confidence, regions


def _told_film(
    output: Path,
    info: VideoInfo,
    plan: SegmentPlan,
    files: Sequence[ReferenceFile],
    found: FilmAnalysis,
    confidence: FloatArray,
    warnings: Sequence[str],
) -> FilmReport:
    """What the report tells of the film."""
    names, bound = [file.path.name for file in files], bound_frames(bindings_within(files, found, info))
    numbers = found.numbers(info)
    return film_report(output, info.rate, plan, names, bound, confidence, warnings, found.first, numbers)
