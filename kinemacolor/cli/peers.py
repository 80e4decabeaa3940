"""``kinemacolor peers``: other colorizers, and what each needs to be measured beside ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinemacolor.core.errors import UsageError

if TYPE_CHECKING:
    from kinemacolor.peers.records import PeerRecord

PEERS_EXAMPLES = """
**Examples**

    kinemacolor peers

    kinemacolor peers deepexemplar=~/Deep-Exemplar-based-Video-Colorization colormnet=~/colormnet

    kinemacolor benchmark clips/ -m lite,peer:deepexemplar=~/Deep-Exemplar-based-Video-Colorization -o report/

A checkout's own Python is .venv/bin/python in it, if there is one, else the one that runs kinemacolor.
"""


def peers(
    checkouts: Annotated[
        list[str] | None, typer.Argument(help="NAME=CHECKOUT, to be looked at; several.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List other colorizers, their papers, code, licenses and weights, and which are ready to run."""
    from kinemacolor.peers.records import PEERS

    folders = _folders(checkouts or [])
    for name in folders:
        if name not in PEERS:
            raise UsageError("checkouts", f"there is no peer {name}", f"choose among {', '.join(PEERS)}")
    rows = [_row(record, folders.get(record.name)) for record in PEERS.values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['name']} ({row['title']}): {row['state']}")
        print(f"    {row['paper']}")
        commit = f" at {row['commit'][:12]}" if row["commit"] else ""
        source = f"https://github.com/{row['repository']}{commit}" if row["repository"] else "no public code was found"
        print(f"    {source}; license: {row['license'] or 'none stated, or not looked up'}; needs {row['needs']}")
        for weights in row["weights"]:
            print(f"    {weights['file']}, from {weights['source']}")


def _folders(checkouts: list[str]) -> dict[str, Path]:
    folders = {}
    for text in checkouts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError("checkouts", f"{text} names no folder", "give NAME=CHECKOUT")
        folders[name] = Path(path).expanduser()
    return folders


def _row(record: PeerRecord, folder: Path | None) -> dict[str, Any]:
    from kinemacolor.peers.runner import Checkout

    if folder is not None:
        problems = Checkout(record, folder).problems()
        state = f"ready in {folder}" if not problems else f"not ready: {'; '.join(problems)}"
    elif record.results:
        state = f"needs the folder of its results: peer:{record.name}=FOLDER"
    elif record.adapter:
        state = f"has an adapter; needs a checkout: peer:{record.name}=CHECKOUT"
    else:
        state = "has no adapter; measure its results with external:NAME=FOLDER"
    return {
        "name": record.name,
        "title": record.title,
        "state": state,
        "paper": record.paper,
        "repository": record.repository,
        "commit": record.commit,
        "license": record.license,
        "kind": record.kind,
        "needs": record.needs,
        "packages": list(record.packages),
        "weights": [{"file": w.file, "source": w.source, "sha256": w.sha256} for w in record.weights],
    }
