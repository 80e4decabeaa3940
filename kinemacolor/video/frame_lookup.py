"""Single frames of a film, at the cost of one pass through it at most where they are asked for in order."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self

from kinemacolor.core.errors import InputError
from kinemacolor.core.memory import check_memory
from kinemacolor.core.types import Coding, Frame
from kinemacolor.video.reader import VideoReader


class FrameLookup:
    """Gives frames by their index. Ask in ascending order: a film whose frames depend on others and that cannot be
    entered in its middle (AVI, OGV, FLV, WMV) is then decoded once, as far as the last of them, and not from its start
    for each.

    Used in a ``with`` block.

    Args:
        reader: of the film.
        sequential: never to enter the film between the frame that was given last and a later one.
    """

    def __init__(self, reader: VideoReader, *, sequential: bool = False) -> None:
        self._reader, self._sequential = reader, sequential
        self._source: Iterator[Frame] = iter(())
        self._position = -1  # index of the frame that the source gave last
        self._frame: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def frame(self, index: int) -> Frame:
        """The frame ``index``.

        Raises:
            InputError: the film has no such frame.
        """
        if self._frame is None or self._frame.index != index:
            if not self._lies_ahead(index):
                self._close()
                self._source = self._reader.frames(first=index)
            self._frame = next((frame for frame in self._source if frame.index >= index), None)
            self._position = index
        if self._frame is None or self._frame.index != index:
            check_memory()
            raise InputError(self._reader.info.path, f"gives no frame {index}", "check the disk it is on")
        return self._frame

    @property
    def coding(self) -> Coding:
        """Of the film."""
        return self._reader.info.coding

    def _lies_ahead(self, index: int) -> bool:
        """Whether decoding goes on from where it is, as the film cannot be entered between there and the frame."""
        if self._frame is None or index < self._position:
            return False
        following = self._position + 1
        return self._sequential or index == following or self._reader.entry_before(index) <= following

    def _close(self) -> None:
        source, self._source, self._frame = self._source, iter(()), None
        if isinstance(source, Generator):
            with contextlib.closing(source):
                pass
