"""The progress of a run: losses, frames per second and the time left, as lines for the user and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from kinemacolor.core.progress import ProgressCallback
from kinemacolor.training.run.logger import RunLogger
from kinemacolor.training.run.step_timer import StepTimer


class StepMeter:
    """Losses and time of the steps since the last line of the log.

    Args:
        step: number of steps done so far.
        timer: of the parts of a step.
    """

    def __init__(self, step: int, timer: StepTimer | None = None) -> None:
        self.timer = timer or StepTimer()
        self._losses: dict[str, list[float]] = {}
        self._since, self._step = time.monotonic(), step
        self._paused = 0.0

    def add(self, losses: Mapping[str, float]) -> None:
        """Adds the losses of a step, by name."""
        for name, value in losses.items():
            self._losses.setdefault(name, []).append(value)

    def pause(self) -> None:
        """Stops counting time until ``resume``."""
        self._paused = time.monotonic()

    def resume(self) -> None:
        """See ``pause``."""
        self._since += time.monotonic() - self._paused

    def write_line(self, logger: RunLogger, step: int, steps: int, frames: int) -> None:
        """Writes the mean losses and the speed.

        Args:
            logger: shows and logs the line.
            step: number of steps done.
            steps: of the run.
            frames: colored in a step.
        """
        seconds = max(time.monotonic() - self._since, 1e-9)
        means = {name: float(np.mean(values)) for name, values in self._losses.items()}
        speed = (step - self._step) * frames / seconds
        left = (steps - step) * seconds / max(step - self._step, 1)
        logger.say(progress_text(step, steps, means, speed, left))
        logger.log(step, "losses", {**means, "frames_a_second": round(speed, 3)})
        self._losses.clear()
        self._since, self._step = time.monotonic(), step


def progress_text(step: int, steps: int, losses: Mapping[str, float], speed: float, left: float) -> str:
    """One line: losses, frames per second, time left (from seconds)."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
    minutes, seconds = divmod(round(left), 60)
    clock = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
    return f"step {step}/{steps}  {values}  |  {speed:.2f} frames/s  |  {clock} left"


def recording_progress(say: Callable[[str], None]) -> ProgressCallback:
    """A callback that shows the number of recorded windows and the time left, ten times in all."""
    started, recorded = time.monotonic(), 0

    def progress(done: int, total: int | None) -> None:
        nonlocal recorded
        seconds = time.monotonic() - started
        recorded += 1
        if total is not None and done % max(1, total // 10) == 0:
            left = (total - done) * seconds / recorded
            say(f"recording: {done} of {total} windows, {seconds / recorded:.1f} s each, {left / 60:.0f} minutes left")

    return progress
