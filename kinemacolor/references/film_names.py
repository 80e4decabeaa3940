"""Stills that are named as the images of a film of images: ``IMG_0140.png`` belongs to the frame of that name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from kinemacolor.references.placement import ReferenceFile, name_binding
from kinemacolor.video.image_numbers import numbered_names

_NUMBERED = re.compile(r"(.*?[^0-9])([0-9]+)")
_ADDED_WORDS = re.compile(r"(?<=[0-9])(?: ?\([0-9]+\)|[ _.(-]+[^\W\d_].*)$")


class FilmNames:
    """The names of a film's images.

    Args:
        names: without extension, in the film's order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._positions: dict[str, int] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._tail = ""  # of all numbered names
        for position, name in enumerate(names):
            self._positions.setdefault(name.casefold(), position)
        for position, numbered in enumerate(numbered_names([name.casefold() for name in names])):
            if numbered:
                self._tail = numbered.tail
                self._positions.setdefault(numbered.start + numbered.digits, position)
                self._numbers.setdefault((numbered.start, numbered.number), position)

    def position(self, stem: str) -> int | None:
        """Position in the film of the image that a still's name (without extension) means, or None.

        That is the image of the same name, or of the same word and number with other zeros.
        """
        name = stem.casefold()
        if name in self._positions:
            return self._positions[name]
        numbered = _NUMBERED.fullmatch(name.removesuffix(self._tail))
        return self._numbers.get((numbered[1], int(numbered[2]))) if numbered else None

    def position_before_words(self, stem: str) -> int | None:
        """The same where words follow the image's name, as ``IMG_0140 painted``, ``0086407 (2)``.

        If several names are followed by words, the longest counts.
        """
        position, added = None, _ADDED_WORDS.search(stem)
        while added:
            position = self._positions.get(stem[: added.start()].casefold(), position)
            added = _ADDED_WORDS.search(stem, added.start() + 1)
        return position


def placed_by_film_names(
    files: Sequence[ReferenceFile], names: Sequence[str], number_of: Callable[[int], int]
) -> list[ReferenceFile]:
    """The stills, those named as an image of the film with that image's frame.

    A place that was given beside the name stays.

    Args:
        files: the stills.
        names: of the film's images without extension, in their order.
        number_of: position among them → number by which files refer to the frame.
    """
    film = FilmNames(names)
    placed = []
    for file in files:
        place = (file.frame, file.time)
        position = film.position(file.path.stem) if place in ((None, None), name_binding(file.path)) else None
        if position is None and place == (None, None):
            position = film.position_before_words(file.path.stem)
        placed.append(file if position is None else replace(file, frame=number_of(position), time=None))
    return placed
