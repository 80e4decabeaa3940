"""``kinemacolor shots``: where a film's cuts are, as a table, as lists and as a contact sheet."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinemacolor.cli.colorize import DAMAGED
from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import OutputError, printable

if TYPE_CHECKING:
    from kinemacolor.core.shot import Shot

SHOTS_EXAMPLES = """
**Examples**

    kinemacolor shots film.mp4

    kinemacolor shots film.mp4 -o shots.csv --sheet shots.png

    kinemacolor shots scans/frame_%06d.png --fps 18 -o shots.json -o shots.edl

A list that was corrected by hand can be given to colorize with --shots. Exit codes: 2 usage, 3 input, 4 output.
"""


def shots(
    film: Annotated[str, typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.")],
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="*.json, *.csv or *.edl; may be repeated.", show_default="a table"),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(help="*.png or *.jpg: each shot's first, middle and last frame.", show_default=False)
    ] = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames a second of a film kept as images, as 18 or 24000/1001.")
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(help="Stream of the film's pictures, from 0.", show_default="that with the most frames"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Find FILM's shots: cuts, fades and dissolves, in color or black and white."""
    from kinemacolor.pipeline.analysis import analyze_film
    from kinemacolor.pipeline.settings import ColorizeSettings
    from kinemacolor.report.contact_sheet import SHEET_SUFFIXES, write_contact_sheet
    from kinemacolor.report.shot_sheet import shot_sheet
    from kinemacolor.shots.lists import LIST_SUFFIXES, shot_record, write_shots
    from kinemacolor.video.reader import VideoReader

    for file in output or ():
        check_file(Path(file), LIST_SUFFIXES, film, overwrite)
    if sheet is not None:
        check_file(Path(sheet), SHEET_SUFFIXES, film, overwrite)
    reader = VideoReader(film, rate=ColorizeSettings(fps=fps).fps, stream=stream)
    for remark in reader.info.remarks:
        print(printable(f"warning: {remark}"), file=sys.stderr)
    hidden = quiet or as_json
    with progress_line("finding shots", hidden=hidden) as progress:
        analysis = analyze_film(reader, progress=progress)
    film_shots, gray = analysis.shots, analysis.neutral_shots
    damage, rate, name = reader.damage, reader.info.rate, Path(film).name
    for file in output or ():
        write_shots(file, film_shots, rate, name, gray)
    if sheet is not None:
        with progress_line("drawing the sheet", hidden=hidden) as progress:
            write_contact_sheet(sheet, shot_sheet(reader, film_shots, progress))
    if as_json:
        record = {**shot_record(film_shots, rate, name, gray), "damage": damage}
        print(json.dumps(record, indent=2, ensure_ascii=False))
    elif not output:
        print(shot_table(film_shots, float(rate), gray))
    elif not quiet:
        print(f"{film}: {len(film_shots)} shot{'' if len(film_shots) == 1 else 's'}, listed in {', '.join(output)}")
    if damage:
        print(printable(f"{film}: {damage}; the shots are those of what decodes"), file=sys.stderr)
        raise typer.Exit(DAMAGED)


def check_file(path: Path, suffixes: Sequence[str], film: str, overwrite: bool) -> None:
    """Checks, before any work is done, that a file can be written.

    Raises:
        OutputError: another suffix, a folder that is missing or locked, or a file that exists or is the film.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(path, "is not a kind of file that can be written here", f"use {', '.join(suffixes)}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OutputError(folder, "there is no such folder", "make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "writing into it is not permitted", "choose another folder")
    if path.is_dir():
        raise OutputError(path, "is a folder", "give the name of a file")
    if path.exists() and Path(film).exists() and os.path.samefile(path, film):
        raise OutputError(path, "is the film that is read", "give another name")
    if path.exists() and not overwrite:
        raise OutputError(path, "exists already", "give another name, or `overwrite`")


def shot_table(shots: Sequence[Shot], rate: float, gray: Collection[int] = ()) -> str:
    """The shots as aligned text; ``gray`` are the indices of those that stay gray."""
    lines = [f"{'shot':>5}{'first':>9}{'last':>9}{'time':>14}{'length':>11}"]
    for number, shot in enumerate(shots, start=1):
        assert shot.stop is not None
        minutes, seconds = divmod(round(1000 * shot.start / rate), 60_000)
        time = f"{minutes // 60}:{minutes % 60:02}:{seconds / 1000:06.3f}"
        length = (shot.stop - shot.start) / rate
        note = "  stays gray" if number - 1 in gray else ""
        lines.append(f"{number:5}{shot.start:9}{shot.stop - 1:9}{time:>14}{length:9.2f} s{note}")
    return "\n".join(lines)
