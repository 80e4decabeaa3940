"""Makes the files of a trained network that ship, and their record (``python -m kinemacolor.export.release``).

This is for developers, and needs the extra ``train``. The graphs are compared with PyTorch before they are saved.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import KinemacolorError
from kinemacolor.engine.weights import ASSETS, LICENSE, record_name
from kinemacolor.export.network_graph import export_network
from kinemacolor.model.checkpoint import load_network, save_network


def release(weights: Path, name: str, *, origin: str, recipe: str, assets: Path = ASSETS) -> dict[str, Any]:
    """Writes ``NAME/*.onnx`` and ``NAME.safetensors`` in half precision, and their record ``NAME.json``.

    Args:
        weights: a .safetensors file that training wrote.
        name: of the engine.
        origin: where the weights come from: the data, and the weights that training started from.
        recipe: the command that makes the weights.
        assets: folder for the files.

    Returns:
        the record.

    Raises:
        InputError: the weights cannot be read.
        OutputError: the files cannot be written.
    """
    network = load_network(weights)
    errors = export_network(network, assets / name)
    save_network(network, assets / f"{name}.safetensors", torch.float16)
    (assets / f"{name}.safetensors").chmod(0o644)  # other users than the one who built the package must read it
    files = [*sorted((assets / name).glob("*.onnx")), assets / f"{name}.safetensors"]
    record = {
        "engine": name,
        "license": LICENSE,
        "origin": origin,
        "recipe": recipe,
        "largest_differences": errors,
        "files": {str(file.relative_to(assets)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
    }
    with atomic_write(assets / record_name(name)) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return record


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m kinemacolor.export.release", description=__doc__)
    parser.add_argument("weights", type=Path, help="a .safetensors file that training wrote")
    parser.add_argument("--name", default="lite", help="name of the engine")
    parser.add_argument("--origin", required=True, help="the data, and the weights that training started from")
    parser.add_argument("--recipe", required=True, help="the command that makes the weights")
    options = parser.parse_args()
    try:
        print(
            json.dumps(release(options.weights, options.name, origin=options.origin, recipe=options.recipe), indent=2)
        )
    except KinemacolorError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
