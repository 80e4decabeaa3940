"""Memory that does not suffice: what libraries raise then, and the one line that users get."""

from __future__ import annotations

import errno
from pathlib import Path

from kinemacolor.core.errors import OutputError


class OutOfMemoryError(OutputError):
    """The memory that is free does not suffice.

    Args:
        subject: what was being made.
        remedy: what the user can do about it.
    """

    def __init__(
        self, subject: str | Path, remedy: str = "close other programs, or use a machine with more memory"
    ) -> None:
        super().__init__(subject, "the memory that is free here does not suffice", remedy)


_TEXTS = (
    *("bad_alloc", "Insufficient memory", "Cannot allocate memory", "can't allocate memory", "out of memory"),
    *("Failed to allocate memory", "can't start new thread", "failed to map segment"),
)
"""What messages of OpenCV, ONNX Runtime, PyTorch, the system's loader and Python's threads hold."""
_FREE = 128 << 20
"""Bytes; where they are not free, memory is short, and what a library says about a file is no proof against the
file."""


def is_allocation_failure(error: BaseException) -> bool:
    """Whether an error says that memory could not be had."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(error, Exception) and any(text in str(error) for text in _TEXTS)


def check_memory(error: Exception | None = None) -> None:
    """Where a library fails on a file while memory is short, that is no fault of the file, whatever it says.

    A corrupt file may ask for more than any machine has: then memory is not short, and nothing is raised.

    Args:
        error: of the library; None where it lost something without a word.

    Raises:
        MemoryError: memory is short.
    """
    if memory_is_short():
        raise MemoryError(str(error or "")) from error


def memory_is_short() -> bool:
    """Whether little memory can be had. Many libraries do not say that they fail for lack of it."""
    try:
        bytearray(_FREE)
    except MemoryError:
        return True
    return False
