"""``kinemacolor explain``: what the engine chose from in one frame of a film."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kinemacolor.cli.drawing import EventDrawing
from kinemacolor.cli.options import job_command

EXPLAIN_EXAMPLES = """
**Examples**

    kinemacolor explain film.mp4 --frame 120 -r still.png -o frame-120.jpg

    kinemacolor explain film.mp4 --frame 120 -r still.png -o heads.png --engine torch --weights network.safetensors

The sheet shows W1 and W2, the colors that the two heads take from the still, with their similarities S1 and S2; P, the
colors propagated along the optical flow, with s_P; at each pixel the candidate that the result is nearest to; and the
result. The film is colored for 8 seconds before and after the frame, or from --start to --end.
"""


def _explain(
    fields: dict[str, Any],
    settings: dict[str, Any],
    frame: Annotated[int, typer.Option(help="Number of the frame, from 0.", show_default=False)],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Show what the engine chose from in one frame of FILM: warped colors, similarities, and which won where."""
    from kinemacolor.pipeline.explain import explain_frame
    from kinemacolor.pipeline.project import Project, job_spec

    spec = job_spec(Project(), fields, settings)
    with EventDrawing(quiet=quiet, raw=False) as drawing:
        explained = explain_frame(spec, frame, drawing.draw)
    if not quiet:
        print(explained)


explain = job_command(_explain)
explain.__name__ = "explain"
