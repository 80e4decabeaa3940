"""Runs methods over clips: each clip in a process, each result written to disk as soon as it is finished."""

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

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError
from kinemacolor.core.types import Array
from kinemacolor.evaluation.clips import BenchmarkClip, ClipTruth, digest_of_files, find_clips, load_clip
from kinemacolor.evaluation.exemplars import ReferenceChoice, parse_choice, references_of, stills_of
from kinemacolor.evaluation.measure import measure
from kinemacolor.evaluation.methods import TRUTH, Coloring, Method, color
from kinemacolor.evaluation.optical import (
    RAFT_FILE,
    ClipFlow,
    FlowMethod,
    clip_flow,
    film_lightness,
    find_weights,
    flow_device,
)
from kinemacolor.evaluation.perceptual import PerceptualMetrics
from kinemacolor.evaluation.pictures import gray_of, shown_frames, thumbnail
from kinemacolor.evaluation.protocol import Protocol
from kinemacolor.evaluation.records import RESULTS_SCHEMA, ClipResult, code_digest, file_name, short_hash
from kinemacolor.peers.runner import PEER_SECONDS
from kinemacolor.report.candidates import candidate_pictures

RESULT_FOLDER = "work"
"""Folder in the output for finished results, from which a run resumes."""
THREADS_PER_PROCESS = 1
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """Settings of the figures.

    Attributes:
        flow: how the optical flow is computed.
        flow_weights, lpips_weights, fid_weights: files or folders; None for the folder of torch's downloads.
        perceptual: whether LPIPS and FID are computed.
    """

    flow: FlowMethod = "auto"
    flow_weights: Path | None = None
    perceptual: bool = True
    lpips_weights: Path | None = None
    fid_weights: Path | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Everything that determines figures, as JSON-ready values: names and hashes of the weights that are found."""
        raft = find_weights(RAFT_FILE, self.flow_weights) if self.flow != "dis" else None
        values = {"flow": self.flow if raft is None else f"raft {digest_of_files([raft])}"}
        if self.perceptual:
            values |= PerceptualMetrics(self.lpips_weights, self.fid_weights).notes
        return values


@dataclass(frozen=True, slots=True)
class ClipTask:
    """The work on one clip.

    Attributes:
        clip: to color and measure.
        protocol: under which it is read.
        references: that it gets.
        settings: of the figures.
        methods: to run.
        files: where the result of each method is written, and that of the truth, under ``TRUTH``.
        flow_cache: folder.
        timed: whether the time a frame is to be compared with others: the engine has all cores, and is warmed up.
        peer_seconds: time that a peer may take for the clip.
    """

    clip: BenchmarkClip
    protocol: Protocol
    references: ReferenceChoice
    settings: MeasurementSettings
    methods: tuple[Method, ...]
    files: dict[str, Path]
    flow_cache: Path
    timed: bool = False
    peer_seconds: float = PEER_SECONDS

    @property
    def threads(self) -> int:
        """Of an engine."""
        return (os.cpu_count() or 1) if self.timed else THREADS_PER_PROCESS


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """A finished benchmark.

    Attributes:
        clips: with the hash of their content.
        methods: in the order given.
        protocol: under which clips were read.
        measuring: flow and networks by which figures were computed.
        results: by clip and method; ``TRUTH`` is one of the methods.
        split: name of the list that the clips are of, or None.
    """

    clips: dict[BenchmarkClip, str]
    methods: tuple[Method, ...]
    protocol: Protocol
    measuring: dict[str, Any]
    results: dict[tuple[str, str], ClipResult]
    split: str | None = None


def run(
    data: str | Path,
    methods: Sequence[Method],
    output: str | Path,
    protocol: Protocol,
    *,
    settings: MeasurementSettings | None = None,
    only: Sequence[str] = (),
    split: str | None = None,
    jobs: int = 1,
    timed: bool = False,
    peer_seconds: float = PEER_SECONDS,
    progress: Progress | None = None,
) -> BenchmarkRun:
    """Runs methods over the clips of a folder.

    Results of an earlier run into the same ``output`` are used again as long as everything that determines them is
    unchanged: the clip, the references, the protocol, the method with its weights, the code, the flow.

    Args:
        data: folder of clips, see ``find_clips``.
        methods: see ``parse_methods``.
        output: folder, which is made if it is missing.
        protocol: see ``load_protocol``.
        settings: of the figures.
        only: names of clips; all if it is empty.
        split: name of a list of clips (see ``find_clips``); None for all clips of the folder.
        jobs: number of processes, each with one thread; 0 runs everything in this process.
        timed: the time a frame is that of one process, alone, with all cores, warmed up; ``jobs`` is then at most 1.
        peer_seconds: time that a peer may take for a clip.
        progress: called with the number of finished results and the number of all results.

    Raises:
        UsageError, InputError, OutputError: one line that names the problem and the remedy. Finished results are kept.
    """
    settings = settings or MeasurementSettings()
    output = Path(output)
    jobs = min(jobs, 1) if timed else jobs
    if output.exists() and not output.is_dir():
        raise OutputError(output, "is a file", "give a folder for the results")
    references = parse_choice(protocol.reference)
    clips = {clip: digest_of_files(clip.files()) for clip in find_clips(data, split, only)}
    measuring = settings.fingerprint()
    shared = {
        "schema": RESULTS_SCHEMA,
        "code": code_digest(),
        "protocol": protocol.model_dump(exclude={"name", "title"}),
        "tools": measuring,
    }
    if timed:
        shared["timed"] = os.cpu_count()
    tasks = []
    for clip, content in clips.items():
        stills = digest_of_files(stills_of(references.folder, clip.name)) if references.folder else None
        shared_by_methods = shared | {"clip": content, "stills": stills}
        fingerprints: dict[str, dict[str, Any]] = {TRUTH: {}}
        fingerprints |= {method.name: method.fingerprint(clip) for method in methods}
        folder = output / RESULT_FOLDER / file_name(clip.name)
        files = {
            name: folder / f"{file_name(name)}-{short_hash(shared_by_methods | {'method': fingerprint})}.json"
            for name, fingerprint in fingerprints.items()
        }
        flow_cache = output / RESULT_FOLDER / "flow"
        tasks.append(
            ClipTask(clip, protocol, references, settings, tuple(methods), files, flow_cache, timed, peer_seconds)
        )
    _run_tasks(tasks, jobs, progress)
    results = {(task.clip.name, name): _load_result(file) for task in tasks for name, file in task.files.items()}
    return BenchmarkRun(clips, tuple(methods), protocol, measuring, results, split)


def _load_result(file: Path) -> ClipResult:
    result = ClipResult.load(file)
    if result is None:
        raise OutputError(file, "is corrupt, or was removed while the benchmark ran", "remove it and run again")
    return result


def _run_tasks(tasks: list[ClipTask], jobs: int, progress: Progress | None) -> None:
    """Computes the results that are missing."""
    files = [file for task in tasks for file in task.files.values()]
    waiting = [task for task in tasks if any(ClipResult.load(file) is None for file in task.files.values())]

    def report() -> None:
        if progress:
            progress(sum(file.exists() for file in files), len(files))

    report()
    if jobs == 0:
        for task in waiting:
            _raise_failure(attempt(task))
            report()
        return
    if not waiting:
        return
    with _processes(min(jobs, len(waiting)), waiting[0].threads) as pool:
        pending: set[Future[TaskFailure | None]] = {pool.submit(attempt, task) for task in waiting}
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            report()
            for future in finished:
                try:
                    _raise_failure(future.result())
                except BrokenProcessPool as error:
                    problem = "a process was killed (perhaps it ran out of memory)"
                    raise InputError("jobs", problem, "run again with fewer jobs; finished results are kept") from error


def _raise_failure(failure: TaskFailure | None) -> None:
    if failure:
        raise failure.kind(failure.subject, failure.problem, failure.remedy)


@contextmanager
def _processes(jobs: int, threads: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes with so many threads each, which are terminated if the block raises."""
    context = multiprocessing.get_context("spawn")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    previous = {name: os.environ.get(name) for name in names}
    # numpy and torch read these variables when they are imported
    os.environ.update(dict.fromkeys(names, str(threads)))
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_process, initargs=(threads,))
    other_children = set(multiprocessing.active_children())
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - other_children:
            process.terminate()
        raise
    finally:
        for name, value in previous.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _prepare_process(threads: int) -> None:
    import signal

    # Ctrl-C reaches the whole process group; the parent terminates its processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(threads)


