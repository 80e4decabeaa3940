"""Batches of samples, made ahead of time in one background thread, always in the same order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import numpy as np

from kinemacolor.core.types import Array, BoolArray, FloatArray
from kinemacolor.training.data.windows import Sample

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B samples, their fields stacked (see ``Sample``).

    Attributes:
        luminance, lightness: (B, T, H, W).
        ab: (B, T, H, W, 2).
        reference_luminance: (B, H, W).
        reference_ab: (B, H, W, 2).
        reference_mask: (B, H, W) bool.
        reference_frame: (B,) int64; −1 where the reference is no frame of the window.
        chained: (B,) bool, where a chain starts at the reference.
        coordinates, agreement: (B, T, OFFERS, H, W, 2) and (B, T, OFFERS, H, W), or None.
        matches: (B, T, rows, columns, 3), or None.
        flow, visible: (B, T − 1, H, W, 2) and (B, T − 1, H, W) bool; or None.
        names: of the clips.
        indices: of the samples.
    """

    luminance: FloatArray
    lightness: FloatArray
    ab: FloatArray
    reference_luminance: FloatArray
    reference_ab: FloatArray
    reference_mask: BoolArray
    reference_frame: Array
    chained: BoolArray
    coordinates: FloatArray | None
    agreement: FloatArray | None
    matches: FloatArray | None
    flow: FloatArray | None
    visible: BoolArray | None
    names: tuple[str, ...]
    indices: tuple[int, ...]

    def arrays(self) -> dict[str, Array]:
        """The arrays that there are, by field: what to save of a batch that broke a run."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """A batch as the network and the losses take it: float32, channels before rows.

    Attributes:
        luminance: (B, T, 1, H, W) in [-1, 1], L*/50 − 1, as the network sees it.
        lightness: (B, T, 1, H, W), L* of the truth.
        ab: (B, T, 2, H, W), Lab units.
        reference_luminance: (B, 1, 1, H, W) in [-1, 1].
        reference_ab: (B, 1, 2, H, W).
        reference_mask: (B, 1, 1, H, W), 0 or 1.
        flow: (B, T − 1, 2, H, W), pixels, or None.
        visible: (B, T − 1, 1, H, W), 0 or 1, or None.
        chained: (B,) bool.
        coordinates: (B, T, OFFERS, 2, H, W), (x, y) pixels, or None.
        agreement: (B, T, OFFERS, 1, H, W), or None.
        matches: (B, T, 3, rows, columns), or None.
        indices: of the samples.
    """

    luminance: torch.Tensor
    lightness: torch.Tensor
    ab: torch.Tensor
    reference_luminance: torch.Tensor
    reference_ab: torch.Tensor
    reference_mask: torch.Tensor
    flow: torch.Tensor | None
    visible: torch.Tensor | None
    chained: torch.Tensor
    coordinates: torch.Tensor | None
    agreement: torch.Tensor | None
    matches: torch.Tensor | None
    indices: tuple[int, ...]


def stack(samples: Sequence[Sample], indices: Sequence[int]) -> Batch:
    """Samples of one size and length as a batch."""
    first = samples[0]

    def plain(name: str) -> Array:
        return np.stack([getattr(sample, name) for sample in samples])

    def perhaps(name: str) -> Array | None:
        values = [getattr(sample, name) for sample in samples]
        return None if values[0] is None else np.stack(values)

    frames = [-1 if sample.reference_frame is None else sample.reference_frame for sample in samples]
    assert all(sample.ab.shape == first.ab.shape for sample in samples)
    return Batch(
        plain("luminance"),
        plain("lightness"),
        plain("ab"),
        plain("reference_luminance"),
        plain("reference_ab"),
        plain("reference_mask"),
        np.array(frames, dtype=np.int64),
        np.array([sample.chained for sample in samples]),
        perhaps("coordinates"),
        perhaps("agreement"),
        perhaps("matches"),
        perhaps("flow"),
        perhaps("visible"),
        tuple(sample.name for sample in samples),
        tuple(indices),
    )


def to_tensors(batch: Batch, device: str | torch.device = "cpu") -> Tensors:
    """A batch as tensors on a device."""
    import torch

    def plane(values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).unsqueeze(-3).to(device)

    def pair(values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, -3), dtype=np.float32)).to(device)

    return Tensors(
        plane(batch.luminance / 50 - 1),
        plane(batch.lightness),
        pair(batch.ab),
        plane(batch.reference_luminance[:, None] / 50 - 1),
        pair(batch.reference_ab[:, None]),
        plane(batch.reference_mask[:, None]),
        None if batch.flow is None else pair(batch.flow),
        None if batch.visible is None else plane(batch.visible),
        torch.from_numpy(batch.chained).to(device),
        None if batch.coordinates is None else pair(batch.coordinates),
        None if batch.agreement is None else plane(batch.agreement),
        None if batch.matches is None else pair(batch.matches),
        batch.indices,
    )


Item = TypeVar("Item", covariant=True)
Made = TypeVar("Made")


class Source(Protocol[Item]):
    """Samples by number."""

    def sample(self, index: int) -> Item:
        """Sample ``index`` ≥ 0; no two calls depend on each other."""
        ...


class Loader(Generic[Made]):
    """An endless iterator of batches, prefetched by one thread.

    Step k of process r of w takes samples (k·w + r)·B … (k·w + r)·B + B − 1, so that w processes see together what one
    with the w-fold batch sees, and a run that goes on from step k needs no more than ``start=k``. Use it in a ``with``
    statement, or ``close`` it.

    Args:
        source: of samples.
        collate: makes a batch of samples and their indices.
        batch_size: B, samples a batch.
        start: number of the first step.
        rank, processes: r and w.
        depth: batches held ready.
    """

    def __init__(
        self,
        source: Source[Any],
        batch_size: int,
        *,
        collate: Callable[[Sequence[Any], Sequence[int]], Made],
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
        self._ready: queue.Queue[Made | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="samples", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        step = self._step
        while not self._stop.is_set():
            made: Made | BaseException
            try:
                first = (step * self._processes + self._rank) * self.batch_size
                indices = range(first, first + self.batch_size)
                made = self._collate([self._source.sample(index) for index in indices], indices)
            except BaseException as error:  # it is raised where the batch would have come out
                made = error
            while not self._stop.is_set():
                try:
                    self._ready.put(made, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(made, BaseException):
                return
            step += 1

    def __iter__(self) -> Iterator[Made]:
        return self

    def __next__(self) -> Made:
        """The next batch; raises what making it raised."""
        if self._stop.is_set():
            raise StopIteration
        made = self._ready.get()
        if isinstance(made, BaseException):
            self._stop.set()
            raise made
        return made

    def close(self) -> None:
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
