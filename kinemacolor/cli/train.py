"""``kinemacolor train`` and ``kinemacolor pack``: from a recipe and data to a network's weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from kinemacolor.training.config.recipe import Recipe

TRAIN_EXAMPLES = """
**Examples**

    kinemacolor train lite --data films/ --output runs/lite --dry-run

    kinemacolor train lite --data train.pack --output runs/lite --time-limit 45

    kinemacolor train my-recipe.toml --data train.pack --output runs/mine --resume

    torchrun --nproc-per-node 4 -m kinemacolor train paper --data DAVIS/ --data FVI/ --output runs/paper

    kinemacolor train --table 2 --data DAVIS/ --data FVI/ --data VIDEVO/ --output runs/table2

The weights are in OUTPUT/network.safetensors; use them with colorize --engine torch --weights. Ctrl-C and SIGTERM stop
the run after the current step, with a checkpoint; a second one stops it at once. Needs the extra train. Exit codes: 2
usage, 3 input, 4 output.
"""

PACK_EXAMPLES = """
**Examples**

    kinemacolor pack films/ train.pack

    kinemacolor pack runs/lite/cache train.pack --limit 20
"""
_ENDINGS = {
    "done": "",
    "time": ", stopped by the time limit; continue with --resume",
    "signal": ", stopped by a signal; continue with --resume",
}


def train(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)],
    recipe: Annotated[
        str | None,
        typer.Argument(help="Recipe: its name (lite, paper, keys, smoke), or a TOML file.", show_default=False),
    ] = None,
    named_recipe: Annotated[
        str | None, typer.Option("--recipe", help="The same, as an option.", show_default=False)
    ] = None,
    table: Annotated[
        int | None,
        typer.Option(
            help="2: the four networks of the paper's Table 2, in folders of OUTPUT, instead of one RECIPE.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", "-d", help="Folder, cache or pack; give it again for more folders.", show_default="the recipe's"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the newest checkpoint in the folder.")
    ] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Minutes after which to stop, with a checkpoint.", show_default="none")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="the best one")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a field of the recipe: section.field=value.", show_default="none"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and data, measure two steps, and describe the run.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure ten steps, and print how much time each part takes.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Train a network by RECIPE, or those of the paper's Table 2."""
    _check_libraries()
    from kinemacolor.training.config.recipe import load_recipe
    from kinemacolor.training.run import loop
    from kinemacolor.training.run.distributed import join_processes, leave_processes

    if time_limit is not None and not time_limit > 0:
        raise UsageError("--time-limit", f"{time_limit:g} minutes leave no time", "give more than 0")
    name = _chosen_recipe(recipe, named_recipe, table)
    with _options_in_errors():
        if name is None:
            _train_table(output, data or [], changes or [], device, resume, time_limit, dry_run, profile, quiet)
            return
        chosen = load_recipe(name, changes or ())
        if dry_run or profile:
            _measure(chosen, output, data or [], device, dry_run=dry_run, profile=profile, quiet=quiet)
            return
        processes = join_processes(device)
        try:
            with progress_line("decoding", hidden=quiet or not processes.first, unit="sources a second") as progress:
                outcome = loop.train(
                    chosen,
                    output,
                    data=data or [],
                    device=device,
                    resume=resume,
                    minutes=time_limit,
                    processes=processes,
                    say=_printer(quiet=quiet),
                    progress=progress,
                )
        finally:
            leave_processes(processes)
    if processes.first:
        typer.echo(f"{output}: step {outcome.step} of {outcome.steps}{_ENDINGS[outcome.reason]}")


def _chosen_recipe(argument: str | None, named: str | None, table: int | None) -> str | None:
    """The recipe that was named; None for the networks of a table."""
    names = [name for name in (argument, named) if name is not None]
    if table is not None:
        if table != 2:
            raise UsageError("--table", f"{table} is not a table of networks to train", "give 2")
        if names:
            raise UsageError("--table", "has recipes of its own", "leave RECIPE out, or --table")
        return None
    if len(names) != 1:
        problem = "is there twice" if names else "is missing"
        raise UsageError("RECIPE", problem, "name one recipe: lite, paper, …, or a TOML file")
    return names[0]


