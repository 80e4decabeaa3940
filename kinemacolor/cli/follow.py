"""``kinemacolor follow``: watches a job that another process runs."""

from __future__ import annotations

from typing import Annotated

import typer

from kinemacolor.cli.colorize import EventFormat
from kinemacolor.cli.drawing import draw_events


def follow(
    output: Annotated[str, typer.Argument(help="The film that another kinemacolor is making.")],
    events: Annotated[
        EventFormat | None, typer.Option(help="Print what happens as lines of JSON instead.", show_default=False)
    ] = None,
) -> None:
    """Watch a job that another process runs, or see what became of one that was killed."""
    from kinemacolor.core.errors import KinemacolorError
    from kinemacolor.core.events import CanceledEvent, FailedEvent, FinishedEvent
    from kinemacolor.pipeline.event_log import follow as follow_events

    raw = events is not None
    last = draw_events(follow_events(output), raw=raw)
    if isinstance(last, FailedEvent):
        error = KinemacolorError(last.subject, last.problem, last.remedy)
        error.exit_code = last.exit_code
        raise error
    if raw:
        return
    if isinstance(last, CanceledEvent):
        print(f"{output}: canceled" + (f"; what is finished is kept in {last.kept}" if last.kept else ""))
    elif isinstance(last, FinishedEvent):
        print(f"{output}: finished, {last.summary.get('frames')} frames")
