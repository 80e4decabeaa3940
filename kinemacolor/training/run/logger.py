"""The logs of a run: messages, ``log.jsonl``, pictures, and TensorBoard's files where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinemacolor.core.errors import OutputError
from kinemacolor.core.types import Array
from kinemacolor.training.validation.matches import MatchFigures
from kinemacolor.training.validation.validation import HeldOutClip, ValidationResult

_LOG = "log.jsonl"


class RunLogger:
    """Writes into the folder of a run.

    Args:
        output: the folder.
        step: at which the run starts or resumes; lines of the log beyond it are dropped.
        say: shows a line to the user.
        silent: whether nothing is written or shown, for all processes but the first.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, output: Path, step: int, say: Callable[[str], None], *, silent: bool = False) -> None:
        self._output, self._silent, self._board = output, silent, None
        self.say: Callable[[str], None] = (lambda _: None) if silent else say
        if silent:
            return
        try:
            output.mkdir(parents=True, exist_ok=True)
            log = output / _LOG
            lines = log.read_text().splitlines() if log.is_file() else []
            log.write_text("".join(f"{line}\n" for line in lines if _step(line) <= step))
        except OSError as error:
            raise OutputError(output, f"cannot be written ({error.strerror})", "choose another folder") from error
        if importlib.util.find_spec("tensorboard"):
            self._board = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(output / "tensorboard"))

    def log(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Writes a line of the log; numbers also go to TensorBoard."""
        if self._silent:
            return
        line = json.dumps({"step": step, "kind": kind, **values})
        try:
            with (self._output / _LOG).open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(self._output / _LOG, f"cannot be written ({error.strerror})", "make room") from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def log_validation(
        self, step: int, result: ValidationResult, clips: tuple[HeldOutClip, ...], last_frames: Mapping[str, Array]
    ) -> None:
        """Logs a validation, with a picture: the last frame of each clip in gray, as colored, and as in truth."""
        values = {"psnr": result.psnr, "last": result.last, "colorfulness": result.colorfulness}
        if result.mirrored is not None:
            values["mirrored"] = result.mirrored
        self.log(step, "evaluation", {**values, "by_clip": result.by_clip})
        self.say(f"step {step}: {result}")
        if self._silent or not last_frames:
            return
        grid = picture_grid(clips, last_frames)
        folder = self._output / "pictures"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"step-{step:06d}.jpg"), np.ascontiguousarray(grid[..., ::-1]))
        if self._board is not None:
            self._board.add_image("held out", grid, step, dataformats="HWC")

    def log_matches(self, step: int, figures: Mapping[str, MatchFigures]) -> None:
        """Logs the quality of matches by the names of keys."""
        self.log(step, "matches", {name: row.mean for name, row in figures.items()})
        self.say(f"step {step}: matches alone: " + "; ".join(f"{name} {row}" for name, row in figures.items()))

    def close(self) -> None:
        """Flushes TensorBoard's files."""
        if self._board is not None:
            self._board.close()


def _step(line: str) -> float:
    """The step of a line of the log; infinity for an incomplete last line."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def picture_grid(clips: tuple[HeldOutClip, ...], last_frames: Mapping[str, Array], width: int = 240) -> Array:
    """A row for each clip: last frame in gray, as colored, as in truth; (H, 3 · width, 3) uint8."""
    rows = []
    for clip in clips:
        truth = clip.film[-1]
        gray = np.repeat(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        row = np.concatenate([gray, last_frames[clip.name], truth], axis=1)
        height = max(1, round(3 * width * row.shape[0] / row.shape[1]))
        rows.append(cv2.resize(row, (3 * width, height), interpolation=cv2.INTER_AREA))
    return np.concatenate(rows)
