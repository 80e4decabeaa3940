"""Files that are whole or not there: written aside, then given their name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a name beside ``path`` to write a file under; on the disk by then, it is ``path`` when the block is left.

    Where the block is left by an exception, what was written is removed and ``path`` is as it was.
    """
    part = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        yield part
        with part.open("rb+") as file:  # else a crash of the machine might leave a name without its content
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
