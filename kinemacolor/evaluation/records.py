"""The results that a benchmark keeps on disk: a file for each clip and method, named by a hash of all that matters."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError
from kinemacolor.evaluation.measure import Measurement
from kinemacolor.evaluation.perceptual import FeatureSets

RESULTS_SCHEMA = 2
"""Version of the format of kept results and of ``results.json``."""
PACKAGE = Path(__file__).parents[1]
ROOMS_WITHOUT_FIGURES = ("__init__.py", "__main__.py", "cli", "cluster", "export", "report", "studio", "training")
"""Parts of the package on which no figure of a benchmark depends."""
MODULES_WITHOUT_FIGURES = (
    "failures.py",
    "page.py",
    "plots.py",
    "report.py",
    "results.py",
    "splits.py",
    "statistics.py",
    "tables.py",
)
"""Modules of this room on which no figure of a benchmark depends."""


def code_digest() -> str:
    """SHA-256 over the sources on which figures depend: when they change, kept results are no longer used."""
    total = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        inside = file.relative_to(PACKAGE)
        room = inside.parts[0]
        if room in ROOMS_WITHOUT_FIGURES or (room == "evaluation" and inside.name in MODULES_WITHOUT_FIGURES):
            continue
        total.update(inside.as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def short_hash(values: dict[str, Any]) -> str:
    """A short hash of JSON-ready values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:20]


def file_name(name: str) -> str:
    """A name in a form that can be part of a file name on any system."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file atomically, and makes its folder if it is missing.

    Raises:
        OutputError: the folder cannot be made, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "choose another output folder") from error


@dataclass(frozen=True, slots=True)
class ClipResult:
    """The result of a method, or of the truth itself, on a clip.

    Attributes:
        clip, method: names.
        measurement: its figures.
        confidence: mean similarity of each frame, or None.
        seconds: time of the engine per frame; None if no engine ran.
        pictures: JPEG images by name: the frame number; for the truth also ``gray N`` and ``reference``.
        facts: frames, size, rate and so on of the clip; for the truth only.
        memory: peak of a method's own process, bytes; None if it has none.
    """

    clip: str
    method: str
    measurement: Measurement
    confidence: list[float] | None
    seconds: float | None
    pictures: dict[str, bytes]
    facts: dict[str, Any]
    memory: int | None = None

    def save(self, path: Path) -> None:
        """Writes the result as JSON, and its features for FID, if any, into a file ``.npz`` of the same name.

        Raises:
            OutputError: a file cannot be written.
        """
        measurement = self.measurement
        if measurement.features is not None:
            _save_features(path.with_suffix(".npz"), measurement.features)
        record = {
            "schema": RESULTS_SCHEMA,
            "clip": self.clip,
            "method": self.method,
            "figures": measurement.figures,
            "per_frame": measurement.per_frame,
            "notes": measurement.notes,
            "features": measurement.features is not None,
            "confidence": self.confidence,
            "seconds": self.seconds,
            "facts": self.facts,
            "memory": self.memory,
            "pictures": {name: base64.b64encode(jpeg).decode() for name, jpeg in self.pictures.items()},
        }
        write_file(path, json.dumps(record, allow_nan=False).encode())

    @classmethod
    def load(cls, path: Path) -> ClipResult | None:
        """Reads a result that ``save`` wrote; None if it is missing or incomplete."""
        try:
            record = json.loads(path.read_bytes())
            if record["schema"] != RESULTS_SCHEMA:
                return None
            features = _load_features(path.with_suffix(".npz")) if record["features"] else None
            measurement = Measurement(record["per_frame"], record["figures"], record["notes"], features)
            pictures = {name: base64.b64decode(text) for name, text in record["pictures"].items()}
            return cls(
                record["clip"],
                record["method"],
                measurement,
                record["confidence"],
                record["seconds"],
                pictures,
                record["facts"],
                record["memory"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _save_features(path: Path, features: FeatureSets) -> None:
    content = io.BytesIO()
    np.savez(content, result=features.result, truth=features.truth)
    write_file(path, content.getvalue())


def _load_features(path: Path) -> FeatureSets:
    with np.load(path, allow_pickle=False) as arrays:
        return FeatureSets(arrays["result"], arrays["truth"])
