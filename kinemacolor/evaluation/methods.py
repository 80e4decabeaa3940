"""The methods of a benchmark by their names: baselines, engines, and results of other tools."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinemacolor.baselines import BASELINES, open_baseline
from kinemacolor.baselines.external import External
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.types import Array, Reference, Shot
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import ENGINES, open_engine
from kinemacolor.engine.weights import released
from kinemacolor.evaluation.clips import Clip, Truth, digest
from kinemacolor.pipeline.bidirectional import FrameColors, PassStates, color_segment
from kinemacolor.pipeline.segment_plan import plan_segments
from kinemacolor.references.flip import upright

ENDINGS: dict[str, dict[str, Any]] = {
    "": {},
    "-alone": {"propagation": "off"},
    "-chained": {"propagation": "chained"},
    "-memory": {"color_memory": True},
}
"""Endings of the name of an engine without weights, and what they switch."""
TRAINED = tuple(record.name for record in ENGINES.values() if record.needs_weights)
"""Engines that need weights."""
BLOCKS = range(1, 7)
"""Block sizes of the paper's Table 3."""
TABLE_2 = ("no-transformer", "no-double-head", "no-linkage", "full")
"""Rows of the paper's Table 2; the first is without the linkage subnet, too, which needs the Transformer branch."""
_OPTIONS = re.compile(r"(?:\+(?:alone|chained|memory|block[1-6]))*$")
TRUTH = "truth"
"""The row of the truth itself."""
TAKEN = frozenset({TRUTH, "input", "reference"})
"""Names that reports give to something else."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Attributes:
        name: in tables.
        kind: ``baseline``, ``engine``, or ``external``.
        base: name of the baseline or engine.
        options: of an engine: ``propagation``, ``color_memory``, ``block_size``, where they are not the
            default.
        path: weights of a trained engine; folder of an external method.
    """

    name: str
    kind: Literal["baseline", "engine", "external"]
    base: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    path: Path | None = None

    @property
    def about(self) -> str:
        """One line on what it is."""
        if self.kind == "external":
            return f"results from {self.path}"
        if self.kind == "baseline":
            return BASELINES[self.base]
        switched = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in self.options)
        weights = f"{self.path}; " if self.path else ""
        return weights + ENGINES[self.base].summary.split(";")[0] + (f" ({switched})" if switched else "")

    def identity(self, clip: Clip) -> dict[str, Any]:
        """All that decides the method's result on a clip, beside the code."""
        if self.kind == "external":
            assert self.path
            return {"external": digest(External(self.path).files(clip.name))}
        return {"kind": self.kind, "base": self.base, "options": dict(self.options), "weights": self.weights()}

    def weights(self) -> dict[str, str]:
        """Hashes of the weights that the method runs on, by file."""
        if self.kind != "engine":
            return {}
        if self.path is None:
            return released(self.base)
        files = [self.path] if self.path.is_file() else sorted(f for f in self.path.rglob("*") if f.is_file())
        return {file.name: digest([file]) for file in files}

    def open(self, threads: int) -> Engine:
        """The engine; not for external methods."""
        if self.kind == "baseline":
            return open_baseline(self.base)
        return open_engine(self.base, weights=self.path, threads=threads, **dict(self.options))


def parse_methods(text: str) -> list[Method]:
    """``gray,matching,external:NAME=FOLDER`` … as methods, in the order given.

    Raises:
        UsageError: an unknown or repeated name, or none at all.
    """
    methods: list[Method] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        method = _parse(part)
        if method.name in TAKEN or (method.name in known() and method.kind == "external"):
            raise UsageError("--methods", f"{method.name} means something else here", "choose another NAME")
        if method.name in {other.name for other in methods}:
            raise UsageError("--methods", f"{method.name} is there twice", "give each method a name of its own")
        methods.append(method)
    if not methods:
        raise UsageError("--methods", "none was given", f"choose among {', '.join(known())}, external:NAME=FOLDER")
    return methods


def known() -> list[str]:
    """Names of the methods that run here without weights of their own."""
    return [*BASELINES, *(name + ending for name in ENGINES if name not in TRAINED for ending in ENDINGS)]


def _parse(text: str) -> Method:
    kind, colon, rest = text.partition(":")
    if colon and kind in ("external", *TRAINED):
        return _at_path(text, kind, rest)
    if text in BASELINES:
        return Method(text, "baseline", text)
    for name in ENGINES:
        ending = text.removeprefix(name)
        if name not in TRAINED and text.startswith(name) and ending in ENDINGS:
            return Method(text, "engine", name, tuple(ENDINGS[ending].items()))
    choice = ", ".join(known())
    more = "external:NAME=FOLDER, onnx:NAME=FOLDER, torch:NAME=FILE"
    raise UsageError("--methods", f"there is no method {text}", f"choose among {choice}, {more}")


