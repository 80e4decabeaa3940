"""What tells one run from another: film, references, engine and settings, as records that can be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from kinemacolor.core.types import Shot
from kinemacolor.core.version import VERSION
from kinemacolor.engine.weights import released
from kinemacolor.references.placement import ReferenceFile

Shots = Literal["auto", "none"] | Path | Sequence[Shot]
_EDGE = 1 << 20


def file_fingerprint(path: Path) -> dict[str, Any]:
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


def reference_fingerprint(file: ReferenceFile) -> dict[str, Any]:
    """What tells a reference from another: its file, mask, and the place it is bound to."""
    place = {"frame": file.frame, "time": str(file.time), "shot": file.shot}
    return {**file_fingerprint(file.path), **place, "mask": file_fingerprint(file.mask) if file.mask else None}


def shots_fingerprint(shots: Shots) -> Any:
    """What tells a choice of shots from another."""
    if isinstance(shots, str):
        return shots
    return file_fingerprint(shots) if isinstance(shots, Path) else [[shot.start, shot.stop] for shot in shots]


def engine_fingerprint(name: str, *, weights: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """What tells an engine from others: its name, the options of ``open_engine``, and what its weights are."""
    told = released(name)
    if weights is not None:
        files = [Path(weights)] if Path(weights).is_file() else sorted(Path(weights).iterdir())
        told = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
    return {"name": name, "weights": told, **options, "version": VERSION}


def run_fingerprint(
    film: str | Path,
    files: Sequence[ReferenceFile],
    engine: Mapping[str, Any],
    shots: Shots,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """All that a colored film depends on.

    Args:
        film: that is colored.
        files: the references.
        engine: of ``engine_fingerprint``.
        shots: where they are told.
        settings: as JSON takes them.
    """
    return {
        "film": file_fingerprint(Path(film)),
        "references": [reference_fingerprint(file) for file in files],
        "engine": dict(engine),
        "shots": shots_fingerprint(shots),
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
    return [f"{inside}: {_shortened(before)} → {_shortened(now)}"]


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
