"""Which references color which shot: those bound to it, else those whose features match its frames best."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.features import (
    COMPARED_REFERENCES,
    FrameFeatures,
    choose_references,
    extract_features,
    nearest_by_summary,
)
from kinemacolor.engine.protocol import Engine
from kinemacolor.references.film_names import placed_by_film_names
from kinemacolor.references.placement import Binding, ReferenceFile, bind
from kinemacolor.references.store import ArrayFile, StoredArray, TurnedReferences
from kinemacolor.video.info import VideoInfo

SHORT_SHOT = 24
"""Frames of a shot up to which one frame represents it; longer ones are represented by three."""
OUTSIDE_FRAME = -1
"""Frame of references that belong to a shot outside the part that is colored."""


class AnalyzedFilm(Protocol):
    """The frames that are colored, as an analysis of a film or of a part of it knows them."""

    @property
    def first(self) -> int:
        """Index in the film of the first of these frames."""

    @property
    def shots(self) -> Sequence[Shot]:
        """Shots of these frames, in indices of the film."""

    @property
    def skipped(self) -> int:
        """Number of shots in the film's list that lie before the first of these frames."""

    @property
    def whole(self) -> bool:
        """Whether these are all frames of the film."""

    def times(self, origin: Fraction) -> Sequence[Fraction]:
        """Times of the frames in seconds from ``origin``."""

    def numbers(self, info: VideoInfo) -> Sequence[int]:
        """Numbers by which people refer to the frames."""


@dataclass(frozen=True, slots=True)
class ReferenceSelection:
    """Which references color which shot of a film, and which of them are mirrored.

    Attributes:
        shots: for each shot the numbers of the references that color it beside those bound to its frames, best first.
        mirrored: numbers of the references that show the film left to right.
        neutral: numbers of the shots that stay gray, from 0.
        mismatches: lines for the user about stills that do not show the frames that they are bound to.
        remarks: further lines for the user.
    """

    shots: tuple[tuple[int, ...], ...]
    mirrored: tuple[int, ...] = ()
    neutral: tuple[int, ...] = ()
    mismatches: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def unmirrored(self, references: Sequence[Reference]) -> Sequence[Reference]:
        """All of the film's references, the mirrored ones turned round."""
        return TurnedReferences(references, self.mirrored)

    def warnings(self, files: Sequence[ReferenceFile]) -> list[str]:
        """Lines for the user, each still that was turned round among them."""
        turned = [f"{files[number].path}: shows the film mirrored, and was turned round" for number in self.mirrored]
        return [*self.mismatches, *turned, *self.remarks]


def select_for_shots(
    engine: Engine,
    references: Sequence[Reference],
    bindings: Sequence[Binding],
    shots: Sequence[Shot],
    lightness: Callable[[int], FloatArray],
    *,
    most: int = 3,
    neutral: Collection[int] = (),
) -> list[tuple[int, ...]]:
    """For each shot the references that color it beside those bound to its frames, best first.

    Candidates of a shot are the references bound to it as a whole and those bound to nothing; if there are none, and
    none is bound to one of its frames, all references. Several are chosen if they complement each other.

    Args:
        engine: its features are compared.
        references: at network size.
        bindings: of each reference.
        shots: of the film.
        lightness: L* (h, w) of a frame at network size, by index; called in ascending order.
        most: references chosen for a shot, at most.
        neutral: numbers of the shots that stay gray, for which none is chosen.

    Returns:
        Numbers of references for each shot; empty where those bound to its frames are all it may use.
    """
    features = _ReferenceFeatures(engine, references)
    selected: list[tuple[int, ...]] = []
    for number, shot in enumerate(shots):
        candidates = [] if number in neutral else allowed_references(bindings, number, shot)
        if len(candidates) > 1:
            queries = [extract_features(engine, lightness(frame)) for frame in representative_frames(shot)]
            compared = features.nearest(queries, candidates)
            chosen = choose_references(queries, [features.read(candidate) for candidate in compared], most)
            selected.append(tuple(compared[index] for index in chosen))
        else:
            selected.append(tuple(candidates))
    return selected


