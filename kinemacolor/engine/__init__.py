"""Colorization engines: ``start`` turns references into a bank, ``step`` colours a block of frames."""

from kinemacolor.engine.protocol import Bank, Engine, Memory, Step
from kinemacolor.errors import UsageError

ENGINES = {"matching": "nothing trained for colour: ImageNet features, and colours carried along the optical flow"}
"""Names and what they stand for."""

__all__ = ["ENGINES", "Bank", "Engine", "Memory", "Step", "open_engine"]


def open_engine(name: str, *, propagate: bool = True, threads: int | None = None) -> Engine:
    """An engine by its name; ``propagate`` switches propagated correspondence, ``threads`` limits the runtime's.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in ENGINES:
        raise UsageError("--engine", f"there is no engine {name}", f"choose among {', '.join(ENGINES)}")
    from kinemacolor.engine.matching import MatchingEngine

    return MatchingEngine(propagate=propagate, threads=threads)
