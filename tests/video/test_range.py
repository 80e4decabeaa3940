"""The range of the written codes: what a codec's readers expect, exact to rounding, or what the user chooses."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.errors import UsageError
from kinemacolor.core.events import AnyEvent, WarningEvent
from kinemacolor.core.types import Array, Coding
from kinemacolor.pipeline.job import colorize
from kinemacolor.video.planes import convert_codes, convert_depth
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import plan_output
from tests.stills import halves, write_still
from tests.video.test_video import color, ffmpeg


def exact(code: int, source: Coding, target: Coding, chroma: bool) -> Fraction:
    """The standard's formula, in fractions."""

    def ends(coding: Coding) -> tuple[int, int]:
        unit = 1 << (coding.bit_depth - 8)
        if chroma:
            return 128 * unit, coding.maximum if coding.full_range else 224 * unit
        return (0, coding.maximum) if coding.full_range else (16 * unit, 219 * unit)

    (zero, span), (target_zero, target_span) = ends(source), ends(target)
    return Fraction(code - zero, span) * target_span + target_zero


@given(
    depth=st.sampled_from([8, 10, 12, 16]),
    target_depth=st.sampled_from([8, 10, 12]),
    full=st.booleans(),
    chroma=st.booleans(),
    data=st.data(),
)
def test_codes_are_those_of_the_standard_exact_to_rounding(
    depth: int, target_depth: int, full: bool, chroma: bool, data: Any
) -> None:
    source, target = Coding(depth, full), Coding(target_depth, not full)
    code = data.draw(st.integers(0, source.maximum))
    converted = int(convert_codes(np.array([[code]], source.dtype), source, target, chroma=chroma)[0, 0])
    expected = min(max(exact(code, source, target, chroma), Fraction(0)), Fraction(target.maximum))
    assert abs(converted - expected) <= Fraction(1, 2)


def test_equal_ranges_are_converted_as_ever() -> None:
    codes = np.arange(256, dtype=np.uint8)[None]
    for full in (False, True):
        np.testing.assert_array_equal(
            convert_codes(codes, Coding(8, full), Coding(10, full), chroma=False),
            convert_depth(codes, Coding(8, full), 10, chroma=False),
        )


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Two 16 bit images that hold every level from black to white."""
    folder = tmp_path / "scan"
    folder.mkdir()
    ramp = np.linspace(0, 65535, 96 * 64).round().astype(np.uint16).reshape(64, 96)
    for number in range(2):
        cv2.imwrite(str(folder / f"{number}.png"), ramp)
    return folder


def prores_luma(path: Path) -> Array:
    raw = ffmpeg("-i", path, "-vf", "extractplanes=y", "-f", "rawvideo", "-").stdout
    return np.frombuffer(raw, np.uint16).reshape(-1, 64, 96)


def test_a_full_range_scan_becomes_prores_of_the_usual_range(tmp_path: Path, scan: Path) -> None:
    ramp = np.linspace(0, 65535, 96 * 64).round().reshape(64, 96)
    writer = color(scan, tmp_path / "out.mov", codec="prores")
    assert any("written in limited range" in line for line in writer.warnings)
    luma = prores_luma(tmp_path / "out.mov")[0].astype(float)
    assert np.abs(luma - (64 + 876 * ramp / 65535)).max() < 12  # of 1023: ProRes is lossy
    assert abs(np.mean(luma - (64 + 876 * ramp / 65535))) < 0.5
    assert not VideoReader(tmp_path / "out.mov").info.coding.full_range


def test_the_range_can_be_chosen(tmp_path: Path, scan: Path) -> None:
    ramp = np.linspace(0, 65535, 96 * 64).round().reshape(64, 96)
    writer = color(scan, tmp_path / "full.mov", codec="prores", color_range="full")
    assert any("contrast will look wrong" in line for line in writer.warnings)
    assert np.abs(prores_luma(tmp_path / "full.mov")[0] - 1023 * ramp / 65535).max() < 12
    color(scan, tmp_path / "limited.mkv", codec="ffv1", color_range="limited")
    limited = VideoReader(tmp_path / "limited.mkv")
    assert limited.info.coding == Coding(16, False, "bt709")
    (frame, _) = limited.frames()
    np.testing.assert_array_equal(frame.luma, np.rint(4096 + ramp * (219 * 256) / 65535))
    color(tmp_path / "limited.mkv", tmp_path / "again.mkv", codec="ffv1", color_range="full")
    again = VideoReader(tmp_path / "again.mkv")
    assert again.info.coding.full_range
    assert np.abs(next(iter(again.frames())).luma - ramp).max() <= 1
    with pytest.raises(UsageError, match="range: images are written as R'G'B'"):
        plan_output(tmp_path / "folder", limited.info, color_range="limited")


@pytest.mark.parametrize("codec", ["h264", "h265", "ffv1"])
def test_codecs_that_can_tell_keep_the_range(tmp_path: Path, scan: Path, codec: str) -> None:
    encoding = plan_output(tmp_path / "out.mkv", VideoReader(scan).info, codec=codec)
    assert encoding.full_range is None
    assert not any("range" in line for line in encoding.warnings)


def test_the_choice_of_range_is_told_before_the_work(tmp_path: Path, scan: Path) -> None:
    still = write_still(tmp_path / "still.png", halves())
    events: list[AnyEvent] = []
    colorize(scan, still, tmp_path / "out.mov", codec="prores", on_event=events.append)
    names = [type(event).__name__ for event in events]
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    assert sum("limited range" in line for line in told) == 1
    assert names.index("WarningEvent") < names.index("PlannedEvent")
    assert prores_luma(tmp_path / "out.mov").max() <= 945
