"""Films that were joined, whose clock starts over or jumps."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import plan_output
from tests.media import Film, make_film
from tests.video.test_video import color, ffmpeg

SECONDS, RATE = 2, 24
HOUR = ("-output_ts_offset", "3600")


class Kind(NamedTuple):
    """How the parts of a joined film are coded."""

    suffix: str
    picture: tuple[str, ...]
    sound: tuple[str, ...]


KINDS = {
    "dvd": Kind(".vob", ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"), ("-c:a", "ac3", "-f", "vob")),
    "mpeg1": Kind(".mpg", ("-c:v", "mpeg1video", "-g", "12", "-bf", "2"), ("-c:a", "mp2", "-f", "mpeg")),
    "mpeg2": Kind(".ts", ("-c:v", "mpeg2video", "-g", "12", "-bf", "2"), ("-c:a", "mp2")),
    "h264": Kind(".ts", ("-c:v", "libx264", "-g", "12", "-bf", "3"), ("-c:a", "aac")),
}


def part(folder: Path, kind: Kind, number: int, *options: str, sound_seconds: float = SECONDS) -> Path:
    """A part of a film, with a picture and a tone of its own."""
    path = folder / f"part{number}{kind.suffix}"
    sources = (
        *("-f", "lavfi", "-i", f"testsrc=s=64x48:r={RATE}:d={SECONDS},hue=h={number * 90}"),
        *("-f", "lavfi", "-i", f"sine=f={440 * (number + 1)}:d={sound_seconds}:r=48000"),
    )
    done = ffmpeg("-y", *sources, *kind.picture, *kind.sound, *options, path)
    assert done.returncode == 0, done.stderr.decode()
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(file.read_bytes() for file in parts))
    return path


def sound_packets(path: Path) -> list[tuple[bytes, Fraction]]:
    """Bytes and time of each packet of sound."""
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        return [(bytes(p), p.pts * p.time_base) for p in film.demux(stream) if p.size and p.pts is not None]


def strip(packet: bytes) -> bytes:
    """An AAC packet without the header that it has in transport streams."""
    return packet[7:] if packet[:2] in (b"\xff\xf1", b"\xff\xf9") else packet


def check(source: Path, out: Path, parts: list[Path]) -> None:
    """Every packet of sound is there, once, as far from its picture as in the part it comes from."""
    color(source, out)
    written = sound_packets(out)
    expected = [(strip(data), number) for number, file in enumerate(parts) for data, _ in sound_packets(file)]
    assert [strip(data) for data, _ in written] == [data for data, _ in expected]
    assert [time for _, time in written] == sorted(time for _, time in written)
    frames = [frame.time for frame in VideoReader(out).frames()]
    assert len(frames) == len(parts) * SECONDS * RATE
    assert all(Fraction(3, 100) < late - early < Fraction(1, 4) for early, late in itertools.pairwise(frames))
    for number, file in enumerate(parts):
        apart = sound_packets(file)[0][1] - VideoReader(file).info.first_time
        first = next(time for (_, time), (_, of) in zip(written, expected, strict=True) if of == number)
        assert abs(first - frames[number * SECONDS * RATE] - apart) < Fraction(2, 1000)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("order", ["restart", "forward", "back", "thrice"])
def test_joined_films_keep_all_sound_in_step_with_the_picture(tmp_path: Path, name: str, order: str) -> None:
    kind = KINDS[name]
    near, again, far = part(tmp_path, kind, 0), part(tmp_path, kind, 1), part(tmp_path, kind, 2, *HOUR)
    parts = {
        "restart": [near, again],
        "forward": [near, far],
        "back": [far, near],
        "thrice": [near, far, again, near],
    }[order]
    source = joined(tmp_path / f"film{kind.suffix}", *parts)
    info = VideoReader(source).info
    (remark,) = info.remarks
    jumps = len(parts) - 1
    assert (f"jumps {jumps} times" if jumps > 1 else "jumps once") in remark
    assert info.duration is not None
    assert abs(info.duration - SECONDS * len(parts)) < 0.3
    check(source, tmp_path / "out.mkv", parts)


@pytest.mark.parametrize("sound_seconds", [1.6, 2.4])
def test_sound_that_ends_before_or_after_the_picture_overlaps_nothing(tmp_path: Path, sound_seconds: float) -> None:
    parts = [
        part(tmp_path, KINDS["mpeg2"], 0, sound_seconds=sound_seconds),
        part(tmp_path, KINDS["mpeg2"], 1),
    ]
    source = joined(tmp_path / "film.ts", *parts)
    color(source, tmp_path / "out.mkv")
    written = sound_packets(tmp_path / "out.mkv")
    assert [data for data, _ in written] == [data for file in parts for data, _ in sound_packets(file)]
    frames = [frame.time for frame in VideoReader(tmp_path / "out.mkv").frames()]
    assert len(frames) == 2 * SECONDS * RATE
    begin = max(SECONDS, sound_seconds)
    second = next(time for data, time in written if data == sound_packets(parts[1])[0][0])
    assert begin - 0.01 < float(second - written[0][1]) < begin + 0.06
    assert abs(float(frames[SECONDS * RATE] - frames[0]) - begin) < 0.06


def test_start_and_end_count_the_mended_time(tmp_path: Path) -> None:
    parts = [part(tmp_path, KINDS["h264"], number) for number in range(2)]
    source = joined(tmp_path / "film.ts", *parts)
    whole = list(VideoReader(source).frames())
    taken = list(VideoReader(source).frames(start=2.5, end=3.5))
    assert [frame.index for frame in taken] == [
        frame.index for frame in whole if 2.5 <= frame.time - whole[0].time < 3.5
    ]
    assert abs(len(taken) - RATE) <= 1
    color(source, tmp_path / "out.mkv", start=2.5, end=3.5)
    seconds = [time for _, time in sound_packets(tmp_path / "out.mkv")]
    assert len(seconds) in (46, 47)
    assert seconds[-1] < 1
    one = VideoReader(source)
    list(one.frames())
    assert [frame.time for frame in one.frames(first=60, last=64)] == [frame.time for frame in whole[60:64]]


def test_films_with_one_clock_are_left_alone(tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        source, out = part(tmp_path, kind, 0), tmp_path / "out.mp4"
        info = VideoReader(source).info
        assert info.remarks == (), name
        assert check_muxing(out, info, plan_output(out, info), strict=True) == []


def test_a_pause_of_the_sound_is_no_jump(tmp_path: Path) -> None:
    source = tmp_path / "film.ts"
    sources = "-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=16", "-f", "lavfi", "-i", "sine=d=16"
    pause = "-af", "aselect='not(between(t,2,14))'"
    assert ffmpeg(*sources, *pause, "-c:v", "mpeg2video", "-c:a", "mp2", source).returncode == 0
    times = [float(time) for _, time in sound_packets(source)]
    assert max(late - early for early, late in itertools.pairwise(times)) > 11
    assert VideoReader(source).info.remarks == ()


def test_a_part_without_sound_leaves_the_next_in_step(tmp_path: Path) -> None:
    kind = KINDS["mpeg2"]
    silent = Kind(kind.suffix, kind.picture, ("-an",))
    parts = [part(tmp_path, kind, 0), part(tmp_path, silent, 1), part(tmp_path, kind, 2)]
    source, out = joined(tmp_path / "film.ts", *parts), tmp_path / "out.mkv"
    assert "jumps 2 times" in VideoReader(source).info.remarks[0]
    color(source, out)
    frames = [frame.time for frame in VideoReader(out).frames()]
    assert len(frames) == 3 * SECONDS * RATE
    written, last = sound_packets(out), sound_packets(parts[2])
    assert [data for data, _ in written] == [data for file in (parts[0], parts[2]) for data, _ in sound_packets(file)]
    first = next(time for data, time in written if data == last[0][0])
    apart = last[0][1] - VideoReader(parts[2]).info.first_time
    assert abs(first - frames[2 * SECONDS * RATE] - apart) < Fraction(2, 1000)


@pytest.mark.parametrize("begin", ["1.5", "1.9", "1.95", "1.98"])
def test_parts_that_overlap_by_however_little_lose_nothing(tmp_path: Path, begin: str) -> None:
    kind = KINDS["mpeg2"]
    parts = [part(tmp_path, kind, 0), part(tmp_path, kind, 1, "-output_ts_offset", begin)]
    source, out = joined(tmp_path / "film.ts", *parts), tmp_path / "out.mkv"
    reader = VideoReader(source)
    assert "jumps once" in reader.info.remarks[0]
    assert len(list(reader.frames())) == 2 * SECONDS * RATE
    assert reader.damage is None
    check(source, out, parts)


def test_packets_of_unknown_length_follow_one_another(tmp_path: Path) -> None:
    source = tmp_path / "part.ts"
    make_film(source, Film(codec="libx264"))
    with av.open(str(source)) as film:
        assert not any(packet.duration for packet in film.demux())
    reader = VideoReader(joined(tmp_path / "film.ts", source, source))
    times = [frame.time for frame in reader.frames()]
    assert reader.damage is None
    steps = [late - early for early, late in itertools.pairwise(times)]
    assert all(abs(step - Fraction(1, RATE)) < Fraction(2, 1000) for step in steps)


def moved(source: Path, path: Path, kind: str, second: Fraction) -> Path:
    """A film whose clock of picture or of sound jumps by an hour, in the middle of a group of pictures."""
    options = {"mpegts_copyts": "1"}
    with av.open(str(source)) as film, av.open(str(path), "w", format="mpegts", options=options) as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in film.streams}
        for packet in film.demux():
            if packet.dts is None or packet.pts is None:
                continue
            if packet.stream.type == kind and packet.dts * packet.time_base >= second:
                packet.pts += 3600 * 90000
                packet.dts += 3600 * 90000
            packet.stream = streams[packet.stream.index]
            target.mux_one(packet)
    return path


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_one_clock_that_jumps_alone_moves_nothing(tmp_path: Path, kind: str) -> None:
    source = part(tmp_path, KINDS["mpeg2"], 0)
    film, out = moved(source, tmp_path / "film.ts", kind, Fraction(5, 2)), tmp_path / "out.mkv"
    assert "jumps once" in VideoReader(film).info.remarks[0]
    reader = VideoReader(film)
    times = [frame.time - reader.info.first_time for frame in reader.frames()]
    assert reader.damage is None
    origin = VideoReader(source).info.first_time
    assert times == [frame.time - origin for frame in VideoReader(source).frames()]
    color(film, out)
    apart = VideoReader(out).info.first_time
    written = [(data, time - apart) for data, time in sound_packets(out)]
    for (data, time), (expected, at) in zip(written, sound_packets(source), strict=True):
        assert data == expected
        assert abs(time - (at - origin)) < Fraction(2, 1000)


def test_parts_whose_streams_bear_other_numbers_are_told(tmp_path: Path) -> None:
    kind = KINDS["mpeg2"]
    parts = [part(tmp_path, kind, 0), part(tmp_path, kind, 1, "-mpegts_start_pid", "512")]
    remarks = VideoReader(joined(tmp_path / "film.ts", *parts)).info.remarks
    (line,) = [remark for remark in remarks if "concat" in remark]
    assert "stream 0" in line
    assert "stream 2" in line
    both = ("-f", "lavfi", "-i", f"testsrc=s=32x24:r={RATE}:d=2", "-f", "lavfi", "-i", f"testsrc=s=64x48:r={RATE}:d=2")
    assert ffmpeg(*both, "-map", "0", "-map", "1", "-c:v", "mpeg2video", tmp_path / "angles.ts").returncode == 0
    assert not any("concat" in remark for remark in VideoReader(tmp_path / "angles.ts").info.remarks)
