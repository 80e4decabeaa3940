"""Where the time of a step goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch


@dataclass(slots=True, eq=False)
class StepTimer:
    """Seconds spent by part, in all; ``synchronize`` waits for the GPU at each border, to tell parts apart."""

    synchronize: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Counts what happens inside."""
        start = time.perf_counter()
        yield
        if self.synchronize and torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
