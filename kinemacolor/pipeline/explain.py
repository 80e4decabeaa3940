"""One frame of a film explained: what the engine chose from there, in a job like the one that colors the film."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.events import AnyEvent
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.explanation import Explanation
from kinemacolor.filters.denoise import denoise
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.prepared_film import engine_of, reachable
from kinemacolor.references.size import network_lightness
from kinemacolor.report.candidates import candidate_pictures
from kinemacolor.report.contact_sheet import SHEET_SUFFIXES, contact_sheet, write_contact_sheet
from kinemacolor.video.frame_lookup import FrameLookup
from kinemacolor.video.reader import VideoReader

EXPLAINED_SPAN = 8
"""Seconds of the film before and after the frame that are colored with it, unless the settings name others."""


@dataclass(frozen=True, slots=True)
class ExplainedFrame:
    """A frame and its sheet.

    Attributes:
        output: the sheet.
        frame: its number in the film.
        shares: of the candidates, of the pixels whose color is nearest theirs.
    """

    output: Path
    frame: int
    shares: dict[str, float]

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {100 * share:.0f} %" for name, share in self.shares.items())
        return f"{self.output}: frame {self.frame}, nearest to {shares}"


def explain_frame(spec: JobSpec, frame: int, listen: Callable[[AnyEvent], None] | None = None) -> ExplainedFrame:
    """Colors the film around a frame as a job does, and writes a sheet of the frame's candidates to the job's output.

    Args:
        spec: of the job; ``output`` is the sheet. Without a range, ``EXPLAINED_SPAN`` seconds before and after the
            frame are colored.
        frame: number of the frame in the film.
        listen: receives the job's events.

    Raises:
        UsageError: the output is no sheet, there is no such frame, or the engine has no candidates.
        InputError, OutputError: as for a job.
    """
    _check(spec, frame)
    engine = engine_of(spec.settings)
    if not hasattr(engine, "observer"):
        raise UsageError("engine", f"{spec.settings.engine} has no candidates to show", "choose another engine")
    with reachable(spec.film, InputError):
        reader = VideoReader(spec.film, rate=spec.settings.fps, stream=spec.settings.stream)
    with reader, FrameLookup(reader) as lookup:
        try:
            wanted = lookup.frame(frame)
        except (UsageError, InputError) as error:
            raise UsageError("frame", f"{spec.film} has no frame {frame}", "give the number of a frame") from error
        seconds = wanted.time - reader.info.first_time
        found: list[Explanation] = []

        def observe(block: FloatArray, explain: Callable[[], Explanation]) -> None:
            image = network_lightness(wanted, (block.shape[1], block.shape[2]))
            images = [image, denoise(image)[0]] if spec.settings.denoise_input else [image]
            for index, lightness in enumerate(block):
                if any(np.array_equal(lightness, each) for each in images):
                    found.append(explain().frame(index))

        engine.observer = observe
        with tempfile.TemporaryDirectory(prefix="kinemacolor-") as folder:
            changes = _range(spec, seconds)
            settings = spec.settings.model_copy(update=changes)
            short = spec.model_copy(update={"output": Path(folder) / "film.mkv", "settings": settings})
            job = Job(short, engine=engine)
            if listen:
                job.listen(listen)
            job.run()
    if not found:
        raise UsageError(
            "frame", f"frame {frame} is not colored: it is in no shot, or its shot stays gray", "give another"
        )
    explanation = found[-1]
    write_contact_sheet(spec.output, contact_sheet(candidate_pictures(explanation), columns=4))
    nearest = explanation.nearest()
    shares = {each.name: float((nearest == number).mean()) for number, each in enumerate(explanation.candidates)}
    return ExplainedFrame(spec.output, frame, shares)


def _check(spec: JobSpec, frame: int) -> None:
    if frame < 0:
        raise UsageError("frame", f"{frame} is not the number of a frame", "give 0 or more")
    if spec.output.suffix.lower() not in SHEET_SUFFIXES:
        raise UsageError(spec.output, "is no name for a sheet", f"end it in {' or '.join(SHEET_SUFFIXES)}")
    if spec.output.exists() and not spec.overwrite:
        raise OutputError(spec.output, "exists already", "give another name, or `overwrite`")


def _range(spec: JobSpec, seconds: Fraction) -> dict[str, Any]:
    """Changes to the settings: what is colored, and how it is written."""
    changes: dict[str, Any] = {"codec": "ffv1"}
    if spec.settings.start is None and spec.settings.end is None:
        changes["start"] = max(Fraction(0), seconds - EXPLAINED_SPAN) or None
        changes["end"] = seconds + EXPLAINED_SPAN
    return changes
