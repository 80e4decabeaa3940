"""``kinemacolor info``: what is installed."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def info(as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """Versions, engines, weights with licence and sha256, and this machine."""
    from kinemacolor.info import installation

    record = installation()
    if as_json:
        print(json.dumps(record, indent=2))
        return
    print(f"kinemacolor {record['version']}, Python {record['python']}")
    print("libraries: " + ", ".join(f"{name} {version}" for name, version in record["libraries"].items()))
    hardware = record["hardware"]
    print(f"hardware:  {hardware['processor']}, {hardware['cores']} cores, {', '.join(hardware['providers'])}")
    for name, text in record["engines"].items():
        print(f"engine:    {name}: {text}")
    for weights in record["weights"]:
        print(f"weights:   {weights['file']} ({weights['engine']}), {weights['licence']}, {weights['origin']}")
        print(f"           sha256 {weights['sha256']}")
