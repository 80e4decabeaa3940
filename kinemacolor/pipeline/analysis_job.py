"""The first pass through a film as a job with events, whose result is kept in a file."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from kinemacolor.core.errors import InputError
from kinemacolor.core.events import JobKind
from kinemacolor.pipeline.analysis import FilmAnalysis, ShotChoice, analyze_film
from kinemacolor.pipeline.analysis_io import write_analysis
from kinemacolor.pipeline.event_job import EventJob
from kinemacolor.pipeline.film_images import missing_remarks
from kinemacolor.pipeline.prepared_film import reachable
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.reader import VideoReader


@dataclass(frozen=True, slots=True, eq=False)
class AnalyzedFrames:
    """A film that was analyzed.

    Attributes:
        output: file that holds the analysis.
        analysis: frames, times and shots.
    """

    output: Path
    analysis: FilmAnalysis

    def record(self) -> dict[str, Any]:
        """As JSON-ready values."""
        analysis = self.analysis
        facts = {"frames": analysis.frames, "shots": len(analysis.shots), "damage": analysis.damage}
        return {"output": str(self.output), **facts}


class AnalysisJob(EventJob[AnalyzedFrames]):
    """Reads every frame of a film and finds its shots.

    Args:
        film: file, folder of images, or pattern.
        output: file that keeps the analysis; its folder exists.
        shots: found, or those of a list; see ``analyze_film``.
        rate: frames a second of a film kept as images.
        stream: of the film's pictures.
    """

    kind: ClassVar[JobKind] = "analyze"

    def __init__(
        self,
        film: Path,
        output: Path,
        *,
        shots: ShotChoice = "auto",
        rate: Fraction | None = None,
        stream: int | None = None,
    ) -> None:
        super().__init__(film, output)
        self._shots, self._rate, self._stream = shots, rate, stream

    def _work(self) -> AnalyzedFrames:
        context = self._context
        with reachable(self._film, InputError):
            reader = VideoReader(self._film, rate=self._rate, stream=self._stream)
        with reader:
            for remark in (*reader.info.remarks, *missing_remarks(reader.info, strict=False)):
                context.warn(remark)
            analysis = analyze_film(reader, shots=self._shots, progress=context.progress("analyze"))
        if analysis.remark:
            context.warn(analysis.remark)
        try:
            write_analysis(self._output, analysis)
        except OSError as error:
            raise output_error(self._output, error) from error
        return AnalyzedFrames(self._output, analysis)
