"""What a benchmark keeps on disk: a file for each clip and method, named by a hash of all that decides its figures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.errors import OutputError
from kinemacolor.evaluation.measure import Measurement
from kinemacolor.evaluation.perceptual import SetFeatures

SCHEMA = 1
PACKAGE = Path(__file__).parents[1]
NO_FIGURES = ("cli", "training", "studio", "export.py", "info.py", "__init__.py", "__main__.py", "cluster.py")
"""Parts of the package that decide no figure of a benchmark."""
NO_FIGURES_HERE = ("page.py", "plots.py", "report.py", "results.py", "statistics.py", "splits.py")


def code_digest() -> str:
    """SHA-256 over the sources that decide figures: a change of the code makes kept figures stale."""
    total = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        inside = file.relative_to(PACKAGE)
        if inside.parts[0] in NO_FIGURES or (inside.parts[0] == "evaluation" and inside.name in NO_FIGURES_HERE):
            continue
        total.update(inside.as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def key_of(settings: dict[str, Any]) -> str:
    """A short hash of JSON-ready settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]


def file_name(name: str) -> str:
    """A name as part of a file name on any system."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def write_aside(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it: nobody ever sees half of it.

    Raises:
        OutputError: the folder cannot be made, or not be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as target:
                target.write(content)
            os.chmod(aside, 0o666 & ~_umask())
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "choose another output folder") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@dataclass(frozen=True, slots=True)
class Unit:
    """What a method (or the truth itself) got on a clip.

    Attributes:
        clip, method: names.
        measurement: its figures.
        confidence: mean similarity of each frame, or None.
        seconds: of the engine, a frame; None where none ran.
        pictures: JPEG images by a name: a frame's number; the truth's also ``gray N`` and ``reference``.
        facts: what else is known of the clip: frames, size, rate and so on (of the truth only).
    """

    clip: str
    method: str
    measurement: Measurement
    confidence: list[float] | None
    seconds: float | None
    pictures: dict[str, bytes]
    facts: dict[str, Any]

    def save(self, path: Path) -> None:
        """Keeps it as JSON; the features of FID, where there are any, lie beside it.

        Raises:
            OutputError: it cannot be written.
        """
        one = self.measurement
        if one.features is not None:
            _save_features(path.with_suffix(".npz"), one.features)
        record = {
            "schema": SCHEMA,
            "clip": self.clip,
            "method": self.method,
            "figures": one.figures,
            "per_frame": one.per_frame,
            "notes": one.notes,
            "features": one.features is not None,
            "confidence": self.confidence,
            "seconds": self.seconds,
            "facts": self.facts,
            "pictures": {name: base64.b64encode(jpeg).decode() for name, jpeg in self.pictures.items()},
        }
        write_aside(path, json.dumps(record, allow_nan=False).encode())

    @classmethod
    def load(cls, path: Path) -> Unit | None:
        """What ``save`` kept; None where there is nothing, or nothing whole."""
        try:
            record = json.loads(path.read_bytes())
            if record["schema"] != SCHEMA:
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
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _save_features(path: Path, features: SetFeatures) -> None:
    content = io.BytesIO()
    np.savez(content, result=features.result, truth=features.truth)
    write_aside(path, content.getvalue())


def _load_features(path: Path) -> SetFeatures:
    with np.load(path, allow_pickle=False) as kept:
        return SetFeatures(kept["result"], kept["truth"])
