"""Films that are dropped onto the page: received aside, checked by their content, and then kept."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.studio.roots import BROWSED_SUFFIXES, AllowedRoots
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.reader import VideoReader

UPLOAD_FOLDER = "kinemacolor-films"
"""In the first allowed folder; films that were dropped lie there."""
_FORBIDDEN = re.compile(r"[\x00-\x1f/\\:*?\"<>|]")
_SPARE = 64 << 20


async def receive_film(request: Request, name: str, roots: AllowedRoots, most: int) -> Path:
    """Writes a request's content into the folder of films.

    Raises:
        InputError: the name is not that of a film, or the content is none.
        OutputError: there is no room for it.
        HTTPException: 413, it is larger than ``most`` bytes.
    """
    clean = _FORBIDDEN.sub("_", name).strip(" .")[-120:]
    if Path(clean).suffix.lower() not in BROWSED_SUFFIXES:
        endings = ", ".join(sorted(BROWSED_SUFFIXES))
        raise InputError(name, "is not named as a film is", f"drop a file that ends in {endings}")
    folder = roots.check(roots.folders[0] / UPLOAD_FOLDER)
    declared = request.headers.get("content-length", "")
    expected = int(declared) if declared.isdigit() else 0
    limit = HTTPException(413, f"{name}: is larger than {most >> 20} MiB; open it by its path instead")
    if expected > most:
        raise limit
    try:
        folder.mkdir(exist_ok=True)
        if shutil.disk_usage(folder).free < expected + _SPARE:
            raise OutputError(folder, "has no room for this film", "open it by its path instead")
        path = _free_name(folder, clean)
        partial = path.with_name(f".{path.name}.partial{path.suffix}")
        size = 0
        try:
            with partial.open("wb") as file:
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise limit
                    await run_in_threadpool(file.write, part)
            await run_in_threadpool(_check_film, partial, name)
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return path


def _check_film(path: Path, name: str) -> None:
    try:
        VideoReader(path)
    except InputError as error:
        raise InputError(name, error.problem, error.remedy) from error


def _free_name(folder: Path, name: str) -> Path:
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path
