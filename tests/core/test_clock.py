"""Times as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinemacolor.core.clock import clock_seconds, clock_text


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 400_000_000))
def test_clock_times_are_read_back(thousandths: int) -> None:
    seconds = Fraction(thousandths, 1000)
    assert clock_seconds(clock_text(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "7", "1:2:3:4", "0:60:00", "0:00:60", "-0:01", "0:01.", "٠:٠١", "0:01\n:02"])
def test_what_is_no_clock_time(text: str) -> None:
    assert clock_seconds(text) is None


def test_short_clock_times() -> None:
    assert (clock_seconds("2:07,5"), clock_seconds(" 00:00:00 ")) == (Fraction("127.5"), Fraction(0))
