"""A shot of a film; free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shot:
    """Frames ``start`` … ``stop`` − 1 of a film, taken by one camera without a cut.

    Attributes:
        start: index of the first frame, ≥ 0.
        stop: index after the last frame, > start; None while the end is not known (a film that is still being read).
    """

    start: int
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"start: expected ≥ 0, got {self.start}")
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"stop: expected > start ({self.start}) or None, got {self.stop}")

    def __contains__(self, index: int) -> bool:
        return self.start <= index and (self.stop is None or index < self.stop)
