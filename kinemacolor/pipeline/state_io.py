"""States of engines and filters on disk, so that a run that was interrupted goes on with the very same numbers.

Records, tuples, numbers and arrays are stored by name; nothing is ever executed, unlike with pickle.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.types import Array
from kinemacolor.engine.registry import ENGINES
from kinemacolor.filters.denoise import DenoiseState
from kinemacolor.filters.temporal import TemporalFilterState

START_OVER = "start over with `restart`"
_TREE = "tree"


@lru_cache(maxsize=1)
def state_types() -> Mapping[str, type]:
    """The records of which states are made, by name: those of all engines, and of the filters."""
    engines = (kind for record in ENGINES.values() for kind in record.state_types())
    return {kind.__name__: kind for kind in (*engines, DenoiseState, TemporalFilterState)}


def save_state(path: Path, state: object) -> None:
    """Writes a state as .npz.

    Raises:
        TypeError: it holds something that is no record of ``state_types``, tuple, array, number or None.
    """
    arrays: dict[str, Array] = {}
    tree = json.dumps(_encode(state, arrays))
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]


def load_state(path: Path) -> Any:
    """Reads what ``save_state`` wrote.

    Raises:
        InputError: it is missing, corrupt, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        state = _decode(parse_json(arrays.pop(_TREE).tobytes()), arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(path, "is corrupt; the run cannot be resumed from it", START_OVER) from error
    if type(state) not in state_types().values():
        raise InputError(path, "holds no state of an engine or a filter", START_OVER)
    return state


def _encode(value: object, arrays: dict[str, Array]) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        for name, stored in arrays.items():
            if stored is value:  # a frame that a state holds twice is one array
                return {"array": name}
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, arrays) for part in value]}
    kind = type(value)
    if state_types().get(kind.__name__) is not kind or not dataclasses.is_dataclass(kind):
        raise TypeError(f"state: expected one of {', '.join(state_types())}, got {kind.__name__}")
    parts = {field.name: _encode(getattr(value, field.name), arrays) for field in dataclasses.fields(kind)}
    return {"record": kind.__name__, "fields": parts}


def _decode(node: Any, arrays: Mapping[str, Array]) -> Any:
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return arrays[node["array"]]
    if "tuple" in node:
        return tuple(_decode(part, arrays) for part in node["tuple"])
    fields = {name: _decode(part, arrays) for name, part in node["fields"].items()}
    return state_types()[node["record"]](**fields)
