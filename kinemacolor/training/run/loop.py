"""The loop: steps, evaluations, checkpoints; stops at the end, at a time limit, at a signal, at a NaN."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe, recipe_differences
from kinemacolor.training.data.cache import Report
from kinemacolor.training.losses.objective import Objective, Pairs
from kinemacolor.training.rollout.batches import Lessons, make_lessons
from kinemacolor.training.run.checkpoint import checkpoints, load_checkpoint, read_state, save_checkpoint
from kinemacolor.training.run.distributed import Processes, agreed, average_gradients, share_state
from kinemacolor.training.run.logger import Journal
from kinemacolor.training.run.progress import Progress, tracing_line
from kinemacolor.training.run.setup import Setup, first_network, prepare
from kinemacolor.training.run.signals import stoppable
from kinemacolor.training.run.step_timer import StepTimer
from kinemacolor.training.run.train_state import (
    Learner,
    calibrating,
    clip,
    freeze_statistics,
    make_learner,
    rate_factor,
    set_rates,
    update_average,
)
from kinemacolor.training.validation.gate_calibration import settle_gate
from kinemacolor.training.validation.validation import Trial, try_matching, try_network

Say = Callable[[str], None]
Teach = Callable[[Callable[[], bool]], Lessons | None]
CALIBRATION = 10**9
"""Number of the first sample that batch normalization is calibrated on; no run comes so far."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        step: steps done.
        steps: of the run.
        reason: ``done``, ``time`` or ``signal``.
        trial: the last evaluation, or None.
    """

    step: int
    steps: int
    reason: str
    trial: Trial | None


def learn(
    setup: Setup, lessons: Lessons, learner: Learner, objective: Objective, batch: Any, clock: StepTimer
) -> dict[str, float]:
    """One step: the losses of a batch by name, before the step. Raises FloatingPointError where one is no number."""
    recipe, step = setup.recipe, learner.step
    if step >= recipe.network.freeze_statistics * setup.steps:
        freeze_statistics(learner.network)
    with clock("transfer"):
        tensors = lessons.tensors(batch)
    totals: dict[str, torch.Tensor] = {}
    pairs = Pairs()
    with clock("forward"):
        window = lessons.blocks(learner.network, tensors, colored=objective.colored)
        blocks = iter(window)
        block = next(blocks, None)
    while block is not None:
        share = (block.frames.stop - block.frames.start) / recipe.data.length
        with clock("losses"):
            made = objective(block, tensors, step, pairs)
            for name, value in made.items():
                totals[name] = totals.get(name, torch.zeros((), device=setup.device)) + value.detach() * share
        if made:
            with clock("backward"):
                (objective.weighted(made) * share).backward()
        with clock("forward"):
            block = next(blocks, None)
    with clock("backward"):
        window.finish()
    if pairs.fake:
        with clock("discriminator"):
            against = objective.against(pairs)
            torch.autograd.backward(against)
            totals["discriminator"] = against.detach()
    with clock("optimizer"):
        norm = _move(setup, learner)
        found = {name: float(value) for name, value in totals.items()}
    if agreed(not math.isfinite(sum(found.values()) + norm), setup.processes, setup.device):
        raise FloatingPointError(", ".join(f"{name} {value}" for name, value in {**found, "gradient": norm}.items()))
    return found


def calibrate(setup: Setup, lessons: Lessons, learner: Learner) -> None:
    """Takes batch normalization's statistics over as many batches as the recipe says, the same in all processes."""
    recipe, count = setup.recipe, setup.recipe.data.batch
    if not recipe.network.calibration:
        return
    with calibrating(learner, lessons.taught(learner.network)):
        for number in range(recipe.network.calibration):
            tensors = lessons.tensors(lessons.batch([CALIBRATION + count * number + k for k in range(count)]))
            for _ in lessons.blocks(learner.network, tensors, colored=True):
                pass


def _move(setup: Setup, learner: Learner) -> float:
    """The optimizer's step, unless gradients are no numbers; the norm of the network's gradient."""
    options = setup.recipe.optimizer
    network = [p for p in learner.network.parameters() if p.requires_grad]
    judge = list(learner.discriminator.parameters()) if learner.discriminator else []
    average_gradients(network, setup.processes)
    average_gradients(judge, setup.processes)
    norm = clip([p for p in network if p.grad is not None], options.clip)
    judged = clip([p for p in judge if p.grad is not None], options.clip)
    if math.isfinite(norm + judged):
        set_rates(learner, rate_factor(options, learner.step, setup.steps))
        learner.optimizer.step()
        learner.step += 1
        update_average(learner, options.average)
    learner.optimizer.zero_grad(set_to_none=True)
    return norm + judged if not math.isfinite(norm + judged) else norm


