"""``kinemacolor keyframes``: which frames to paint."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from kinemacolor.cli.colorize import DAMAGED, EventFormat
from kinemacolor.cli.drawing import run_drawn
from kinemacolor.core.errors import printable

KEYFRAMES_EXAMPLES = """
**Examples**

    kinemacolor keyframes film.mp4 --output paint/

    kinemacolor keyframes film.mp4 --output paint/ --budget 12

    kinemacolor keyframes film.mkv -o paint/ --shots shots.csv --threshold 0.8

The images are gray frames of the film, named by frame number; their names bind them once they are painted. Exit codes:
2 usage, 3 input (also where the film breaks off; what decodes was compared), 4 output, 130 interrupted.
"""


def keyframes(
    film: Annotated[str, typer.Argument(help="Film file, folder of images, or a pattern such as frame_%06d.png.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the frames.", show_default=False)],
    budget: Annotated[int | None, typer.Option(help="Paint at most this number of frames.", show_default=False)] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Support, in 0 to 1, that every frame should have.", show_default="0.55, or none with --budget"
        ),
    ] = None,
    shots: Annotated[
        str, typer.Option(help="Shot list (json, csv, edl), auto to find cuts, or none for one shot.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(help="Engine whose features are compared; `kinemacolor info` lists them.")
    ] = "matching",
    weights: Annotated[
        str | None,
        typer.Option(help="Weights of a trained network: a file for torch, a folder for onnx.", show_default=False),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Compare one frame in every N.", show_default="4, or more in long films")
    ] = None,
    working_size: Annotated[
        int | None, typer.Option(help="Short side at which frames are compared.", show_default="about 256×144 in area")
    ] = None,
    size: Annotated[int | None, typer.Option(hidden=True)] = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames a second of a film kept as images, as 18 or 24000/1001.")
    ] = None,
    stream: Annotated[
        int | None,
        typer.Option(help="Stream of the film's pictures, from 0.", show_default="that with the most frames"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier proposal in the folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the proposal as JSON.")] = False,
    events: Annotated[
        EventFormat | None, typer.Option(help="Print what happens as lines of JSON instead.", show_default=False)
    ] = None,
) -> None:
    """Propose the fewest frames of FILM to paint so that every frame finds its colors in one, and export them."""
    from kinemacolor.pipeline.keyframes_job import KeyframesJob, KeyframesSpec

    if size is not None:
        print("kinemacolor: --size is now --working-size; use the new name", file=sys.stderr)
    spec = KeyframesSpec(
        film=film,
        output=output,
        budget=budget,
        threshold=threshold,
        shots=shots,
        engine=engine,
        weights=weights,
        every=every,
        working_size=size if working_size is None else working_size,
        fps=fps,
        stream=stream,
        overwrite=overwrite,
    )
    proposed = run_drawn(KeyframesJob(spec), quiet=quiet or as_json, raw=events is not None)
    if events is None:
        if as_json:
            print(json.dumps(proposed.record(), indent=2))
        elif not quiet:
            print(proposed)
    if proposed.damage:
        print(printable(f"{film}: {proposed.damage}; what decodes was compared"), file=sys.stderr)
        raise typer.Exit(DAMAGED)
