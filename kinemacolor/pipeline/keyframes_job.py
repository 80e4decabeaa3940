"""Which frames of a film to paint, as a job with events: analyze the film, compare its frames, choose, export."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, ValidationError

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import JobKind
from kinemacolor.core.job_context import JobContext
from kinemacolor.core.limits import MAXIMUM_SIDE, MINIMUM_SIDE
from kinemacolor.core.shot import Shot
from kinemacolor.core.validation import fault_lines
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import open_engine
from kinemacolor.keyframes.export import check_export_folder, export_proposal, proposal_record
from kinemacolor.keyframes.proposal import Proposal
from kinemacolor.keyframes.sampling import COMPARED_AREA, sample_frames, sampled_features
from kinemacolor.keyframes.search import propose
from kinemacolor.pipeline.analysis import FilmAnalysis, analyze_film
from kinemacolor.pipeline.event_job import EventJob
from kinemacolor.pipeline.film_images import missing_remarks
from kinemacolor.pipeline.job_spec import FilePath, Shots
from kinemacolor.pipeline.prepared_film import reachable
from kinemacolor.pipeline.settings import EngineName, FramesPerSecond, PathText, StrictRecord
from kinemacolor.references.size import network_size, picture_aspect
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.reader import VideoReader

_NAMED = 6  # shots that a line names


class KeyframesSpec(StrictRecord):
    """What key frames are proposed for.

    Raises:
        UsageError: a name is unknown, or a value is of the wrong kind or range; one line.
    """

    film: FilePath
    """Film file, folder of images, or a pattern such as frame_%06d.png."""
    output: FilePath
    """Folder for the frames."""
    budget: Annotated[int | None, Field(ge=1)] = None
    """Paint at most this number of frames."""
    threshold: Annotated[float | None, Field(gt=0, le=1)] = None
    """Support, in 0 to 1, that every frame should have."""
    shots: Shots = "auto"
    """Shot list (json, csv, edl), auto to find cuts, or none for one shot."""
    engine: EngineName = "matching"
    """Engine whose features are compared."""
    weights: PathText | None = None
    """Weights of a trained network: a file for torch, a folder for onnx."""
    every: Annotated[int | None, Field(ge=1)] = None
    """Compare one frame in every N."""
    working_size: Annotated[int | None, Field(ge=MINIMUM_SIDE, le=MAXIMUM_SIDE)] = None
    """Short side in pixels at which frames are compared."""
    fps: FramesPerSecond | None = None
    """Frames a second of a film kept as images."""
    stream: Annotated[int | None, Field(ge=0)] = None
    """Stream of the film's pictures, from 0, where a file holds several."""
    overwrite: bool = False
    """Replace an earlier proposal in the folder."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            name, _, problem = fault_lines(error, type(self))[0].partition(": ")
            raise UsageError(name, problem, "see kinemacolor keyframes --help") from error


@dataclass(frozen=True, slots=True, eq=False)
class Keyframes:
    """Key frames that were proposed and exported.

    Attributes:
        folder: that holds them, or the file that does.
        proposal: which frames, and why.
        damage: None, or where and how the film broke off; what decodes was compared.
    """

    folder: Path
    proposal: Proposal
    damage: str | None
    _record: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """As JSON-ready values; the same as the folder's ``proposal.json``."""
        return self._record

    def __str__(self) -> str:
        proposal, count = self.proposal, len(self.proposal.picks)
        painted = sum(1 for shot in proposal.shots if shot.picks)
        text = (
            f"{self.folder}: {count} frame{'s' * (count != 1)} to paint, in {painted} of {len(proposal.shots)} shots; "
            f"mean support {proposal.support:.2f}, {proposal.share:.0%} of the picture at {proposal.threshold:g} or "
            f"more"
        )
        if proposal.met:
            return text
        weakest = min(proposal.shots, key=lambda shot: shot.lowest)
        advice = "a larger budget helps there first"
        return f"{text}\nweakest: frame {weakest.weakest}, {weakest.lowest:.2f}; {advice}"


