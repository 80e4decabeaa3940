"""An engine's memory on disk, so that a run that was broken off goes on with the very same numbers.

Records, tuples, numbers and arrays are told apart by name; nothing is ever executed, unlike with pickle.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array
from kinemacolor.engine.color_memory import ColorMemory
from kinemacolor.engine.matching import MatchingState
from kinemacolor.engine.network import NetworkState
from kinemacolor.engine.propagator import PropagatorState
from kinemacolor.engine.protocol import EngineState
from kinemacolor.filters.denoise import DenoiseState
from kinemacolor.filters.temporal import TemporalFilterState
from kinemacolor.propagation.correspondence import ColoredFrame, Correspondence, PropagatedFrame, PropagationState

RECORDS: dict[str, type] = {
    record.__name__: record
    for record in (
        NetworkState,
        MatchingState,
        PropagatorState,
        ColorMemory,
        PropagationState,
        PropagatedFrame,
        Correspondence,
        ColoredFrame,
        DenoiseState,
        TemporalFilterState,
    )
}
"""The records that memories are made of."""
_TREE = "tree"


def save_state(path: Path, memory: EngineState) -> None:
    """Writes a memory as .npz.

    Raises:
        TypeError: it holds something that is no record of ``RECORDS``, tuple, array, number or None.
    """
    arrays: dict[str, Array] = {}
    tree = json.dumps(_encode(memory, arrays))
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, **{_TREE: np.frombuffer(tree.encode(), np.uint8)}, **arrays)  # type: ignore[arg-type]


def load_state(path: Path) -> EngineState:
    """Reads what ``save_state`` wrote.

    Raises:
        InputError: it is missing, torn, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        made = _decode(json.loads(arrays.pop(_TREE).tobytes()), arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(path, "cannot be used to go on from", "begin anew with --restart") from error
    if not isinstance(made, EngineState):
        raise InputError(path, "holds no memory of an engine", "begin anew with --restart")
    return made


def _encode(value: object, arrays: dict[str, Array]) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        for name, known in arrays.items():
            if known is value:  # a frame that is remembered twice is one array
                return {"array": name}
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, arrays) for part in value]}
    kind = type(value)
    if RECORDS.get(kind.__name__) is not kind or not dataclasses.is_dataclass(kind):
        raise TypeError(f"memory: expected one of {', '.join(RECORDS)}, got {kind.__name__}")
    parts = {field.name: _encode(getattr(value, field.name), arrays) for field in dataclasses.fields(kind)}
    return {"record": kind.__name__, "fields": parts}


def _decode(told: Any, arrays: Mapping[str, Array]) -> Any:
    if not isinstance(told, dict):
        return told
    if "array" in told:
        return arrays[told["array"]]
    if "tuple" in told:
        return tuple(_decode(part, arrays) for part in told["tuple"])
    return RECORDS[told["record"]](**{name: _decode(part, arrays) for name, part in told["fields"].items()})
