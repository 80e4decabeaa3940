"""The networks of the paper's Table 2, one after the other: from their recipes to a folder that the benchmark takes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.evaluation.methods import TABLE_2_ROWS
from kinemacolor.training.config.recipe import Recipe, load_recipe
from kinemacolor.training.run.checkpoint import checkpoints
from kinemacolor.training.run.distributed import Processes, any_process
from kinemacolor.training.run.loop import Say, TrainingOutcome, train
from kinemacolor.training.run.setup import choose_device, open_training_data
from kinemacolor.training.run.weights import check_weights, fetch_from_torch

TABLE_2_RECIPES: Mapping[str, str] = {row: "paper" if row == "full" else f"paper-{row}" for row in TABLE_2_ROWS}
"""The recipe of each row."""


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """How the training of a table ended.

    Attributes:
        finished: rows whose networks are trained, in order.
        unfinished: the row in which it stopped, and how; None where all are finished.
    """

    finished: tuple[str, ...]
    unfinished: tuple[str, TrainingOutcome] | None


def table_recipes(changes: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipes of Table 2 by row, with changes (see ``load_recipe``) to all of them."""
    return {row: load_recipe(name, changes) for row, name in TABLE_2_RECIPES.items()}


def train_table(
    recipes: Mapping[str, Recipe],
    output: Path,
    *,
    data: Sequence[str] = (),
    device: str | None = None,
    resume: bool = False,
    minutes: float | None = None,
    processes: Processes | None = None,
    say: Say = print,
    progress: ProgressCallback | None = None,
) -> TableOutcome:
    """Trains the networks of a table, each in a folder of its own, and copies their weights to ROW.safetensors.

    Data are decoded once, and the optical flow is computed once for all. Finished rows are not trained again.

    Args:
        recipes: by row.
        output: folder of the table.
        data, device, processes, say, progress: see ``train``.
        resume: goes on where a table stopped; without it, an ``output`` that holds runs is an error.
        minutes: for all rows together.

    Raises:
        UsageError, InputError, OutputError: naming what cannot be used.
    """
    processes = processes or Processes()
    started = [row for row in recipes if checkpoints(output / row)]
    if started and not resume:
        raise UsageError(output, f"holds runs already ({', '.join(started)})", "resume them, or choose another folder")
    for recipe in recipes.values():
        check_weights(recipe, fetch_from_torch if processes.first else None)
    first = next(iter(recipes.values()))
    if processes.first:
        open_training_data(tuple(data) or first.data.paths, output, first, progress)
    any_process(True, processes, choose_device(device, processes))  # the others wait for the data
    limit = None if minutes is None else monotonic() + 60 * minutes
    finished: list[str] = []
    for row, recipe in recipes.items():
        if not _is_finished(output, row):
            say(f"--- {row}: recipe {recipe.name}")
            outcome = train(
                _sharing_flow(recipe, output),
                output / row,
                data=_shared_data(output, data, first),
                device=device,
                resume=row in started,
                minutes=None if limit is None else max((limit - monotonic()) / 60, 1e-6),
                processes=processes,
                say=say,
            )
            if outcome.reason != "done":
                return TableOutcome(tuple(finished), (row, outcome))
            if processes.first:
                _copy_weights(output, row)
        finished.append(row)
    return TableOutcome(tuple(finished), None)


def _shared_data(output: Path, data: Sequence[str], recipe: Recipe) -> Sequence[str]:
    """The cache that was decoded for all rows, or the one that was given."""
    decoded = output / "cache"
    return [str(decoded)] if decoded.is_dir() else tuple(data) or recipe.data.paths


def _sharing_flow(recipe: Recipe, output: Path) -> Recipe:
    """The recipe with a folder of flow for all rows, if it keeps flow at all."""
    if not recipe.data.keep_flow or recipe.data.flow_folder:
        return recipe
    data = recipe.data.model_copy(update={"flow_folder": str(output / "flow")})
    return recipe.model_copy(update={"data": data})


def _is_finished(output: Path, row: str) -> bool:
    return bool(checkpoints(output / row)) and (output / f"{row}.safetensors").is_file()


def _copy_weights(output: Path, row: str) -> None:
    target = output / f"{row}.safetensors"
    try:
        with atomic_write(target) as part:
            shutil.copyfile(output / row / "network.safetensors", part)
    except OSError as error:
        raise OutputError(target, f"cannot be written ({error.strerror})", "make room, then resume") from error
