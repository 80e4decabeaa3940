"""Mirrored stills are found and turned round; others are left as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.references.flip import mirrored_stills, shows_mirrored, unmirror
from kinemacolor.references.placement import Binding, ReferenceFile
from tests.engine.conformance import reference_of, scene

FILM, COLORS = scene(73, 101, 30, shift=1.0)
SHOTS = [Shot(0, 10), Shot(10, 30)]


def still(frame: int) -> Reference:
    return reference_of(FILM[frame], COLORS[frame])


def place(frame: int | None = None, shot: int | None = None) -> Binding:
    return Binding(ReferenceFile(Path("still.png")), frame, shot)


def test_turning_twice_changes_nothing() -> None:
    mask = np.ones((73, 101), bool)
    mask[:, :30] = False
    once = Reference(FILM[0], COLORS[0], mask, "still.png", 3).mirrored()
    assert (once.name, once.frame) == ("still.png", 3)
    assert not once.mask[:, -30:].any()
    again = once.mirrored()
    for name in ("lightness", "ab", "mask"):
        np.testing.assert_array_equal(getattr(again, name), getattr(Reference(FILM[0], COLORS[0], mask), name))


def test_a_mirrored_still_is_turned_and_another_is_not() -> None:
    np.testing.assert_array_equal(unmirror(still(0), FILM[:1]).ab, COLORS[0])
    assert not shows_mirrored(still(0), FILM[:1])
    np.testing.assert_array_equal(unmirror(still(0).mirrored(), FILM[:1]).ab, COLORS[0])
    other, colors = scene(73, 101, seed=9)
    assert not shows_mirrored(reference_of(other[0], colors[0]).mirrored(), FILM[:1])


def test_a_scene_that_is_alike_on_both_sides_is_left() -> None:
    both = (FILM[0] + FILM[0][:, ::-1]) / 2 + 0.02 * FILM[0]
    assert not shows_mirrored(reference_of(both, COLORS[0]).mirrored(), both[None])


@pytest.mark.parametrize(
    ("binding", "compared"),
    [
        (place(7, 0), [7]),
        (place(shot=1), [10]),
        (place(), [0, 10]),
        (place(-1), []),  # it belongs to a part of the film that is not colored
    ],
)
def test_with_which_frames_a_still_is_compared(binding: Binding, compared: list[int]) -> None:
    requested: list[int] = []

    def lightness(index: int) -> FloatArray:
        requested.append(index)
        return FILM[index]

    shown = compared[-1] if compared else 0
    stills = [still(shown).mirrored(), still(shown)]
    assert mirrored_stills(stills, [binding, binding], SHOTS, lightness) == ((0,) if compared else ())
    assert requested == compared  # once each
