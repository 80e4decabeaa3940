"""The first pass through a film on disk: made once, it need not be repeated."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.state_io import START_OVER

_FACTS = ("first", "whole", "repaired", "skipped", "damage", "remark")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes named arrays as .npz; the file gets its name when it is complete. Raises OSError where it cannot."""
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, Array]:
    """Named arrays of a .npz file.

    Raises:
        InputError: it is corrupt or missing.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(path, "is corrupt", START_OVER) from error


def write_analysis(path: Path, analysis: FilmAnalysis) -> None:
    """Keeps an analysis as .npz. Raises OSError where it cannot be written."""
    facts = {name: getattr(analysis, name) for name in _FACTS}
    facts["marks"] = analysis.marks
    facts["time_base"] = analysis.time_base.as_integer_ratio()
    shots = np.array([(shot.start, shot.stop) for shot in analysis.shots], np.int64)
    encoded = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    write_arrays(path, {"pts": analysis.pts, "shots": shots, "facts": encoded})


def read_analysis(path: Path) -> FilmAnalysis:
    """The analysis in a file.

    Raises:
        InputError: it is corrupt or missing.
    """
    stored = read_arrays(path)
    try:
        facts = json.loads(stored["facts"].tobytes())
        shots = tuple(Shot(int(start), int(stop)) for start, stop in stored["shots"])
        marks = tuple(facts.pop("marks", ()))
        time_base = Fraction(*facts.pop("time_base"))
        return FilmAnalysis(pts=stored["pts"], shots=shots, time_base=time_base, marks=marks, **facts)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, "is corrupt", START_OVER) from error
