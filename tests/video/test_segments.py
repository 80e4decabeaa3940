"""Films in segments: the joined film is the one that a single run writes, and damaged segments are refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Frame
from kinemacolor.video import encoder
from kinemacolor.video.output import Encoding
from kinemacolor.video.packets import SEGMENT_HEADER, SEGMENT_TRAILER, EncodedSegment
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter, decoding_times, join_segments, read_segment, segment_frames
from kinemacolor.video.streams import CopiedStreams
from kinemacolor.video.writer import VideoWriter, plan_output
from tests.media import SUBTITLES, Film, make_film, packets
from tests.video.test_video import ffmpeg, paint

VFR = [40 * k + 7 * (k % 3) + 200 * (k > 10) for k in range(29)]


def write_segments(
    reader: VideoReader, encoding: Encoding, folder: Path, lengths: Sequence[int], **part: Any
) -> list[Path]:
    """Writes the film's frames as segments of these lengths; the last takes what is left."""
    frames = [paint(frame, encoding.chroma_format) for frame in reader.frames(**part)]
    folder.mkdir(exist_ok=True)
    written, begin = [], 0
    for number, length in enumerate([*lengths, len(frames)]):
        some = frames[begin : begin + length]
        begin += length
        if some:
            path = folder / f"{number:05d}.seg"
            with SegmentWriter(path, reader.info, encoding) as writer:
                for frame in some:
                    writer.write(frame)
            assert segment_frames(path) == len(some)
            written.append(path)
    return written


def joined(source: Path, out: Path, lengths: Sequence[int], *, codec: str = "h264", **options: Any) -> list[str]:
    part = {key: options[key] for key in ("start", "end") if key in options}
    reader = VideoReader(source)
    encoding = plan_output(out, reader.info, codec=codec)
    segments = write_segments(reader, encoding, out.parent / "work", lengths, **part)
    return join_segments(out, reader, segments, encoding, **options)


def written(source: Path, out: Path, *, codec: str = "h264", **part: Any) -> list[str]:
    """The same film in one run."""
    reader = VideoReader(source)
    with VideoWriter(out, reader, codec=codec, **part) as writer:
        for frame in reader.frames(**part):
            writer.write(paint(frame, writer.chroma_format))
    return writer.warnings


def coded(path: Path) -> list[tuple[bytes, int | None, int | None, int | None, bool]]:
    with av.open(str(path)) as container:
        held = [p for p in container.demux(container.streams.video[0]) if p.size]
        return [(bytes(p), p.pts, p.dts, p.duration, p.is_keyframe) for p in held]


