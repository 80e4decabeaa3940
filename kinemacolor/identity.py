"""What tells one run from another: film, references, engine and settings, as records that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kinemacolor import __version__
from kinemacolor.binding import ReferenceFile
from kinemacolor.frames import Shot
from kinemacolor.weights import released

Shots = Literal["auto", "none"] | Path | Sequence[Shot]
_EDGE = 1 << 20


def file_identity(path: Path) -> dict[str, Any]:
    """What tells a file, or a folder of images, from another: size, time of change, sha256 of its two ends."""
    if path.is_dir() or not path.exists():  # a folder, or a pattern of image names
        folder = path if path.is_dir() else path.parent
        files = sorted(file for file in folder.iterdir() if file.is_file() and (path.is_dir() or file.suffix))
        told = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return {"name": path.name, "sha256": hashlib.sha256(json.dumps(told).encode()).hexdigest()}
    facts, digest = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_EDGE))
        file.seek(max(0, facts.st_size - _EDGE))
        digest.update(file.read(_EDGE))
    return {"name": path.name, "bytes": facts.st_size, "changed": facts.st_mtime_ns, "sha256": digest.hexdigest()}


def reference_identity(file: ReferenceFile) -> dict[str, Any]:
    """What tells a reference from another: its file, mask, and the place it is bound to."""
    place = {"frame": file.frame, "time": str(file.time), "shot": file.shot}
    return {**file_identity(file.path), **place, "mask": file_identity(file.mask) if file.mask else None}


def shots_identity(shots: Shots) -> Any:
    """What tells a choice of shots from another."""
    if isinstance(shots, str):
        return shots
    return file_identity(shots) if isinstance(shots, Path) else [[shot.start, shot.stop] for shot in shots]


def engine_identity(name: str, *, weights: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """What tells an engine from others: its name, the options of ``open_engine``, and what its weights are."""
    told = released(name)
    if weights is not None:
        files = [Path(weights)] if Path(weights).is_file() else sorted(Path(weights).iterdir())
        told = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
    return {"name": name, "weights": told, **options, "version": __version__}


def run_identity(
    film: str | Path,
    files: Sequence[ReferenceFile],
    engine: Mapping[str, Any],
    shots: Shots,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """All that a coloured film depends on.

    Args:
        film: that is coloured.
        files: the references.
        engine: of ``engine_identity``.
        shots: where they are told.
        settings: as JSON takes them.
    """
    return {
        "film": file_identity(Path(film)),
        "references": [reference_identity(file) for file in files],
        "engine": dict(engine),
        "shots": shots_identity(shots),
        "settings": dict(settings),
    }


def differences(before: Any, now: Any, inside: str = "") -> list[str]:
    """What differs between two nested records: ``film.name: "a.mp4" → "b.mp4"``."""
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted({*before, *now}):
            found += differences(before.get(key), now.get(key), f"{inside}.{key}" if inside else key)
        return found
    if before == now:
        return []
    return [f"{inside}: {_short(before)} → {_short(now)}"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
