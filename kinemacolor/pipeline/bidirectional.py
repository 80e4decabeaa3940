"""A segment colored by an engine: forward, backward, or both and blended. At network size; no film, no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinemacolor.core.types import FloatArray
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank
from kinemacolor.pipeline.segment_plan import Segment

Half = NDArray[np.float16]
SIMILARITY_WEIGHT = 10.0
"""How much similarity counts beside distance where two passes are blended: a tenth more of cosine counts e-fold."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameColors:
    """A frame and the colors that an engine gives it.

    Attributes:
        index: of the frame in the film.
        lightness: (h, w) float32, L* as the engine saw it.
        ab: (h, w, 2) float32, a* and b* at network size.
        similarity: (h, w) float32 in [-1, 1], how well a reference supports each pixel.
    """

    index: int
    lightness: FloatArray
    ab: FloatArray
    similarity: FloatArray


@dataclass(frozen=True, slots=True)
class BackwardPassProgress:
    """A frame that a backward pass has colored; its final colors follow later.

    Attributes:
        index: of the frame in the film.
    """

    index: int


@dataclass(slots=True, eq=False)
class PassStates:
    """The states that the passes through a segment begin with and, once it is colored, end with.

    Attributes:
        forward: state of the segment before, then of this one.
        backward: state of the segment after, then of this one.
        anchor: L* (h, w) of the frame at the segment's stop, which a backward pass begins with where a reference is
            bound to it; else None.
    """

    forward: EngineState | None = None
    backward: EngineState | None = None
    anchor: FloatArray | None = None


def color_segment(
    engine: Engine, bank: ReferenceBank, lightness: Iterable[FloatArray], segment: Segment, passes: PassStates
) -> Iterator[FrameColors | BackwardPassProgress]:
    """Colors a segment.

    Args:
        engine: of ``bank``.
        bank: of the segment's references.
        lightness: L* (h, w) of its frames, in order; a forward pass alone holds no more than a block of them.
        segment: which passes there are.
        passes: states; they are those after the segment once the iterator is exhausted.

    Yields:
        The frames in order; before them, where there is a backward pass, its progress through each of them.
    """
    if not segment.backward:
        frames = zip(range(segment.start, segment.stop), lightness, strict=True)
        for index, image, colors, state in _pass(engine, bank, frames, passes.forward):
            passes.forward = state
            yield FrameColors(index, image, *colors)
        return
    images = list(lightness)
    numbered = list(zip(range(segment.start, segment.stop), images, strict=True))
    reverse = numbered[::-1]
    if passes.anchor is not None:
        reverse.insert(0, (segment.stop, passes.anchor))
    later: dict[int, tuple[Half, Half]] = {}  # half the memory, at a 30th of a unit
    for index, _, (ab, similarity), state in _pass(engine, bank, reverse, passes.backward):
        passes.backward = state
        later[index] = (ab.astype(np.float16), similarity.astype(np.float16))
        if index < segment.stop:
            yield BackwardPassProgress(index)
    if not segment.forward:
        for index, image in numbered:
            yield FrameColors(index, image, *(part.astype(np.float32) for part in later.pop(index)))
        return
    for index, image, earlier, state in _pass(engine, bank, numbered, passes.forward):
        passes.forward = state
        share = (index - segment.start) / segment.frames
        yield FrameColors(index, image, *blend(earlier, later.pop(index), share))


def blend(
    earlier: Sequence[FloatArray], later: Sequence[FloatArray | Half], share: float
) -> tuple[FloatArray, FloatArray]:
    """The colors of two passes, ab (h, w, 2) and similarity (h, w) each, weighted by distance and similarity.

    Args:
        earlier: of the forward pass.
        later: of the backward pass.
        share: of the way from the forward pass's reference to the backward pass's, in [0, 1]; at 0 only ``earlier``
            counts.

    Returns:
        ab and similarity, float32.
    """
    ease = share * share * (3 - 2 * share)  # neither end is left with a jump of speed
    certainties = [np.exp(SIMILARITY_WEIGHT * np.asarray(similarity, np.float32)) for _, similarity in (earlier, later)]
    weights = (np.float32(1 - ease) * certainties[0], np.float32(ease) * certainties[1])
    part = weights[1] / (weights[0] + weights[1])
    ab = earlier[0] + part[..., None] * (later[0].astype(np.float32) - earlier[0])
    similarity = earlier[1] + part * (later[1].astype(np.float32) - earlier[1])
    return ab, similarity


def _pass(
    engine: Engine, bank: ReferenceBank, frames: Iterable[tuple[int, FloatArray]], state: EngineState | None
) -> Iterator[tuple[int, FloatArray, tuple[FloatArray, FloatArray], EngineState]]:
    """Blocks of ``engine.block_size`` frames in the order: index, L*, (ab, similarity), state after its block."""
    for block in blocks(frames, engine.block_size):
        step = engine.step(np.stack([image for _, image in block]), bank, state)
        state = step.state
        for (index, image), ab, similarity in zip(block, step.ab, step.similarity, strict=True):
            yield index, image, (ab, similarity), state


def blocks(frames: Iterable[tuple[int, FloatArray]], length: int) -> Iterator[list[tuple[int, FloatArray]]]:
    """Groups of ``length``; the last one may be shorter."""
    block: list[tuple[int, FloatArray]] = []
    for frame in frames:
        block.append(frame)
        if len(block) == length:
            yield block
            block = []
    if block:
        yield block
