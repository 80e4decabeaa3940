"""``kinemacolor info``: versions, engines, codecs and weights; or the costs of a network."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MAXIMUM_BLOCK, MINIMUM_BLOCK


def info(
    config: Annotated[
        str | None,
        typer.Option(help="Print the costs of this network instead: paper, lite or a TOML file.", show_default=False),
    ] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Frames colored together.", show_default="the configuration's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Print versions, engines, codecs, weights with license and sha256, and this machine; or the costs of a network."""
    if block_size is not None and config is None:
        raise UsageError("--block-size", "needs --config", "give the configuration of a network, too")
    if block_size is not None and not MINIMUM_BLOCK <= block_size <= MAXIMUM_BLOCK:
        problem = f"{block_size} is not a valid number of frames"
        raise UsageError("--block-size", problem, f"choose {MINIMUM_BLOCK} to {MAXIMUM_BLOCK}")
    record = _installation() if config is None else _cost(config, block_size)
    if as_json:
        print(json.dumps(record, indent=2))
    elif config is None:
        _print_installation(record)
    else:
        _print_cost(record)


def _installation() -> dict[str, Any]:
    from kinemacolor.cli.installation import installation
    from kinemacolor.video.codecs import CODECS

    return {**installation(), "codecs": {record.name: record.summary for record in CODECS.values()}}


def _cost(name: str, frames: int | None) -> dict[str, Any]:
    from kinemacolor.model.config import ConfigError, load_config

    try:
        config = load_config(name)
    except ConfigError as error:
        lines = str(error).removeprefix("config: ").splitlines()
        rest = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise InputError("--config", lines[0] + rest, "correct the file, or give paper or lite") from error
    try:
        from kinemacolor.model.cost import cost
    except ModuleNotFoundError as error:
        problem = f"computing the costs of a network needs {error.name}, which is not installed"
        raise InputError("--config", problem, "pip install 'kinemacolor[train]'") from error
    return {"config": config.name, **cost(config, frames).record()}


def _print_installation(record: dict[str, Any]) -> None:
    print(f"kinemacolor {record['version']}, Python {record['python']}")
    print("libraries: " + ", ".join(f"{name} {version}" for name, version in record["libraries"].items()))
    hardware = record["hardware"]
    print(f"hardware:  {hardware['processor']}, {hardware['cores']} cores, {', '.join(hardware['providers'])}")
    for name, summary in record["engines"].items():
        print(f"engine:    {name}: {summary}")
    for name, summary in record["codecs"].items():
        print(f"codec:     {name}: {summary}")
    for weights in record["weights"]:
        print(f"weights:   {weights['file']} ({weights['engine']}), {weights['license']}, {weights['origin']}")
        print(f"           sha256 {weights['sha256']}")


def _print_cost(record: dict[str, Any]) -> None:
    height, width = record["size"]
    print(f"{record['config']}: blocks of {record['frames']}, {width}×{height}, one reference")
    print(f"{'part':15}{'parameters':>13}{'GFLOP per frame':>17}")
    for part, gflop in record["gflop"].items():
        parameters = record["parameters"].get(part)
        count = "–" if parameters is None else f"{parameters:,}"
        print(f"{part:15}{count:>13}{gflop:>17.2f}")
    if record["start_gflop"]:
        print(f"once per reference: {record['start_gflop']:.2f} GFLOP")
    memory = {name: f"{size / 2**20:,.0f} MiB" for name, size in record["memory"].items()}
    print(f"memory of a step in float32: {memory['total']}, of which weights {memory['weights']}")