def make_objective(setup: Setup, learner: Learner) -> Objective:
    """The losses of a run."""
    return Objective(setup.recipe.losses, learner.network.config, learner.discriminator, setup.device)


class Run:
    """A run of training in its folder.

    Args:
        setup: all that does not change.
        learner: all that does.
        teach: makes what it learns from, as long as what it is given says True; None if that was not to its end.
        output: the folder.
        say: shows a line to the user.
        spent: seconds of training before, for a run that goes on.
    """

    def __init__(
        self, setup: Setup, learner: Learner, teach: Teach, output: Path, say: Say, spent: float = 0.0
    ) -> None:
        self._setup, self._learner, self._output, self._spent = setup, learner, output, spent
        self._teach = teach
        self._started = time.monotonic()
        self._objective = make_objective(setup, learner)
        self._journal = Journal(output, learner.step, say, silent=not setup.processes.first)
        self._saved = learner.step if spent else -1
        self._trial: Trial | None = None

    def go(self, minutes: float | None) -> Outcome:
        """Runs to its end, or for so many minutes; if there was a step, there is a checkpoint when it returns.

        Raises:
            InputError: a loss is no number; the batch lies in the folder then.
            OutputError: something cannot be written.
        """
        setup, learner = self._setup, self._learner
        limit = math.inf if minutes is None else self._started + 60 * minutes
        with stoppable() as stopped:

            def over() -> bool:
                return stopped() or time.monotonic() > limit

            lessons = self._teach(lambda: not over())
            if not agreed(lessons is None, setup.processes, setup.device):
                assert lessons is not None
                self._learn(lessons, over)
            reason = "signal" if stopped() else "time"
        self._journal.close()
        return Outcome(learner.step, setup.steps, reason if learner.step < setup.steps else "done", self._trial)

    def _learn(self, lessons: Lessons, over: Callable[[], bool]) -> None:
        """Steps until the last, or until it is over; then a checkpoint."""
        setup, learner, recipe = self._setup, self._learner, self._setup.recipe
        if learner.step == 0:
            self._begin(lessons)
        last_saved = time.monotonic()
        with lessons.loader(learner.step) as loader:
            progress = Progress(learner.step)
            while learner.step < setup.steps:
                self._step(lessons, next(loader), progress)
                now, step = time.monotonic(), learner.step
                if step % recipe.run.log_every == 0 or step == setup.steps:
                    progress.tell(self._journal, step, setup.steps, setup.frames_a_step)
                if step % recipe.evaluation.every == 0 or step == setup.steps:
                    progress.pause()
                    if step == setup.steps:
                        self._settle()
                    self._evaluate()
                    progress.resume()
                if agreed(over(), setup.processes, setup.device):
                    break
                if agreed(now - last_saved >= 60 * recipe.run.checkpoint_minutes, setup.processes, setup.device):
                    self._save()
                    last_saved = time.monotonic()
        self._save()

    def _begin(self, lessons: Lessons) -> None:
        """Tells the data, and how well what has to be beaten does, and the untrained network."""
        setup = self._setup
        values: dict[str, Any] = {"data": setup.cache.digest, "device": str(setup.device), "flow": setup.flow}
        self._journal.record(0, "start", {**values, "recipe": setup.recipe.model_dump(mode="json")})
        if setup.clips and setup.processes.first:
            floor = try_matching(setup.clips, mirrored=setup.recipe.evaluation.mirrored)
            self._journal.record(0, "matching", {"psnr": floor.psnr, "last": floor.last, "mirrored": floor.mirrored})
            self._journal.say(f"the engine matching, to be beaten: {floor}")
        calibrate(setup, lessons, self._learner)
        self._evaluate()

    def _step(self, lessons: Lessons, batch: Any, progress: Progress) -> None:
        try:
            progress.add(learn(self._setup, lessons, self._learner, self._objective, batch, progress.clock))
        except FloatingPointError as error:
            rank = self._setup.processes.rank
            path = self._output / f"broken-{self._learner.step:06d}-{rank}.npz"
            arrays: dict[str, Any] = {"names": np.array(batch.names), **batch.arrays()}
            np.savez_compressed(path, **arrays)
            remedy = "take lower learning rates or clip gradients, then go on with --resume"
            raise InputError(path, f"a loss is no number in step {self._learner.step} ({error})", remedy) from error

    def _settle(self) -> None:
        films = self._setup.recipe.network.settle
        if films and self._setup.processes.first:
            network, cache, seed = self._learner.average, self._setup.cache, self._setup.recipe.run.seed
            self._journal.say(settle_gate(network, cache, films, seed=seed, device=self._setup.device))

    def _evaluate(self) -> None:
        setup, learner = self._setup, self._learner
        if not setup.clips or not setup.processes.first:
            return
        mirrored = setup.recipe.evaluation.mirrored
        self._trial, shown = try_network(learner.average, setup.clips, setup.device, mirrored=mirrored)
        self._journal.evaluated(learner.step, self._trial, setup.clips, shown)

    def _save(self) -> None:
        if self._saved == self._learner.step or not self._setup.processes.first:
            return
        state = {
            "recipe": self._setup.recipe.model_dump(mode="json"),
            "data": self._setup.cache.digest,
            "seconds": round(self._spent + time.monotonic() - self._started, 1),
        }
        folder = save_checkpoint(self._output, self._learner, state, self._setup.recipe.run.keep)
        self._saved = self._learner.step
        self._journal.say(f"step {self._learner.step}: {folder}")


