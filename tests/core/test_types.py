"""The records refuse what they do not mean: each error names the field, what was expected and what came."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Coding, Frame, Reference


def luma(height: int = 48, width: int = 64, dtype: Any = np.uint8) -> Any:
    return np.zeros((height, width), dtype)


def frame(**changes: Any) -> Frame:
    fields: dict[str, Any] = {
        "index": 0, "pts": 0, "time_base": Fraction(1, 24), "luma": luma(), "coding": Coding(), **changes
    }  # fmt: skip
    return Frame(**fields)


def reference(**changes: Any) -> Reference:
    fields: dict[str, Any] = {
        "lightness": np.full((32, 40), 50, np.float32),
        "ab": np.zeros((32, 40, 2), np.float32),
        "mask": np.ones((32, 40), bool),
        **changes,
    }
    return Reference(**fields)


@pytest.mark.parametrize(
    ("changes", "field", "got"),
    [
        ({"index": -1}, "index", "-1"),
        ({"time_base": Fraction(0)}, "time_base", "0"),
        ({"duration": -3}, "duration", "-3"),
        ({"luma": luma(dtype=np.uint16)}, "luma", "uint16"),
        ({"luma": luma(dtype=np.float32)}, "luma", "float32"),
        ({"coding": Coding(10)}, "luma", "uint8"),
        ({"luma": luma(0, 64)}, "luma", "(0, 64)"),
        ({"luma": np.zeros((48, 64, 1), np.uint8)}, "luma", "(48, 64, 1)"),
        ({"chroma": (luma(24, 32), luma(24, 31))}, "chroma", "(24, 31)"),
        ({"chroma": (luma(12, 16), luma(12, 16))}, "chroma", "(12, 16)"),
        ({"chroma": (luma(24, 32), luma(24, 32, np.uint16))}, "chroma V", "uint16"),
    ],
)
def test_frames(changes: dict[str, Any], field: str, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: expected .+, got .*") as caught:
        frame(**changes)
    assert got in str(caught.value).split("got")[1]


@pytest.mark.parametrize(
    ("changes", "field", "got"),
    [
        ({"lightness": np.zeros((31, 40), np.float32)}, "lightness", "(31, 40)"),
        ({"lightness": np.zeros((32, 40))}, "lightness", "float64"),
        ({"lightness": np.full((32, 40), 101, np.float32)}, "lightness", "101"),
        ({"lightness": np.full((32, 40), -1, np.float32)}, "lightness", "-1"),
        ({"lightness": np.full((32, 40), np.nan, np.float32)}, "lightness", "nan"),
        ({"ab": np.zeros((40, 32, 2), np.float32)}, "ab", "(40, 32, 2)"),
        ({"ab": np.zeros((32, 40, 2))}, "ab", "float64"),
        ({"ab": np.full((32, 40, 2), -129, np.float32)}, "ab", "129"),
        ({"ab": np.full((32, 40, 2), np.nan, np.float32)}, "ab", "nan"),
        ({"mask": np.ones((32, 41), bool)}, "mask", "(32, 41)"),
        ({"mask": np.ones((32, 40), np.uint8)}, "mask", "uint8"),
        ({"frame": -1}, "frame", "-1"),
    ],
)
def test_references(changes: dict[str, Any], field: str, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: expected .+, got .*") as caught:
        reference(**changes)
    assert got in str(caught.value).split("got")[1]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Coding(7), "bit_depth"),
        (lambda: Coding(17), "bit_depth"),
        (lambda: Coding(matrix="bt470"), "matrix"),  # type: ignore[arg-type]
        (lambda: Shot(-1), "start"),
        (lambda: Shot(5, 5), "stop"),
    ],
)
def test_codings_and_shots(make: Any, field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: expected .+, got .+"):
        make()


def test_good_records_are_taken_and_cannot_be_changed() -> None:
    for record, field in ((frame(), "index"), (reference(), "name"), (Shot(0, 1), "stop"), (Coding(), "bit_depth")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, field, 1)


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    step=st.sampled_from([(1, 1), (1, 2), (2, 2)]),
    depth=st.integers(8, 16),
)
def test_frames_of_any_size_take_their_chroma(height: int, width: int, step: tuple[int, int], depth: int) -> None:
    coding = Coding(depth)
    gray = frame(luma=luma(height, width, coding.dtype), coding=coding, pts=5, time_base=Fraction(1, 30))
    chroma = luma(-(-height // step[0]), -(-width // step[1]), coding.dtype)
    colored = gray.with_chroma(chroma, chroma)
    assert colored.luma is gray.luma
    assert (colored.index, colored.time) == (gray.index, Fraction(1, 6))
    assert colored.chroma is not None
    assert gray.chroma is None
    assert coding.maximum == 2**depth - 1


@given(start=st.integers(0, 50), length=st.integers(1, 50), index=st.integers(-5, 120))
def test_shots_hold_their_frames(start: int, length: int, index: int) -> None:
    assert (index in Shot(start, start + length)) == (index in range(start, start + length))
    assert (index in Shot(start)) == (index >= start)
