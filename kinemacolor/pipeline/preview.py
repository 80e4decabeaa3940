"""A look at what references will give, before the long run: single frames of each shot, small, on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.types import Array, Shot
from kinemacolor.engine.protocol import Engine, ReferenceBank
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.pipeline.segment_runner import network_lightness
from kinemacolor.references.image import network_size, to_reference
from kinemacolor.references.placement import ReferenceFile, read_reference
from kinemacolor.references.selection import allowed_references, bindings_within, select_references
from kinemacolor.video.reader import VideoReader

SIDE = 120
"""Short side at which a preview is colored, pixels: a quarter of the work, or less."""


@dataclass(frozen=True, slots=True, eq=False)
class PreviewFrame:
    """A frame of a preview.

    Attributes:
        frame: its index in the film.
        shot: number of its shot, from 0.
        time: seconds from the film's first frame.
        picture: R'G'B' (h, w, 3) uint8.
        confidence: mean similarity, in [-1, 1].
        references: numbers of those it was colored from.
    """

    frame: int
    shot: int
    time: Fraction
    picture: Array
    confidence: float
    references: tuple[int, ...]


def preview_frames(shots: Sequence[Shot], every: int) -> list[int]:
    """Every so-manieth frame of each shot, the middle one at least; ascending."""
    found: list[int] = []
    for shot in shots:
        assert shot.stop is not None
        inside = list(range(shot.start + every // 2, shot.stop, every))
        found += inside or [(shot.start + shot.stop) // 2]
    return found


def preview(
    reader: VideoReader,
    files: Sequence[ReferenceFile],
    engine: Engine,
    found: FilmAnalysis,
    *,
    every: int = 48,
    side: int = SIDE,
    progress: Callable[[int, int | None], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> list[PreviewFrame]:
    """Colors single frames of a film, each from the shot's references alone: nothing is carried from others.

    Args:
        reader: the film.
        files: the references.
        engine: colors them.
        found: the film's frames and shots.
        every: frames from one of a shot to the next.
        side: short side in pixels.
        progress: told of each frame that is done, and the number of all.
        warn: told of stills that were turned round.

    Raises:
        InputError: a reference cannot be used.
    """
    info = reader.info
    aspect = float(info.width * info.sample_aspect_ratio) / info.height
    shape = network_size(aspect, 1, side=side)
    stills = [read_reference(file) for file in files]
    references = [to_reference(x, shape, info.coding.matrix, aspect=aspect, rotation=info.rotation) for x in stills]
    bindings = bindings_within(files, found, info)

    def sample(index: int) -> Array:
        (frame,) = reader.frames(first=index, last=index + 1)
        return network_lightness(frame, shape)

    choice = select_references(engine, references, bindings, found.shots, sample)
    references = choice.unmirrored(references)
    if warn:
        for warning in choice.warnings(files):
            warn(warning)
    wanted = preview_frames(found.shots, every)
    samples: list[PreviewFrame] = []
    bank: ReferenceBank | None = None
    banked: tuple[int, ...] = ()
    for done, index in enumerate(wanted, 1):
        number = next(k for k, shot in enumerate(found.shots) if index in shot)
        own = [k for k, one in enumerate(bindings) if one.frame is not None and one.frame in found.shots[number]]
        nearest = sorted(own, key=lambda k: abs((bindings[k].frame or 0) - index))[:2]
        numbers = tuple(sorted({*nearest, *choice.shots[number][: 3 - len(nearest)]})) or tuple(
            allowed_references(bindings, number, found.shots[number])
        )
        if bank is None or numbers != banked:
            bank, banked = engine.start([references[k] for k in numbers]), numbers
        lightness = sample(index)
        step = engine.step(lightness[None], bank)
        rgb = np.clip(lab_to_rgb(np.dstack([lightness, step.ab[0]])), 0, 1)
        time = int(found.pts[index - found.first]) * found.time_base - info.first_time
        picture = np.rot90((255 * rgb + 0.5).astype(np.uint8), -info.rotation // 90)
        confidence = float(step.similarity.mean())
        samples.append(PreviewFrame(index, number, time, np.ascontiguousarray(picture), confidence, numbers))
        if progress:
            progress(done, len(wanted))
    return samples


def write_preview(path: Path, samples: Sequence[PreviewFrame]) -> None:
    """A contact sheet, each frame with its number, time and confidence."""
    from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet

    pictures = [(f"{one.frame}  {float(one.time):.1f} s  {one.confidence:.2f}", one.picture) for one in samples]
    write_contact_sheet(path, contact_sheet(pictures))
