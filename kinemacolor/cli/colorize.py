"""``kinemacolor colorize``: a film in color."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinemacolor.cli.drawing import EventDrawing, run_drawn
from kinemacolor.cli.options import job_command
from kinemacolor.core.errors import UsageError, printable

if TYPE_CHECKING:
    from pathlib import Path

    from kinemacolor.pipeline.job_spec import JobSpec
    from kinemacolor.pipeline.project import Project

DAMAGED = 3
"""Exit code where the input broke off: the output is complete as far as it goes."""
PREVIEW_STEP_TEXT = "48"

COLORIZE_EXAMPLES = """
**Examples**

    kinemacolor colorize film.mp4 --reference still.png -o film-color.mp4

    kinemacolor colorize film.mkv -r girl.png -r street.jpg -o color.mkv --codec ffv1

    kinemacolor colorize scans/frame_%06d.png -r still.png -o color/ --fps 18

    kinemacolor colorize film.mp4 -r still.png -o try.mp4 --start 60 --end 70

Transparent areas of a still mean "no color given here". Exit codes: 2 usage, 3 input, 4 output, 130 interrupted.
"""


class EventFormat(StrEnum):
    """Formats of ``--events``."""

    jsonl = "jsonl"


def _colorize(
    fields: dict[str, Any],
    settings: dict[str, Any],
    project: Annotated[
        str | None, typer.Option(help="TOML file with all of this; options given here win.", show_default=False)
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Color single frames, small, and write them as a sheet (*.png, *.jpg).")
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(help="With --preview: color one frame in every N of each shot.", show_default=PREVIEW_STEP_TEXT),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    events: Annotated[
        EventFormat | None, typer.Option(help="Print what happens as lines of JSON instead.", show_default=False)
    ] = None,
) -> None:
    """Color FILM from colored stills; luma, sound, subtitles and timing stay as they are.

    A run that is interrupted goes on from where it was when the same command is given again.
    """
    from kinemacolor.pipeline.job import Job
    from kinemacolor.pipeline.project import Project, job_spec, read_project

    if every is not None and not preview:
        raise UsageError("every", "goes with `preview`", "give both, or leave it out")
    source = read_project(project) if project else Project()
    if preview:
        source = _for_preview(source, project)
    spec = job_spec(source, fields, settings)
    raw = events is not None
    if preview:
        _preview(spec, every, quiet=quiet or as_json, as_json=as_json, raw=raw)
        return
    try:
        summary = run_drawn(Job(spec), quiet=quiet or as_json, raw=raw)
    except KeyboardInterrupt:
        _tell_what_is_kept(spec.output)
        raise
    if as_json and not raw:
        print(json.dumps(summary.record(), indent=2))
    elif not quiet and not raw:
        print(summary)
    if summary.damage:
        print(printable(f"{spec.film}: {summary.damage}; what decodes was colored"), file=sys.stderr)
        raise typer.Exit(DAMAGED)


colorize = job_command(_colorize)
colorize.__name__ = "colorize"


def _for_preview(source: Project, file: str | None) -> Project:
    """The project without what a preview cannot use, of which the user is told."""
    from kinemacolor.pipeline.preview import without_unused

    kept, unused = without_unused(source)
    if unused:
        print(f"warning: {file}: a preview does not use {', '.join(unused)}", file=sys.stderr)
    return kept


def _preview(spec: JobSpec, every: int | None, *, quiet: bool, as_json: bool, raw: bool) -> None:
    """Writes a sheet in place of a film."""
    from kinemacolor.pipeline.job import Job
    from kinemacolor.pipeline.preview import PREVIEW_STEP

    job = Job(spec)
    with EventDrawing(quiet=quiet, raw=raw) as drawing:
        job.listen(drawing.draw)
        result = job.preview(PREVIEW_STEP if every is None else every)
    if as_json and not raw:
        print(json.dumps(result.record(), indent=2))
    elif not quiet and not raw:
        print(result)


def _tell_what_is_kept(output: Path) -> None:
    from kinemacolor.pipeline.workdir import work_folder

    kept = work_folder(output)
    if kept.exists():
        print(f"what is finished is kept in {kept}; give the same command again to resume", file=sys.stderr)
