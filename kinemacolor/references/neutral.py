"""Which shots of a film stay gray: title cards, blank leader, those that the user names, and those of gray stills."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.references.neutral_choice import NeutralChoice
from kinemacolor.references.placement import Binding, ReferenceFile
from kinemacolor.shots.cards import ShotMark

_KINDS: dict[ShotMark, str] = {"card": "title card", "blank": "blank leader"}
_NAMED = 4  # shots that a line names


# --- gray stills --------------------


def marks_shot(file: ReferenceFile) -> bool:
    """Whether a gray still says that its shot stays gray: it has a place, and does not merely lie in a folder."""
    return file.folder is None and not (file.frame is None and file.time is None and file.shot is None)


# --- shots --------------------


@dataclass(frozen=True, slots=True)
class NeutralShots:
    """The shots that stay gray.

    Attributes:
        numbers: their indices among the colored part's shots.
        lines: what the user should know, a line each.
    """

    numbers: tuple[int, ...] = ()
    lines: tuple[str, ...] = ()


def neutral_shots(
    choice: NeutralChoice,
    shots: Sequence[Shot],
    marks: Sequence[ShotMark],
    bindings: Sequence[Binding],
    gray: Sequence[Binding] = (),
    *,
    film: Path,
    frame_name: Callable[[int], int],
    skipped: int = 0,
    misplaced: Collection[int] = (),
) -> NeutralShots:
    """Decides which shots stay gray.

    A title card or blank leader that was found is colored nevertheless where a colored still is bound to it and shows
    it.

    Args:
        choice: the user's.
        shots: of the part that is colored.
        marks: for each, what is known of it; empty for nothing.
        bindings: of the colored stills.
        gray: places of the gray ones.
        film: for messages.
        frame_name: the number by which people call the frame of an index.
        skipped: shots of the film's list that lie before the part.
        misplaced: numbers of the colored stills that do not show their frames.

    Raises:
        UsageError: a number of a shot that the film does not have.
        InputError: a gray and a colored still are bound to one shot.
    """
    wanted = _chosen_shots(choice, len(shots), skipped)
    wanted |= {number for number, mark in enumerate(marks) if mark == "neutral"}
    shown = {shot: k for k, binding in enumerate(bindings) if (shot := binding.shot) is not None and k not in misplaced}
    for binding in gray:
        if binding.shot is None:
            continue
        if binding.shot in shown:
            other = bindings[shown[binding.shot]].file.path
            problem = f"is gray, so that its shot stays gray, but {other} colors the same shot"
            raise InputError(binding.file.path, problem, "leave one of the two")
        wanted.add(binding.shot)
    found = {number for number, mark in enumerate(marks) if choice.find and mark in _KINDS} - shown.keys() - wanted
    lines = [
        f"{bindings[shown[number]].file.path}: belongs to shot {number + 1 + skipped}, which stays gray; "
        "it is not used there"
        for number in sorted(wanted & shown.keys())
    ]
    if found:
        lines.insert(0, _found_line(film, sorted(found), shots, marks, frame_name, skipped))
    return NeutralShots(tuple(sorted(wanted | found)), tuple(lines))


def _chosen_shots(choice: NeutralChoice, count: int, skipped: int) -> set[int]:
    """Indices of the shots that the user names."""
    for _, last in choice.spans:
        if last > count + skipped:
            problem = f"names shot {last}, but the film has shots 1 to {count + skipped}"
            raise UsageError("neutral_shots", problem, "see kinemacolor shots FILM for the numbers")
    numbers = (number for first, last in choice.spans for number in range(first, last + 1))
    return {number - 1 - skipped for number in numbers if number > skipped}


def _found_line(
    film: Path,
    found: Iterable[int],
    shots: Sequence[Shot],
    marks: Sequence[ShotMark],
    frame_name: Callable[[int], int],
    skipped: int,
) -> str:
    texts = [
        f"shot {number + 1 + skipped} (frames {frame_name(shots[number].start)} to "
        f"{frame_name((shots[number].stop or 1) - 1)}, {_KINDS[marks[number]]})"
        for number in found
    ]
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    verb = "stays" if len(texts) == 1 else "stay"
    remedy = "bind a colored still to a shot, or set `neutral_shots` to none, to color it"
    return f"{film.name}: {', '.join(texts[:_NAMED])}{more} {verb} gray; {remedy}"
