"""Natural order of file names: ``a2`` before ``a10``."""

from __future__ import annotations

import re
from pathlib import Path

NaturalKey = tuple[bool, list[tuple[int, str]]]


def natural_key(path: Path, *, ignore_spelling: bool = False, letters_first: bool = False) -> NaturalKey:
    """A sort key of a file's name, in which runs of digits count by their value.

    Args:
        path: the file; its folder does not count.
        ignore_spelling: case and leading zeros matter only between names that are otherwise the same.
        letters_first: names that begin with a letter come before those that begin with a digit.
    """
    parts = re.split(r"(\d+)", path.name)  # text and digits in turn; the text before a leading number is empty
    key = []
    for place, part in enumerate(parts):
        number = int(part) if place % 2 else 0
        spelling = part
        if ignore_spelling:
            spelling = "" if place % 2 else part.casefold()
        key.append((number, spelling))
    if ignore_spelling:
        key.append((0, path.name))
    return letters_first and not parts[0], key
