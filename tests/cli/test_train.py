"""The commands ``train`` and ``pack``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from kinemacolor.cli.train import pack, train
from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.training.data.pack import open_pack
from kinemacolor.training.run.checkpoint import checkpoints
from tests.training.runs import RECIPE, data
from tests.training.toys import moving, write_frames, write_photo

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(train)
app.command()(pack)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, KinemacolorError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text("\n".join(f"{key} = {written(value)}" for key, value in RECIPE.items()))
    assert tomllib.loads(path.read_text())["name"] == "toy"
    return path


def test_a_run_is_stopped_and_resumed(recipe: Path, tmp_path: Path) -> None:
    (cache,) = data(tmp_path)
    common = ("train", recipe, "-d", cache, "-o", tmp_path / "run", "--device", "cpu")
    printed = call(*common, "--time-limit", "0.00001", "--quiet")
    assert printed == f"{tmp_path / 'run'}: step 1 of 6, stopped by the time limit; continue with --resume\n"
    with pytest.raises(UsageError, match="holds a run already"):
        call(*common)
    printed = call(*common, "--resume")
    assert "resuming from" in printed
    assert re.search(r"step 6/6 .*frames/s", printed)
    assert printed.endswith("step 6 of 6\n")
    assert checkpoints(tmp_path / "run")[-1].name == "step-000006"


def test_a_dry_run_describes_the_run_and_leaves_nothing(recipe: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    write_frames(films / "pan", moving(6, 48, 64))
    write_photo(films / "photo.png")
    (films / "corrupt.mp4").write_bytes(b"nothing")
    printed = call(
        "train", recipe, "-d", films, "-o", tmp_path / "run", "--device", "cpu", "--dry-run", "--set", "run.steps=90"
    )
    assert re.search(r"^data +1 shots \(6 frames\), 1 photos$", printed, re.M)
    assert "left out corrupt:" in printed
    assert re.search(r"^speed +\d+\.\d\d s per step", printed, re.M)
    assert re.search(r"^memory +\d+ MiB", printed, re.M)
    assert re.search(r"^run +90 steps, about ", printed, re.M)
    assert "smooth 0.05 every 2 steps" in printed
    assert re.search(r"^measuring 3 steps$", printed, re.M)
    assert not (tmp_path / "run").exists()


def test_the_shares_of_a_profile_add_up(recipe: Path, tmp_path: Path) -> None:
    (cache,) = data(tmp_path)
    printed = call("train", recipe, "-d", cache, "-o", tmp_path / "run", "--device", "cpu", "--profile")
    shares = dict(re.findall(r"^(\w+) .* ms +([\d.]+)%$", printed, re.M))
    assert {"data", "transfer", "forward", "losses", "backward", "optimizer", "other"} <= shares.keys()
    assert sum(map(float, shares.values())) == pytest.approx(100, abs=1)
    assert float(shares["backward"]) > 5


def test_invalid_arguments_are_errors(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 minutes leave no time"):
        call("train", recipe, "-o", tmp_path / "run", "--time-limit", 0)
    with pytest.raises(InputError, match="cannot be read"):
        call("train", tmp_path / "none.toml", "-o", tmp_path / "run")
    with pytest.raises(UsageError, match="--set: 'steps' is not a change"):
        call("train", recipe, "-o", tmp_path / "run", "--set", "steps")
    with pytest.raises(UsageError, match="--data: there is nothing to train on"):
        call("train", recipe, "-o", tmp_path / "run", "--device", "cpu")
    with pytest.raises(UsageError, match="--device: there is no device cuda:7"):
        call("train", recipe, "-o", tmp_path / "run", "--device", "cuda:7")
    with pytest.raises(UsageError, match="leave no room"):
        call("pack", tmp_path, tmp_path / "x.pack", "--limit", 0)


def test_packing_a_folder_and_training_from_the_pack(recipe: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    write_frames(films / "pan", moving(6, 48, 64))
    write_frames(films / "sam2_dog", moving(6, 48, 64, seed=3))
    write_photo(films / "photo.png")
    printed = call("pack", films, tmp_path / "train.pack", "--quiet")
    assert re.search(r"train.pack: 6 frames and 1 photos in 0\.\d MiB$", printed.strip())
    names = {clip.source for clip in open_pack(tmp_path / "train.pack", tmp_path / "unpacked").clips}
    assert names == {"pan", "photo"}  # the demo's clip is always left out
    printed = call("pack", tmp_path / "unpacked", tmp_path / "less.pack", "--quiet", "--exclude", "photo")
    assert "6 frames and 0 photos" in printed
    common = ("train", recipe, "-d", tmp_path / "train.pack", "-o", tmp_path / "run", "--device", "cpu", "--quiet")
    assert call(*common, "--time-limit", "0.00001").startswith(f"{tmp_path / 'run'}: step 1 of 6")
    assert (tmp_path / "run" / "cache" / "index.json").is_file()


def test_a_recipe_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="RECIPE: is missing; name one recipe"):
        call("train", "-o", tmp_path / "run")
    with pytest.raises(UsageError, match="RECIPE: is there twice"):
        call("train", "lite", "--recipe", "paper", "-o", tmp_path / "run")
    with pytest.raises(UsageError, match="--table: has recipes of its own"):
        call("train", "lite", "--table", 2, "-o", tmp_path / "run")
    with pytest.raises(UsageError, match="--table: 3 is not a table of networks to train"):
        call("train", "--table", 3, "-o", tmp_path / "run")
    with pytest.raises(UsageError, match="data: there is nothing to train on"):
        call("train", "--recipe", "lite", "-o", tmp_path / "run")
