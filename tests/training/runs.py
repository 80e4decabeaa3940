"""Small recipes and runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kinemacolor.training.config.recipe import Recipe, parse_recipe
from tests.model.toys import WIDTHS
from tests.training.toys import toy_cache

RECIPE: dict[str, Any] = {
    "name": "toy",
    "network": {
        "config": "lite-full",
        "changes": {**WIDTHS["lite-full"], "tau": 0.05, "blocks": 1},
        "pretrained": False,
        "key_init": False,
        "freeze_statistics": 0.5,
    },
    "data": {"size": [32, 48], "length": 3, "block": 2, "batch": 2, "flow": "dis", "exclude": []},
    "rollout": {"drop_propagated": 0.3, "color_memory": 0.5},
    "losses": {"l1": 1, "candidates": 0.3, "gate": 0.5, "temporal": 0.2, "smooth": {"weight": 0.05, "every": 2}},
    "optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "average": 0.9, "clip": 5.0},
    "evaluation": {"every": 100, "frames": 3, "side": 32},
    "run": {"steps": 6, "log_every": 1, "checkpoint_minutes": 60},
}


def toy_recipe(**changes: Mapping[str, Any]) -> Recipe:
    """``RECIPE`` with fields of its parts replaced."""
    fields = {key: dict(value) if isinstance(value, dict) else value for key, value in RECIPE.items()}
    for part, values in changes.items():
        fields.setdefault(part, {}).update(values)
    return parse_recipe(fields, "toy.toml")


def data(folder: Path) -> list[str]:
    """A toy cache, as ``--data`` takes it."""
    if not (folder / "cache").exists():
        toy_cache(folder / "cache")
    return [str(folder / "cache")]
