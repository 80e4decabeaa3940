"""What a run would do, and at what cost: from a few measured steps, of which nothing is kept."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from kinemacolor.core.errors import InputError
from kinemacolor.training.losses.objective import Objective
from kinemacolor.training.rollout.batches import Lessons, make_lessons
from kinemacolor.training.run.loop import learn, make_objective
from kinemacolor.training.run.setup import Setup, first_network
from kinemacolor.training.run.step_timer import StepTimer
from kinemacolor.training.run.train_state import Learner, make_learner

MEGABYTE = 1 << 20
TRIAL = 2
"""Traces that are made to measure."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Steps of a run, measured.

    Attributes:
        seconds: a step, all told.
        parts: seconds a step by part.
        memory: bytes at most, of the GPU's memory or of the process.
        parameters: of each subnet.
        traced: seconds to make a trace, where the recipe asks for some.
    """

    seconds: float
    parts: dict[str, float]
    memory: int
    parameters: dict[str, int]
    traced: float = 0.0


def measure_steps(setup: Setup, count: int, say: Callable[[str], None] = lambda _: None) -> Measured:
    """Makes a learner and measures ``count`` of its steps after one to warm up.

    Args:
        setup: of the run.
        count: of steps.
        say: told what is being measured: a run's beginning can take a minute and more.
    """
    part = setup.recipe.network
    if part.basis and not part.initial and part.network_config().tap_shortcut:
        say("the heads' basis")
    learner = make_learner(setup.recipe, first_network(setup), setup.device)
    objective, clock = make_objective(setup, learner), StepTimer(synchronize=True)
    with tempfile.TemporaryDirectory(prefix="kinemacolor-") as aside:
        if setup.recipe.replay.traces:
            say(f"{TRIAL} windows colored as in use")
        begun = time.perf_counter()
        lessons = make_lessons(setup, lambda: learner.network, Path(aside), most=TRIAL)
        assert lessons is not None
        traced = (time.perf_counter() - begun) / TRIAL
        say(f"{count + 1} steps")
        seconds = _timed(setup, lessons, learner, objective, count, clock)
    parts = {name: value / count for name, value in clock.seconds.items()}
    return Measured(seconds, parts, _memory(setup.device), learner.network.parameters_by_part(), traced)


def _timed(
    setup: Setup, lessons: Lessons, learner: Learner, objective: Objective, count: int, clock: StepTimer
) -> float:
    """Seconds a step, over ``count`` of them after one to warm up."""
    with lessons.loader(0) as loader:
        try:
            learn(setup, lessons, learner, objective, next(loader), StepTimer())
            start = time.perf_counter()
            for _ in range(count):
                with clock("data"):
                    batch = next(loader)
                learn(setup, lessons, learner, objective, batch, clock)
        except FloatingPointError as error:
            raise InputError(
                setup.recipe.name, f"a loss is no number ({error})", "take lower learning rates"
            ) from error
        return (time.perf_counter() - start) / count


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def describe(setup: Setup, measured: Measured) -> str:
    """What would happen, in lines."""
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
    replay = recipe.replay
    traces = f"{replay.traces} windows of {replay.length} frames at {replay.size[1]}x{replay.size[0]}, colored first"
    lines = [
        ("recipe", f"{recipe.name}, network {recipe.network.network_config().name} ({counts})"),
        ("data", f"{len(films)} shots ({sum(c.frames for c in films)} frames), {len(photos)} photos"),
        ("", f"sha256 {setup.cache.digest[:16]}…, {len(setup.cache.skipped)} sources skipped"),
        *(("", f"skipped {one.name}: {one.reason}") for one in setup.cache.skipped[:20]),
        ("windows", f"{data.length} frames at {size} in blocks of {data.block}, batches of {data.batch}"),
        *([("traces", f"{traces}, {_clock(replay.traces * measured.traced)}")] if replay.traces else []),
        ("losses", ", ".join(losses) + (f"; flow {setup.flow}" if setup.flow else "")),
        ("evaluation", f"{len(setup.clips)} clips every {recipe.evaluation.every} steps"),
        ("device", where + (f", {setup.processes.count} processes" if setup.processes.count > 1 else "")),
        ("speed", f"{measured.seconds:.2f} s a step, {setup.frames_a_step / measured.seconds:.2f} frames/s"),
        ("memory", f"{measured.memory / MEGABYTE:.0f} MiB at most"),
        ("run", f"{setup.steps} steps, about {_clock(total)} without evaluations"),
    ]
    return "\n".join(f"{title:11} {text}" for title, text in lines)


def profile_table(measured: Measured) -> str:
    """The share of each part of a step."""
    rest = measured.seconds - sum(measured.parts.values())
    rows = sorted({**measured.parts, "other": max(rest, 0.0)}.items(), key=lambda row: -row[1])
    return "\n".join(f"{name:14} {1000 * value:9.1f} ms {value / measured.seconds:7.1%}" for name, value in rows)


def _clock(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 7200 else f"{seconds / 60:.0f} minutes"
