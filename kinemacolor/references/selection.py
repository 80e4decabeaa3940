"""Which references color which shot: those bound to it, else those that its frames resemble most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kinemacolor.core.types import FloatArray, Reference, Shot
from kinemacolor.engine.features import FrameFeatures, choose_references, extract_features
from kinemacolor.engine.protocol import Engine
from kinemacolor.pipeline.analysis import FilmAnalysis
from kinemacolor.references.flip import mirrored_stills
from kinemacolor.references.placement import Binding, ReferenceFile, bind
from kinemacolor.video.info import VideoInfo

SHORT_SHOT = 24
"""Frames of a shot up to which one frame stands for it; of longer ones three are looked at."""
OUTSIDE_FRAME = -1
"""Frame of references that belong to a shot outside the part that is colored."""


@dataclass(frozen=True, slots=True)
class ReferenceSelection:
    """What was settled about the references of a film.

    Attributes:
        shots: for each shot the numbers of those that color it beside those bound to its frames, best first.
        mirrored: numbers of those that lie the wrong way round.
    """

    shots: tuple[tuple[int, ...], ...]
    mirrored: tuple[int, ...] = ()

    def unmirrored(self, references: Sequence[Reference]) -> list[Reference]:
        """All of the film's references, those that lie the wrong way round turned."""
        return [one.mirrored() if number in self.mirrored else one for number, one in enumerate(references)]

    def warnings(self, files: Sequence[ReferenceFile]) -> list[str]:
        """What was done to stills, for the user."""
        return [f"{files[k].path}: shows the film mirrored, and was turned round" for k in self.mirrored]


def select_references(
    engine: Engine,
    references: Sequence[Reference],
    bindings: Sequence[Binding],
    shots: Sequence[Shot],
    sample: Callable[[int], FloatArray],
) -> ReferenceSelection:
    """Finds the references that lie the wrong way round, and for each shot those that color it; see ``select_for_shots``."""
    mirrored = mirrored_stills(references, bindings, shots, sample)
    faced = ReferenceSelection((), mirrored).unmirrored(references)
    return ReferenceSelection(tuple(select_for_shots(engine, faced, bindings, shots, sample)), mirrored)


def select_for_shots(
    engine: Engine,
    references: Sequence[Reference],
    bindings: Sequence[Binding],
    shots: Sequence[Shot],
    sample: Callable[[int], FloatArray],
    *,
    most: int = 3,
) -> list[tuple[int, ...]]:
    """For each shot the references that color it beside those bound to its frames, best first.

    A shot may choose among references bound to it as a whole and those bound to nothing. Where there is neither, and
    none is bound to one of its frames, it chooses among all. It takes several where they complement each other.

    Args:
        engine: judges by its features.
        references: at network size.
        bindings: of each.
        shots: of the film.
        sample: L* (h, w) of a frame at network size, by index.
        most: references a shot chooses, at most.

    Returns:
        Numbers of references, for each shot; empty where its own frames' references are all it may take.
    """
    views: dict[int, FrameFeatures] = {}

    def view(number: int) -> FrameFeatures:
        if number not in views:
            reference = references[number]
            views[number] = extract_features(engine, reference.lightness, reference.mask)
        return views[number]

    found: list[tuple[int, ...]] = []
    for number, shot in enumerate(shots):
        offers = allowed_references(bindings, number, shot)
        if len(offers) > 1:
            queries = [extract_features(engine, sample(frame)) for frame in representative_frames(shot)]
            chosen = choose_references(queries, [view(offer) for offer in offers], most)
            found.append(tuple(offers[index] for index in chosen))
        else:
            found.append(tuple(offers))
    return found


def allowed_references(bindings: Sequence[Binding], number: int, shot: Shot) -> list[int]:
    """Numbers of the references that shot ``number`` may choose among."""
    own = [k for k, one in enumerate(bindings) if one.frame is None and one.shot in (None, number)]
    if own or any(one.frame is not None and one.frame in shot for one in bindings):
        return own
    return list(range(len(bindings)))


def representative_frames(shot: Shot) -> list[int]:
    """Frames that stand for a shot."""
    assert shot.stop is not None
    length = shot.stop - shot.start
    shares = (1 / 2,) if length <= SHORT_SHOT else (1 / 6, 1 / 2, 5 / 6)
    return [shot.start + int(length * share) for share in shares]


def bound_frames(bindings: Sequence[Binding]) -> dict[int, int]:
    """Frame → number of the reference bound to it."""
    return {one.frame: number for number, one in enumerate(bindings) if one.frame is not None}


def bindings_within(files: Sequence[ReferenceFile], found: FilmAnalysis, info: VideoInfo) -> list[Binding]:
    """Places in frames of the film, of which ``found`` may hold a part: then some may lie outside."""
    first, numbers = found.first, found.numbers(info)
    shots = [Shot(shot.start - first, None if shot.stop is None else shot.stop - first) for shot in found.shots]
    last = len(shots) + found.skipped
    beyond = [bool(one.shot and (one.shot <= found.skipped or (one.shot > last and not found.whole))) for one in files]
    asked = [
        replace(one, shot=None if away or one.shot is None else one.shot - found.skipped)
        for one, away in zip(files, beyond, strict=True)
    ]
    made = bind(asked, found.times(info.first_time), shots, numbers=numbers, partial=not found.whole)
    return [
        Binding(file, OUTSIDE_FRAME if away else None if one.frame is None else first + one.frame, one.shot)
        for file, one, away in zip(files, made, beyond, strict=True)
    ]