def check_film(path: Path, times: Sequence[Fraction]) -> None:
    """Every frame decodes at its time, decoding times ascend, and neither decoder has anything to complain of."""
    assert [frame.time for frame in VideoReader(path).frames()] == list(times)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        held = [p for p in container.demux(stream) if p.size]
        decoding = [packet.dts for packet in held if packet.dts is not None]
        assert all(p.dts is None or p.pts is None or p.dts <= p.pts for p in held)
        assert sorted((p.pts or 0) * base for p in held) == list(times)
    assert decoding == sorted(set(decoding))
    assert len(decoding) >= len(held) - 3  # MKV stores none, and FFmpeg makes up all but the first
    result = ffmpeg("-v", "warning", "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-f", "framecrc", "-")
    assert result.stderr == b""
    lines = [line for line in result.stdout.decode().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(times)
    copied = ffmpeg("-v", "warning", "-i", path, "-map", "0:v", "-c", "copy", "-f", "null", "-")
    assert (copied.returncode, copied.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format"),
    [
        ("h264", "out.mp4", "yuv420p"),
        ("h264", "out.mov", "yuv422p10le"),
        ("h264", "out.mkv", "yuv420p10le"),
        ("h265", "out.mp4", "yuv420p10le"),
        ("h265", "out.mov", "yuv420p"),
        ("h265", "out.mkv", "yuv420p"),
        ("prores", "out.mov", "yuv422p10le"),
        ("prores", "out.mkv", "yuv420p"),
        ("ffv1", "out.mkv", "yuv420p"),
        ("ffv1", "out.mkv", "gray10le"),
    ],
)
@pytest.mark.parametrize("lengths", [(), (1, 1, 13), (11, 1)])
def test_a_joined_film_decodes_whole_and_in_time(
    tmp_path: Path, codec: str, name: str, pixel_format: str, lengths: tuple[int, ...]
) -> None:
    make_film(tmp_path / "film.mkv", Film(pixel_format=pixel_format, pts=VFR))
    joined(tmp_path / "film.mkv", tmp_path / name, lengths, codec=codec)
    check_film(tmp_path / name, [Fraction(time, 1000) for time in VFR])
    assert sorted(os.listdir(tmp_path)) == sorted(["film.mkv", "work", name])


@pytest.mark.parametrize(
    ("codec", "name"),
    [("h264", "out.mp4"), ("h264", "out.mkv"), ("h265", "out.mov"), ("prores", "out.mov"), ("ffv1", "out.mkv")],
)
def test_one_segment_is_packet_for_packet_what_one_run_writes(tmp_path: Path, codec: str, name: str) -> None:
    make_film(tmp_path / "film.mkv", Film(pts=VFR, audio="flac" if name.endswith("mkv") else "aac"))
    warnings = written(tmp_path / "film.mkv", tmp_path / f"run_{name}", codec=codec)
    assert joined(tmp_path / "film.mkv", tmp_path / name, (), codec=codec) == warnings
    assert coded(tmp_path / name) == coded(tmp_path / f"run_{name}")
    assert packets(tmp_path / name, "audio") == packets(tmp_path / f"run_{name}", "audio")
    if codec != "h265" and not name.endswith("mkv"):  # x265 has a delay of its own; MKV files bear a random number
        assert (tmp_path / name).read_bytes() == (tmp_path / f"run_{name}").read_bytes()


def test_everything_beside_the_picture_is_as_one_run_writes_it(tmp_path: Path) -> None:
    film = Film(
        count=24,
        codec="libx264",
        tags=(6, 6, 6, 1),
        sar=Fraction(16, 11),
        audio="flac",
        audio_seconds=1.0,
        subtitles=SUBTITLES,
        chapters=((0, 0.4, "Arrival"), (0.4, 1.0, "Departure")),
        metadata={"title": "The Train"},
        attachment=b"not really a font",
    )
    make_film(tmp_path / "film.mkv", film)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("out.mkv", {}),
        ("part.mkv", {"start": 0.3, "end": 0.8}),
        ("out.mp4", {}),
    ]
    for name, part in cases:
        warnings = written(tmp_path / "film.mkv", tmp_path / f"run_{name}", **part)
        assert joined(tmp_path / "film.mkv", tmp_path / name, (5, 4), **part) == warnings
        for kind in ("audio", "subtitle"):
            assert packets(tmp_path / name, kind) == packets(tmp_path / f"run_{name}", kind)
        run, parts = (VideoReader(tmp_path / file).info for file in (f"run_{name}", name))
        assert (run.metadata, run.chapters, run.tags) == (parts.metadata, parts.chapters, parts.tags)
        assert run.sample_aspect_ratio == parts.sample_aspect_ratio == Fraction(16, 11)
        times = [[f.time for f in VideoReader(tmp_path / file).frames()] for file in (f"run_{name}", name)]
        assert times[0] == times[1]
        assert len(times[0]) == (12 if part else 24)
    reader = VideoReader(tmp_path / "film.mkv")
    encoding = plan_output(tmp_path / "x.mp4", reader.info)
    segments = sorted((tmp_path / "work").iterdir())
    with pytest.raises(OutputError, match="cannot hold attachment"):
        join_segments(tmp_path / "x.mp4", reader, segments, encoding, strict=True)
    with pytest.raises(OutputError, match="exists already"):
        join_segments(tmp_path / "out.mp4", reader, segments, encoding)
    assert not (tmp_path / "x.mp4").exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_transport_stream_moves_as_in_one_run(tmp_path: Path) -> None:
    stamps = [k * 3750 + 450 for k in range(17)]
    film = Film(codec="libx264", audio="aac", time_base=Fraction(1, 90000), pts=stamps, options={"bf": "2"})
    make_film(tmp_path / "film.ts", film)
    written(tmp_path / "film.ts", tmp_path / "run.mp4")
    joined(tmp_path / "film.ts", tmp_path / "out.mp4", (7, 1))
    times = [frame.time for frame in VideoReader(tmp_path / "run.mp4").frames()]
    check_film(tmp_path / "out.mp4", times)
    assert packets(tmp_path / "out.mp4", "audio") == packets(tmp_path / "run.mp4", "audio")


