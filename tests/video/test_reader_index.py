"""Parts of films by number: the same frames as a pass from the beginning gives, and cheap where they can be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from kinemacolor.core.errors import UsageError
from kinemacolor.video.decode import film_pictures
from kinemacolor.video.entry_points import EntryPoints
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film, plane
from tests.video.test_video import ffmpeg, write_png

COUNT = 23
EVEN = tuple(40 * k for k in range(COUNT))
UNEVEN = tuple(40 * k + 11 * (k % 4) + 300 * (k > 13) + 500 for k in range(COUNT))


@dataclass(frozen=True)
class Case:
    """A film, and whether its parts must be entered in the middle."""

    name: str
    codec: str
    options: tuple[tuple[str, str], ...] = ()
    pts: tuple[int, ...] = EVEN
    base: int = 1000
    entered: bool = True


X264 = (("g", "6"), ("bf", "3"), ("sc_threshold", "0"))
CASES = {
    "B-frames in MP4": Case("film.mp4", "libx264", X264),
    "B-frames, uneven times": Case("film.mkv", "libx264", X264, UNEVEN),
    "open GOPs": Case("film.mp4", "libx264", (*X264, ("x264-params", "open-gop=1"))),
    "open GOPs of H.265": Case(
        "film.mkv", "libx265", (("x265-params", "log-level=error:keyint=6:min-keyint=6:open-gop=1"),), UNEVEN
    ),
    "no keyframes but refreshed columns": Case(
        "film.mkv", "libx264", (("x264-params", "keyint=8:intra-refresh=1:bframes=0"),), entered=False
    ),
    "intra only": Case("film.mkv", "ffv1", (("g", "1"), ("level", "3"), ("slicecrc", "1")), UNEVEN),
    "transport stream": Case("film.ts", "libx264", X264, tuple(3600 * k + 9000 for k in range(COUNT)), 90000),
    "MPEG-2 program stream": Case("film.mpg", "mpeg2video", (("g", "6"), ("bf", "2")), tuple(range(COUNT)), 25, False),
    "AVI with B-frames": Case("film.avi", "libx264", X264, tuple(range(COUNT)), 25, False),
    "AVI of keyframes": Case("film.avi", "mjpeg", (), tuple(range(COUNT)), 25),
}


def build(folder: Path, case: Case) -> Path:
    pixel_format = "yuvj420p" if case.codec == "mjpeg" else "yuv420p"
    film = Film(
        64,
        48,
        pixel_format=pixel_format,
        codec=case.codec,
        options=dict(case.options),
        rate=Fraction(25),
        time_base=Fraction(1, case.base),
        pts=case.pts,
    )
    make_film(folder / case.name, film)
    return folder / case.name


Seen = list[tuple[int, int, int, bytes]]


def seen(frames: Iterator[Any]) -> Seen:
    return [(frame.index, frame.pts, frame.duration, frame.luma.tobytes()) for frame in frames]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Where films were entered: None for the beginning."""
    places: list[int | None] = []

    def recorded(path: Path, damage: Any, index: int, start: int | None = None) -> Any:
        places.append(start)
        return film_pictures(path, damage, index, start)

    monkeypatch.setattr("kinemacolor.video.reader.film_pictures", recorded)
    return places


