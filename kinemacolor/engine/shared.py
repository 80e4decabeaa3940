"""An engine that several threads use in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult


class SharedEngine:
    """An engine that is opened when it is first needed; its work space is used by one thread at a time.

    Args:
        open_engine: opens it.
    """

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open, self._lock = open_engine, RLock()
        self._engine: Engine | None = None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    @property
    def name(self) -> str:
        """See ``Engine``."""
        return self._opened().name

    @property
    def block_size(self) -> int:
        """See ``Engine``."""
        return self._opened().block_size

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        """See ``Engine``."""
        with self._lock:
            return self._opened().start(references)

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        """See ``Engine``."""
        with self._lock:
            return self._opened().step(luma_block, bank, state)
