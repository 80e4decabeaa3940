"""What an install holds: recipes by name, in the wheel and in the source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.test_imports import PROJECT

wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs the extra dev")
sdist = pytest.importorskip("hatchling.builders.sdist", reason="needs the extra dev")
RECIPES = {path.name for path in (PROJECT / "recipes").glob("*.toml")}


def test_a_wheel_holds_the_recipes_and_trains_by_their_names(tmp_path: Path) -> None:
    file = next(wheel.WheelBuilder(str(PROJECT)).build(directory=str(tmp_path), versions=["standard"]))
    with zipfile.ZipFile(file) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert {f"kinemacolor/recipes/{name}" for name in RECIPES} <= names
    program = (
        "from kinemacolor.training.config import recipe; "
        "print(recipe.recipe_folder(), recipe.load_recipe('paper').data.length)"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == [str(tmp_path / "installed" / "kinemacolor" / "recipes"), "20"]


def test_a_source_distribution_holds_the_recipes(tmp_path: Path) -> None:
    file = next(sdist.SdistBuilder(str(PROJECT)).build(directory=str(tmp_path), versions=["standard"]))
    with tarfile.open(file) as archive:
        names = {"/".join(name.split("/")[1:]) for name in archive.getnames()}
    assert {f"recipes/{name}" for name in RECIPES} <= names
