"""The networks of Table 2: trained one after the other, resumed, and taken by the benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.evaluation.methods import TABLE_2_ROWS, table_methods
from kinemacolor.training.config.recipe import Recipe
from kinemacolor.training.run import loop
from kinemacolor.training.run.checkpoint import checkpoints
from kinemacolor.training.run.table import table_recipes, train_table
from tests.training.runs import RECIPE, data, toy_recipe
from tests.training.toys import moving, write_frames

SWITCHES = {
    "no-transformer": {"transformer": False, "linkage": False},
    "no-double-head": {"augmented_head": False},
    "no-linkage": {"linkage": False},
    "full": {},
}


def toys() -> dict[str, Recipe]:
    """The rows at toy size, two steps each, with flow that is kept."""
    paper = {"augmentation": {"preset": "paper"}, "keep_flow": True}
    return {
        row: toy_recipe(network={"changes": {**RECIPE["network"]["changes"], **switches}}, data=paper, run={"steps": 2})
        for row, switches in SWITCHES.items()
    }


def test_recipes_have_the_tables_rows() -> None:
    recipes = table_recipes(["run.seed=3"])
    assert tuple(recipes) == TABLE_2_ROWS == tuple(SWITCHES)
    assert all(recipe.run.seed == 3 for recipe in recipes.values())
    for row, recipe in recipes.items():
        full = recipes["full"].network.network_config()
        assert recipe.network.network_config() == full.changed(**SWITCHES[row])


def test_a_table_is_trained_stopped_resumed_and_benchmarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "films" / "f", moving(6, 40, 60))
    output, films = tmp_path / "table", [str(tmp_path / "films")]
    quiet = {"device": "cpu", "say": lambda _: None}
    stopped = train_table(toys(), output, data=films, minutes=1e-6, **quiet)  # type: ignore[arg-type]
    assert stopped.finished == ()
    assert stopped.unfinished is not None
    assert stopped.unfinished[0] == "no-transformer"
    with pytest.raises(UsageError, match="holds runs already"):
        train_table(toys(), output, data=films, **quiet)  # type: ignore[arg-type]
    done = train_table(toys(), output, data=films, resume=True, **quiet)  # type: ignore[arg-type]
    assert done.finished == tuple(SWITCHES)
    assert done.unfinished is None
    assert not list(output.glob("*/cache"))  # decoded once, in OUTPUT/cache
    assert list((output / "flow").glob("*.npz"))
    assert not list(output.glob("*/flow"))
    methods = table_methods(2, output)
    assert [method.name for method in methods] == list(SWITCHES)
    assert all(method.open(1) for method in methods)
    before = {row: checkpoints(output / row)[-1].stat().st_mtime_ns for row in SWITCHES}
    monkeypatch.setattr(loop, "training_step", None)  # nothing is left to train
    assert train_table(toys(), output, data=films, resume=True, **quiet).finished == tuple(SWITCHES)  # type: ignore[arg-type]
    assert before == {row: checkpoints(output / row)[-1].stat().st_mtime_ns for row in SWITCHES}


def test_weights_of_all_rows_are_checked_first(tmp_path: Path) -> None:
    recipes = {**toys(), "full": toy_recipe(network={"initial": "none.safetensors"})}
    with pytest.raises(InputError, match=r"a file of weights is missing: \(1\) none.safetensors"):
        train_table(recipes, tmp_path / "table", data=data(tmp_path), device="cpu", say=lambda _: None)
    assert not (tmp_path / "table").exists()
