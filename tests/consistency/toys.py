"""The film of ``benchmarks/consistency.py``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def _benchmark() -> Any:
    file = Path(__file__).parents[2] / "benchmarks" / "consistency.py"
    spec = importlib.util.spec_from_file_location("consistency_benchmark", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


flickering_film = _benchmark().flickering_film
