"""The progress line that long commands share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def progress_line(task: str, *, hidden: bool, unit: str = "fps") -> Iterator[Callable[[int, int | None], None] | None]:
    """A progress line on standard error: what is done of how much, how much a second, ETA.

    Yields a function of (done, total), or None where the line is hidden.
    """
    if hidden:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    bar = Progress(*columns, console=Console(stderr=True), speed_estimate_period=60)
    row = bar.add_task(task, total=None, rate="")
    try:

        def advance(done: int, total: int | None) -> None:
            bar.start()
            speed = bar.tasks[0].speed
            bar.update(
                row, completed=done, total=total and max(total, done), rate=f"{speed:.1f} {unit}" if speed else ""
            )

        yield advance
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
