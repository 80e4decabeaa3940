"""Small untrained networks on disk, as weights and exported, written once in a test session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from filelock import FileLock

from kinemacolor.export.network_graph import export_network
from kinemacolor.model.checkpoint import save_network
from kinemacolor.model.network import Network
from tests.model import toys

WIDTHS = {
    "feature_channels": 24,
    "token_channels": 24,
    "ffn_channels": 24,
    "residual_channels": 8,
    "key_channels": 48,
    "tau": 0.02,
}


def network_folder(name: str, factory: pytest.TempPathFactory) -> Path:
    """A folder with ``network.safetensors`` and the exported ``graphs``; the test workers share it."""
    base = factory.getbasetemp()
    if base.name.startswith("popen"):
        base = base.parent
    folder = base / f"network-{name}"
    with FileLock(str(folder) + ".lock"):
        if not folder.exists():
            part = folder.with_suffix(".part")
            part.mkdir(exist_ok=True)
            torch.manual_seed(3)
            changes = WIDTHS if name.startswith("lite") else {}
            network = Network(toys.toy_config(name, **changes), pretrained=name.startswith("lite")).eval()
            export_network(network, part / "graphs", half=False)
            save_network(network, part / "network.safetensors")
            part.rename(folder)
    return folder
