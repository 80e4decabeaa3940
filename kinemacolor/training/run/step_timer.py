"""The time that each part of a step takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class StepTimer:
    """Seconds by part, in total; ``synchronize`` waits for the GPU at the end of each part, to separate parts."""

    synchronize: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Adds the time of the block to a part."""
        start = time.perf_counter()
        yield
        if self.synchronize and torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def iterate(self, part: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time that it takes to make each added to a part."""
        iterator = iter(items)
        while True:
            with self(part):
                item = next(iterator, None)
            if item is None:
                return
            yield item
