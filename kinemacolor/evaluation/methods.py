"""The methods of a benchmark by their names: baselines, engines, and results of other tools.

Baselines and engines come from their registries: a new one is a method without further changes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinemacolor.baselines.external import ExternalResults, PublishedResults
from kinemacolor.baselines.registry import BASELINES, open_baseline
from kinemacolor.consistency.registry import CONSISTENCY
from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MAXIMUM_BLOCK, MINIMUM_BLOCK
from kinemacolor.core.resample import resize
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.explanation import Explanation, Observer
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import ENGINES, open_engine
from kinemacolor.engine.weights import released_hashes
from kinemacolor.evaluation.clips import BenchmarkClip, ClipTruth, digest_of_files, to_codes
from kinemacolor.evaluation.optical import ClipFlow
from kinemacolor.evaluation.pictures import gray_of, shown_frames
from kinemacolor.peers.records import PEERS
from kinemacolor.peers.runner import PEER_SECONDS, Checkout, run_peer
from kinemacolor.pipeline.bidirectional import FrameColors, PassStates, color_segment
from kinemacolor.pipeline.segment_plan import plan_segments
from kinemacolor.references.flip import unmirror

ENGINE_VARIANTS: dict[str, dict[str, Any]] = {
    "alone": {"propagation": "off"},
    "chained": {"propagation": "chained"},
    "memory": {"color_memory": True},
}
"""Variants of engines, and the options that they set: ``NAME-alone``, or ``onnx:NAME=FOLDER+alone``."""
BLOCK_SIZES = range(MINIMUM_BLOCK, MAXIMUM_BLOCK + 1)
"""Block sizes of the paper's Table 3."""
TABLE_2_ROWS = ("no-transformer", "no-double-head", "no-linkage", "full")
"""Rows of the paper's Table 2; the first has no linkage subnet either, because that needs the Transformer branch."""
OLD_METHOD_NAMES = {"grey": "gray"}  # codespell:ignore
"""Methods by their names in version 0.1."""
TRUTH = "truth"
"""Name of the truth among the methods."""
RESERVED_NAMES = frozenset({TRUTH, "input", "reference"})
"""Names that reports use for other things."""
_SUFFIXES = re.compile(rf"(?:\+(?:{'|'.join(ENGINE_VARIANTS)}|block[{MINIMUM_BLOCK}-{MAXIMUM_BLOCK}]))*$")


@dataclass(frozen=True, slots=True)
class Method:
    """A method.

    Attributes:
        name: in tables.
        kind: ``baseline``, ``engine``, ``external``, or ``peer``.
        base: name of the baseline or engine.
        options: settings of an engine that differ from the default: ``propagation``, ``color_memory``, ``block_size``.
        path: weights of an engine that needs them, folder of an external method, or checkout of a peer.
        after: names of the task-independent methods that are applied to its result, in order.
    """

    name: str
    kind: Literal["baseline", "engine", "external", "peer"]
    base: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    path: Path | None = None
    after: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """A description in one line."""
        if self.after:
            return (
                f"{replace(self, after=()).summary}; then {', '.join(CONSISTENCY[name].summary for name in self.after)}"
            )
        if self.kind == "peer":
            record = PEERS[self.base]
            random = "RANDOM WEIGHTS, a test of its adapter; " if dict(self.options).get("random") else ""
            return f"{random}{record.title}: {record.paper}"
        if self.kind == "external":
            return f"results from {self.path}"
        if self.kind == "baseline":
            return BASELINES[self.base].summary
        options = ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in self.options)
        weights = f"{self.path}; " if self.path else ""
        return weights + ENGINES[self.base].summary.split(";")[0] + (f" ({options})" if options else "")

    def fingerprint(self, clip: BenchmarkClip) -> dict[str, Any]:
        """Everything besides the code that determines the method's result on a clip, as JSON-ready values."""
        if self.after:
            return {"after": list(self.after), "method": replace(self, after=()).fingerprint(clip)}
        if self.kind == "peer":
            return self._peer_fingerprint(clip)
        if self.kind == "external":
            assert self.path
            return {"external": digest_of_files(ExternalResults(self.path).files(clip.name))}
        return {"kind": self.kind, "base": self.base, "options": dict(self.options), "weights": self.weights()}

    def checkout(self) -> Checkout:
        """The checkout of a peer."""
        assert self.path is not None
        return Checkout(PEERS[self.base], self.path, **dict(self.options))

    def _peer_fingerprint(self, clip: BenchmarkClip) -> dict[str, Any]:
        checkout = self.checkout()
        if checkout.record.results:
            return {"published": digest_of_files(PublishedResults(checkout.folder).files(clip.name))}
        script = digest_of_files([checkout.record.script])
        values = {"peer": self.base, "commit": checkout.commit(), "script": script, "weights": self.weights()}
        return values | {"options": dict(self.options)}

    def weights(self) -> dict[str, str]:
        """Hashes of the method's weights, by file."""
        if self.kind == "peer":
            checkout = self.checkout()
            files = [] if checkout.random else [checkout.folder / each.file for each in checkout.record.weights]
            return {file.name: digest_of_files([file]) for file in files}
        if self.kind != "engine":
            return {}
        if self.path is None:
            return released_hashes(self.base)
        files = [self.path] if self.path.is_file() else sorted(f for f in self.path.rglob("*") if f.is_file())
        return {file.name: digest_of_files([file]) for file in files}

    def open(self, threads: int) -> Engine:
        """Opens the engine of a baseline or an engine; external methods have none."""
        if self.kind == "baseline":
            return open_baseline(self.base)
        return open_engine(self.base, weights=self.path, threads=threads, **dict(self.options))


