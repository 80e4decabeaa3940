"""Stages in threads: order, errors, closing, canceling."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kinemacolor.core.job_context import JobCanceled, JobContext
from kinemacolor.core.pipelining import QUEUE, STAGE_THREAD, StageTimer, prefetch


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == STAGE_THREAD]


class Stage:
    """A stage that counts, and notes its thread and its end."""

    def __init__(self, length: int, error: BaseException | None = None) -> None:
        self.length, self.error = length, error
        self.made = 0
        self.closed_in: threading.Thread | None = None

    def run(self) -> Iterator[int]:
        try:
            for number in range(self.length):
                self.made += 1
                yield number
            if self.error:
                raise self.error
        finally:
            self.closed_in = threading.current_thread()


def test_a_stage_runs_ahead_but_not_far() -> None:
    stage = Stage(1000)
    items = prefetch(stage.run())  # type: ignore[arg-type]
    assert next(items) == 0
    time.sleep(0.3)
    assert QUEUE <= stage.made <= QUEUE + 2
    items.close()
    assert stage.closed_in is not None
    assert stage.closed_in.name == STAGE_THREAD
    assert stage_threads() == []


def test_order_is_kept_and_errors_come_after_what_was_made() -> None:
    assert list(prefetch(Stage(500).run())) == list(range(500))  # type: ignore[arg-type]
    broken = prefetch(Stage(5, KeyError("last")).run())  # type: ignore[arg-type]
    assert [next(broken) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="last"):
        next(broken)
    assert stage_threads() == []


def test_closing_a_chain_closes_every_stage() -> None:
    stage = Stage(1000)

    def double(numbers: Any) -> Iterator[int]:
        try:
            for number in numbers:
                yield 2 * number
        finally:
            numbers.close()

    chain = prefetch(double(prefetch(stage.run())))  # type: ignore[arg-type]
    assert [next(chain) for _ in range(3)] == [0, 2, 4]
    chain.close()
    assert stage.closed_in is not None
    assert stage_threads() == []


def test_a_canceled_job_does_not_wait_for_the_next_item() -> None:
    context = JobContext()
    go_on = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        go_on.wait(20)
        yield 2

    items = prefetch(stuck(), context)  # type: ignore[arg-type]
    assert next(items) == 1
    threading.Timer(0.2, context.cancel).start()
    begin = time.monotonic()
    with pytest.raises(JobCanceled):
        next(items)
    assert time.monotonic() - begin < 2
    go_on.set()


def test_a_timer_adds_up_what_a_stage_takes() -> None:
    timer = StageTimer()
    for _ in range(2):
        with timer.stage("sleep"):
            time.sleep(0.02)
    with pytest.raises(KeyError), timer.stage("break"):
        raise KeyError
    assert 0.04 <= timer.seconds["sleep"] < 1
    assert set(timer.seconds) == {"sleep", "break"}
