"""``kinemacolor export``: makes a trained network usable by the base install."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kinemacolor.core.errors import InputError


def export(
    weights: Annotated[str, typer.Argument(help="A .safetensors file of a trained network.")],
    output: Annotated[str, typer.Option("--output", "-o", help="Folder for the ONNX graphs.", show_default=False)],
    full: Annotated[bool, typer.Option("--full", help="Store weights as float32 instead of float16.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Export WEIGHTS to ONNX for `--engine onnx`. The graphs are compared with PyTorch before they are saved."""
    try:
        from kinemacolor.export.network_graph import export_network
        from kinemacolor.model.checkpoint import load_network
    except ModuleNotFoundError as error:
        problem = f"exporting needs {error.name}, which is not installed"
        raise InputError(weights, problem, "pip install 'kinemacolor[train]'") from error
    errors = export_network(load_network(weights), output, half=not full)
    if as_json:
        print(json.dumps({"output": output, "largest_differences": errors}))
    else:
        print(
            f"{output}: ab differs by at most {errors['ab']:.4f} from PyTorch, similarity by {errors['similarity']:.6f}"
        )