class TaskFailure(NamedTuple):
    """An error for the user, in a form that can be sent between processes."""

    kind: type[KinemacolorError]
    subject: str
    problem: str
    remedy: str


def attempt(task: ClipTask) -> TaskFailure | None:
    """Runs ``work`` and returns an error for the user instead of raising it."""
    try:
        work(task)
    except KinemacolorError as error:
        return TaskFailure(type(error), error.subject, error.problem, error.remedy)
    return None


def work(task: ClipTask) -> None:
    """Colors and measures a clip with every method whose result is missing."""
    settings = task.settings
    truth = load_clip(task.clip, task.protocol)
    references, reference_picture = references_of(truth, task.references)
    frames = task.references.bound_frames(len(truth))
    device = flow_device(settings.flow, settings.flow_weights)
    flow = clip_flow(
        film_lightness(truth.rgb), task.flow_cache, settings.flow, weights=settings.flow_weights, device=device
    )
    perceptual = PerceptualMetrics(settings.lpips_weights, settings.fid_weights) if settings.perceptual else None
    if ClipResult.load(task.files[TRUTH]) is None:
        _save_result(task, TRUTH, truth, Coloring(truth.rgb, None, None), flow, perceptual, reference_picture)
    for method in task.methods:
        if ClipResult.load(task.files[method.name]) is None:
            coloring = color(
                method,
                truth,
                references,
                frames=frames,
                threads=task.threads,
                warm_up=task.timed,
                peer_seconds=task.peer_seconds,
                flow=flow,
            )
            _save_result(task, method.name, truth, coloring, flow, perceptual)


