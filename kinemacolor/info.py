"""What is installed: versions, engines, weights, and the machine it runs on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

from kinemacolor import __version__
from kinemacolor.engine import ENGINES
from kinemacolor.weights import RELEASED

LIBRARIES = ("av", "numpy", "onnxruntime", "opencv-python-headless")


def installation() -> dict[str, Any]:
    """Everything as JSON-ready values."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "hardware": {
            "system": platform.platform(),
            "processor": processor_name(),
            "cores": os.cpu_count(),
            "providers": onnxruntime.get_available_providers(),
        },
        "engines": ENGINES,
        "weights": [
            {
                "engine": weights.engine,
                "file": weights.file,
                "bytes": weights.path.stat().st_size if weights.path.exists() else None,
                "sha256": weights.sha256,
                "licence": weights.licence,
                "origin": weights.origin,
            }
            for weights in RELEASED
        ],
    }


def processor_name() -> str:
    """What the machine calls its processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
