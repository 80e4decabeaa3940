"""Many methods over many clips: each clip in a process, each result kept as soon as it is there."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.clips import Clip, Truth, digest, find_clips, load_clip
from kinemacolor.evaluation.exemplars import Choice, parse_choice, references_of, stills_of
from kinemacolor.evaluation.measure import measure
from kinemacolor.evaluation.methods import TRUTH, Coloring, Method, color
from kinemacolor.evaluation.optical import RAFT_FILE, ClipFlow, clip_flow, film_lightness, find_weights
from kinemacolor.evaluation.optical import Method as FlowMethod
from kinemacolor.evaluation.perceptual import Perceptual
from kinemacolor.evaluation.pictures import gray_of, shown_frames, thumbnail
from kinemacolor.evaluation.protocol import Protocol
from kinemacolor.evaluation.records import SCHEMA, Unit, code_digest, file_name, key_of

WORK = "work"
"""Folder within the output that holds what a resumed run takes up again."""
THREADS = 1
"""Of each process."""
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """What measuring needs beside the films.

    Attributes:
        flow: how the optical flow is computed.
        flow_weights, lpips_weights, fid_weights: files or folders; None looks where torch keeps its downloads.
        perceptual: whether LPIPS and FID are wanted at all.
    """

    flow: FlowMethod = "auto"
    flow_weights: Path | None = None
    perceptual: bool = True
    lpips_weights: Path | None = None
    fid_weights: Path | None = None

    def identity(self) -> dict[str, Any]:
        """All that decides figures: names and hashes of the weights that are found."""
        raft = find_weights(RAFT_FILE, self.flow_weights) if self.flow != "dis" else None
        found = {"flow": self.flow if raft is None else f"raft {digest([raft])}"}
        if self.perceptual:
            found |= Perceptual(self.lpips_weights, self.fid_weights).notes
        return found


@dataclass(frozen=True, slots=True)
class Task:
    """A clip with all that is to be done on it.

    Attributes:
        clip, protocol, choice, tools: what and how.
        methods: to run.
        files: where each method's unit is kept, and under ``truth`` the truth's.
        flow_cache: folder.
    """

    clip: Clip
    protocol: Protocol
    choice: Choice
    tools: Tools
    methods: tuple[Method, ...]
    files: dict[str, Path]
    flow_cache: Path


@dataclass(frozen=True, slots=True)
class Run:
    """A finished benchmark.

    Attributes:
        clips: with the hash of their content.
        methods: in the order given.
        protocol, tools: as run.
        units: by clip and method; ``truth`` is one of the methods.
    """

    clips: dict[Clip, str]
    methods: tuple[Method, ...]
    protocol: Protocol
    tools: dict[str, Any]
    units: dict[tuple[str, str], Unit]


def run(
    data: str | Path,
    methods: Sequence[Method],
    output: str | Path,
    protocol: Protocol,
    *,
    tools: Tools | None = None,
    only: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> Run:
    """Runs methods over the clips of a folder.

    What an earlier run into the same ``output`` finished is not done again, as long as nothing has changed that decides
    it: the clip, the references, the protocol, the method with its weights, the code, the flow.

    Args:
        data: folder of clips, see ``find_clips``.
        methods: see ``parse_methods``.
        output: folder, made where it is missing.
        protocol: see ``load_protocol``.
        tools: of measuring.
        only: names of clips; all where it is empty.
        jobs: processes, each with one thread; 0 runs everything in this one.
        progress: called with the number of results that are there and the number expected.

    Raises:
        UsageError, InputError, OutputError: one line that names what is wrong and the remedy. What is finished stays.
    """
    tools = tools or Tools()
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise OutputError(output, "is a file", "give a folder for the results")
    choice = parse_choice(protocol.reference)
    clips = {clip: digest(clip.files()) for clip in _chosen(find_clips(data), only)}
    measuring = tools.identity()
    shared = {
        "schema": SCHEMA,
        "code": code_digest(),
        "protocol": protocol.model_dump(exclude={"name", "title"}),
        "tools": measuring,
    }
    tasks = []
    for clip, content in clips.items():
        stills = digest(stills_of(choice.folder, clip.name)) if choice.folder else None
        known = shared | {"clip": content, "stills": stills}
        identities: dict[str, dict[str, Any]] = {TRUTH: {}} | {method.name: method.identity(clip) for method in methods}
        files = {
            name: output / WORK / file_name(clip.name) / f"{file_name(name)}-{key_of(known | {'method': what})}.json"
            for name, what in identities.items()
        }
        tasks.append(Task(clip, protocol, choice, tools, tuple(methods), files, output / WORK / "flow"))
    _work(tasks, jobs, progress)
    units = {(task.clip.name, name): _unit(file) for task in tasks for name, file in task.files.items()}
    return Run(clips, tuple(methods), protocol, measuring, units)


def _unit(file: Path) -> Unit:
    unit = Unit.load(file)
    if unit is None:
        raise OutputError(file, "is damaged, or was removed while the benchmark ran", "remove it and run again")
    return unit


def _chosen(clips: list[Clip], only: Sequence[str]) -> list[Clip]:
    names = {clip.name for clip in clips}
    for name in only:
        if name not in names:
            raise UsageError("--clips", f"there is no clip {name}", f"choose among {', '.join(sorted(names))}")
    return [clip for clip in clips if not only or clip.name in only]


def _work(tasks: list[Task], jobs: int, progress: Progress | None) -> None:
    """Does what is not there yet."""
    files = [file for task in tasks for file in task.files.values()]
    waiting = [task for task in tasks if any(Unit.load(file) is None for file in task.files.values())]

    def report() -> None:
        if progress:
            progress(sum(file.exists() for file in files), len(files))

    report()
    if jobs == 0:
        for task in waiting:
            _done(attempt(task))
            report()
        return
    if not waiting:
        return
    with _processes(min(jobs, len(waiting))) as pool:
        pending: set[Future[Failure | None]] = {pool.submit(attempt, task) for task in waiting}
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            report()
            for future in finished:
                try:
                    _done(future.result())
                except BrokenProcessPool as error:
                    problem = "a process ended without a word (out of memory?)"
                    raise InputError("--jobs", problem, "run again with fewer jobs; what is finished stays") from error


def _done(failure: Failure | None) -> None:
    if failure:
        raise failure.kind(failure.subject, failure.problem, failure.remedy)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes of one thread each; where something goes wrong they are ended, not waited for."""
    context = multiprocessing.get_context("spawn")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(THREADS)))  # numpy and torch read them as they are imported
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare)
    known = set(multiprocessing.active_children())
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - known:
            process.terminate()
        raise
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _prepare() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends its processes
    cv2.setNumThreads(THREADS)


