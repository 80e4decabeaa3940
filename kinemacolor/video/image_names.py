"""Names of the images that a film becomes: a film of images keeps its own numbers, or its own names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError
from kinemacolor.video.image_numbers import rising_numbers
from kinemacolor.video.image_sequence import image_files, is_image_source, pattern_regex

_FRAME_NAMES = "frame_%06d.png"


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """Images as a destination.

    Attributes:
        folder: that holds them.
        pattern: of their names, with a number such as ``%06d``; None where only the folder was given.
    """

    folder: Path
    pattern: str | None


@dataclass(frozen=True, slots=True)
class ImageNames:
    """Names of images.

    Attributes:
        pattern: of the names, with a number.
        numbers: for each position in a film of images its number, or None for numbers from 0 on.
        stems: for each position in a film of images its name without extension, in place of a number; or None.
    """

    pattern: str
    numbers: tuple[int, ...] | None = None
    stems: tuple[str, ...] | None = None

    @classmethod
    def of(cls, target: ImageTarget, stems: Sequence[str] | None) -> ImageNames:
        """The names of a film in a target.

        Args:
            target: where the images go.
            stems: names of the film's own images without extension; None for a film that is a file.
        """
        if target.pattern is not None:
            return cls(target.pattern, None if stems is None else rising_numbers(stems))
        distinct = stems is not None and len({stem.casefold() for stem in stems}) == len(stems)
        return cls(_FRAME_NAMES, stems=tuple(stems) if stems is not None and distinct else None)

    def name(self, count: int, position: int) -> str:
        """The name of an image, the ``count``-th from 0 that is written, made from that at ``position`` in its film."""
        if self.stems is not None:
            return f"{self.stems[position]}.png"
        return self.pattern % (count if self.numbers is None else self.numbers[position])

    def existing(self, folder: Path) -> list[Path]:
        """Files of a folder that have such names."""
        if not folder.is_dir():
            return []
        regex = pattern_regex(self.pattern) or re.compile(re.escape(self.pattern))
        names = None if self.stems is None else {f"{stem}.png" for stem in self.stems}
        files = folder.iterdir()
        return [file for file in files if (regex.fullmatch(file.name) if names is None else file.name in names)]


def existing_images(target: ImageTarget, source: Path | None) -> list[Path]:
    """Images in a target's folder that have names as a film's images get them; ``source`` is the film, or None."""
    stems = None
    if source is not None and is_image_source(source):
        try:
            stems = [file.stem for file in image_files(source)]
        except (InputError, OSError):  # what is wrong with the film is told where it is opened
            stems = None
    return ImageNames.of(target, stems).existing(target.folder)