def check_parts(film: Path, *, rate: Fraction | None = None, every: bool = True, whole_first: bool = False) -> None:
    """Parts that one reader reads in any order are what a pass from the beginning gives."""
    whole = seen(VideoReader(film, rate=rate).frames())
    count = len(whole)
    assert [entry[0] for entry in whole] == list(range(count))
    dice = random.Random(1)
    ranges = [(first, min(count, first + dice.randint(1, 5))) for first in range(0, count, 1 if every else 5)]
    dice.shuffle(ranges)
    reader = VideoReader(film, rate=rate)
    if whole_first:
        assert seen(reader.frames()) == whole
    with reader:
        for first, last in ranges:
            assert seen(reader.frames(first=first, last=last)) == whole[first:last], (first, last)
        assert seen(reader.frames(first=count // 2)) == whole[count // 2 :]
        assert seen(reader.frames(last=count // 2)) == whole[: count // 2]
        assert seen(reader.frames(first=3, last=9, start=0.0, end=1e6)) == whole[3:9]
        start = float(whole[5][1] * reader.info.time_base - reader.info.first_time)
        assert seen(reader.frames(first=3, last=9, start=start)) == whole[5:9]


@pytest.mark.parametrize("name", CASES)
def test_every_part_is_as_in_a_pass_from_the_beginning(tmp_path: Path, opened: list[int | None], name: str) -> None:
    film = build(tmp_path, CASES[name])
    check_parts(film)
    if CASES[name].entered:
        late = [place for place in opened if place is not None]
        assert len(late) > 12
        assert len(set(late)) >= 3
        opened.clear()
        list(VideoReader(film).frames(first=COUNT - 1))
        probed, *places = opened
        assert probed is None
        assert len(places) == 1
        assert places[0] is not None


@pytest.mark.parametrize("name", ["B-frames, uneven times", "MPEG-2 program stream"])
def test_parts_after_a_whole_pass(tmp_path: Path, opened: list[int | None], name: str) -> None:
    """By then frames are numbered by their times, not by packets."""
    check_parts(build(tmp_path, CASES[name]), every=False, whole_first=True)
    assert len({place for place in opened if place is not None}) > 1


def test_packets_that_show_nothing_do_not_count(tmp_path: Path, opened: list[int | None]) -> None:
    """VP8 keeps frames that are only references for others in packets of their own."""
    make_film(tmp_path / "film.mkv", Film(64, 48, pts=[40 * k for k in range(40)]))
    options = [
        "-c:v",
        "libvpx",
        "-b:v",
        "100k",
        "-auto-alt-ref",
        "1",
        "-lag-in-frames",
        "16",
        "-g",
        "12",
        "-passlogfile",
    ]
    for number, target in ((1, ("-f", "null", "-")), (2, (tmp_path / "hidden.mkv",))):
        log = tmp_path / "log"
        assert ffmpeg("-i", tmp_path / "film.mkv", *options, log, "-pass", number, *target).returncode == 0
    with av.open(str(tmp_path / "hidden.mkv")) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) > 40
    whole = seen(VideoReader(tmp_path / "hidden.mkv").frames())
    assert len(whole) == 40
    for first in (10, 30, 39):
        opened.clear()
        assert seen(VideoReader(tmp_path / "hidden.mkv").frames(first=first)) == whole[first:]
        assert set(opened) == {None}
    make_film(tmp_path / "plain.mkv", Film(codec="libvpx"))
    assert (
        EntryPoints(tmp_path / "plain.mkv", 0, 0).time_of(0) is None
    )  # whether or not it happens to hold such packets
    opened.clear()
    check_parts(tmp_path / "hidden.mkv", every=False, whole_first=True)
    assert len(set(opened)) > 1


def test_the_packets_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = build(tmp_path, CASES["B-frames in MP4"])
    reads = 0
    honest = EntryPoints._open

    def counted(self: EntryPoints) -> None:
        nonlocal reads
        reads += 1
        honest(self)

    monkeypatch.setattr(EntryPoints, "_open", counted)
    with VideoReader(film) as reader:
        for first in (20, 3, 22, 11, 11):
            assert next(iter(reader.frames(first=first))).index == first
    assert reads == 1


def test_packets_are_read_no_further_than_needed(tmp_path: Path) -> None:
    film = Film(32, 32, codec="ffv1", options={"g": "6"}, pts=[40 * k for k in range(1200)])
    make_film(tmp_path / "film.mkv", film)
    points = EntryPoints(tmp_path / "film.mkv", 0, 0)
    assert points.time_of(100) == 4000, points.countable
    assert 500 <= len(points._times) <= 600
    assert points.number_of(40 * 700) == 700
    assert points.keyframe_before(40 * 700) == 40 * 696
    assert points.time_of(1199) == 1199 * 40
    assert points.time_of(1200) is None
    assert points.reliable
    points.close()
    assert points.time_of(1199) == 1199 * 40


# --- films that are not whole --------------------


def damage(film: Path, where: float, size: int = 700) -> Path:
    data = bytearray(film.read_bytes())
    place = int(len(data) * where)
    data[place : place + size] = np.random.default_rng(2).bytes(size)
    hurt = film.with_name(f"hurt_{film.name}")
    hurt.write_bytes(data)
    return hurt


@pytest.mark.parametrize("where", [0.3, 0.7])
@pytest.mark.parametrize("name", ["B-frames, uneven times", "B-frames in MP4", "transport stream"])
def test_parts_of_a_damaged_film_after_a_whole_pass(tmp_path: Path, name: str, where: float) -> None:
    film = build(tmp_path, CASES[name])
    hurt = damage(film, where)
    reader = VideoReader(hurt)
    whole = seen(reader.frames())
    assert whole != seen(VideoReader(film).frames())
    check_parts(hurt, every=False, whole_first=True)
    times = reader.times()
    assert (times is None) == ("no valid time" in (reader.damage or ""))
    again = VideoReader(hurt)
    again.recall(times)
    for first in (0, 9, len(whole) - 1):
        assert seen(again.frames(first=first, last=first + 2)) == whole[first : first + 2]


def test_a_film_whose_beginning_does_not_decode(tmp_path: Path) -> None:
    """Its packets tell of more frames than come out; cut so that no keyframe stands first."""
    film = build(tmp_path, Case("film.mkv", "libx264", (("g", "12"), ("bf", "3"), ("sc_threshold", "0"))))
    with av.open(str(film)) as source, av.open(str(tmp_path / "late.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size and number >= 5:
                packet.stream = stream
                target.mux(packet)
    check_parts(tmp_path / "late.mkv")
    assert len(seen(VideoReader(tmp_path / "late.mkv").frames())) < COUNT - 5


@pytest.mark.parametrize("share", [0.45, 0.65])
@pytest.mark.parametrize("name", ["B-frames, uneven times", "transport stream"])
def test_a_film_that_breaks_off(tmp_path: Path, name: str, share: float) -> None:
    film = build(tmp_path, CASES[name])
    data = film.read_bytes()
    short = tmp_path / f"short_{film.name}"
    short.write_bytes(data[: int(len(data) * share)])
    check_parts(short, every=False)
    reader = VideoReader(short)
    whole = list(reader.frames())
    damage_of_whole = reader.damage
    assert damage_of_whole is not None
    assert f"after frame {len(whole) - 1} " in damage_of_whole
    list(reader.frames(first=len(whole) - 1))
    assert reader.damage is not None
    assert f"after frame {len(whole) - 1} " in reader.damage


def test_a_film_trimmed_by_an_edit_list(tmp_path: Path) -> None:
    film = build(tmp_path, CASES["B-frames in MP4"])
    cut = ffmpeg("-ss", "0.4", "-i", film, "-t", "0.6", "-c", "copy", tmp_path / "cut.mp4")
    assert cut.returncode == 0
    check_parts(tmp_path / "cut.mp4", every=False)


# --- images --------------------


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        write_png(folder / f"{number:03d}.png", plane(40, 33, 8, number), "gray")
    return folder


@pytest.mark.parametrize("broken", [(), (0,), (2, 7)])
@pytest.mark.parametrize("whole_first", [False, True])
def test_parts_of_image_folders(images: Path, broken: tuple[int, ...], whole_first: bool) -> None:
    for number in broken:
        if number:  # the first tells what the film is
            (images / f"{number:03d}.png").write_bytes(b"not an image")
    check_parts(images, rate=Fraction(18), whole_first=whole_first)


def test_images_are_not_decoded_in_vain_after_a_whole_pass(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (images / "004.png").write_bytes(b"not an image")
    reader = VideoReader(images)
    whole = list(reader.frames())
    (images / "000.png").unlink()
    part = list(reader.frames(first=6, last=8))
    assert [(frame.index, frame.pts) for frame in part] == [(6, 7), (7, 8)]
    assert seen(iter(part)) == seen(iter(whole))[6:8]
    (images / "009.png").write_bytes(b"broken since")
    list(reader.frames(first=6))
    assert reader.damage is not None
    assert "near frame 7 " in reader.damage


# --- times, and what makes no sense --------------------


def test_times_are_known_after_a_whole_pass_alone(tmp_path: Path) -> None:
    film = build(tmp_path, CASES["B-frames, uneven times"])
    reader = VideoReader(film)
    assert reader.times() is None
    list(reader.frames(last=9))
    list(reader.frames(first=COUNT - 2))
    assert reader.times() is None
    with closing(reader.frames()) as frames:  # type: ignore[type-var]
        next(frames)
    assert reader.times() is None
    list(reader.frames())
    assert reader.times() == tuple(Fraction(time, 1000) for time in UNEVEN)
    other = VideoReader(film)
    other.recall(reader.times() or ())
    assert other.times() == reader.times()
    for wrong in ((), (Fraction(1, 3),), reader.times()[1:], reader.times()[::-1]):  # type: ignore[index]
        with pytest.raises(ValueError, match="times"):
            other.recall(wrong)


def test_ranges_that_make_no_sense(tmp_path: Path) -> None:
    reader = VideoReader(build(tmp_path, CASES["intra only"]))
    with pytest.raises(UsageError, match=r"first: there is no frame -1; count from 0"):
        list(reader.frames(first=-1))
    for first, last in ((None, 0), (5, 5), (5, 3)):
        with pytest.raises(UsageError, match="does not lie after"):
            list(reader.frames(first=first, last=last))
    with pytest.raises(UsageError, match="no frame lies"):
        list(reader.frames(first=COUNT))