def parse_methods(text: str) -> list[Method]:
    """Methods from a list such as ``gray,matching,external:NAME=FOLDER``, in that order.

    Raises:
        UsageError: a name is unknown, reserved or repeated, or there is none.
        InputError: weights of a trained network are missing.
    """
    methods: list[Method] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        method = _parse(OLD_METHOD_NAMES.get(part, part))
        if method.name in RESERVED_NAMES or (method.name in method_names() and method.kind == "external"):
            raise UsageError("methods", f"the name {method.name} has another meaning here", "choose another NAME")
        if method.name in {other.name for other in methods}:
            raise UsageError("methods", f"{method.name} is there twice", "give each method its own name")
        methods.append(method)
    if not methods:
        choice = ", ".join(method_names())
        raise UsageError("methods", "there is no method", f"choose among {choice}, external:NAME=FOLDER")
    return methods


def method_names() -> list[str]:
    """Names of the methods that need no path: baselines, and engines with their own weights in all variants."""
    variants = ("", *(f"-{variant}" for variant in ENGINE_VARIANTS))
    return [*BASELINES, *(name + variant for name in _engines(needs_weights=False) for variant in variants)]


def method_patterns() -> list[str]:
    """How methods with a path are written: ``onnx:NAME=PATH`` and so on."""
    kinds = (*_engines(needs_weights=True), "external")
    return [*(f"{kind}:NAME=PATH" for kind in kinds), "peer:NAME=CHECKOUT", *(f"METHOD+{name}" for name in CONSISTENCY)]


def _engines(*, needs_weights: bool) -> list[str]:
    return [record.name for record in ENGINES.values() if record.needs_weights == needs_weights]


def _parse(text: str) -> Method:
    plain, plus, last = text.rpartition("+")
    if plus and last in CONSISTENCY:
        method = _parse(plain)
        return replace(method, name=f"{method.name}+{last}", after=(*method.after, last))
    kind, colon, rest = text.partition(":")
    if colon and kind == "peer":
        return _parse_peer(text, rest)
    if colon and kind in ("external", *_engines(needs_weights=True)):
        return _parse_with_path(text, kind, rest)
    if text in BASELINES:
        return Method(text, "baseline", text)
    for name in _engines(needs_weights=False):
        if text == name:
            return Method(text, "engine", name)
        variant = text.removeprefix(f"{name}-")
        if variant != text and variant in ENGINE_VARIANTS:
            return Method(text, "engine", name, tuple(ENGINE_VARIANTS[variant].items()))
    remedy = f"choose among {', '.join([*method_names(), *method_patterns()])}"
    raise UsageError("methods", f"there is no method {text}", remedy)


def _parse_with_path(text: str, kind: str, rest: str) -> Method:
    """``external:NAME=FOLDER``, ``onnx:NAME=FOLDER+alone``, ``torch:NAME=FILE+memory+block3`` and so on."""
    name, equals, path = rest.partition("=")
    if not equals or not path or not name or not all(c.isalnum() or c in "-_.*+ " for c in name):
        content = "results" if kind == "external" else "weights"
        remedy = f"give {kind}:NAME=PATH, with a NAME of letters, digits and -_.*+"
        raise UsageError("methods", f"{text} does not name its {content}", remedy)
    if kind == "external":
        return Method(name, "external", path=Path(path))
    suffixes = _SUFFIXES.search(path)
    assert suffixes
    return trained(name, Path(path[: suffixes.start()]), suffixes[0].split("+")[1:], kind)