def test_lossless_pictures_and_their_shape_survive(tmp_path: Path) -> None:
    planes = make_film(
        tmp_path / "film.mp4", Film(61, 47, 9, codec="libx264", sar=Fraction(16, 11), pixel_format="yuv444p")
    )
    before = [frame.luma for frame in VideoReader(tmp_path / "film.mp4").frames()]
    joined(tmp_path / "film.mp4", tmp_path / "out.mkv", (4, 1), codec="ffv1")
    after = list(VideoReader(tmp_path / "out.mkv").frames(chroma=True))
    assert len(after) == len(planes) == 9
    for index, frame in enumerate(after):
        np.testing.assert_array_equal(frame.luma, before[index])
        painted = paint(frame, "444").chroma
        assert painted is not None
        assert frame.chroma is not None
        np.testing.assert_array_equal(frame.chroma[0], painted[0])
    shown = ffmpeg("-i", tmp_path / "out.mkv", "-vf", "showinfo", "-f", "null", "-").stderr.decode()
    assert shown.count("sar:16/11") == 9


def test_images_are_numbered_through(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=7))
    written(tmp_path / "film.mkv", tmp_path / "run")
    for name in ("out", "f_%03d.png"):
        joined(tmp_path / "film.mkv", tmp_path / name, (3, 1), overwrite=True)
    run = sorted((tmp_path / "run").iterdir())
    assert [file.name for file in sorted((tmp_path / "out").iterdir())] == [file.name for file in run]
    for number, file in enumerate(run):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
        assert (tmp_path / f"f_{number:03d}.png").read_bytes() == file.read_bytes()
    image = tmp_path / "work" / "00001.seg" / "000000.png"
    image.unlink()
    with pytest.raises(InputError, match=r"missing or incomplete.*`restart`"):
        segment_frames(image.parent)
    (image.parent / "segment.json").unlink()
    with pytest.raises(InputError, match="is not a segment"):
        segment_frames(image.parent)


def test_damaged_images_are_refused(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))
    joined(tmp_path / "film.mkv", tmp_path / "out", (2,))
    image = tmp_path / "work" / "00000.seg" / "000001.png"
    flip(image, image.stat().st_size // 2)  # the joined image is the same file: make the damage there no concern
    reader = VideoReader(tmp_path / "film.mkv")
    segments = sorted((tmp_path / "work").iterdir())
    with pytest.raises(InputError, match=r"000001\.png: .*damaged.*`restart`"):
        join_segments(tmp_path / "again", reader, segments, plan_output(tmp_path / "again", reader.info))
    assert sorted(os.listdir(tmp_path)) == ["film.mkv", "out", "work"]


# --- segments by themselves --------------------


@pytest.mark.parametrize("codec", ["h264", "h265", "prores", "ffv1"])
def test_equal_frames_make_equal_bytes_whatever_came_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    """Also with several threads (which 48 rows alone would not get)."""
    monkeypatch.setattr(encoder, "_ROWS_PER_THREAD", 16)
    assert codec not in ("h264", "h265") or encoder.encoder_threads(codec, 48) == 3
    make_film(tmp_path / "film.mkv", Film(count=40))
    reader = VideoReader(tmp_path / "film.mkv")
    encoding = plan_output(tmp_path / "out.mkv", reader.info, codec=codec)
    first = write_segments(reader, encoding, tmp_path / "a", (5, 30))
    second = write_segments(reader, encoding, tmp_path / "b", (4, 1, 30))
    assert first[1].read_bytes() == second[2].read_bytes()
    assert first[0].read_bytes() != second[0].read_bytes()


def test_threads_do_not_depend_on_the_machine(tmp_path: Path) -> None:
    """x264 writes how many threads it had into the stream."""
    make_film(tmp_path / "film.mkv", Film(64, 256, count=3))
    reader = VideoReader(tmp_path / "film.mkv")
    [segment] = write_segments(reader, plan_output(tmp_path / "out.mp4", reader.info), tmp_path / "work", ())
    assert b" threads=2 " in segment.read_bytes()
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processors cannot be taken away here")
    fewer = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    program = f"{fewer}from kinemacolor.video.encoder import encoder_threads; print(encoder_threads('h264', 256))"
    threads = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert threads.strip() == "2"


def test_a_segment_describes_what_it_holds(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(pts=VFR))
    reader = VideoReader(tmp_path / "film.mkv")
    [path] = write_segments(reader, plan_output(tmp_path / "out.mp4", reader.info), tmp_path / "work", ())
    segment = read_segment(path)
    assert isinstance(segment, EncodedSegment)
    assert segment.times == VFR
    assert segment.format.ticks == Fraction(1, 1000)
    assert segment.reordering in (1, 2)
    held = list(segment.packets())
    assert [packet.pts for packet in held] != VFR  # in decoding order
    assert [packet.keyframe for packet in held] == [True] + [False] * 28
    assert {packet.duration for packet in held} == {frame.duration for frame in reader.frames()}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", ["out.mp4", "images"])
def test_an_interruption_leaves_no_segment(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    make_film(tmp_path / "film.mkv", Film(count=6))
    reader = VideoReader(tmp_path / "film.mkv")
    encoding = plan_output(tmp_path / name, reader.info)
    (tmp_path / "work").mkdir()

    def interrupted() -> None:
        with SegmentWriter(tmp_path / "work" / "1", reader.info, encoding) as writer:
            for frame in reader.frames():
                writer.write(paint(frame, encoding.chroma_format))
                assert os.listdir(tmp_path / "work") == ["1.partial"]
                if frame.index == 3:
                    raise error

    with pytest.raises(error):
        interrupted()
    assert os.listdir(tmp_path / "work") == []
    with pytest.raises(OutputError, match="no frame"), SegmentWriter(tmp_path / "work" / "1", reader.info, encoding):
        pass
    assert os.listdir(tmp_path / "work") == []


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))
    reader = VideoReader(tmp_path / "film.mkv")
    frames = [paint(frame, "420") for frame in reader.frames()]
    encoding = plan_output(tmp_path / "out.mp4", reader.info)

    def write(*some: Frame) -> None:
        with SegmentWriter(tmp_path / "1", reader.info, encoding) as writer:
            for frame in some:
                writer.write(frame)

    with pytest.raises(ValueError, match="after"):
        write(frames[1], frames[0])
    with pytest.raises(ValueError, match="U and V"):
        write(next(iter(reader.frames())))
    assert os.listdir(tmp_path) == ["film.mkv"]