def _at_path(text: str, kind: str, rest: str) -> Method:
    """``external:NAME=FOLDER``, ``onnx:NAME=FOLDER+alone``, ``torch:NAME=FILE+memory+block3`` …"""
    name, equals, place = rest.partition("=")
    if not equals or not place or not name or not all(c.isalnum() or c in "-_.*+ " for c in name):
        what = "results" if kind == "external" else "weights"
        remedy = f"give {kind}:NAME=PATH, NAME of letters, digits and -_.*+"
        raise UsageError("--methods", f"{text} does not say which {what} to take", remedy)
    if kind == "external":
        return Method(name, "external", path=Path(place))
    found = _OPTIONS.search(place)
    assert found
    return trained(name, Path(place[: found.start()]), found[0].split("+")[1:], kind)


def trained(name: str, path: Path, words: Sequence[str] = (), kind: str | None = None) -> Method:
    """A trained network as a method.

    Args:
        name: in tables.
        path: a file of weights, or the folder of an exported network.
        words: ``alone``, ``chained``, ``memory``, ``block1`` … ``block6``.
        kind: ``onnx`` or ``torch``; None for what the path is: a folder is exported.

    Raises:
        InputError: nothing is there.
    """
    if not path.exists():
        raise InputError(path, "there are no such weights", "name a file *.safetensors or the folder of an export")
    options: dict[str, Any] = {}
    for word in words:
        options |= {"block_size": int(word[5:])} if word.startswith("block") else ENDINGS[f"-{word}"]
    return Method(name, "engine", kind or ("onnx" if path.is_dir() else "torch"), tuple(options.items()), path)


def table_methods(table: int, weights: Path) -> list[Method]:
    """The methods of the paper's Table 2 (ablations) or 3 (block sizes).

    Args:
        table: 2 or 3.
        weights: for Table 2 a folder that holds, for each row of ``TABLE_2``, ``ROW.safetensors`` or the exported
            network ``ROW``; for Table 3 one network.

    Raises:
        UsageError: another table. InputError: a network is missing; all that are missing are named.
    """
    if table == 3:
        return [trained(f"N={size}", weights, [f"block{size}"]) for size in BLOCKS]
    if table != 2:
        raise UsageError("--table", f"{table} is no table of networks", "give 2 (ablations) or 3 (block sizes)")
    places = {row: (weights / row, weights / f"{row}.safetensors") for row in TABLE_2}
    missing = [row for row, (folder, file) in places.items() if not (folder.is_dir() or file.is_file())]
    if missing:
        remedy = "train them, and put each there as ROW.safetensors or the folder ROW"
        raise InputError(weights, f"lacks the networks {', '.join(missing)}", remedy)
    return [trained(row, folder if folder.is_dir() else file) for row, (folder, file) in places.items()]


@dataclass(frozen=True, slots=True, eq=False)
class Coloring:
    """What a method made of a clip.

    Attributes:
        film: (T, H, W, 3) uint8, R'G'B' at the size of comparison.
        confidence: mean similarity of each frame, or None for external methods.
        seconds: of the engine alone, a frame; None for external methods.
    """

    film: Array
    confidence: list[float] | None
    seconds: float | None


def color(
    method: Method,
    truth: Truth,
    references: Sequence[Reference],
    *,
    frames: Sequence[int] = (),
    threads: int = 1,
) -> Coloring:
    """Runs a method over a clip as it would over a film of one shot.

    Frames before a reference that is bound to a frame are colored backward from it, those between two from both. A
    reference that mirrors its frame, or the clip's first, is turned round.

    Args:
        method: what colors.
        truth: the clip.
        references: at network size.
        frames: those to which the references are bound, in their order; none where they are bound to no frame.
        threads: of the engine.

    Raises:
        InputError: results of another tool are incomplete or of another size.
    """
    if method.kind == "external":
        assert method.path
        size = (truth.rgb.shape[1], truth.rgb.shape[2])
        results = External(method.path)
        return Coloring(results.frames(truth.clip.name, len(truth), truth.length, size, truth.own_size), None, None)
    engine, length = method.open(threads), len(truth)
    shown = frames or [0] * len(references)
    stills = [upright(still, truth.lightness[at : at + 1]) for still, at in zip(references, shown, strict=True)]
    bound = {frame: number for number, frame in enumerate(frames)}
    free = [] if frames else range(len(stills))
    plan = plan_segments([Shot(0, length)], bound, [free], most=len(stills), max_segment_frames=length)
    film = np.empty_like(truth.rgb)
    confidence: list[float] = []
    busy, begin = 0.0, time.perf_counter()
    for segment in plan.segments:
        bank = engine.start([stills[number] for number in segment.reference_ids])
        passes = PassStates(anchor=truth.lightness[segment.stop] if segment.anchored else None)
        for colors in color_segment(engine, bank, truth.lightness[segment.start : segment.stop], segment, passes):
            busy += time.perf_counter() - begin
            if isinstance(colors, FrameColors):
                film[colors.index] = truth.colored(colors.index, colors.ab)
                confidence.append(float(colors.similarity.mean()))
            begin = time.perf_counter()
    return Coloring(film, confidence, busy / length)