def device_of(coloring: Coloring) -> str:
    """The name of the device on which an engine ran, for reports."""
    if coloring.device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    return coloring.device or "the CPU"


def _save_result(
    task: ClipTask,
    name: str,
    truth: ClipTruth,
    coloring: Coloring,
    flow: ClipFlow,
    perceptual: PerceptualMetrics | None,
    reference_picture: Array | None = None,
) -> None:
    """Measures a colored clip, and writes its result; the truth's includes the picture of the reference."""
    measurement = measure(coloring.film, truth.rgb, flow=flow, perceptual=perceptual)
    frames = shown_frames(len(truth))
    pictures = {str(index): thumbnail(coloring.film[index]) for index in frames}
    for index, explanation in coloring.explanations.items():
        shown = candidate_pictures(explanation)
        pictures |= {f"{index} candidate {k} {title}": thumbnail(picture) for k, (title, picture) in enumerate(shown)}
    facts: dict[str, Any] = {}
    if reference_picture is not None:
        pictures |= {f"gray {index}": thumbnail(gray_of(truth.rgb[index])) for index in frames}
        pictures["reference"] = thumbnail(reference_picture)
        facts = {
            "frames": len(truth),
            "frames_of_the_clip": truth.length,
            "size": [truth.rgb.shape[2], truth.rgb.shape[1]],
            "network_size": [truth.shape[1], truth.shape[0]],
            "clip_size": [truth.clip_size[1], truth.clip_size[0]],
            "rate": str(truth.rate),
            "references": task.references.indices(len(truth)) or task.references.text,
        }
    if coloring.seconds is not None and task.timed:
        where = f"one process on {device_of(coloring)}, {task.threads} threads, warmed up; the engine alone"
        measurement.notes["seconds"] = where
    result = ClipResult(
        task.clip.name, name, measurement, coloring.confidence, coloring.seconds, pictures, facts, coloring.memory
    )
    result.save(task.files[name])