def start_run(setup: Setup, output: Path, say: Say, *, resume: bool) -> Run:
    """A run in a folder, from its beginning or from its newest checkpoint.

    Raises:
        UsageError: the folder holds a run and ``resume`` is False, or the recipe is another than that run's.
        InputError: the checkpoint is torn, or other data was learned from.
    """
    found = checkpoints(output)
    if found and not resume:
        raise UsageError(output, "holds a run already", "add --resume, or choose another folder")
    if not found:
        if resume:
            say(f"{output} holds no checkpoint; starting anew")
        if output.exists() and not output.is_dir():
            raise OutputError(output, "is no folder", "choose another")
        learner = _beginner(setup)
        _share(learner, setup.processes)
        return Run(setup, learner, _teach(setup, lambda: learner.network, output, say), output, say)
    folder = found[-1]
    state = read_state(folder)
    changed = recipe_differences(state["recipe"], setup.recipe.model_dump(mode="json"))
    if changed:
        problem = f"another recipe was used there ({', '.join(changed)})"
        raise UsageError(output, problem, "go on with that one, or choose another folder")
    if state["data"] != setup.cache.digest:
        raise InputError(folder, "other data was learned from there", "give the same data, or choose another folder")
    config = setup.recipe.network.network_config()
    learner = make_learner(setup.recipe, Network(config, pretrained=False), setup.device)
    load_checkpoint(folder, learner)
    say(f"going on from {folder}")
    teach = _teach(setup, lambda: _beginner(setup).network, output, say)
    return Run(setup, learner, teach, output, say, float(state["seconds"]))


def _teach(setup: Setup, first: Callable[[], Network], output: Path, say: Say) -> Teach:
    return lambda go_on: make_lessons(setup, first, output, advance=tracing_line(say), go_on=go_on)


def _beginner(setup: Setup) -> Learner:
    return make_learner(setup.recipe, first_network(setup), setup.device)


def _share(learner: Learner, processes: Processes) -> None:
    modules = [learner.network, learner.average, learner.discriminator]
    share_state([module for module in modules if module is not None], processes)


def train(
    recipe: Recipe,
    output: Path,
    *,
    data: Sequence[str] = (),
    device: str | None = None,
    resume: bool = False,
    minutes: float | None = None,
    processes: Processes | None = None,
    say: Say = print,
    report: Report | None = None,
) -> Outcome:
    """Trains a network.

    Args:
        recipe: of the run.
        output: folder for checkpoints, log, pictures and ``network.safetensors``.
        data: in place of the recipe's paths.
        device: name, or None for the best there is.
        resume: goes on from the newest checkpoint in ``output``.
        minutes: stops after so many, with a checkpoint.
        processes: from ``join_processes``.
        say: shows a line to the user.
        report: told of progress where data has to be decoded.

    Raises:
        UsageError, InputError, OutputError: naming what cannot be used.
    """
    setup = prepare(recipe, output, data=data, device=device, processes=processes, report=report)
    return start_run(setup, output, say, resume=resume).go(minutes)
