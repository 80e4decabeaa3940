"""Recipes: those that are shipped, what is refused and how, changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION, Augmentation
from kinemacolor.training.config.recipe import (
    Recipe,
    load_recipe,
    parse_recipe,
    recipe_differences,
    shipped_recipes,
    with_current_names,
)
from tests.training.runs import RECIPE, toy_recipe

RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    if recipe.name != "smoke":
        assert "sam2_dog" in recipe.data.exclude


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = load_recipe(RECIPES / "paper.toml")
    weights = {name: term.weight for name, term in recipe.losses.terms().items()}
    published = {"l1": 0.5, "perceptual": 0.05, "temporal": 3.0, "adversarial": 0.2, "smooth": 4.0}
    assert {name: weight for name, weight in weights.items() if weight} == published
    assert all(recipe.losses.terms()[name].every == 1 for name in published)
    assert recipe.losses.features == "vgg19"
    options = recipe.optimizer
    assert (options.learning_rate, options.backbone_rate, options.discriminator_rate) == (1e-4, 1e-5, 1e-3)
    assert (options.betas, options.weight_decay, options.schedule) == ((0.5, 0.999), 1e-4, "paper")
    assert (options.average, options.clip) == (0, 0)
    data = recipe.data
    assert (data.size, data.block, recipe.run.epochs) == ((216, 384), 2, 10)
    assert (data.length, data.shortest) == (20, 2)  # "max length of 20 frames"
    assert data.augmentation == PAPER_AUGMENTATION
    assert recipe.network.network_config().name == "paper"
    assert not recipe.network.changes
    assert recipe.rollout.gradient_blocks >= 2  # what the linkage subnet stores is learned


def test_every_field_is_documented() -> None:
    def check(record: Any) -> None:
        for name, field in record.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and hasattr(inner, "model_fields"):
                check(inner)
            elif name != "name" or record is not Recipe:
                assert field.description, f"{record.__name__}.{name}"

    check(Recipe)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": {"sizes": 1}}, "data.sizes: unknown name; did you mean size?"),
        ({"loss": {}}, "loss: unknown name; did you mean losses?"),
        ({"losses": {"l1": -1}}, r"losses.l1.weight: expected .* 0, got -1"),
        ({"losses": {"l1": {"weight": 1, "each": 2}}}, "losses.l1.each: unknown name; known names are weight, every"),
        (
            {"losses": {"l1": 0, "gate": 0, "candidates": 0, "temporal": 0, "smooth": 0}},
            "losses: expected at least one with a weight",
        ),
        ({"data": {"length": "long"}}, "data.length: expected .*integer.* got 'long'"),
        ({"data": {"augmentation": {"mirrors": 1}}}, "augmentation.mirrors: unknown name; did you mean mirror?"),
        ({"data": {"augmentation": {"mirror": 2}}}, r"mirror: expected a probability in \[0, 1\], got 2"),
        (
            {"data": {"augmentation": {"wear": {"rust": 1}}}},
            "data.augmentation.wear.rust: unknown name; did you mean dust?",
        ),
        (
            {"data": {"augmentation": {"preset": "papers"}}},
            "data.augmentation.preset: expected lite or paper, got 'papers'",
        ),
        ({"data": {"length": 1}}, "data.length: expected at least 2"),
        ({"data": {"keep_flow": True}}, "data.keep_flow: expected false, for an augmentation that draws"),
        ({"losses": {"adversarial": 1}}, "data.size: expected sides of at least 128"),
        ({"data": {"shortest": 1, "batch": 1}}, "data.shortest: expected 2 to data.length, got 1"),
        ({"data": {"shortest": 9, "batch": 1}}, "data.shortest: expected 2 to data.length, got 9"),
        ({"data": {"shortest": 2}}, r"data.batch: expected 1 \(with data.shortest\), got 2"),
        ({"run": {"epochs": 2}}, "run: expected one of steps and epochs"),
        ({"run": {"steps": None}}, "run: expected one of steps and epochs"),
        ({"network": {"config": "huge"}}, "network: config: expected lite, lite-full, paper or"),
        ({"network": {"changes": {"tau": 3}}}, "network: lite-full: tau: expected"),
        (
            {"network": {"changes": {"output": "tanh", "neutral": False}}},
            "losses.gate: expected 0 for a network without a gated output",
        ),
        (
            {
                "network": {"changes": {"output": "tanh", "neutral": False}, "gate_calibration": 2},
                "losses": {"gate": 0, "candidates": 0},
            },
            "network.gate_calibration: expected 0 for a network without a gated output",
        ),
    ],
)
def test_faults_are_named(changes: dict[str, Any], text: str) -> None:
    fields = {key: dict(value) if isinstance(value, dict) else value for key, value in RECIPE.items()}
    for part, values in changes.items():
        fields[part] = {**fields.get(part, {}), **values}
    with pytest.raises(InputError, match=text) as caught:
        parse_recipe(fields, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert "\n" not in str(caught.value)


def test_recipes_have_names_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"lite", "paper", "keys", "smoke"} <= set(shipped_recipes())
    assert load_recipe("paper") == load_recipe(RECIPES / "paper.toml")
    with pytest.raises(InputError, match=r"papr: cannot be read .*; give a file, or a name: keys, lite, paper"):
        load_recipe("papr")


def test_the_rows_of_table_2_are_the_papers_network_without_a_part() -> None:
    without = {
        "no-transformer": {"transformer": False, "linkage": False},
        "no-double-head": {"augmented_head": False},
        "no-linkage": {"linkage": False},
    }
    full = load_recipe("paper")
    for row, changes in without.items():
        recipe = load_recipe(f"paper-{row}")
        assert recipe.network.network_config() == full.network.network_config().changed(**changes)
        same = {"name": full.name, "network": full.network}
        assert recipe.model_copy(update=same) == full
        assert bool(recipe.network.vistr) == recipe.network.network_config().transformer


def test_a_recipe_may_stand_on_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nbase = "lite"\n[losses]\nchroma = 2\n[data]\nbatch = 3\n')
    (tmp_path / "next.toml").write_text('name = "next"\nbase = "mine.toml"\n[data]\nbatch = 4\n')
    lite, mine, following = (
        load_recipe("lite"),
        load_recipe(tmp_path / "mine.toml"),
        load_recipe(tmp_path / "next.toml"),
    )
    assert (mine.losses.chroma.weight, mine.data.batch, following.data.batch) == (2, 3, 4)
    assert following.losses == mine.losses
    assert mine.losses.psnr == lite.losses.psnr
    assert following.data.held_out == lite.data.held_out
    (tmp_path / "circle.toml").write_text('name = "circle"\nbase = "circle.toml"\n')
    with pytest.raises(InputError, match=r"circle.toml: base: expected another recipe"):
        load_recipe(tmp_path / "circle.toml")
    (tmp_path / "lost.toml").write_text('name = "lost"\nbase = "nobody"\n')
    with pytest.raises(InputError, match="nobody: cannot be read"):
        load_recipe(tmp_path / "lost.toml")


def test_files_that_are_not_recipes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.toml: cannot be read"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "corrupt.toml").write_text("name = ")
    with pytest.raises(InputError, match=r"corrupt.toml: is not TOML"):
        load_recipe(tmp_path / "corrupt.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(InputError, match="name: expected a value, got none"):
        load_recipe(tmp_path / "empty.toml")


def test_changes_from_the_command_line() -> None:
    path = RECIPES / "lite.toml"
    changes = ["data.size=[64, 96]", "network.config=lite", "losses.l1=2", "run.steps = 7"]
    changes += ["data.augmentation.stride=2"]
    recipe = load_recipe(path, [*changes, "network.changes.blocks=2"])
    assert recipe.data.size == (64, 96)
    assert recipe.losses.l1.weight == 2
    assert recipe.run.steps == 7
    assert recipe.network.network_config().blocks == 2
    assert recipe.data.augmentation.stride == 2
    former = ["optimiser.clip=3", "rollout.colour_memory=0.25"]  # codespell:ignore
    old = load_recipe(path, [*former, "replay.traces=7", "network.settle=1"])
    assert (old.optimizer.clip, old.rollout.color_memory) == (3, 0.25)
    assert (old.recording.windows, old.network.gate_calibration) == (7, 1)
    for change, text in (("steps", "is not a change"), ("name.first=1", "name in 'name.first=1' has no fields")):
        with pytest.raises(UsageError, match=text):
            load_recipe(path, [change])


def test_augmentation_starts_from_a_preset() -> None:
    plain = toy_recipe(data={"augmentation": {"mirror": 0.25, "wear": {"blur": 1}}}).data.augmentation
    assert plain.mirror == 0.25
    assert plain.wear.blur == 1
    assert plain.wear.grain == Augmentation().wear.grain
    paper = toy_recipe(data={"augmentation": {"preset": "paper", "mirror": 0.25}}).data.augmentation
    assert paper.mirror == 0.25
    assert paper.whole
    assert paper.rotate == 0


def test_terms_are_due_in_one_step_in_every_n() -> None:
    smooth = toy_recipe().losses.smooth
    assert [smooth.due(step) for step in range(4)] == [True, False, True, False]
    assert not toy_recipe().losses.adversarial.due(0)


def test_differences_between_recipes() -> None:
    before = toy_recipe().model_dump(mode="json")
    now = toy_recipe(losses={"l1": 3}, data={"paths": ("x",)}, evaluation={"every": 3}, run={"seed": 2})
    assert recipe_differences(before, now.model_dump(mode="json")) == ["losses.l1.weight", "run.seed"]
    again = parse_recipe(before, "again").model_dump(mode="json")
    assert recipe_differences(before, again) == []
    assert again == before


OLD_FIELDS: dict[str, Any] = {
    "network": {
        "basis": False,
        "settle": 2,
        "calibration": 3,
        "changes": {"normalisation": "none"},  # codespell:ignore
    },
    "data": {"augmentation": {"thing": 0.125, "wear": {"dust": 1}}},
    "rollout": {"drop_carried": 0.375, "colour_memory": 0.625},  # codespell:ignore
    "replay": {"traces": 5, "length": 8, "keep": 4, "size": [64, 96]},
    "optimiser": {"learning_rate": 0.5, "clip": 2.0},  # codespell:ignore
}
NEW_FIELDS: dict[str, Any] = {
    "network": {
        "key_init": False,
        "gate_calibration": 2,
        "norm_calibration": 3,
        "changes": {"normalization": "none"},
    },
    "data": {"augmentation": {"moving_object": 0.125, "wear": {"dust": 1}}},
    "rollout": {"drop_propagated": 0.375, "color_memory": 0.625},
    "recording": {"windows": 5, "length": 8, "keep_every": 4, "size": [64, 96]},
    "optimizer": {"learning_rate": 0.5, "clip": 2.0},
}


def test_former_names_are_read() -> None:
    """Users' recipes and the checkpoints of earlier versions have them."""
    needed = {
        "name": "old",
        "network": {"config": "lite-full", "freeze": ["features", "correspondence", "linkage"]},
        "data": {"length": 2, "block": 2, "size": [64, 96]},
        "run": {"steps": 3},
    }

    def recipe(changes: dict[str, Any]) -> Recipe:
        fields = {key: {**value} if isinstance(value, dict) else value for key, value in needed.items()}
        for section, values in changes.items():
            fields[section] = {**fields.get(section, {}), **values}
        return parse_recipe(fields, "old.toml")

    old, new = recipe(OLD_FIELDS), recipe(NEW_FIELDS)
    assert old == new
    assert new.recording.keep_every == 4
    assert new.data.augmentation.moving_object == 0.125
    dump = new.model_dump(mode="json")
    assert recipe_differences(with_current_names(old_dump(dump)), dump) == []
    assert recipe_differences(old_dump(dump), dump) != []


def old_dump(dump: dict[str, Any]) -> dict[str, Any]:
    """A dumped recipe as an earlier version wrote it into checkpoints."""
    old = json.loads(json.dumps(dump))
    old["optimiser"], old["replay"] = old.pop("optimizer"), old.pop("recording")  # codespell:ignore
    for section, names in (
        (old["network"], {"key_init": "basis", "gate_calibration": "settle", "norm_calibration": "calibration"}),
        (old["data"]["augmentation"], {"moving_object": "thing"}),
        (old["rollout"], {"drop_propagated": "drop_carried", "color_memory": "colour_memory"}),  # codespell:ignore
        (old["replay"], {"windows": "traces", "keep_every": "keep"}),
    ):
        for name, former in names.items():
            section[former] = section.pop(name)
    return old


def test_a_field_under_both_names_is_a_fault() -> None:
    with pytest.raises(InputError, match=r"rollout.colour_memory: unknown name; did you mean"):  # codespell:ignore
        toy_recipe(rollout={"colour_memory": 0.1})  # codespell:ignore
    with pytest.raises(InputError, match=r"optimiser: unknown name; did you mean optimizer\?"):  # codespell:ignore
        toy_recipe(optimiser={"clip": 1})  # codespell:ignore