def _parse_peer(text: str, rest: str) -> Method:
    """``peer:NAME=CHECKOUT``, perhaps with ``+random`` and ``+any``."""
    name, equals, path = rest.partition("=")
    if name not in PEERS:
        raise UsageError("methods", f"there is no peer {name}", f"choose among {', '.join(PEERS)}")
    if not equals or not path:
        raise UsageError("methods", f"{text} does not name its checkout", f"give peer:{name}=CHECKOUT")
    options: list[tuple[str, Any]] = []
    while path.endswith(("+random", "+any")):
        path, _, last = path.rpartition("+")
        options.append(("random" if last == "random" else "any_commit", True))
    random = ("random", True) in options
    method = Method(f"{name} (random weights)" if random else name, "peer", name, tuple(sorted(options)), Path(path))
    method.checkout().check()
    return method


def trained(name: str, path: Path, suffixes: Sequence[str] = (), kind: str | None = None) -> Method:
    """A trained network as a method.

    Args:
        name: in tables.
        path: a file of weights, or the folder of an exported network.
        suffixes: ``alone``, ``chained``, ``memory``, ``block1`` … ``block6``.
        kind: name of the engine; None for ``onnx`` if the path is a folder, else ``torch``.

    Raises:
        InputError: the path does not exist.
    """
    if not path.exists():
        raise InputError(path, "there are no such weights", "name a file *.safetensors or the folder of an export")
    options: dict[str, Any] = {}
    for suffix in suffixes:
        size = suffix.removeprefix("block")
        options |= ENGINE_VARIANTS[suffix] if size == suffix else {"block_size": int(size)}
    return Method(name, "engine", kind or ("onnx" if path.is_dir() else "torch"), tuple(options.items()), path)


def table_methods(table: int, weights: Path) -> list[Method]:
    """The methods of the paper's Table 2 (ablations) or 3 (block sizes).

    Args:
        table: 2 or 3.
        weights: for Table 2 a folder with ``ROW.safetensors`` or the exported network ``ROW`` for each row of
            ``TABLE_2_ROWS``; for Table 3 one network.

    Raises:
        UsageError: there is no such table.
        InputError: networks are missing; all of them are named.
    """
    if table == 3:
        return [trained(f"N={size}", weights, [f"block{size}"]) for size in BLOCK_SIZES]
    if table != 2:
        raise UsageError("table", f"{table} is not a table of networks", "give 2 (ablations) or 3 (block sizes)")
    paths = {row: (weights / row, weights / f"{row}.safetensors") for row in TABLE_2_ROWS}
    missing = [row for row, (folder, file) in paths.items() if not (folder.is_dir() or file.is_file())]
    if missing:
        remedy = "train them, and save each as ROW.safetensors or in a folder ROW"
        raise InputError(weights, f"does not contain the networks {', '.join(missing)}", remedy)
    return [trained(row, file if file.is_file() else folder) for row, (folder, file) in paths.items()]


@dataclass(frozen=True, slots=True, eq=False)
class Coloring:
    """A clip as colored by a method.

    Attributes:
        film: (T, H, W, 3) uint8, R'G'B' at the size of comparison.
        confidence: mean similarity of each frame; None for external methods.
        seconds: time of the engine alone, per frame; None for external methods.
        device: on which the engine ran: ``cuda``, or empty for the CPU.
        memory: peak of a peer's own process, bytes; else None.
        explanations: of the frames that reports show, by their numbers, for engines that have candidates.
    """

    film: Array
    confidence: list[float] | None
    seconds: float | None
    device: str = ""
    memory: int | None = None
    explanations: dict[int, Explanation] = field(default_factory=dict)


