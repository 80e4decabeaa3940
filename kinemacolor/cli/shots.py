"""``kinemacolor shots``: where a film's cuts are, as a table, as lists and as a contact sheet."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinemacolor.cli.colorize import DAMAGED, _rate
from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import OutputError

if TYPE_CHECKING:
    from kinemacolor.core.types import Array, FloatArray, Shot
    from kinemacolor.video.reader import VideoReader

    Progress = Callable[[int, int | None], None]

EXAMPLES = """
**Examples**

    kinemacolor shots film.mp4

    kinemacolor shots film.mp4 -o shots.csv --sheet shots.png

    kinemacolor shots scans/frame_%06d.png --fps 18 -o shots.json -o shots.edl

A list that was corrected by hand can be given to colorize with --shots. Exit codes: 2 usage, 3 input, 4 output.
"""

ROW, WIDTHS = 6, (240, 160, 120)
"""Pictures in a row of a sheet, and their width, by how many times a row is as long for a film of many shots."""


def shots(
    film: Annotated[str, typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.")],
    output: Annotated[
        list[str] | None,
        typer.Option("--output", "-o", help="*.json, *.csv or *.edl; give it again for more.", show_default="a table"),
    ] = None,
    contact_sheet: Annotated[
        str | None, typer.Option(help="*.png or *.jpg: each shot's first, middle and last frame.", show_default=False)
    ] = None,
    fps: Annotated[str | None, typer.Option(help="Rate of a folder of images, as 18 or 24000/1001.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """Find FILM's shots: cuts, fades and dissolves, in color or black and white."""
    from kinemacolor.report import contact_sheet as sheets
    from kinemacolor.shots import lists as shot_lists
    from kinemacolor.video.reader import VideoReader

    for file in output or ():
        check_file(Path(file), shot_lists.SUFFIXES, film, overwrite)
    if contact_sheet is not None:
        check_file(Path(contact_sheet), sheets.IMAGE_SUFFIXES, film, overwrite)
    reader = VideoReader(film, rate=_rate(fps))
    with progress_line("looking for cuts", hidden=quiet or as_json) as advance:
        found = film_shots(reader, advance)
    damage, rate, name = reader.damage, reader.info.rate, Path(film).name
    for file in output or ():
        shot_lists.write_shots(file, found, rate, name)
    if contact_sheet is not None:
        with progress_line("drawing the sheet", hidden=quiet or as_json) as advance:
            sheets.write_contact_sheet(contact_sheet, film_sheet(reader, found, advance))
    if as_json:
        print(json.dumps({**shot_lists.shot_record(found, rate, name), "damage": damage}, indent=2, ensure_ascii=False))
    elif not output:
        print(table(found, float(rate)))
    elif not quiet:
        print(f"{film}: {len(found)} shot{'' if len(found) == 1 else 's'}, listed in {', '.join(output)}")
    if damage:
        print(f"{film}: {damage}; the shots are those of what decodes", file=sys.stderr)
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
        raise OutputError(path, "exists already", "give another name, or --overwrite")


def film_shots(reader: VideoReader, advance: Progress | None) -> tuple[Shot, ...]:
    """The shots of a film; decoding runs beside the search."""
    from contextlib import closing

    from kinemacolor.core.pipelining import prefetch
    from kinemacolor.shots.detection import find_shots, thumbnail

    def thumbnails() -> Generator[FloatArray, None, None]:
        for frame in reader.frames():
            yield thumbnail(frame.luma, frame.coding.maximum)

    def tell(done: int) -> None:
        if advance:
            advance(done, reader.info.frames)

    with closing(prefetch(thumbnails())) as lumas:
        return find_shots(lumas, tell)


def film_sheet(reader: VideoReader, found: Sequence[Shot], advance: Progress | None) -> Array:
    """The sheet of first, middle and last frames, from another pass through the film; as a viewer sees them, gray."""
    import cv2
    import numpy as np

    from kinemacolor.core.color import codes_to_luma
    from kinemacolor.report.contact_sheet import contact_sheet

    times = max(1, math.ceil(math.sqrt(len(found) / 60)))
    width = WIDTHS[min(times, len(WIDTHS)) - 1]
    wanted = {frame for shot in found for frame in _shown(shot)}
    info = reader.info
    pictures: dict[int, Array] = {}
    for frame in reader.frames():
        if frame.index in wanted:
            across = round(frame.luma.shape[1] * info.sample_aspect_ratio)
            size = (2 * width, max(1, round(frame.luma.shape[0] * 2 * width / across)))
            small = cv2.resize(codes_to_luma(frame.luma, info.coding), size, interpolation=cv2.INTER_AREA)
            gray = np.rint(small * 255).astype(np.uint8)
            pictures[frame.index] = np.rot90(gray, -info.rotation // 90)
        if advance:
            advance(frame.index + 1, info.frames)
    rows = [(f"{n}: {k}", pictures[k]) for n, shot in enumerate(found, start=1) for k in _shown(shot)]
    return contact_sheet(rows, ROW * times, width)


def _shown(shot: Shot) -> tuple[int, int, int]:
    assert shot.stop is not None
    return shot.start, (shot.start + shot.stop - 1) // 2, shot.stop - 1


def table(found: Sequence[Shot], rate: float) -> str:
    """The shots as aligned text."""
    lines = [f"{'shot':>5}{'first':>9}{'last':>9}{'time':>14}{'length':>11}"]
    for number, shot in enumerate(found, start=1):
        first, _, last = _shown(shot)
        minutes, seconds = divmod(round(1000 * first / rate), 60_000)
        time = f"{minutes // 60}:{minutes % 60:02}:{seconds / 1000:06.3f}"
        lines.append(f"{number:5}{first:9}{last:9}{time:>14}{(last + 1 - first) / rate:9.2f} s")
    return "\n".join(lines)
