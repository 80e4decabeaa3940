"""The progress line of commands that send no events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kinemacolor.core.progress import ProgressCallback


@contextmanager
def progress_line(task: str, *, hidden: bool, unit: str = "fps") -> Iterator[ProgressCallback | None]:
    """A progress line on standard error: what is done of how much, how much a second, time left.

    Yields a function of (done, total), or None where the line is hidden.
    """
    if hidden:
        yield None
        return
    from kinemacolor.cli.drawing import EventDrawing
    from kinemacolor.core.job_context import JobContext

    with EventDrawing(unit=unit) as drawing:
        yield JobContext(drawing.draw).progress(task)
