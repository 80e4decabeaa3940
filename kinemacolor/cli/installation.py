"""The installation: versions, engines, weights, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

from kinemacolor.core.version import VERSION
from kinemacolor.engine.registry import ENGINES
from kinemacolor.engine.weights import RELEASED

BASE_LIBRARIES = ("av", "numpy", "onnxruntime", "opencv-python-headless")


def installation() -> dict[str, Any]:
    """The installation as JSON-ready values."""
    return {
        "version": VERSION,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in BASE_LIBRARIES},
        "hardware": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "providers": onnxruntime.get_available_providers(),
        },
        "engines": {record.name: record.summary for record in ENGINES.values()},
        "weights": [
            {
                "engine": weights.engine,
                "file": weights.file,
                "bytes": weights.path.stat().st_size if weights.path.exists() else None,
                "sha256": weights.sha256,
                "license": weights.license,
                "origin": weights.origin,
            }
            for weights in RELEASED
        ],
    }


def processor_name() -> str:
    """The name of the processor, as the machine reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
