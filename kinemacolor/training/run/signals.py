"""Signals that stop a run after its step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether SIGINT or SIGTERM came; the second signal interrupts at once."""
    received: list[int] = []

    def note(kind: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(kind)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(kind) for kind in kinds]
    try:
        for kind in kinds:
            signal.signal(kind, note)
        yield lambda: bool(received)
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
