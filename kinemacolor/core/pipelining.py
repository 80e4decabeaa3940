"""Stages of a pipeline that run at the same time: generators in threads, short queues between them, and their clock."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from kinemacolor.core.job_context import JobContext

T = TypeVar("T")

QUEUE = 4
"""Frames that wait between two stages."""
POLL = 0.1
"""Seconds between two checks whether a stage was stopped or its job canceled."""
PATIENCE = 0.5
"""Seconds to wait for a stage that was told to stop; after that it is left to end by itself."""
STAGE_THREAD = "kinemacolor stage"
"""Name of the stages' threads."""


@dataclass(slots=True)
class StageTimer:
    """Seconds that each stage was busy, not counting waiting for its neighbors."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent in the block to the stage ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


class _End:
    """Marks the end of a queue: ``error`` is what the stage died of, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(stage: Generator[T, None, None], context: JobContext | None = None) -> Generator[T, None, None]:
    """Runs a stage in a thread, at most ``QUEUE`` items ahead; closing it stops the stage and waits for its thread.

    It waits ``PATIENCE`` at most: a stage deep in foreign code (seeking in a long film, a large network) must not hold
    up an interruption.

    Args:
        stage: what runs in the thread.
        context: of the job, whose cancellation ends the wait for the next item.

    Raises:
        JobCanceled: where the caller takes an item from a job that was canceled.
    """
    items: queue.Queue[T | _End] = queue.Queue(QUEUE)
    stopped = threading.Event()

    def put(item: T | _End) -> None:
        while not stopped.is_set():
            try:
                items.put(item, timeout=POLL)
                return
            except queue.Full:
                continue

    def run() -> None:
        error: BaseException | None = None
        try:
            with closing(stage):
                for item in stage:
                    put(item)
                    if stopped.is_set():
                        return
        except BaseException as raised:
            error = raised
        put(_End(error))

    thread = threading.Thread(target=run, name=STAGE_THREAD, daemon=True)
    thread.start()
    try:
        while True:
            item = _next_item(items, context)
            if isinstance(item, _End):
                if item.error:
                    raise item.error
                return
            yield item
    finally:
        stopped.set()
        thread.join(PATIENCE)


def _next_item(items: queue.Queue[T | _End], context: JobContext | None) -> T | _End:
    if context is None:
        return items.get()
    while True:
        context.check()
        try:
            return items.get(timeout=POLL)
        except queue.Empty:
            continue
