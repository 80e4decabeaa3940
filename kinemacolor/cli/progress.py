"""The progress lines that long commands share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Advance = Callable[[int, int | None], None]


@contextmanager
def progress_line(task: str, *, hidden: bool, unit: str = "fps") -> Iterator[Advance | None]:
    """A progress line on standard error: what is done of how much, how much a second, ETA.

    Yields a function of (done, total), or None where the line is hidden.
    """
    with progress_lines(task, hidden=hidden, unit=unit) as (advance,):
        yield advance


@contextmanager
def progress_lines(*tasks: str, hidden: bool, unit: str = "fps") -> Iterator[tuple[Advance | None, ...]]:
    """A line for each of several tasks that follow one another; it appears when its task begins."""
    if hidden:
        yield (None,) * len(tasks)
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

    def line(task: str) -> Advance:
        row = bar.add_task(task, total=None, rate="", start=False, visible=False)

        def advance(done: int, total: int | None) -> None:
            shown = bar.tasks[row]
            if not shown.started:  # what was done before it began tells nothing of its speed
                bar.start()
                bar.start_task(row)
                bar.update(row, visible=True)
            rate = f"{shown.speed:.1f} {unit}" if shown.speed else ""
            bar.update(row, completed=done, total=total and max(total, done), rate=rate)

        return advance

    try:
        yield tuple(line(task) for task in tasks)
    finally:
        if bar.live.is_started:  # else it would print an empty line
            bar.stop()