def _train_table(
    output: Path,
    data: list[str],
    changes: list[str],
    device: str | None,
    resume: bool,
    minutes: float | None,
    dry_run: bool,
    profile: bool,
    quiet: bool,
) -> None:
    """Trains the networks of Table 2, or measures a few steps of each."""
    from kinemacolor.training.run.distributed import join_processes, leave_processes
    from kinemacolor.training.run.table import table_recipes, train_table

    recipes = table_recipes(changes)
    if dry_run or profile:
        for row, recipe in recipes.items():
            typer.echo(f"--- {row}")
            _measure(recipe, output / row, data, device, dry_run=dry_run, profile=profile, quiet=quiet)
        return
    processes = join_processes(device)
    try:
        with progress_line("decoding", hidden=quiet or not processes.first, unit="sources a second") as progress:
            outcome = train_table(
                recipes,
                output,
                data=data,
                device=device,
                resume=resume,
                minutes=minutes,
                processes=processes,
                say=_printer(quiet=quiet),
                progress=progress,
            )
    finally:
        leave_processes(processes)
    if processes.first:
        if outcome.unfinished:
            row, run = outcome.unfinished
            typer.echo(f"{output}: {row}: step {run.step} of {run.steps}{_ENDINGS[run.reason]}")
        else:
            typer.echo(f"{output}: {', '.join(outcome.finished)}; kinemacolor benchmark --table 2 --weights {output}")


def _measure(
    recipe: Recipe, output: Path, data: list[str], device: str | None, *, dry_run: bool, profile: bool, quiet: bool
) -> None:
    """Measures a few steps, and prints what the run would do and where its time goes."""
    import tempfile

    from kinemacolor.training.run.dry_run import describe, measure_steps, profile_table
    from kinemacolor.training.run.setup import prepare

    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as temporary:  # for decoded data, which is not kept
        folder = output if (output / "cache").is_dir() else Path(temporary)
        with progress_line("decoding", hidden=quiet, unit="sources a second") as progress:
            setup = prepare(recipe, folder, data=data, device=device, progress=progress)
        measured = measure_steps(setup, 10 if profile else 2, _printer("measuring ", quiet=quiet))
        if dry_run:
            typer.echo(describe(setup, measured))
        if profile:
            typer.echo(profile_table(measured))


def pack(
    data: Annotated[str, typer.Argument(help="Folder of films and photos, or a cache.")],
    file: Annotated[Path, typer.Argument(help="The pack to write.")],
    limit: Annotated[float, typer.Option(help="Maximum size, MiB.")] = 48,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Names of sources to leave out (* and ? stand for anything).")
    ] = None,
    side: Annotated[int, typer.Option(help="Short side of films, pixels.")] = 180,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Pack the films and photos of DATA into one FILE, from which training runs on any machine."""
    import tempfile

    from kinemacolor.training.config.sections import DEMO_CLIPS
    from kinemacolor.training.data.cache import CacheSettings, build_cache, is_cache, open_cache
    from kinemacolor.training.data.pack import pack as write_pack
    from kinemacolor.training.data.sources import find_sources

    if not limit > 0:
        raise UsageError("--limit", f"{limit:g} MiB leave no room", "give more than 0")
    if side < 32:
        raise UsageError("--side", f"{side} pixels are too few", "give at least 32")
    left_out = [*DEMO_CLIPS, *(exclude or [])]
    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as temporary:
        with progress_line("decoding", hidden=quiet, unit="sources a second") as progress:
            if is_cache(Path(data)):
                cache = open_cache(Path(data)).without(left_out)
            else:
                folder, settings = Path(temporary) / "cache", CacheSettings.for_side(side)
                sources = find_sources(Path(data))
                cache = build_cache(sources, folder, settings, exclude=left_out, progress=progress)
        with progress_line("packing", hidden=quiet, unit="clips a second") as progress:
            summary = write_pack(cache, file, round(limit * (1 << 20)), progress=progress)
    for source in cache.skipped:
        typer.echo(f"skipped {source.name}: {source.reason}", err=True)
    dropped = f", {len(summary.dropped)} clips left out for lack of room" if summary.dropped else ""
    size = summary.bytes / (1 << 20)
    typer.echo(f"{summary.path}: {summary.frames} frames and {summary.photos} photos in {size:.1f} MiB{dropped}")


def _printer(start: str = "", *, quiet: bool) -> Callable[[str], None]:
    """A function that prints lines on standard error, or none."""
    return (lambda _line: None) if quiet else (lambda line: typer.echo(f"{start}{line}", err=True))


@contextmanager
def _options_in_errors() -> Iterator[None]:
    """Names the options of this command in the library's errors about its arguments."""
    options = {"changes": "--set", "data": "--data", "device": "--device"}
    try:
        yield
    except UsageError as error:
        if error.subject not in options:
            raise
        raise UsageError(options[error.subject], error.problem, error.remedy) from error


def _check_libraries() -> None:
    """Raises an error where the extra ``train`` is not installed."""
    from importlib.util import find_spec

    for name in ("torch", "timm", "safetensors"):
        if find_spec(name) is None:
            raise InputError("train", f"needs {name}, which is not installed", "pip install 'kinemacolor[train]'")