def color(
    method: Method,
    truth: ClipTruth,
    references: Sequence[Reference],
    *,
    frames: Sequence[int] = (),
    threads: int = 1,
    warm_up: bool = False,
    peer_seconds: float = PEER_SECONDS,
    flow: ClipFlow | None = None,
) -> Coloring:
    """Colors a clip with a method, like a film of one shot.

    Frames before a reference that is bound to a frame are colored backward from it, those between two from both. A
    reference that mirrors its frame, or the clip's first, is flipped.

    Args:
        method: that colors.
        truth: the clip.
        references: at network size.
        frames: numbers of the frames to which the references are bound, in their order; empty if they are not bound.
        threads: of the engine.
        warm_up: colors a block that is thrown away first, so that the time is that of an engine in use.
        peer_seconds: time that a peer may take.
        flow: the truth's, for task-independent methods that need one.

    Raises:
        InputError: results of another tool are incomplete or of another size, or a peer failed.
    """
    if method.after:
        first = replace(method, after=method.after[:-1])
        options = {"frames": frames, "threads": threads, "warm_up": warm_up, "peer_seconds": peer_seconds, "flow": flow}
        coloring = color(first, truth, references, **options)  # type: ignore[arg-type]
        return _made_consistent(method.after[-1], truth, coloring, flow)
    if method.kind == "peer":
        return _color_by_peer(method, truth, references, frames, threads, peer_seconds)
    if method.kind == "external":
        assert method.path
        size = (truth.rgb.shape[1], truth.rgb.shape[2])
        results = ExternalResults(method.path)
        return Coloring(results.frames(truth.clip.name, len(truth), truth.length, size, truth.clip_size), None, None)
    engine, length = method.open(threads), len(truth)
    shown_frames = frames or [0] * len(references)
    stills = [unmirror(still, truth.lightness[at : at + 1]) for still, at in zip(references, shown_frames, strict=True)]
    bound = {frame: number for number, frame in enumerate(frames)}
    free = [] if frames else range(len(stills))
    plan = plan_segments([Shot(0, length)], bound, [free], most=len(stills), max_segment_frames=length)
    if warm_up:
        engine.step(np.ascontiguousarray(truth.lightness[: engine.block_size]), engine.start(stills))
    explanations: dict[int, Explanation] = {}
    if hasattr(engine, "observer"):
        engine.observer = _keep_shown(truth, explanations)
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
    device = getattr(engine, "device", "")
    return Coloring(film, confidence, busy / length, device, explanations=explanations)


def _made_consistent(name: str, truth: ClipTruth, coloring: Coloring, flow: ClipFlow | None) -> Coloring:
    """A result after a task-independent method; the time it took is added."""
    gray = np.stack([gray_of(frame) for frame in truth.rgb])
    begin = time.perf_counter()
    film = CONSISTENCY[name].apply(gray, coloring.film, flow)
    seconds = (time.perf_counter() - begin) / len(truth)
    return replace(coloring, film=film, seconds=seconds + (coloring.seconds or 0.0), explanations={})


def _color_by_peer(
    method: Method,
    truth: ClipTruth,
    references: Sequence[Reference],
    frames: Sequence[int],
    threads: int,
    limit: float,
) -> Coloring:
    """The clip at the size of comparison, gray, as the peer colors it from the references."""
    checkout, size = method.checkout(), (truth.rgb.shape[1], truth.rgb.shape[2])
    if checkout.record.results:
        published = PublishedResults(checkout.folder)
        return Coloring(published.frames(truth.clip.name, len(truth), truth.length, size), None, None)
    stills = []
    for reference in references:
        lab = np.concatenate([reference.lightness[..., None], reference.ab * reference.mask[..., None]], axis=2)
        stills.append(to_codes(resize(np.clip(lab_to_rgb(lab.astype(np.float32)), 0, 1), size)))
    gray = [gray_of(frame) for frame in truth.rgb]
    device = peer_device()
    shown: list[int | None] = [int(frame) for frame in frames] or [None] * len(stills)
    output = run_peer(checkout, gray, stills, shown, device=device, threads=threads, limit=limit)
    seconds = output.seconds / len(truth)
    return Coloring(output.film, None, seconds, "" if device == "cpu" else device, output.memory)


def peer_device() -> str:
    """``cuda`` if this machine has a GPU that PyTorch can use, else ``cpu``."""
    try:
        import torch
    except ModuleNotFoundError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def _keep_shown(truth: ClipTruth, kept: dict[int, Explanation]) -> Observer:
    """Keeps the explanations of the frames that reports show."""
    shown = shown_frames(len(truth))

    def observe(block: FloatArray, explain: Callable[[], Explanation]) -> None:
        for index, lightness in enumerate(block):
            for frame in shown:
                if np.array_equal(lightness, truth.lightness[frame]):
                    kept[frame] = explain().frame(index)

    return observe