def test_a_full_disk_leaves_no_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))

    def refuse(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    for name in ("out.mp4", "images"):
        with pytest.raises(OutputError, match="disk is full"):
            joined(tmp_path / "film.mkv", tmp_path / name, ())
        assert os.listdir(tmp_path / "work") == []


# --- segments that cannot be used --------------------


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    make_film(tmp_path / "film.mkv", Film(count=3))
    reader = VideoReader(tmp_path / "film.mkv")
    [path] = write_segments(reader, plan_output(tmp_path / "out.mp4", reader.info), tmp_path / "work", ())
    return path


def test_incomplete_segments_are_refused_wherever_they_end(segment: Path) -> None:
    data = segment.read_bytes()
    for size in [*range(40), *range(40, len(data), 97), *range(len(data) - 40, len(data))]:
        segment.write_bytes(data[:size])
        with pytest.raises(InputError, match="`restart`") as caught:
            segment_frames(segment)
        assert caught.value.subject == str(segment)
        assert "\n" not in str(caught.value)


def test_a_changed_byte_is_noticed_wherever_it_is(segment: Path) -> None:
    data = segment.read_bytes()
    for place in [
        *range(SEGMENT_HEADER.size),
        *range(40, len(data), 61),
        *range(len(data) - SEGMENT_TRAILER.size, len(data)),
    ]:
        segment.write_bytes(data)
        flip(segment, place)
        with pytest.raises(InputError, match="`restart`"):
            list(read_segment(segment).packets())  # type: ignore[union-attr]


def test_files_that_are_no_segments_are_refused(segment: Path) -> None:
    with pytest.raises(InputError, match=r"missing; color it again"):
        segment_frames(segment.with_name("nowhere"))
    data = bytearray(segment.read_bytes())
    data[8] = 2
    segment.write_bytes(data)
    with pytest.raises(InputError, match=r"version 2, this program makes version 1; .*`restart`"):
        segment_frames(segment)
    for foreign in (b"Dear Sir,\n" * 40, b"", bytes(500)):
        segment.write_bytes(foreign)
        with pytest.raises(InputError, match=r"is not a segment .*`restart`"):
            segment_frames(segment)
    with pytest.raises(InputError, match=r"is not a segment .*`restart`"):
        segment_frames(segment.parent)


def test_segments_with_other_settings_are_refused(tmp_path: Path, segment: Path) -> None:
    reader = VideoReader(tmp_path / "film.mkv")
    out = tmp_path / "out.mp4"
    encodings = [plan_output(out, reader.info, crf=20), plan_output(out, reader.info, codec="h265")]
    for encoding in encodings:
        with pytest.raises(InputError, match=r"other settings.*`restart`"):
            join_segments(out, reader, [segment], encoding)
    encoding = plan_output(out, reader.info)
    with pytest.raises(InputError, match=r"does not follow.*`restart`"):
        join_segments(out, reader, [segment, segment], encoding)
    with pytest.raises(InputError, match="the output is images"):
        join_segments(tmp_path / "folder", reader, [segment], plan_output(tmp_path / "folder", reader.info))
    with pytest.raises(OutputError, match="no frame"):
        join_segments(out, reader, [], encoding)
    assert sorted(os.listdir(tmp_path)) == ["film.mkv", "work"]


def rewritten(segment: Path, **changes: Any) -> None:
    """Changes a segment's description, and its checksum with it."""
    data = segment.read_bytes()
    offset, length, _, end = SEGMENT_TRAILER.unpack(data[-SEGMENT_TRAILER.size :])
    record = {**json.loads(data[offset : offset + length]), **changes}
    text = json.dumps(record).encode()
    segment.write_bytes(data[:offset] + text + SEGMENT_TRAILER.pack(offset, len(text), zlib.crc32(text), end))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_parameter_sets_of_another_encoder_are_refused(tmp_path: Path, codec: str) -> None:
    make_film(tmp_path / "film.mkv", Film(count=3))
    reader = VideoReader(tmp_path / "film.mkv")
    encoding = plan_output(tmp_path / "out.mp4", reader.info, codec=codec)
    [segment] = write_segments(reader, encoding, tmp_path / "work", ())
    segment_format = read_segment(segment).format  # type: ignore[union-attr]
    assert len(segment_format.extradata) < 200  # what x265 says about itself takes 2 kB
    rewritten(segment, extradata=segment_format.extradata.hex())
    join_segments(tmp_path / "out.mp4", reader, [segment], encoding)
    last = segment_format.extradata[-1] ^ 2
    rewritten(segment, extradata=(segment_format.extradata[:-1] + bytes([last])).hex())
    with pytest.raises(InputError, match=r"parameters in this segment.*`restart`"):
        join_segments(tmp_path / "no.mp4", reader, [segment], encoding)
    assert sorted(os.listdir(tmp_path)) == ["film.mkv", "out.mp4", "work"]


# --- decoding times --------------------


@given(
    steps=st.lists(st.integers(1, 90), min_size=0, max_size=30),
    start=st.integers(-500, 500),
    delay=st.integers(0, 5),
    step=st.integers(1, 50),
)
def test_decoding_times_ascend_and_never_come_late(steps: list[int], start: int, delay: int, step: int) -> None:
    shown = [start, *(start + int(total) for total in np.cumsum(steps))]
    pairs = list(decoding_times(iter(shown), shown[: delay + 1], delay, step))
    assert [time for time, _ in pairs] == shown
    decoded = [time for _, time in pairs]
    assert all(a < b for a, b in pairwise(decoded))
    # A frame of display place p is decoded at place p + delay at the latest: not after it is due.
    for place, time in enumerate(decoded):
        assert time <= shown[max(0, place - delay)]
    assert decoded[delay:] == shown[: max(0, len(shown) - delay)]


def test_sound_is_copied_along_with_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not all of it at the end: that would hold the pictures of many seconds in memory."""
    make_film(tmp_path / "film.mkv", Film(codec="libx264", pts=VFR, audio="flac"))
    requested: list[Fraction | None] = []
    honest = CopiedStreams.advance

    def recorded(self: CopiedStreams, until: Fraction | None) -> None:
        requested.append(until)
        honest(self, until)

    monkeypatch.setattr(CopiedStreams, "advance", recorded)
    joined(tmp_path / "film.mkv", tmp_path / "out.mkv", (7, 7))
    assert requested == [*(Fraction(time, 1000) for time in VFR), None]


def test_a_long_sound_beside_few_pictures_is_copied_whole(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=5, audio="pcm_s16le", audio_seconds=3.0))
    joined(tmp_path / "film.mkv", tmp_path / "out.mkv", (2,))
    assert packets(tmp_path / "out.mkv", "audio") == packets(tmp_path / "film.mkv", "audio")
    assert re.search(r"Duration: 00:00:03\.0", ffmpeg("-i", tmp_path / "out.mkv").stderr.decode())
