"""The fingerprint of a run: film, references, engine and settings, as records that can be compared.

A run is resumed only where its fingerprint is that of the run that was interrupted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kinemacolor.core.shot import Shot
from kinemacolor.core.version import VERSION
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.weights import released_hashes
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.references.placement import ReferenceFile

_EDGE = 1 << 20
_SHOWN = 60  # characters of a value in a message


def file_fingerprint(path: Path) -> dict[str, Any]:
    """Fingerprint of a file or a folder of images: size, time of change, sha256 of its two ends."""
    if path.is_dir() or not path.exists():  # a folder, or a pattern of image names
        folder = path if path.is_dir() else path.parent
        files = sorted(file for file in folder.iterdir() if file.is_file() and (path.is_dir() or file.suffix))
        facts = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return {"name": path.name, "sha256": hashlib.sha256(json.dumps(facts).encode()).hexdigest()}
    stat, digest = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_EDGE))
        file.seek(max(0, stat.st_size - _EDGE))
        digest.update(file.read(_EDGE))
    return {"name": path.name, "bytes": stat.st_size, "changed": stat.st_mtime_ns, "sha256": digest.hexdigest()}


def reference_fingerprint(file: ReferenceFile) -> dict[str, Any]:
    """Fingerprint of a reference: its file, mask, and the place it is bound to."""
    place = {"frame": file.frame, "time": str(file.time), "shot": file.shot}
    return {**file_fingerprint(file.path), **place, "mask": file_fingerprint(file.mask) if file.mask else None}


def shots_fingerprint(shots: str | Path | Sequence[Shot]) -> Any:
    """Fingerprint of a choice of shots."""
    if isinstance(shots, str):
        return shots
    return file_fingerprint(shots) if isinstance(shots, Path) else [[shot.start, shot.stop] for shot in shots]


def settings_fingerprint(settings: ColorizeSettings) -> dict[str, Any]:
    """Fingerprint of the settings that decide the frames; weights stand as the hashes of their files."""
    values = settings.model_dump(mode="json", include=set(settings.affecting("frames")))
    if "weights" in values:
        values["weights"] = weights_hashes(settings.engine, settings.weights)
    return values


def weights_hashes(engine: str, weights: str | None) -> dict[str, str]:
    """sha256 of the files that an engine runs on, by name."""
    if weights is None:
        return released_hashes(engine)
    path = Path(weights)
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def run_fingerprint(spec: JobSpec, files: Sequence[ReferenceFile], engine: Engine | None = None) -> dict[str, Any]:
    """Everything that a colored film depends on.

    Args:
        spec: of the job.
        files: the references.
        engine: one that the caller made, in place of the one that the settings name.
    """
    settings = settings_fingerprint(spec.settings)
    if engine is not None:
        settings |= {"engine": engine.name, "block_size": engine.block_size, "weights": None}
    return {
        "version": VERSION,
        "film": file_fingerprint(spec.film),
        "references": [reference_fingerprint(file) for file in files],
        "shots": shots_fingerprint(spec.shots),
        "settings": settings,
    }


def differences(before: Any, now: Any, inside: str = "") -> list[str]:
    """What differs between two nested records, the settings first: ``film.name: "a.mp4" → "b.mp4"``."""
    if isinstance(before, dict) and isinstance(now, dict):
        changes = []
        for key in sorted({*before, *now}, key=lambda key: (key != "settings", key)):
            changes += differences(before.get(key), now.get(key), f"{inside}.{key}" if inside else key)
        return changes
    if before == now:
        return []
    if isinstance(before, list) and isinstance(now, list) and all(isinstance(entry, dict) for entry in before + now):
        return _list_differences(before, now, inside)
    return [f"{inside}: {' → '.join(_shortened_pair(json.dumps(before), json.dumps(now)))}"]


def _list_differences(before: list[Any], now: list[Any], inside: str) -> list[str]:
    """Those of the entries that both have, and of their numbers."""
    changes = [] if len(before) == len(now) else [f"{inside}: {len(before)} → {len(now)} entries"]
    for number, (old, new) in enumerate(zip(before, now, strict=False), start=1):
        changes += differences(old, new, f"{inside}.{number}")
    return changes


def _shortened_pair(before: str, now: str) -> tuple[str, str]:
    """Two texts that differ, each so short that a line holds them, and with the place where they begin to differ."""
    longest = max(len(before), len(now))
    if longest <= _SHOWN:
        return before, now
    common = next((place for place, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), None)
    common = min(len(before), len(now)) if common is None else common
    start = max(0, min(common - _SHOWN // 3, longest - _SHOWN))
    return _cut(before, start), _cut(now, start)


def _cut(text: str, start: int) -> str:
    part = text[start : start + _SHOWN]
    return f"{'…' if start else ''}{part}{'…' if start + _SHOWN < len(text) else ''}"