class Failure(NamedTuple):
    """An error of the user's, in a form that passes between processes."""

    kind: type[KinemacolorError]
    subject: str
    problem: str
    remedy: str


def attempt(task: Task) -> Failure | None:
    """``work``; what is the user's to mend is returned, not raised."""
    try:
        work(task)
    except KinemacolorError as error:
        return Failure(type(error), error.subject, error.problem, error.remedy)
    return None


def work(task: Task) -> None:
    """Colors and measures a clip by every method whose unit is not there yet."""
    truth = load_clip(task.clip, task.protocol)
    references, shown = references_of(truth, task.choice)
    bound = task.choice.bound(len(truth))
    flow = clip_flow(film_lightness(truth.rgb), task.flow_cache, task.tools.flow, weights=task.tools.flow_weights)
    perceptual = Perceptual(task.tools.lpips_weights, task.tools.fid_weights) if task.tools.perceptual else None
    if Unit.load(task.files[TRUTH]) is None:
        _keep(task, TRUTH, truth, Coloring(truth.rgb, None, None), flow, perceptual, shown)
    for method in task.methods:
        if Unit.load(task.files[method.name]) is None:
            coloring = color(method, truth, references, frames=bound, threads=THREADS)
            _keep(task, method.name, truth, coloring, flow, perceptual)


def _keep(
    task: Task,
    name: str,
    truth: Truth,
    coloring: Coloring,
    flow: ClipFlow,
    perceptual: Perceptual | None,
    reference: Array | None = None,
) -> None:
    """Measures, and writes the unit; ``reference`` is shown with the truth."""
    one = measure(coloring.film, truth.rgb, flow=flow, perceptual=perceptual)
    frames = shown_frames(len(truth))
    pictures = {str(index): thumbnail(coloring.film[index]) for index in frames}
    facts: dict[str, Any] = {}
    if reference is not None:
        pictures |= {f"gray {index}": thumbnail(gray_of(truth.rgb[index])) for index in frames}
        pictures["reference"] = thumbnail(reference)
        facts = {
            "frames": len(truth),
            "frames_of_the_clip": truth.length,
            "size": [truth.rgb.shape[2], truth.rgb.shape[1]],
            "network_size": [truth.shape[1], truth.shape[0]],
            "clip_size": [truth.own_size[1], truth.own_size[0]],
            "rate": str(truth.rate),
            "references": task.choice.indices(len(truth)) or task.choice.text,
        }
    Unit(task.clip.name, name, one, coloring.confidence, coloring.seconds, pictures, facts).save(task.files[name])
