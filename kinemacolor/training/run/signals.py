"""Signals that stop a run after its step."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Yields what tells whether SIGINT or SIGTERM came; the second one interrupts at once."""
    came: list[int] = []

    def note(kind: int, _frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(kind)

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(kind) for kind in kinds]
    try:
        for kind in kinds:
            signal.signal(kind, note)
        yield lambda: bool(came)
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
