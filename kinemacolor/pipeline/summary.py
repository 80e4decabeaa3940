"""What a finished job has done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done.

    Attributes:
        output: the colored film.
        frames: colored frames, those of earlier runs included.
        resumed: frames that an earlier run had finished.
        shots: of the film.
        size: (width, height) of the film.
        network_size: (width, height) at which the network saw it.
        seconds: wall time from opening the film to its final name.
        stage_seconds: busy time by stage: analyze, read, network, smooth, upsample, write, join, report. They overlap.
        confidence: mean similarity to the references, in [-1, 1].
        warnings: what could not be kept, a line each.
        damage: None, or where and how the input broke off; what decodes was colored.
    """

    output: Path
    frames: int
    resumed: int
    shots: int
    size: tuple[int, int]
    network_size: tuple[int, int]
    seconds: float
    stage_seconds: dict[str, float]
    confidence: float
    warnings: tuple[str, ...]
    damage: str | None

    @property
    def frames_per_second(self) -> float:
        """Of the whole, less what was finished before."""
        return (self.frames - self.resumed) / self.seconds if self.seconds else 0.0

    def record(self) -> dict[str, Any]:
        """The summary as JSON-ready values; rates in frames a second, times in seconds."""
        return {
            "output": str(self.output),
            "frames": self.frames,
            "resumed": self.resumed,
            "shots": self.shots,
            "size": list(self.size),
            "network_size": list(self.network_size),
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.frames_per_second, 3),
            "stage_frames_per_second": {
                name: round(self.frames / seconds, 2) for name, seconds in self.stage_seconds.items() if seconds
            },
            "confidence": round(self.confidence, 4),
            "warnings": list(self.warnings),
            "damage": self.damage,
        }

    def __str__(self) -> str:
        return (
            f"{self.output}: {self.frames} frames in {self.seconds:.1f} s ({self.frames_per_second:.1f} a second), "
            f"mean confidence {self.confidence:.2f}"
        )