class _ReferenceFeatures:
    """An engine's features of references, computed once and kept out of memory but for their summaries."""

    def __init__(self, engine: Engine, references: Sequence[Reference]) -> None:
        self._engine, self._references = engine, references
        self._file = ArrayFile()
        self._keys: dict[int, StoredArray] = {}
        self._summaries: dict[int, FrameFeatures] = {}  # each with one key, which is not used

    def nearest(self, queries: Sequence[FrameFeatures], candidates: Sequence[int]) -> list[int]:
        """Those of some references that ``choose_references`` would compare with frames of a shot."""
        for number in candidates:
            if number not in self._keys:
                reference = self._references[number]
                features = extract_features(self._engine, reference.lightness, reference.mask)
                self._keys[number] = self._file.add(features.keys)
                self._summaries[number] = FrameFeatures(features.keys[:1].copy(), features.summary)
        summaries = [self._summaries[number] for number in candidates]
        return [candidates[index] for index in nearest_by_summary(queries, summaries, COMPARED_REFERENCES)]

    def read(self, number: int) -> FrameFeatures:
        """Features of a reference that ``nearest`` has returned."""
        return FrameFeatures(self._file.read(self._keys[number]), self._summaries[number].summary)


def allowed_references(bindings: Sequence[Binding], number: int, shot: Shot) -> list[int]:
    """Numbers of the references among which shot ``number`` may choose."""
    candidates = [k for k, binding in enumerate(bindings) if binding.frame is None and binding.shot in (None, number)]
    if candidates or any(binding.frame is not None and binding.frame in shot for binding in bindings):
        return candidates
    return list(range(len(bindings)))


def representative_frames(shot: Shot) -> list[int]:
    """Indices of frames that represent a shot."""
    assert shot.stop is not None
    length = shot.stop - shot.start
    shares = (1 / 2,) if length <= SHORT_SHOT else (1 / 6, 1 / 2, 5 / 6)
    return [shot.start + int(length * share) for share in shares]


def bound_frames(bindings: Sequence[Binding]) -> dict[int, int]:
    """Frame → number of the reference bound to it."""
    return {binding.frame: number for number, binding in enumerate(bindings) if binding.frame is not None}


def bindings_within(files: Sequence[ReferenceFile], analysis: AnalyzedFilm, info: VideoInfo) -> list[Binding]:
    """The places of stills, in frames of the film.

    Args:
        files: the stills.
        analysis: the frames that are colored; stills that belong to a shot outside of them get ``OUTSIDE_FRAME``.
        info: of the film.

    Raises:
        InputError: see ``bind``.
    """
    first, numbers = analysis.first, analysis.numbers(info)
    files = _placed_by_names(files, analysis, info)
    shots = [Shot(shot.start - first, None if shot.stop is None else shot.stop - first) for shot in analysis.shots]
    last = len(shots) + analysis.skipped
    outside = [
        bool(file.shot and (file.shot <= analysis.skipped or (file.shot > last and not analysis.whole)))
        for file in files
    ]
    renumbered = [
        replace(file, shot=None if away or file.shot is None else file.shot - analysis.skipped)
        for file, away in zip(files, outside, strict=True)
    ]
    bindings = bind(renumbered, analysis.times(info.first_time), shots, numbers=numbers, partial=not analysis.whole)
    frames = [None if binding.frame is None else first + binding.frame for binding in bindings]
    return [
        Binding(file, OUTSIDE_FRAME if away else frame, binding.shot)
        for file, binding, frame, away in zip(files, bindings, frames, outside, strict=True)
    ]


def _placed_by_names(
    files: Sequence[ReferenceFile], analysis: AnalyzedFilm, info: VideoInfo
) -> Sequence[ReferenceFile]:
    """The stills, those named as the images of a film of images with their frames."""
    if info.names is None:
        return files
    positions = [int(time / info.time_base) for time in analysis.times(info.first_time)]

    def number_of(position: int) -> int:
        if info.numbers is not None:
            return info.numbers[position]
        # Frames are known by their indices, which count no damaged images.
        return analysis.first + (bisect_left(positions, position) if position >= positions[0] else -1)

    return placed_by_film_names(files, info.names, number_of)
