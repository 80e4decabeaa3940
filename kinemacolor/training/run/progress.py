"""How a run gets on: losses, frames a second and the time left, in lines for the user and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from kinemacolor.training.rollout.recorded_inputs import Advance
from kinemacolor.training.run.logger import Journal
from kinemacolor.training.run.step_timer import StepTimer


class Progress:
    """Losses and time since the last line of the log."""

    def __init__(self, step: int) -> None:
        self.clock = StepTimer()
        self._parts: dict[str, list[float]] = {}
        self._since, self._step = time.monotonic(), step
        self._paused = 0.0

    def add(self, parts: dict[str, float]) -> None:
        """The losses of a step."""
        for name, value in parts.items():
            self._parts.setdefault(name, []).append(value)

    def pause(self) -> None:
        """Until ``resume`` time does not count."""
        self._paused = time.monotonic()

    def resume(self) -> None:
        """See ``pause``."""
        self._since += time.monotonic() - self._paused

    def tell(self, journal: Journal, step: int, steps: int, frames: int) -> None:
        """A line of progress and of the log, for a run of ``steps`` of so many frames."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        means = {name: float(np.mean(values)) for name, values in self._parts.items()}
        speed = (step - self._step) * frames / seconds
        left = (steps - step) * seconds / max(step - self._step, 1)
        journal.say(progress_text(step, steps, means, speed, left))
        journal.record(step, "losses", {**means, "frames_a_second": round(speed, 3)})
        self._parts.clear()
        self._since, self._step = time.monotonic(), step


def progress_text(step: int, steps: int, parts: Mapping[str, float], speed: float, left: float) -> str:
    """One line: losses, frames a second, time left in seconds."""
    losses = "  ".join(f"{name} {value:.4g}" for name, value in parts.items())
    minutes, seconds = divmod(round(left), 60)
    clock = f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
    return f"step {step}/{steps}  {losses}  |  {speed:.2f} frames/s  |  {clock} left"


def tracing_line(say: Callable[[str], None]) -> Advance:
    """Tells of the making of traces, every tenth of them, with the time left."""
    started, made = time.monotonic(), 0

    def advance(done: int, total: int) -> None:
        nonlocal made
        seconds = time.monotonic() - started
        made += 1
        if done % max(1, total // 10) == 0:
            left = (total - done) * seconds / made
            say(f"traces: {done} of {total}, {seconds / made:.1f} s each, {left / 60:.0f} minutes left")

    return advance
