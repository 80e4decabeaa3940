"""The training loop: steps, validations and checkpoints, until the last step, a time limit, a signal or a NaN."""

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
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.model.network import Network
from kinemacolor.training.config.recipe import Recipe, recipe_differences, with_current_names
from kinemacolor.training.distillation.teachers import TeacherEnsemble
from kinemacolor.training.losses.objective import FramePairs, Objective
from kinemacolor.training.rollout.batches import BatchSource
from kinemacolor.training.run.checkpoint import checkpoints, load_checkpoint, read_record, save_checkpoint
from kinemacolor.training.run.distributed import Processes, any_process, average_gradients, broadcast_state
from kinemacolor.training.run.logger import RunLogger
from kinemacolor.training.run.progress import StepMeter, recording_progress
from kinemacolor.training.run.setup import TrainingSetup, make_batches, make_initial_network, prepare
from kinemacolor.training.run.signals import stop_on_signals
from kinemacolor.training.run.train_state import (
    TrainState,
    calibrating_norms,
    clip_gradients,
    freeze_statistics,
    make_train_state,
    rate_factor,
    set_rates,
    update_average,
)
from kinemacolor.training.validation.gate_calibration import calibrate_gate
from kinemacolor.training.validation.matches import head_keys, measure_matches, tap_keys
from kinemacolor.training.validation.validation import ValidationResult, validate_matching, validate_network

Say = Callable[[str], None]
LEFT_OUT_SHOWN = 20
"""Lines shown of what the data hold and the run does not use."""
FIRST_CALIBRATION_SAMPLE = 10**9
"""Number of the first sample on which batch normalization is calibrated; the samples of a run never reach it."""


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """How a run ended.

    Attributes:
        step: number of steps done.
        steps: of the run.
        reason: ``done``, ``time`` or ``signal``.
        validation: the last one, or None.
    """

    step: int
    steps: int
    reason: str
    validation: ValidationResult | None


def training_step(
    setup: TrainingSetup, state: TrainState, objective: Objective, batches: BatchSource, batch: Any, meter: StepMeter
) -> None:
    """One step: ``state`` changes in place, and ``meter`` receives the losses of the batch before the step.

    Raises:
        FloatingPointError: a loss or a gradient is not finite; after such a gradient, the optimizer does not step.
    """
    recipe, network, timer = setup.recipe, state.network, meter.timer
    if state.step >= recipe.network.freeze_statistics * setup.steps:
        freeze_statistics(network)
    losses, pairs = dict[str, torch.Tensor](), FramePairs()

    with timer("transfer"):
        targets = batches.tensors(batch)
    with timer("forward"):
        rollout = batches.rollout(network, targets, colored=objective.needs_colors)
    pending: list[torch.Tensor] = []
    for block in timer.iterate("forward", rollout):
        share = (block.frames.stop - block.frames.start) / targets.ab.shape[1]
        with timer("losses"):
            block_losses = objective(block, targets, state.step, pairs)
            for name, value in block_losses.items():
                losses[name] = losses.get(name, torch.zeros((), device=setup.device)) + value.detach() * share
        if block_losses:
            pending.append(objective.weighted_sum(block_losses) * share)
        if pending and block.ends_span:
            with timer("backward"):
                torch.autograd.backward(torch.stack(pending).sum())
            pending.clear()
    with timer("backward"):
        rollout.backward_to_references()
    if pairs.fake:
        with timer("discriminator"):
            discriminator_loss = objective.discriminator_loss(pairs)
            torch.autograd.backward(discriminator_loss)
            losses["discriminator"] = discriminator_loss.detach()

    with timer("optimizer"):
        trained = [part for part in (network, state.discriminator) if part is not None]
        for part in trained:
            average_gradients(part.parameters(), setup.processes)
        norm = sum(clip_gradients(part.parameters(), recipe.optimizer.clip) for part in trained)
        if math.isfinite(norm):
            set_rates(state, rate_factor(recipe.optimizer, state.step, setup.steps))
            state.optimizer.step()
            state.step += 1
            update_average(state, recipe.optimizer.average)
        state.optimizer.zero_grad(set_to_none=True)
        values = {name: float(value) for name, value in losses.items()}

    if any_process(not math.isfinite(sum(values.values()) + norm), setup.processes, setup.device):
        raise FloatingPointError(", ".join(f"{name} {value}" for name, value in {**values, "gradient": norm}.items()))
    meter.add(values)


def calibrate_norms(setup: TrainingSetup, state: TrainState, batches: BatchSource) -> None:
    """Takes the statistics of batch normalization from as many batches as the recipe says, alike in all processes."""
    recipe, count = setup.recipe, setup.recipe.data.batch
    if not recipe.network.norm_calibration:
        return
    with calibrating_norms(state, batches.trained_part(state.network)):
        for number in range(recipe.network.norm_calibration):
            first = FIRST_CALIBRATION_SAMPLE + count * number
            targets = batches.tensors(batches.batch(range(first, first + count)))
            for _ in batches.rollout(state.network, targets, colored=True):
                pass


