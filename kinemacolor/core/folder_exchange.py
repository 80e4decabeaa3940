"""New files for a folder, all of them or none: the exchange is recorded before it begins, and can always be completed.

New files are gathered in a partial folder. A folder that does not exist yet gets its name in one step. Into one that
exists, the files are moved one by one; a kill or a failure in between leaves old files beside new ones, and
``.kinemacolor-exchange`` in the folder, which holds the files to be moved yet and the record. Whatever reads the folder
or writes into it calls ``complete_exchange`` first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.structured_text import parse_json

EXCHANGE = ".kinemacolor-exchange"
"""The folder of new files, as soon as they are to take their places."""
_RECORD = "exchange.json"


def make_partial_folder(folder: Path) -> Path:
    """Makes an empty folder for the new files of ``folder``: in it, or beside it where it does not exist yet."""
    place = folder.absolute()
    partial = (place if place.exists() else place.parent) / f".{place.name}.partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    return partial


def partial_folders(folder: Path) -> list[Path]:
    """Such folders of all runs."""
    place = folder.absolute()
    start = f".{place.name}.partial-"
    parents = [parent for parent in (place, place.parent) if parent.is_dir()]
    return [path for parent in parents for path in parent.iterdir() if path.name.startswith(start) and path.is_dir()]


def sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def put_in_place(partial: Path, folder: Path, replaced: Iterable[Path] = ()) -> None:
    """Gives the files of a partial folder their places.

    Args:
        partial: of ``make_partial_folder``; it is gone afterwards.
        folder: where the files belong.
        replaced: files in ``folder`` that go, where no new file has their name.

    Raises:
        OSError: a file cannot be moved; the exchange may have begun.
    """
    folder = folder.absolute()
    if not folder.exists():
        sync_folder(partial)
        os.rename(partial, folder)
        sync_folder(folder.parent)
        return
    new = {file.name for file in partial.iterdir()}
    removed = [(file.name, *_identity(file)) for file in replaced if file.name not in new]
    with atomic_write(partial / _RECORD) as part:
        part.write_text(json.dumps({"removed": removed}), "utf-8")
    sync_folder(partial)
    os.rename(partial, folder / EXCHANGE)
    sync_folder(folder)
    _complete(folder)


def complete_exchange(folder: Path, kind: type[InputError] | type[OutputError]) -> None:
    """Completes an exchange of a folder's files that was interrupted, if there is one. Another process may be at it.

    Args:
        folder: that holds the files.
        kind: of the error that is raised.

    Raises:
        InputError, OutputError: it cannot be completed.
    """
    try:
        if (folder / EXCHANGE).is_dir():
            _complete(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "its record is corrupt"
        problem = f"holds old files beside new ones: their exchange was interrupted, and cannot be completed ({reason})"
        remedy = f"allow writing into it, or move the files in {EXCHANGE} into it and remove that folder"
        raise kind(folder, problem, remedy) from error


def _complete(folder: Path) -> None:
    exchange = folder / EXCHANGE
    record = exchange / _RECORD
    try:
        removed = parse_json(record.read_bytes())["removed"]
    except FileNotFoundError:  # all is done but the removal of the folder
        removed = []
    for file in sorted(exchange.iterdir()):
        if file != record:
            with contextlib.suppress(FileNotFoundError):  # another process has moved it
                os.replace(file, folder / file.name)
                file.unlink()  # it is still there where both names are links of one file
    for name, *identity in removed:
        file = folder / Path(name).name
        with contextlib.suppress(FileNotFoundError):
            if identity == _identity(file):  # a newer file of that name stays
                file.unlink()
    sync_folder(folder)
    with contextlib.suppress(FileNotFoundError):
        record.unlink()
    with contextlib.suppress(FileNotFoundError):
        exchange.rmdir()


def _identity(file: Path) -> list[int]:
    """Size and time of a file."""
    status = file.lstat()
    return [status.st_size, status.st_mtime_ns]
