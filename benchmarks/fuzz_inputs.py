"""Hostile inputs for ``fuzz.py``: a good file, what is done to it, and the command that gets it, all by the seed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_changes import mutate, renamed
from fuzz_samples import MEASURED_RECIPE

KINDS = {"film": 40, "still": 14, "frame": 6, "shots": 10, "project": 10, "recipe": 8, "onnx": 6, "safetensors": 6}
"""Kinds of inputs, and how many of a hundred are of each."""
KEPT_SMALL = (
    *("data.size=[32, 48]", "data.length=3", "data.block=2", "data.batch=1", "data.side=48", "evaluation.frames=3"),
    *("evaluation.side=32", "recording.windows=0", 'network.config="lite-full"', 'losses.features="lite0"'),
    "network.changes={blocks=1, feature_channels=22, token_channels=24, ffn_channels=18, encoder_channels=[4, 4, 8]}",
)
"""Fields of a recipe that decide what it costs; half of the recipes that are measured get them."""


@dataclass(frozen=True, slots=True)
class FuzzInput:
    """One hostile input.

    Attributes:
        number: with the seed it decides everything.
        kind: of ``KINDS``.
        sample: the good file that it comes from.
        changes: what was done to it, for people.
        arguments: of the command line, to be run in the input's folder.
        outputs: names that the command may make.
    """

    number: int
    kind: str
    sample: str
    changes: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


def make_input(seed: int, number: int, samples: Path, folder: Path) -> FuzzInput:
    """Writes the input's files into ``folder``, which must be empty.

    Args:
        seed: of all inputs.
        number: of the input; below 0 that of an unchanged sample, counted from -1 down (see ``unchanged_samples``).
        samples: folder of the good files.
        folder: of the input.
    """
    if number < 0:
        draw = random.Random(number)
        kind, chosen = unchanged_samples(samples)[-1 - number]
        return _write_input(number, kind, chosen, chosen.name, chosen.read_bytes(), [], draw, folder)
    draw = random.Random(f"{seed}:{number}")
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    sources = _sources(samples, kind)
    chosen, other = draw.choice(sources), draw.choice(sources)
    text = kind in ("shots", "project", "recipe")
    content, changes = chosen.read_bytes(), []
    if draw.random() < 0.93:
        content, changes = mutate(content, other.read_bytes(), draw, text=text)
    name = chosen.name
    if kind != "onnx" and (not changes or draw.random() < 0.06):  # a graph's name is its own
        name, change = renamed(chosen.name, draw)
        changes.append(change)
    return _write_input(number, kind, chosen, name, content, changes, draw, folder)


def unchanged_samples(samples: Path) -> list[tuple[str, Path]]:
    """Kind and file of each sample that must end with exit code 0 as long as nothing is done to it."""
    pairs = [(kind, path) for kind in KINDS for path in _sources(samples, kind)]
    return [(kind, path) for kind, path in pairs if kind != "recipe" or path.name == MEASURED_RECIPE]


def _sources(samples: Path, kind: str) -> list[Path]:
    return sorted((samples / ("still" if kind == "frame" else kind)).iterdir())


def _write_input(
    number: int,
    kind: str,
    chosen: Path,
    name: str,
    content: bytes,
    changes: list[str],
    draw: random.Random,
    folder: Path,
) -> FuzzInput:
    """Writes a sample, as it was changed, and what its command needs beside it."""
    samples = chosen.parent.parent
    os.link(samples / "film" / "h264.mp4", folder / "film.mp4")
    os.link(samples / "still" / "rgb.png", folder / "still.png")
    arguments, outputs = _ARGUMENTS[kind](name, draw)
    place = folder / _PLACES.get(kind, ".")
    place.mkdir(exist_ok=True)
    if kind == "onnx":
        for graph in chosen.parent.iterdir():
            if graph != chosen:
                os.link(graph, place / graph.name)
    if kind == "frame":
        for at in (1, 3):
            shutil.copy(chosen, place / f"frame_{at:04}{chosen.suffix}")
        name = f"frame_0002{chosen.suffix}"
    if kind == "recipe":
        (folder / "films").mkdir()
        for film in ("ffv1.mkv", "h264.mp4"):
            os.link(samples / "film" / film, folder / "films" / film)
    (place / name).write_bytes(content)
    if kind == "project":
        outputs = _project_output(content, outputs)
    if "--overwrite" in arguments:
        for output in outputs:
            if not output.endswith("/"):
                shutil.copy(samples / "film" / "h264.mp4", folder / output)
    return FuzzInput(number, kind, chosen.name, tuple(changes), tuple(arguments), tuple(outputs))


def _project_output(content: bytes, outputs: list[str]) -> list[str]:
    """The outputs of a project, which a change may have renamed."""
    with contextlib.suppress(ValueError, RecursionError):
        renamed = tomllib.loads(content.decode()).get("output")
        return [renamed] if isinstance(renamed, str) and renamed else outputs
    return outputs


_PLACES = {"onnx": "graphs", "frame": "frames"}
_Arguments = tuple[list[str], list[str]]


def _colorize(film: str, output: str, *options: str, still: str = "still.png", engine: str = "matching") -> list[str]:
    size = ["--working-size", "32"]
    return ["colorize", film, "-r", still, "-o", output, "--engine", engine, *size, "--quiet", *options]


def _film_arguments(name: str, draw: random.Random) -> _Arguments:
    way = draw.random()
    if way < 0.12:
        return ["shots", name, "-o", "list.json", "--sheet", "sheet.png", "--quiet"], ["list.json", "sheet.png"]
    if way < 0.2:
        return _colorize(name, "sheet.png", "--preview", "--every", "2"), ["sheet.png"]
    if way < 0.26:
        return ["keyframes", name, "-o", "paint", "--working-size", "32", "--engine", "matching", "--quiet"], ["paint/"]
    output = draw.choice(("out.mp4", "out.mkv", "out.mov", "pictures/"))
    options = ["--overwrite"] if draw.random() < 0.3 else []
    options += draw.choice(
        ([], [], ["--start", "0.1"], ["--codec", "ffv1"], ["--strict"], ["--max-segment-frames", "2"])
    )
    options += ["--report", "report.html"] if draw.random() < 0.1 and not output.endswith("/") else []
    return _colorize(name, output, *options), [output, *(["report.html"] if "--report" in options else [])]


def _still_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", still=name), ["out.mp4"]


def _frame_arguments(_name: str, draw: random.Random) -> _Arguments:
    output = draw.choice(("out.mp4", "pictures/"))
    return _colorize("frames", output), [output]


def _shots_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--shots", name), ["out.mp4"]


def _project_arguments(name: str, _draw: random.Random) -> _Arguments:
    return ["colorize", "--project", name, "--quiet"], ["out.mkv"]


def _recipe_arguments(name: str, draw: random.Random) -> _Arguments:
    measured = Path(MEASURED_RECIPE).stem in name
    # Recipes that cost too much get data that is not there: what parses ends at once, and nothing is trained.
    arguments = ["train", name, "--data", "films" if measured else "nothing", "--output", "run", "--dry-run", "--quiet"]
    if measured and draw.random() < 0.5:
        arguments += [part for change in KEPT_SMALL for part in ("--set", change)]
    return arguments, []


def _onnx_arguments(_name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--weights", "graphs", engine="onnx"), ["out.mp4"]


def _safetensors_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--weights", name, engine="torch"), ["out.mp4"]


_ARGUMENTS: dict[str, Callable[[str, random.Random], _Arguments]] = {
    "film": _film_arguments,
    "still": _still_arguments,
    "frame": _frame_arguments,
    "shots": _shots_arguments,
    "project": _project_arguments,
    "recipe": _recipe_arguments,
    "onnx": _onnx_arguments,
    "safetensors": _safetensors_arguments,
}
