"""Batches of samples, made ahead of time in one background thread, always in the same order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

SampleT = TypeVar("SampleT", covariant=True)
BatchT = TypeVar("BatchT")


class SampleSource(Protocol[SampleT]):
    """Samples by number."""

    def sample(self, index: int) -> SampleT:
        """Sample ``index`` ≥ 0; no two calls depend on each other."""
        ...


class Loader(Generic[BatchT]):
    """An endless iterator of batches, prefetched by one thread.

    Step k of process r of w takes samples (k·w + r)·B … (k·w + r)·B + B − 1, so that w processes together see the same
    samples as one process with a batch of w·B, and a run that resumes at step k needs only ``start=k``. Use it in a
    ``with`` statement, or ``close`` it.

    Args:
        source: of samples.
        collate: makes a batch of samples and their indices.
        batch_size: B, samples in a batch.
        start: number of the first step.
        rank, processes: r and w.
        depth: batches held ready.
    """

    def __init__(
        self,
        source: SampleSource[Any],
        batch_size: int,
        *,
        collate: Callable[[Sequence[Any], Sequence[int]], BatchT],
        start: int = 0,
        rank: int = 0,
        processes: int = 1,
        depth: int = 3,
    ) -> None:
        if batch_size < 1 or start < 0 or depth < 1 or not 0 <= rank < processes:
            raise ValueError(
                f"expected batch_size and depth ≥ 1, start ≥ 0, 0 ≤ rank < processes, got {batch_size}, {depth}, "
                f"{start}, {rank}, {processes}"
            )
        self._source, self._collate, self.batch_size = source, collate, batch_size
        self._step, self._rank, self._processes = start, rank, processes
        self._ready: queue.Queue[BatchT | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="samples", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        step = self._step
        while not self._stop.is_set():
            batch: BatchT | BaseException
            try:
                first = (step * self._processes + self._rank) * self.batch_size
                indices = range(first, first + self.batch_size)
                batch = self._collate([self._source.sample(index) for index in indices], indices)
            except BaseException as error:  # raised by ``__next__`` in place of the batch
                batch = error
            while not self._stop.is_set():
                try:
                    self._ready.put(batch, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(batch, BaseException):
                return
            step += 1

    def __iter__(self) -> Iterator[BatchT]:
        return self

    def __next__(self) -> BatchT:
        """The next batch; raises the error with which making it failed."""
        if self._stop.is_set():
            raise StopIteration
        batch = self._ready.get()
        if isinstance(batch, BaseException):
            self._stop.set()
            raise batch
        return batch

    def close(self) -> None:
        """Stops the thread."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
