"""Natural order of file names, against the definitions that films, references and clips were sorted by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.natural_sort import natural_key

NAMES = st.lists(st.text("019abAB_-. ", min_size=1, max_size=9).map(lambda stem: Path(f"{stem}.png")), max_size=9)


def film_order(path: Path) -> list[tuple[bool, int, str]]:
    """Of the images of a film, and of training frames: names that begin with a letter come first."""
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


def clip_order(path: Path) -> list[tuple[int, str]]:
    """Of the frames of a benchmark's clip."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", path.name)]


def reference_order(path: Path) -> list[tuple[int, str]]:
    """Of the stills in a folder."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), "") if k % 2 else (0, part.casefold()) for k, part in enumerate(parts)] + [(0, path.name)]


@given(NAMES)
def test_every_user_keeps_its_order(names: list[Path]) -> None:
    assert sorted(names, key=lambda path: natural_key(path, letters_first=True)) == sorted(names, key=film_order)
    assert sorted(names, key=natural_key) == sorted(names, key=clip_order)
    folded = sorted(names, key=lambda path: natural_key(path, ignore_spelling=True))
    assert folded == sorted(names, key=reference_order)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["01.png", "1.png", "A3.png", "a02.png", "a2.png", "a10.png"]),
        ({"letters_first": True}, ["A3.png", "a02.png", "a2.png", "a10.png", "01.png", "1.png"]),
        ({"ignore_spelling": True}, ["01.png", "1.png", "a02.png", "a2.png", "A3.png", "a10.png"]),
    ],
)
def test_numbers_count_by_their_value(options: dict[str, bool], expected: list[str]) -> None:
    names = [Path(name) for name in reversed(expected)]
    assert [path.name for path in sorted(names, key=lambda path: natural_key(path, **options))] == expected


def test_signs_that_look_like_digits_are_text() -> None:
    names = [Path(name) for name in ("a²10.png", "a²2.png")]
    assert [path.name for path in sorted(names, key=natural_key)] == ["a²2.png", "a²10.png"]
