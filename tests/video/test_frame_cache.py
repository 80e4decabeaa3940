"""Copies of parts of films: lossless, with times and captions, complete or absent."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Coding, Frame
from kinemacolor.video import packets
from kinemacolor.video.frame_cache import read_frame_cache, write_frame_cache

BASE = Fraction(1001, 30000)


def frames(coding: Coding, shape: tuple[int, int], count: int = 7) -> list[Frame]:
    """Noise over a gradient, as film is, and one frame of noise alone, which cannot be compressed."""
    rng, (height, width) = np.random.default_rng(3), shape
    y, x = np.mgrid[0:height, 0:width]
    made = []
    for number in range(count):
        luma = (x * 3 + y * 5 + number * 7) % 200 / 200 * coding.maximum + rng.normal(0, coding.maximum / 99, shape)
        if number == 4:
            luma = rng.uniform(0, coding.maximum + 1, shape)
        luma = np.clip(luma, 0, coding.maximum).astype(coding.dtype)
        captions = bytes(rng.integers(0, 256, 3 * number, np.uint8)) or None
        # Times are not even, begin below 0, and lie far apart.
        made.append(Frame(100 + number, -5 + number**9, BASE, luma, coding, duration=number, captions=captions))
    return made


@pytest.mark.parametrize("shape", [(48, 64), (33, 35), (1, 1), (2, 131)], ids=str)
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_frames_come_back_as_they_were(tmp_path: Path, depth: int, shape: tuple[int, int]) -> None:
    coding = Coding(depth, full_range=depth == 16, matrix="bt601")
    kept = frames(coding, shape)
    write_frame_cache(tmp_path / "0.frames", iter(kept))
    assert [path.name for path in tmp_path.iterdir()] == ["0.frames"]
    for _ in range(2):
        read = list(read_frame_cache(tmp_path / "0.frames", 100, coding))
        assert len(read) == len(kept)
        for frame, before in zip(read, kept, strict=True):
            np.testing.assert_array_equal(frame.luma, before.luma)
            assert frame.luma.dtype == before.luma.dtype
            for name in ("index", "pts", "time_base", "coding", "duration", "chroma", "captions"):
                assert getattr(frame, name) == getattr(before, name), name


def test_film_takes_less_than_its_samples(tmp_path: Path) -> None:
    kept = [frame for frame in frames(Coding(8), (240, 320)) if frame.index != 104]
    write_frame_cache(tmp_path / "0.frames", kept)
    assert 0.3 < (tmp_path / "0.frames").stat().st_size / sum(frame.luma.nbytes for frame in kept) < 0.8


@pytest.mark.parametrize("kind", ["cut", "changed", "empty", "missing"])
def test_a_damaged_copy_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "0.frames"
    write_frame_cache(path, frames(Coding(8), (48, 64)))
    content = bytearray(path.read_bytes())
    if kind == "missing":
        path.unlink()
    elif kind == "changed":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) - 9 if kind == "cut" else 0])
    with pytest.raises(InputError, match=r"0\.frames: this copy .* is damaged; remove it") as caught:
        list(read_frame_cache(path, 0, Coding(8)))
    assert "\n" not in str(caught.value)


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = frames(Coding(8), (48, 64))

    def broken() -> Iterator[Frame]:
        yield from kept[:3]
        raise InputError("film.avi", "gives no frame 103", "check the disk it is on")

    with pytest.raises(InputError, match="no frame 103"):
        write_frame_cache(tmp_path / "0.frames", broken())
    with pytest.raises(ValueError, match="at least one"):
        write_frame_cache(tmp_path / "0.frames", [])

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packets.os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_frame_cache(tmp_path / "0.frames", kept)
    assert not list(tmp_path.iterdir())
