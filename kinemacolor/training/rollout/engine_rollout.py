"""A film colored by an engine, block by block from its first frame, as in use."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.protocol import Engine, StepResult


def color_blocks(engine: Engine, lightness: FloatArray, reference: Reference) -> Iterator[tuple[range, StepResult]]:
    """Colors a film L* (T, H, W); yields of each block its frames and the engine's result."""
    bank, state = engine.start([reference]), None
    for first in range(0, len(lightness), engine.block_size):
        frames = range(first, min(first + engine.block_size, len(lightness)))
        result = engine.step(np.ascontiguousarray(lightness[frames.start : frames.stop]), bank, state)
        state = result.state
        yield frames, result
