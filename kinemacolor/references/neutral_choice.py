"""What a user says of shots that stay gray; free of heavy imports."""

from __future__ import annotations

import re
from dataclasses import dataclass

CHOICE_FORM = "auto, none, or numbers of shots such as 3,7-9"
"""How it is written."""


@dataclass(frozen=True, slots=True)
class NeutralChoice:
    """Which shots the user wants to stay gray.

    Attributes:
        find: whether title cards and blank leader do.
        spans: (first, last) numbers of further shots, from 1.
    """

    find: bool = True
    spans: tuple[tuple[int, int], ...] = ()


def neutral_choice(text: str) -> NeutralChoice:
    """The choice that a text means: ``auto``, ``none``, ``3,7-9`` (with those found), ``none,3`` (these alone).

    Raises:
        ValueError: it means none.
    """
    find, spans = True, []
    for part in (part.strip() for part in text.split(",")):
        numbers = re.fullmatch(r"(\d+)(?:\s*-\s*(\d+))?", part)
        if numbers:
            first, last = int(numbers[1]), int(numbers[2] or numbers[1])
            if not 1 <= first <= last:
                raise ValueError(f"expected {CHOICE_FORM}, got {text!r}")
            spans.append((first, last))
        elif part in ("auto", "none"):
            find = part == "auto"
        else:
            raise ValueError(f"expected {CHOICE_FORM}, got {text!r}")
    return NeutralChoice(find, tuple(spans))