def make_objective(setup: TrainingSetup, state: TrainState) -> Objective:
    """The losses of a run."""
    recipe, teachers = setup.recipe, None
    if recipe.distills:
        teachers = TeacherEnsemble(recipe.distillation.teachers, setup.autocast).to(setup.device)
    config = state.network.config
    return Objective(recipe.losses, config, state.discriminator, setup.device, teachers, recipe.distillation)


class TrainingRun:
    """A training run in its folder.

    Args:
        setup: everything that does not change.
        state: everything that does.
        initial_network: gives the network at step 0, which records inputs where the recipe says so.
        output: the folder.
        say: shows a line to the user.
        seconds_before: seconds of training before, for a run that is resumed.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        state: TrainState,
        initial_network: Callable[[], Network],
        output: Path,
        say: Say,
        seconds_before: float = 0.0,
    ) -> None:
        self._setup, self._state, self._output, self._seconds_before = setup, state, output, seconds_before
        self._initial_network = initial_network
        self._started = time.monotonic()
        self._objective = make_objective(setup, state)
        self._logger = RunLogger(output, state.step, say, silent=not setup.processes.first)
        self._saved_step = state.step if seconds_before else -1
        self._validation: ValidationResult | None = None
        self._say = say

    def run(self, minutes: float | None) -> TrainingOutcome:
        """Runs to its end, or for so many minutes; if there was a step, there is a checkpoint when it returns.

        Raises:
            InputError: a loss is not a finite number; the batch is then saved in the folder.
            OutputError: a file cannot be written.
        """
        setup, state = self._setup, self._state
        limit = math.inf if minutes is None else self._started + 60 * minutes
        with stop_on_signals() as stopped:

            def is_over() -> bool:
                return stopped() or time.monotonic() > limit

            batches = make_batches(
                setup,
                self._initial_network,
                self._output,
                progress=recording_progress(self._say),
                go_on=lambda: not is_over(),
            )
            if not any_process(batches is None, setup.processes, setup.device):
                assert batches is not None
                self._fit(batches, is_over)
            reason = "signal" if stopped() else "time"
        self._logger.close()
        reason = reason if state.step < setup.steps else "done"
        return TrainingOutcome(state.step, setup.steps, reason, self._validation)

    def _fit(self, batches: BatchSource, is_over: Callable[[], bool]) -> None:
        """Steps until the last, or until ``is_over``; then a checkpoint."""
        setup, state, recipe = self._setup, self._state, self._setup.recipe
        if state.step == 0:
            self._start(batches)
        last_saved = time.monotonic()
        with batches.loader(state.step) as loader:
            meter = StepMeter(state.step)
            while state.step < setup.steps:
                self._step(batches, next(loader), meter)
                now, step = time.monotonic(), state.step
                if step % recipe.run.log_every == 0 or step == setup.steps:
                    meter.write_line(self._logger, step, setup.steps, setup.frames_per_step)
                if step % recipe.evaluation.every == 0 or step == setup.steps:
                    meter.pause()
                    if step == setup.steps:
                        self._calibrate_gate()
                    self._validate()
                    meter.resume()
                if any_process(is_over(), setup.processes, setup.device):
                    break
                is_due = now - last_saved >= 60 * recipe.run.checkpoint_minutes
                if any_process(is_due, setup.processes, setup.device):
                    self._save()
                    last_saved = time.monotonic()
        self._save()

    def _start(self, batches: BatchSource) -> None:
        """Logs the data and the recipe, and validates the engine ``matching`` and the untrained network."""
        setup = self._setup
        values: dict[str, Any] = {"data": setup.cache.digest, "device": str(setup.device), "flow": setup.flow}
        left_out = setup.left_out()
        values["left_out"] = left_out
        self._logger.log(0, "start", {**values, "recipe": setup.recipe.model_dump(mode="json")})
        for line in left_out[:LEFT_OUT_SHOWN]:
            self._logger.say(f"left out: {line}")
        if len(left_out) > LEFT_OUT_SHOWN:
            self._logger.say(f"left out: {len(left_out) - LEFT_OUT_SHOWN} more, which log.jsonl names")
        if setup.clips and setup.processes.first and not setup.recipe.distills:
            matching = validate_matching(setup.clips, mirrored=setup.recipe.evaluation.mirrored)
            figures = {"psnr": matching.psnr, "last": matching.last, "mirrored": matching.mirrored}
            self._logger.log(0, "matching", figures)
            self._logger.say(f"the engine matching, for comparison: {matching}")
        calibrate_norms(setup, self._state, batches)
        self._validate()

    def _step(self, batches: BatchSource, batch: Any, meter: StepMeter) -> None:
        """One step; a batch with which it fails is saved."""
        try:
            training_step(self._setup, self._state, self._objective, batches, batch, meter)
        except FloatingPointError as error:
            step, rank = self._state.step, self._setup.processes.rank
            path = self._output / f"broken-{step:06d}-{rank}.npz"
            arrays: dict[str, Any] = {"names": np.array(batch.names), **batch.arrays()}
            np.savez_compressed(path, **arrays)
            remedy = "use lower learning rates or clip gradients, then resume"
            raise InputError(path, f"a loss is not finite in step {step} ({error})", remedy) from error

    def _calibrate_gate(self) -> None:
        films = self._setup.recipe.network.gate_calibration
        if films and self._setup.processes.first:
            network, cache, seed = self._state.average, self._setup.cache, self._setup.recipe.run.seed
            self._logger.say(calibrate_gate(network, cache, films, seed=seed, device=self._setup.device))

    def _validate(self) -> None:
        setup, state = self._setup, self._state
        if not setup.clips or not setup.processes.first:
            return
        if setup.recipe.distills:
            keys = head_keys if setup.recipe.learns_heads else tap_keys
            self._logger.log_matches(state.step, measure_matches(state.average, setup.clips, keys))
            return
        mirrored = setup.recipe.evaluation.mirrored
        self._validation, last_frames = validate_network(state.average, setup.clips, setup.device, mirrored=mirrored)
        self._logger.log_validation(state.step, self._validation, setup.clips, last_frames)

    def _save(self) -> None:
        setup, state = self._setup, self._state
        if self._saved_step == state.step or not setup.processes.first:
            return
        record = {
            "recipe": setup.recipe.model_dump(mode="json"),
            "data": setup.cache.digest,
            "seconds": round(self._seconds_before + time.monotonic() - self._started, 1),
        }
        folder = save_checkpoint(self._output, state, record, setup.recipe.run.keep)
        self._saved_step = state.step
        self._logger.say(f"step {state.step}: {folder}")


def start_run(setup: TrainingSetup, output: Path, say: Say, *, resume: bool) -> TrainingRun:
    """A run in a folder, from its beginning or from its newest checkpoint.

    Raises:
        UsageError: the folder holds a run and ``resume`` is False, or the recipe is not that of the run.
        InputError: the checkpoint is corrupt, or the run was trained on other data.
    """
    folders = checkpoints(output)
    if folders and not resume:
        raise UsageError(output, "holds a run already", "resume it, or choose another folder")
    if folders:
        return _resumed_run(setup, output, folders[-1], say)
    if resume:
        say(f"{output} holds no checkpoint; starting over")
    if output.exists() and not output.is_dir():
        raise OutputError(output, "is not a folder", "choose another")
    state = _initial_state(setup)
    modules = [state.network, state.average, state.discriminator]
    broadcast_state([module for module in modules if module is not None], setup.processes)
    return TrainingRun(setup, state, lambda: state.network, output, say)


def _resumed_run(setup: TrainingSetup, output: Path, folder: Path, say: Say) -> TrainingRun:
    record = read_record(folder)
    changed = recipe_differences(with_current_names(record["recipe"]), setup.recipe.model_dump(mode="json"))
    if changed:
        problem = f"the run has another recipe ({', '.join(changed)})"
        raise UsageError(output, problem, "resume with that recipe, or choose another folder")
    if record["data"] != setup.cache.digest:
        raise InputError(folder, "the run was trained on other data", "give the same data, or choose another folder")
    config = setup.recipe.network.network_config()
    state = make_train_state(setup.recipe, Network(config, pretrained=False), setup.device)
    load_checkpoint(folder, state)
    say(f"resuming from {folder}")
    return TrainingRun(setup, state, lambda: _initial_state(setup).network, output, say, float(record["seconds"]))


def _initial_state(setup: TrainingSetup) -> TrainState:
    return make_train_state(setup.recipe, make_initial_network(setup), setup.device)


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
    progress: ProgressCallback | None = None,
) -> TrainingOutcome:
    """Trains a network.

    Args:
        recipe: of the run.
        output: folder for checkpoints, log, pictures and ``network.safetensors``.
        data: in place of the recipe's paths.
        device: name, or None for the best one.
        resume: continues from the newest checkpoint in ``output``.
        minutes: stops after so many, with a checkpoint.
        processes: from ``join_processes``.
        say: shows a line to the user.
        progress: called where data has to be decoded, see ``build_cache``.

    Raises:
        UsageError, InputError, OutputError: naming what cannot be used.
    """
    setup = prepare(recipe, output, data=data, device=device, processes=processes, progress=progress)
    return start_run(setup, output, say, resume=resume).run(minutes)
