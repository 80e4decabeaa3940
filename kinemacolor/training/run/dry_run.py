"""What a run would do, and at what cost: from a few measured steps, whose results are discarded."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kinemacolor.core.errors import InputError
from kinemacolor.training.config.sections import RecordingSection
from kinemacolor.training.losses.objective import Objective
from kinemacolor.training.rollout.batches import BatchSource
from kinemacolor.training.run.loop import LEFT_OUT_SHOWN, make_objective, training_step
from kinemacolor.training.run.progress import StepMeter
from kinemacolor.training.run.setup import TrainingSetup, make_batches, make_initial_network
from kinemacolor.training.run.step_timer import StepTimer
from kinemacolor.training.run.train_state import TrainState, make_train_state

_MEBIBYTE = 1 << 20
_RECORDED_WINDOWS = 2
"""Windows that are recorded for measuring."""


@dataclass(frozen=True, slots=True)
class StepMeasurement:
    """The cost of a run's steps.

    Attributes:
        seconds: of a step.
        parts: seconds of the parts of a step.
        memory: peak, of the GPU or of the process, bytes.
        parameters: of each subnet.
        recording_seconds: to record a window, where the recipe asks for recorded windows.
    """

    seconds: float
    parts: dict[str, float]
    memory: int
    parameters: dict[str, int]
    recording_seconds: float = 0.0


def measure_steps(setup: TrainingSetup, count: int, say: Callable[[str], None] = lambda _: None) -> StepMeasurement:
    """Measures ``count`` steps after one to warm up.

    Args:
        setup: of the run.
        count: of steps.
        say: shows what is measured next, since the start of a run can take more than a minute.
    """
    options = setup.recipe.network
    if options.key_init and not options.initial and options.network_config().tap_shortcut:
        say("the initialization of the keys")
    state = make_train_state(setup.recipe, make_initial_network(setup), setup.device)
    objective, timer = make_objective(setup, state), StepTimer(synchronize=True)
    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as folder:
        if setup.recipe.recording.windows:
            say(f"the recording of {_RECORDED_WINDOWS} windows")
        start = time.perf_counter()
        batches = make_batches(setup, lambda: state.network, Path(folder), most=_RECORDED_WINDOWS)
        assert batches is not None
        recording_seconds = (time.perf_counter() - start) / _RECORDED_WINDOWS
        say(f"{count + 1} steps")
        seconds = _seconds_per_step(setup, state, objective, batches, count, timer)
    parts = {name: value / count for name, value in timer.seconds.items()}
    parameters = state.network.parameters_by_part()
    return StepMeasurement(seconds, parts, _peak_memory(setup.device), parameters, recording_seconds)


def _seconds_per_step(
    setup: TrainingSetup, state: TrainState, objective: Objective, batches: BatchSource, count: int, timer: StepTimer
) -> float:
    """The mean over ``count`` steps after one to warm up."""
    with batches.loader(0) as loader:
        try:
            training_step(setup, state, objective, batches, next(loader), StepMeter(0))
            start = time.perf_counter()
            for _ in range(count):
                with timer("data"):
                    batch = next(loader)
                training_step(setup, state, objective, batches, batch, StepMeter(state.step, timer))
        except FloatingPointError as error:
            problem = f"a loss is not finite ({error})"
            raise InputError(setup.recipe.name, problem, "use lower learning rates") from error
        return (time.perf_counter() - start) / count


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def describe(setup: TrainingSetup, measured: StepMeasurement) -> str:
    """What a run would do, in lines."""
    recipe, data = setup.recipe, setup.recipe.data
    films, photos = setup.windows.films, setup.windows.photos
    total = setup.steps * measured.seconds
    losses = [
        f"{name} {term.weight:g}" + (f" every {term.every} steps" if term.every > 1 else "")
        for name, term in recipe.losses.terms().items()
        if term.weight
    ]
    counts = ", ".join(f"{name} {number / 1e6:.2f} M" for name, number in measured.parameters.items())
    size = f"{data.size[1]}x{data.size[0]}"
    where = f"{setup.device}{', bfloat16' if setup.autocast else ''}, {torch.get_num_threads()} threads"
    left_out = setup.left_out()
    shown = [f"left out {line}" for line in left_out[:LEFT_OUT_SHOWN]]
    length = f"{data.length}" if data.shortest is None else f"{data.shortest} to {data.length}"
    lines = [
        ("recipe", f"{recipe.name}, network {recipe.network.network_config().name} ({counts})"),
        ("data", f"{len(films)} shots ({sum(c.frames for c in films)} frames), {len(photos)} photos"),
        ("", f"sha256 {setup.cache.digest[:16]}…, {len(left_out)} films left out"),
        *(("", line) for line in shown),
        ("windows", f"{length} frames at {size} in blocks of {data.block}, batches of {data.batch}"),
        *([("recording", _recording_text(recipe.recording, measured))] if recipe.recording.windows else []),
        ("losses", ", ".join(losses) + (f"; flow {setup.flow}" if setup.flow else "")),
        ("evaluation", f"{len(setup.clips)} clips every {recipe.evaluation.every} steps"),
        ("device", where + (f", {setup.processes.count} processes" if setup.processes.count > 1 else "")),
        ("speed", f"{measured.seconds:.2f} s per step, {setup.frames_per_step / measured.seconds:.2f} frames/s"),
        ("memory", f"{measured.memory / _MEBIBYTE:.0f} MiB at most"),
        ("run", f"{setup.steps} steps, about {_duration(total)} without evaluations"),
    ]
    return "\n".join(f"{title:11} {text}" for title, text in lines)


def _recording_text(options: RecordingSection, measured: StepMeasurement) -> str:
    size = f"{options.size[1]}x{options.size[0]}"
    duration = _duration(options.windows * measured.recording_seconds)
    return f"{options.windows} windows of {options.length} frames at {size} before the first step, about {duration}"


def profile_table(measured: StepMeasurement) -> str:
    """The share of each part of a step."""
    rest = measured.seconds - sum(measured.parts.values())
    rows = sorted({**measured.parts, "other": max(rest, 0.0)}.items(), key=lambda row: -row[1])
    return "\n".join(f"{name:14} {1000 * value:9.1f} ms {value / measured.seconds:7.1%}" for name, value in rows)


def _duration(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
