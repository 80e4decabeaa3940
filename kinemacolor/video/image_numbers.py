"""The numbers that names of images bear: ``frame_0140``, ``0086400``, ``scan_00505_gray``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_NAMED_RANGES = 5  # gaps that are named
_DIGITS = re.compile(r"([0-9]+)")
_AT_END = re.compile(r"[0-9]+$")


@dataclass(frozen=True, slots=True)
class NumberedName:
    """A name in three parts.

    Attributes:
        start: what stands before the number.
        digits: of the number.
        tail: what stands behind it.
    """

    start: str
    digits: str
    tail: str = ""

    @property
    def number(self) -> int:
        """Its value."""
        return int(self.digits)


def numbered_names(stems: Sequence[str]) -> list[NumberedName | None]:
    """Where each name (without extension) has its number; None where it has none.

    In names that differ in digits alone, those digits count that have the most values; else those at the end.
    """
    parts = [_DIGITS.split(stem) for stem in stems]
    if len(parts) > 1 and len({tuple(part[::2]) for part in parts}) == 1:
        values = {place: len({part[place] for part in parts}) for place in range(1, len(parts[0]), 2)}
        place = max(values, key=lambda place: (values[place], place), default=0)
        if place and values[place] > 1:
            return [NumberedName("".join(part[:place]), part[place], "".join(part[place + 1 :])) for part in parts]
    ends = [_AT_END.search(stem) for stem in stems]
    return [end and NumberedName(stem[: end.start()], end[0]) for stem, end in zip(stems, ends, strict=True)]


def rising_numbers(stems: Sequence[str]) -> tuple[int, ...] | None:
    """The numbers of names without extension, if all have one and each is larger than the one before it."""
    numbers = tuple(name.number for name in numbered_names(stems) if name)
    rising = len(numbers) == len(stems) and all(a < b for a, b in pairwise(numbers))
    return numbers if rising else None


def missing_images(stems: Sequence[str]) -> str | None:
    """Which images are missing by the numbers in the names of the others, as a line; None where none is.

    Names that begin alike are counted together. Numbers are taken to rise by the most common of their distances, where
    at least half of the distances are that one.
    """
    series: dict[tuple[str, str], dict[int, str]] = {}
    for name in numbered_names(stems):
        if name:
            series.setdefault((name.start, name.tail), {})[name.number] = name.digits
    count, ranges = 0, []
    for (start, tail), numbers in series.items():
        ordered, digits = sorted(numbers), min(map(len, numbers.values()))
        distances = Counter(b - a for a, b in pairwise(ordered))
        step = max(distances, key=lambda distance: (distances[distance], -distance), default=0)
        if 2 * distances[step] < distances.total():
            continue
        for before, after in pairwise(ordered):
            if after - before > step:
                count += (after - before - 1) // step
                first, last = (f"{start}{number:0{digits}}{tail}" for number in (before + step, after - step))
                ranges.append(first if before + step >= after - step else f"{first} to {last}")
    if not count:
        return None
    more = f" and {len(ranges) - _NAMED_RANGES} more gaps" if len(ranges) > _NAMED_RANGES else ""
    images = "1 image is" if count == 1 else f"{count} images are"
    return f"{images} missing by their numbers: {', '.join(ranges[:_NAMED_RANGES])}{more}"
