"""References out of memory: a film may have hundreds of stills, and is colored from a few at a time."""

from __future__ import annotations

import tempfile
import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array, Reference

IN_MEMORY = 16 << 20
"""Bytes of arrays that are kept in memory; more lie in a temporary file."""


class LazyReferences(Sequence[Reference]):
    """References that are made when they are used, and not kept."""

    @abstractmethod
    def _reference(self, number: int) -> Reference:
        """The reference with a number from 0 on."""

    @overload
    def __getitem__(self, index: int) -> Reference: ...

    @overload
    def __getitem__(self, index: slice) -> list[Reference]: ...

    def __getitem__(self, index: int | slice) -> Reference | list[Reference]:
        numbers = range(len(self))[index]
        return self._reference(numbers) if isinstance(numbers, int) else [self._reference(n) for n in numbers]


class ArrayFile:
    """Arrays in a temporary file, which is gone with the process."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 (closed with this object)
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self._file.close()

    def add(self, array: Array) -> StoredArray:
        """Keeps an array; returns its place.

        Raises:
            OutputError: there is no room for it.
        """
        with self._lock:
            try:
                offset = self._file.seek(0, 2)
                self._file.write(np.ascontiguousarray(array).tobytes())
                self._file.flush()
            except OSError as error:
                problem = f"the stills do not fit there ({error.strerror or error})"
                remedy = "make room, or set TMPDIR to another folder"
                raise OutputError(tempfile.gettempdir(), problem, remedy) from error
        return StoredArray(offset, array.nbytes, array.shape, array.dtype)

    def read(self, place: StoredArray) -> Array:
        """The array at a place."""
        with self._lock:
            self._file.seek(place.offset)
            content = bytearray(self._file.read(place.bytes))
        return np.frombuffer(content, place.dtype).reshape(place.shape)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """Place of an array in an ``ArrayFile``."""

    offset: int
    bytes: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the store's file has a reference's arrays, and what else it is made of."""

    arrays: tuple[StoredArray, StoredArray, StoredArray]
    name: str
    frame: int | None


class ReferenceStore(LazyReferences):
    """References in a temporary file."""

    def __init__(self) -> None:
        self._file = ArrayFile()
        self._places: list[_Place] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, reference: Reference) -> None:
        """Keeps a reference as the last one.

        Raises:
            OutputError: there is no room for it.
        """
        lightness, ab, mask = map(self._file.add, (reference.lightness, reference.ab, reference.mask))
        self._places.append(_Place((lightness, ab, mask), reference.name, reference.frame))

    def _reference(self, number: int) -> Reference:
        place = self._places[number]
        lightness, ab, mask = map(self._file.read, place.arrays)
        return Reference(lightness, ab, mask, place.name, place.frame)


class TurnedReferences(LazyReferences):
    """References of which some are mirrored.

    Args:
        references: as their files show them.
        mirrored: numbers of those that are turned round.
    """

    def __init__(self, references: Sequence[Reference], mirrored: Sequence[int]) -> None:
        self._references, self._mirrored = references, frozenset(mirrored)

    def __len__(self) -> int:
        return len(self._references)

    def _reference(self, number: int) -> Reference:
        reference = self._references[number]
        return reference.mirrored() if number in self._mirrored else reference
