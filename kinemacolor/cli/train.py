"""``kinemacolor train`` and ``kinemacolor pack``: from a recipe and data to a network's weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinemacolor.cli.progress import progress_line
from kinemacolor.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from kinemacolor.training.config.recipe import Recipe

TRAIN_EXAMPLES = """
**Examples**

    kinemacolor train recipes/lite.toml --data films/ --output runs/lite --dry-run

    kinemacolor train recipes/lite.toml --data train.pack --output runs/lite --time-limit 45

    kinemacolor train recipes/lite.toml --data train.pack --output runs/lite --resume

    torchrun --nproc-per-node 4 -m kinemacolor train recipes/paper.toml --data DAVIS/ --data FVI/ --output runs/paper

OUTPUT/network.safetensors is what colorize --engine torch --weights takes. Ctrl-C and SIGTERM stop the run after the
step, with a checkpoint; once more, at once. Needs the extra train. Exit codes: 2 usage, 3 input, 4 output.
"""

PACK_EXAMPLES = """
**Examples**

    kinemacolor pack films/ train.pack

    kinemacolor pack runs/lite/cache train.pack --limit 20
"""


def train(
    recipe: Annotated[str, typer.Argument(help="Recipe, a TOML file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.", show_default=False)],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", "-d", help="Folder, cache or pack; again for more folders.", show_default="the recipe's"
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in the folder.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(help="Stop after so many minutes, with a checkpoint.", show_default="none")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="the best there is")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field: part.field=value.", show_default="none")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and data, measure two steps, tell what would happen.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure ten steps and tell the share of time by part.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a network by RECIPE."""
    _torch_is_there()
    from kinemacolor.training.config.recipe import load_recipe
    from kinemacolor.training.run.distributed import join_processes, leave_processes
    from kinemacolor.training.run.loop import train as run

    if time_limit is not None and not time_limit > 0:
        raise UsageError("--time-limit", f"{time_limit:g} minutes leave no time", "give more than 0")
    chosen = load_recipe(recipe, changes or ())
    processes = join_processes(device)
    hidden = quiet or not processes.first
    try:
        with progress_line("decoding", hidden=hidden, unit="sources a second") as advance:
            report = None if advance is None else (lambda done, total, _name: advance(done, total))
            if dry_run or profile:
                say = (lambda _line: None) if quiet else (lambda line: typer.echo(f"measuring {line}", err=True))
                _plan(chosen, output, data or [], device, say, dry_run=dry_run, profile=profile)
                return
            outcome = run(
                chosen,
                output,
                data=data or [],
                device=device,
                resume=resume,
                minutes=time_limit,
                processes=processes,
                say=(lambda _line: None) if quiet else (lambda line: typer.echo(line, err=True)),
                report=report,
            )
    finally:
        leave_processes(processes)
    if processes.first:
        why = {"done": "", "time": ", the time limit; go on with --resume", "signal": ", stopped; go on with --resume"}
        typer.echo(f"{output}: step {outcome.step} of {outcome.steps}{why[outcome.reason]}")


def _plan(
    recipe: Recipe,
    output: Path,
    data: list[str],
    device: str | None,
    say: Callable[[str], None],
    *,
    dry_run: bool,
    profile: bool,
) -> None:
    import tempfile

    from kinemacolor.training.run.dry_run import describe, measure_steps, profile_table
    from kinemacolor.training.run.setup import prepare

    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as aside:  # decoded data; a dry run leaves nothing behind
        setup = prepare(recipe, output if (output / "cache").is_dir() else Path(aside), data=data, device=device)
        measured = measure_steps(setup, 10 if profile else 2, say)
        if dry_run:
            typer.echo(describe(setup, measured))
        if profile:
            typer.echo(profile_table(measured))


def pack(
    data: Annotated[str, typer.Argument(help="Folder of films and photos, or a cache.")],
    file: Annotated[Path, typer.Argument(help="The pack to write.")],
    limit: Annotated[float, typer.Option(help="Size at most, MiB.")] = 48,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Names of sources to leave out (* and ? stand for anything).")
    ] = None,
    side: Annotated[int, typer.Option(help="Short side of films, pixels.")] = 180,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Pack the films and photos of DATA into one FILE, from which training runs on any machine."""
    import tempfile

    from kinemacolor.training.data.cache import DEMONSTRATION, INDEX, CacheSettings, build_cache, open_cache
    from kinemacolor.training.data.pack import pack as write
    from kinemacolor.training.data.sources import find_sources

    if not limit > 0:
        raise UsageError("--limit", f"{limit:g} MiB leave no room", "give more than 0")
    if side < 32:
        raise UsageError("--side", f"{side} pixels are too few", "give at least 32")
    left_out = [*DEMONSTRATION, *(exclude or [])]
    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as aside:
        with progress_line("decoding", hidden=quiet, unit="sources a second") as advance:
            if (Path(data) / INDEX).is_file():
                cache = open_cache(Path(data)).without(left_out)
            else:
                report = None if advance is None else (lambda done, total, _name: advance(done, total))
                settings = CacheSettings(side=side)
                folder = Path(aside) / "cache"
                cache = build_cache(find_sources(Path(data)), folder, settings, exclude=left_out, report=report)
        with progress_line("packing", hidden=quiet, unit="clips a second") as advance:
            report = None if advance is None else (lambda done, total, _name: advance(done, total))
            made = write(cache, file, round(limit * (1 << 20)), report=report)
    for one in cache.skipped:
        typer.echo(f"skipped {one.name}: {one.reason}", err=True)
    dropped = f", {len(made.dropped)} clips left out for want of room" if made.dropped else ""
    size = made.bytes / (1 << 20)
    typer.echo(f"{made.path}: {made.frames} frames and {made.photos} photos in {size:.1f} MiB{dropped}")


def _torch_is_there() -> None:
    """Says so in one line where the extra ``train`` is not installed."""
    from importlib.util import find_spec

    for name in ("torch", "timm", "safetensors"):
        if find_spec(name) is None:
            raise InputError("train", f"needs {name}, which is not installed", "pip install 'kinemacolor[train]'")