def _shots_to_paint(film: Path, analysis: FilmAnalysis, context: JobContext) -> list[Shot]:
    """The shots that are to be colored; the others are told.

    Raises:
        InputError: there is none.
    """
    gray = analysis.neutral_shots
    shots = [shot for number, shot in enumerate(analysis.shots) if number not in gray]
    if not shots:
        problem = "shows nothing but title cards, blank leader, and shots that are marked as gray"
        raise InputError(film, problem, "say in a shot list which are to be colored (neutral: no)")
    if gray:
        named = ", ".join(str(number + 1) for number in gray[:_NAMED])
        more = f" and {len(gray) - _NAMED} more" if len(gray) > _NAMED else ""
        what = f"shot {named} stays" if len(gray) == 1 else f"shots {named}{more} stay"
        remedy = "to paint one, give a shot list that says neutral: no"
        context.warn(f"{film}: {what} gray (title cards, blank leader, or marked); {remedy}")
    return shots


def propose_for_film(
    reader: VideoReader, engine: Engine, analysis: FilmAnalysis, spec: KeyframesSpec, context: JobContext
) -> tuple[Proposal, dict[str, Any]]:
    """The frames of an analyzed film to paint, and their record.

    Args:
        reader: of the film.
        engine: its features are compared.
        analysis: of the film.
        spec: budget, threshold, and how many frames are compared at which size.
        context: takes events.

    Raises:
        InputError: no shot is to be colored.
    """
    shape = network_size(picture_aspect(reader.info), 1, area=COMPARED_AREA, side=spec.working_size)
    indices = sample_frames(_shots_to_paint(spec.film, analysis, context), spec.every)
    features = sampled_features(reader, engine, indices, shape, context.progress("extract features"))
    proposal = propose(
        features,
        indices,
        analysis.shots,
        threshold=spec.threshold,
        budget=spec.budget,
        progress=context.progress("compare"),
    )
    facts = {"film": str(spec.film), "engine": engine.name, "size": [shape[1], shape[0]]}
    return proposal, {**facts, **proposal_record(proposal, reader.info, analysis.numbers(reader.info))}


class ProposalJob(EventJob[Keyframes]):
    """Proposes frames of an analyzed film and keeps them in a file; nothing is exported.

    Args:
        spec: what is to be done; its output is the file.
        analysis: of the film.
    """

    kind: ClassVar[JobKind] = "keyframes"

    def __init__(self, spec: KeyframesSpec, analysis: FilmAnalysis) -> None:
        super().__init__(spec.film, spec.output)
        self.spec, self._analysis = spec, analysis

    def _work(self) -> Keyframes:
        spec = self.spec
        engine = open_engine(spec.engine, weights=spec.weights)
        with reachable(spec.film, InputError):
            reader = VideoReader(spec.film, rate=spec.fps, stream=spec.stream)
        with self._analysis.restore_frame_times(reader):
            proposal, record = propose_for_film(reader, engine, self._analysis, spec, self._context)
        try:
            with atomic_write(spec.output) as part:
                part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise output_error(spec.output, error) from error
        return Keyframes(spec.output, proposal, self._analysis.damage, record)


class KeyframesJob(EventJob[Keyframes]):
    """Proposes the fewest frames of a film to paint so that every frame finds its colors in one, and exports them.

    Args:
        spec: what is to be done.
    """

    kind: ClassVar[JobKind] = "keyframes"

    def __init__(self, spec: KeyframesSpec) -> None:
        super().__init__(spec.film, spec.output)
        self.spec = spec

    def _work(self) -> Keyframes:
        spec, context = self.spec, self._context
        check_export_folder(spec.output, spec.film, spec.overwrite)
        engine = open_engine(spec.engine, weights=spec.weights)
        with reachable(spec.film, InputError):
            reader = VideoReader(spec.film, rate=spec.fps, stream=spec.stream)
        with reader:
            info = reader.info
            for remark in (*info.remarks, *missing_remarks(info, strict=False)):
                context.warn(remark)
            analysis = analyze_film(reader, shots=spec.shots, progress=context.progress("analyze"))
            damage = reader.damage  # later passes may end before they meet it
            proposal, record = propose_for_film(reader, engine, analysis, spec, context)
            numbers = analysis.numbers(info)
            export_proposal(
                reader,
                proposal,
                spec.output,
                record,
                numbers,
                overwrite=spec.overwrite,
                progress=context.progress("export"),
            )
        return Keyframes(spec.output, proposal, damage, record)
