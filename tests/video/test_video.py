"""Films in and films out: exact luma, exact times, everything else copied, every failure clean."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.types import Array, Frame
from kinemacolor.video.output import check_destination, output_chroma
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import VideoWriter
from tests.media import SUBTITLES, Film, make_film, packets, plane

TURN_CLOCKWISE = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
STEPS = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}


def paint(frame: Frame, chroma: str) -> Frame:
    """The frame with chroma that differs from pixel to pixel."""
    height, width = frame.luma.shape
    step_y, step_x = STEPS[chroma]
    u = plane(-(-width // step_x), -(-height // step_y), frame.coding.bit_depth, frame.index)
    return frame.with_chroma(u, u[::-1].copy())


def color(source: Path, destination: Path, *, rate: Fraction | None = None, **options: Any) -> VideoWriter:
    """Copies a film through reader and writer."""
    cut = {key: options[key] for key in ("start", "end") if key in options}
    with VideoReader(source, rate=rate) as film, VideoWriter(destination, film, **options) as writer:
        for frame in film.frames(**cut):
            writer.write(paint(frame, writer.chroma_format))
    return writer


def ffmpeg(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """An ffmpeg that shares no code with PyAV's."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False)


def described(path: Path) -> str:
    """What that ffmpeg says about a film."""
    return ffmpeg("-i", path).stderr.decode()


def ffmpeg_luma(path: Path, width: int, height: int, wide: bool) -> Array:
    """Y planes as that ffmpeg decodes them: (frames, H, W)."""
    raw = ffmpeg(
        "-noautorotate",
        "-i",
        path,
        "-map",
        "0:v:0",
        "-vf",
        "extractplanes=y",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ).stdout
    return np.frombuffer(raw, np.uint16 if wide else np.uint8).reshape(-1, height, width)


def lumas(path: Path) -> list[Array]:
    return [frame.luma for frame in VideoReader(path).frames()]


def nothing_left(folder: Path, *expected: str) -> bool:
    return sorted(os.listdir(folder)) == sorted(expected)


# --- reading --------------------


@pytest.mark.parametrize(
    ("pixel_format", "depth", "chroma"),
    [
        ("yuv420p", 8, "420"), ("yuv422p", 8, "422"), ("yuv444p", 8, "444"), ("gray", 8, "gray"),
        ("yuv420p10le", 10, "420"), ("yuv422p10le", 10, "422"), ("yuv444p12le", 12, "444"),
        ("gray10le", 10, "gray"), ("gray16le", 16, "gray"), ("yuv411p", 8, "422"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("width", "height"), [(64, 48), (61, 47)])
def test_planes_are_read_as_they_were_encoded(
    tmp_path: Path, pixel_format: str, depth: int, chroma: str, width: int, height: int
) -> None:
    written = make_film(tmp_path / "film.mkv", Film(width, height, 3, pixel_format))
    reader = VideoReader(tmp_path / "film.mkv")
    frames = list(reader.frames(chroma=True))
    assert (reader.info.width, reader.info.height) == (width, height)
    assert (reader.info.coding.bit_depth, reader.info.chroma_format) == (depth, chroma)
    assert reader.info.pixel_format == pixel_format
    assert len(frames) == 3
    for planes, frame in zip(written, frames, strict=True):
        np.testing.assert_array_equal(frame.luma, planes[0])
        assert frame.luma.flags.c_contiguous
        if pixel_format in ("gray", "gray10le", "gray16le"):
            assert frame.chroma is None
        elif pixel_format != "yuv411p":  # whose chroma is resampled
            assert frame.chroma is not None
            np.testing.assert_array_equal(frame.chroma[0], planes[1])
            np.testing.assert_array_equal(frame.chroma[1], planes[2])
    assert reader.damage is None


def test_frames_are_read_again_from_the_start_and_without_chroma_unless_asked(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=5))
    reader = VideoReader(tmp_path / "film.mkv")
    first = next(iter(reader.frames()))
    again = list(reader.frames())
    assert [frame.index for frame in again] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(first.luma, again[0].luma)
    assert all(frame.chroma is None for frame in again)


@pytest.mark.parametrize(
    ("tags", "size", "full", "matrix"),
    [
        ((1, 1, 1, 1), (64, 48), False, "bt709"),
        ((6, 6, 6, 2), (64, 48), True, "bt601"),
        ((9, 14, 9, 1), (64, 48), False, "bt2020"),
        ((2, 2, 2, 1), (64, 48), False, "bt601"),
        ((2, 2, 2, 1), (1280, 32), False, "bt709"),
    ],
)
def test_tags_say_what_codes_mean(
    tmp_path: Path, tags: tuple[int, int, int, int], size: tuple[int, int], full: bool, matrix: str
) -> None:
    make_film(tmp_path / "film.mkv", Film(*size, 2, tags=tags))
    info = VideoReader(tmp_path / "film.mkv").info
    assert (info.coding.full_range, info.coding.matrix) == (full, matrix)
    assert (info.tags.primaries, info.tags.transfer, info.tags.matrix, info.tags.range) == tags


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.integers(1, 400), min_size=1, max_size=12), start=st.integers(0, 3000))
def test_variable_rate_times_survive_reading_and_writing(tmp_path: Path, steps: list[int], start: int) -> None:
    stamps = [start, *(start + int(total) for total in np.cumsum(steps))]
    make_film(tmp_path / "film.mkv", Film(pts=stamps))
    for name in ("out.mkv", "out.mp4"):
        codec = "ffv1" if name == "out.mkv" else "h264"
        color(tmp_path / "film.mkv", tmp_path / name, codec=codec, overwrite=True)
        times = [frame.time for frame in VideoReader(tmp_path / name).frames()]
        assert times == [Fraction(stamp, 1000) for stamp in stamps]


def test_interval_is_half_open_in_seconds_from_the_first_frame(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(pts=[500 + 100 * k for k in range(10)]))
    reader = VideoReader(tmp_path / "film.mkv")
    assert reader.info.first_time == Fraction(1, 2)
    assert [frame.index for frame in reader.frames(start=0.3, end=0.6)] == [3, 4, 5]
    assert [frame.index for frame in reader.frames(start=0.75)] == [8, 9]
    with pytest.raises(UsageError, match="no frame lies"):
        list(reader.frames(start=5))
    with pytest.raises(UsageError, match="does not lie after"):
        list(reader.frames(start=0.5, end=0.5))
    with pytest.raises(UsageError, match="before the film"):
        list(reader.frames(start=-1))


def test_a_part_far_into_a_compressed_film_is_the_same_as_when_all_is_read(tmp_path: Path) -> None:
    film = Film(count=120, codec="libx264", options={"g": "12", "bf": "3"}, pts=[k * 40 + 80 for k in range(120)])
    make_film(tmp_path / "film.mp4", film)
    reader = VideoReader(tmp_path / "film.mp4")
    everything = list(reader.frames())
    part = list(reader.frames(start=3.3, end=3.9))
    assert [f.index for f in part] == [f.index for f in everything if 3.3 <= f.index * 0.04 - 1e-9 < 3.9 - 1e-9]
    for frame in part:
        assert frame.pts == everything[frame.index].pts
        np.testing.assert_array_equal(frame.luma, everything[frame.index].luma)


def test_times_of_avi_films_with_reordered_frames_are_even(tmp_path: Path) -> None:
    film = Film(count=30, codec="libx264", options={"bf": "3"}, time_base=Fraction(1, 24), pts=list(range(30)))
    make_film(tmp_path / "film.avi", film)
    reader = VideoReader(tmp_path / "film.avi")
    times = [frame.pts for frame in reader.frames()]
    assert times == list(range(times[0], times[0] + 30))
    assert reader.damage is None


# --- what is written --------------------


@pytest.mark.parametrize(
    "pixel_format", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "gray10le", "yuv444p12le"]
)
@pytest.mark.parametrize(("width", "height"), [(64, 48), (61, 47)])
def test_luma_passes_bit_for_bit_and_chroma_as_given(
    tmp_path: Path, pixel_format: str, width: int, height: int
) -> None:
    written = make_film(tmp_path / "film.mkv", Film(width, height, 4, pixel_format))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mkv", codec="ffv1")
    out = VideoReader(tmp_path / "out.mkv")
    expected = "420" if pixel_format.startswith("gray") else output_chroma(out.info)
    assert writer.chroma_format == out.info.chroma_format == expected
    wide = out.info.coding.bit_depth > 8
    theirs = ffmpeg_luma(tmp_path / "out.mkv", width, height, wide)
    assert len(theirs) == 4
    for index, frame in enumerate(out.frames(chroma=True)):
        np.testing.assert_array_equal(frame.luma, written[index][0])
        np.testing.assert_array_equal(theirs[index], written[index][0])
        assert frame.chroma is not None
        painted = paint(frame, writer.chroma_format).chroma
        assert painted is not None
        np.testing.assert_array_equal(frame.chroma[0], painted[0])
        np.testing.assert_array_equal(frame.chroma[1], painted[1])


@pytest.mark.parametrize(
    ("codec", "name", "pixel_format", "written", "tolerance"),
    [
        ("h264", "out.mp4", "yuv420p", "yuv420p", 3.0),
        ("h264", "out.mov", "gray", "yuvj420p", 3.0),
        ("h264", "out.mkv", "yuv422p10le", "yuv422p10le", 12.0),
        ("h265", "out.mp4", "yuv420p10le", "yuv420p10le", 20.0),
        ("h265", "out.mkv", "yuv444p12le", "yuv444p12le", 80.0),
        ("prores", "out.mov", "yuv422p10le", "yuv422p10le", 12.0),
        ("prores", "out.mov", "yuv444p10le", "yuv444p1[02]le", None),
    ],
)
def test_lossy_codecs_keep_format_and_look(
    tmp_path: Path, codec: str, name: str, pixel_format: str, written: str, tolerance: float | None
) -> None:
    make_film(tmp_path / "film.mkv", Film(count=6, pixel_format=pixel_format))
    color(tmp_path / "film.mkv", tmp_path / name, codec=codec)
    assert re.search(rf"Video: .*\b{written}\b", described(tmp_path / name))
    for before, after in zip(lumas(tmp_path / "film.mkv"), lumas(tmp_path / name), strict=True):
        if tolerance is not None:  # decoders hand out 4:4:4 ProRes with 12 bits
            assert np.abs(before.astype(float) - after).mean() < tolerance


def test_ten_bits_of_prores_hold_eight_bit_luma_fourfold(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=2))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mov", codec="prores")
    assert writer.chroma_format == "422"
    for before, after in zip(lumas(tmp_path / "film.mkv"), lumas(tmp_path / "out.mov"), strict=True):
        assert abs(float(after.astype(float).mean()) - 4 * float(before.mean())) < 2


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("codec", "name"), [("h264", "out.mp4"), ("h265", "out.mov"), ("h265", "out.mkv")])
def test_the_shortest_films_are_written(tmp_path: Path, count: int, codec: str, name: str) -> None:
    make_film(tmp_path / "film.mkv", Film(count=count))
    color(tmp_path / "film.mkv", tmp_path / name, codec=codec)
    before, after = (VideoReader(tmp_path / film).frames() for film in ("film.mkv", name))
    assert [frame.time for frame in after] == [frame.time for frame in before]


def test_crf_sets_the_quality(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(320, 240, 6))
    color(tmp_path / "film.mkv", tmp_path / "good.mp4")
    color(tmp_path / "film.mkv", tmp_path / "poor.mp4", crf=40)
    assert (tmp_path / "poor.mp4").stat().st_size * 2 < (tmp_path / "good.mp4").stat().st_size


RICH = Film(
    count=24,
    tags=(6, 6, 6, 1),
    sar=Fraction(16, 11),
    subtitles=SUBTITLES,
    chapters=((0, 0.4, "Arrival"), (0.4, 1.0, "Departure")),
    metadata={"title": "The Train", "ARCHIVE_NUMBER": "1896-7"},
    attachment=b"not really a font",
    audio_seconds=1.0,
)


def rich(**changes: Any) -> Film:
    return Film(**{**{name: getattr(RICH, name) for name in RICH.__dataclass_fields__}, **changes})


@pytest.mark.parametrize("audio", ["flac", "pcm_s16le", "aac"])
def test_everything_but_the_picture_is_copied_to_mkv(tmp_path: Path, audio: str) -> None:
    source, out = tmp_path / "film.mkv", tmp_path / "out.mkv"
    make_film(source, rich(audio=audio, sar=Fraction(1)))
    writer = color(source, out, codec="ffv1")
    assert writer.warnings == []
    assert len(packets(out, "audio")) > 10
    assert packets(out, "audio") == packets(source, "audio")
    assert len(packets(out, "subtitle")) == 2
    assert packets(out, "subtitle") == packets(source, "subtitle")
    description = described(out)
    for expected in (
        "64x48",
        "yuv420p(tv, smpte170m",
        "The Train",
        "1896-7",
        "Arrival",
        "Departure",
        "(deu)",
        "(fra)",
        "font.ttf",
    ):
        assert expected in description
    info = VideoReader(out).info
    assert [(c["start"], c["end"], c["metadata"]["title"]) for c in info.chapters] == [
        (c["start"], c["end"], c["metadata"]["title"]) for c in VideoReader(source).info.chapters
    ]


def test_everything_but_the_picture_is_copied_to_mp4(tmp_path: Path) -> None:
    source, out = tmp_path / "film.mp4", tmp_path / "out.mp4"
    film = rich(
        audio="aac",
        codec="libx264",
        subtitles=(),
        attachment=None,
        time_base=Fraction(1, 24000),
        display_matrix=TURN_CLOCKWISE,
        container_options={"movflags": "+use_metadata_tags"},
    )
    make_film(source, film)
    writer = color(source, out)
    assert writer.warnings == []
    assert packets(out, "audio") == packets(source, "audio")
    description = described(out)
    for expected in (
        "yuv420p(tv, smpte170m",
        "SAR 16:11",
        "The Train",
        "1896-7",
        "Arrival",
        "(deu)",
        "rotation of -90",
    ):
        assert expected in description
    before, after = VideoReader(source), VideoReader(out)
    assert before.info.rotation == after.info.rotation == 90
    assert after.info.time_base == before.info.time_base
    assert [f.time for f in after.frames()] == [f.time for f in before.frames()]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotation_is_kept(tmp_path: Path, name: str, turn: int) -> None:
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    matrix = (65536 * cos, 65536 * sin, 0, -65536 * sin, 65536 * cos, 0, 0, 0, 1 << 30)
    make_film(tmp_path / "film.mp4", Film(count=3, codec="libx264", display_matrix=matrix))
    color(tmp_path / "film.mp4", tmp_path / name)
    assert VideoReader(tmp_path / name).info.rotation == turn
    angle = re.search(r"rotation of (-?\d+)", described(tmp_path / name))
    assert (0 if angle is None else -int(angle[1]) % 360) == turn


@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (9, 16, 9, 1), (5, 6, 5, 2), (1, 13, 1, 2)])
@pytest.mark.parametrize(("codec", "name"), [("h264", "out.mp4"), ("h265", "out.mov"), ("ffv1", "out.mkv")])
def test_color_tags_are_kept(tmp_path: Path, tags: tuple[int, int, int, int], codec: str, name: str) -> None:
    make_film(tmp_path / "film.mkv", Film(count=2, tags=tags))
    color(tmp_path / "film.mkv", tmp_path / name, codec=codec)
    kept = VideoReader(tmp_path / name).info.tags
    assert (kept.primaries, kept.transfer, kept.matrix, kept.range) == tags
    assert ("(pc," if tags[3] == 2 else "(tv,") in described(tmp_path / name)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("h264", "out.mp4"), ("h264", "out.mkv"), ("h265", "out.mov"), ("h265", "out.mkv"), ("prores", "out.mov")],
)
def test_pixel_shape_is_kept(tmp_path: Path, codec: str, name: str) -> None:
    make_film(tmp_path / "film.mp4", Film(count=2, codec="libx264", sar=Fraction(16, 11)))
    assert VideoReader(tmp_path / "film.mp4").info.sample_aspect_ratio == Fraction(16, 11)
    color(tmp_path / "film.mp4", tmp_path / name, codec=codec)
    assert VideoReader(tmp_path / name).info.sample_aspect_ratio == Fraction(16, 11)
    assert "SAR 16:11" in described(tmp_path / name)


@pytest.mark.parametrize("shape", [Fraction(3, 4099), Fraction(30000)])
def test_a_pixel_shape_that_makes_no_sense_is_told_and_not_used(tmp_path: Path, shape: Fraction) -> None:
    film = tmp_path / "film.mov"
    make_film(film, Film(count=2, codec="mjpeg", pixel_format="yuvj420p", sar=Fraction(16, 11)))
    mark = b"pasp" + bytes([0, 0, 0, 16, 0, 0, 0, 11])
    content = film.read_bytes()
    assert content.count(mark) == 1
    film.write_bytes(content.replace(mark, b"pasp" + struct.pack(">II", *shape.as_integer_ratio())))
    info = VideoReader(film).info
    assert info.sample_aspect_ratio == 1
    told = f"a pixel is {shape.numerator}:{shape.denominator} as wide as high; pixels are taken to be square"
    assert any(told in remark for remark in info.remarks)


def test_pixel_shape_is_kept_in_the_frames_of_ffv1(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4", Film(count=2, codec="libx264", sar=Fraction(16, 11)))
    writer = color(tmp_path / "film.mp4", tmp_path / "out.mkv", codec="ffv1")
    assert any("pixel shape" in warning for warning in writer.warnings)
    shown = ffmpeg("-i", tmp_path / "out.mkv", "-vf", "showinfo", "-f", "null", "-").stderr.decode()
    assert shown.count("sar:16/11") == 2
    for before, after in zip(lumas(tmp_path / "film.mp4"), lumas(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(before, after)


def test_untagged_color_is_tagged_as_it_was_read(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=2))
    color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert VideoReader(tmp_path / "out.mp4").info.tags.matrix == 6
    assert VideoReader(tmp_path / "out.mp4").info.tags.range == 1


def test_times_beside_late_sound_are_kept_in_mp4(tmp_path: Path) -> None:
    film = Film(
        codec="libx264", audio="aac", audio_start=0.25, pts=[1000 + 41 * k for k in range(20)], options={"bf": "3"}
    )
    make_film(tmp_path / "film.mkv", film)
    color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    before, after = (VideoReader(tmp_path / name) for name in ("film.mkv", "out.mp4"))
    assert [f.time for f in after.frames()] == [f.time for f in before.frames()]
    assert [f.duration * f.time_base for f in after.frames()][:-1] == [Fraction(41, 1000)] * 19
    sound = packets(tmp_path / "film.mkv", "audio")[0][1], packets(tmp_path / "out.mp4", "audio")[0][1]
    assert abs(sound[0] - sound[1]) < Fraction(1, 1000)


def test_a_transport_stream_starts_at_zero_in_step_with_its_sound(tmp_path: Path) -> None:
    film = Film(codec="libx264", audio="aac", time_base=Fraction(1, 90000), pts=[k * 3750 + 450 for k in range(24)])
    make_film(tmp_path / "film.ts", film)
    color(tmp_path / "film.ts", tmp_path / "out.mp4")
    gaps = []
    for name in ("film.ts", "out.mp4"):
        first = VideoReader(tmp_path / name).info.first_time
        gaps.append(first - packets(tmp_path / name, "audio")[0][1])
    assert abs(gaps[0] - gaps[1]) < Fraction(1, 1000)
    assert VideoReader(tmp_path / "out.mp4").info.first_time < Fraction(1, 10)


def test_a_warning_says_where_mkv_rounds_times(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4", Film(codec="libx264", time_base=Fraction(1, 24000)))
    assert "milliseconds" in " ".join(color(tmp_path / "film.mp4", tmp_path / "out.mkv").warnings)


def test_a_part_starts_at_zero_with_sound_subtitles_and_chapters_in_step(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", rich(audio="flac", pts=[k * 50 for k in range(20)]))
    color(tmp_path / "film.mkv", tmp_path / "out.mkv", codec="ffv1", start=0.3, end=0.7)
    out = VideoReader(tmp_path / "out.mkv")
    assert [f.time for f in out.frames()] == [Fraction(k, 20) for k in range(8)]
    source = [(data, time - Fraction(3, 10)) for data, time, _ in packets(tmp_path / "film.mkv", "audio")]
    inside = [(data, time) for data, time in source if 0 <= time < Fraction(4, 10)]
    assert len(inside) > 3
    assert [(data, time) for data, time, _ in packets(tmp_path / "out.mkv", "audio")] == inside
    assert [(data, time) for data, time, _ in packets(tmp_path / "out.mkv", "subtitle")] == [
        (SUBTITLES[1][2].encode(), Fraction(1, 20))
    ]
    chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in out.info.chapters]
    assert chapters == [(0, Fraction(1, 10)), (Fraction(1, 10), Fraction(4, 10))]
    for before, after in zip(lumas(tmp_path / "film.mkv")[6:14], lumas(tmp_path / "out.mkv"), strict=True):
        np.testing.assert_array_equal(before, after)


def test_subtitles_become_timed_text_in_mp4(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", rich(audio="aac", attachment=None))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert any("mov_text" in warning for warning in writer.warnings)
    srt = ffmpeg("-i", tmp_path / "out.mp4", "-map", "0:s", "-f", "srt", "-").stdout.decode()
    assert "00:00:00,100 --> 00:00:00,300" in srt
    assert "<i>train</i>" in srt
    assert "Gone.\nLong gone." in srt.replace("\r", "")


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_cover_picture_is_kept_and_is_not_the_film(tmp_path: Path, name: str) -> None:
    make_film(tmp_path / "plain.mp4", Film(count=4, codec="libx264"))
    write_png(tmp_path / "cover.png", plane(30, 30, 8, 1), "gray")
    added = ffmpeg("-i", tmp_path / "cover.png", "-i", tmp_path / "plain.mp4", "-map", "0", "-map", "1", "-c", "copy",
                   "-disposition:v:0", "attached_pic", tmp_path / "film.mp4")  # fmt: skip
    assert added.returncode == 0
    color(tmp_path / "film.mp4", tmp_path / name)
    assert len(lumas(tmp_path / name)) == 4
    assert "(attached pic)" in described(tmp_path / name)


def test_what_a_container_cannot_hold_is_named_or_refused(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", rich(audio="aac"))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert any("attachment" in warning and ".mkv" in warning for warning in writer.warnings)
    with pytest.raises(OutputError, match="cannot hold attachment"):
        color(tmp_path / "film.mkv", tmp_path / "strict.mp4", strict=True)
    assert nothing_left(tmp_path, "film.mkv", "out.mp4")


# --- images --------------------


def write_png(path: Path, values: Array, pixel_format: str) -> None:
    picture = av.VideoFrame.from_ndarray(values, format=pixel_format)
    encoder: Any = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, pixel_format
    encoder.time_base = Fraction(1, 24)
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)]))


@pytest.mark.parametrize(("pixel_format", "depth"), [("gray", 8), ("gray16be", 16)])
def test_gray_images_are_luma_in_full_range(tmp_path: Path, pixel_format: str, depth: int) -> None:
    (tmp_path / "in").mkdir()
    images = [plane(37, 33, depth, k) for k in range(12)]
    for number, image in enumerate(images):
        write_png(tmp_path / "in" / f"scan{number}.png", image, pixel_format)
    reader = VideoReader(tmp_path / "in", rate=Fraction(18))
    assert reader.info.coding.full_range
    assert (reader.info.rate, reader.info.frames) == (18, 12)
    frames = list(reader.frames())
    assert [frame.time for frame in frames] == [Fraction(k, 18) for k in range(12)]
    for frame, image in zip(frames, images, strict=True):  # natural order: scan2 before scan10
        np.testing.assert_array_equal(frame.luma, image)


def test_color_images_go_to_ycbcr_and_back_within_rounding(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (34, 41, 3), dtype=np.uint8) for _ in range(3)]
    for number, image in enumerate(images):
        write_png(tmp_path / "in" / f"{number:04d}.png", image, "rgb24")
    reader = VideoReader(tmp_path / "in" / "%04d.png")
    with VideoWriter(tmp_path / "out", reader) as writer:
        for frame, image in zip(reader.frames(chroma=True), images, strict=True):
            weighted = image @ np.array([0.2126, 0.7152, 0.0722])
            assert np.abs(frame.luma - weighted).max() <= 0.501
            writer.write(frame)
    assert nothing_left(tmp_path, "in", "out")
    again = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in again] == [f"{k:04d}.png" for k in range(3)]
    for file, image in zip(again, images, strict=True):
        with av.open(str(file)) as container:
            back = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert np.abs(back.astype(int) - image).max() <= 2


def test_limited_range_film_becomes_the_right_images(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=1, pixel_format="yuv420p10le", tags=(1, 1, 1, 1)))
    reader = VideoReader(tmp_path / "film.mkv")
    frame = next(iter(reader.frames()))
    level = np.full_like(frame.luma, 64 + 438)
    neutral = np.full_like(level, 512)
    with VideoWriter(tmp_path / "gray_%03d.png", reader) as writer:
        writer.write(Frame(0, 0, frame.time_base, level, frame.coding, chroma=(neutral, neutral)))
    with av.open(str(tmp_path / "gray_000.png")) as container:
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb48le")
    assert np.abs(pixels.astype(int) - round(65535 * 438 / 876)).max() <= 1
    assert nothing_left(tmp_path, "film.mkv", "gray_000.png")


def test_a_gap_in_numbers_and_a_broken_image_are_reported(tmp_path: Path) -> None:
    for number in (3, 4, 6, 7):
        write_png(tmp_path / f"f_{number:03d}.png", plane(40, 40, 8, number), "gray")
    (tmp_path / "f_006.png").write_bytes(b"not an image")
    reader = VideoReader(tmp_path / "f_%03d.png")
    frames = list(reader.frames())
    assert [(frame.index, frame.pts) for frame in frames] == [(0, 0), (1, 1), (2, 3)]
    assert reader.damage is not None
    assert "1 image is missing by their numbers: f_005" in reader.damage
    assert "1 image could not be decoded: f_006.png" in reader.damage


def test_frames_that_repeat_the_one_before_are_no_damage(tmp_path: Path) -> None:
    # Theora keeps such a frame as an empty packet.
    film = tmp_path / "film.ogv"
    scene = "testsrc2=s=64x48:r=24:d=0.5,select='not(eq(mod(n,5),2))'"
    made = ffmpeg("-y", "-f", "lavfi", "-i", scene, "-r", "24", "-c:v", "libtheora", "-g", "4", film)
    assert made.returncode == 0, made.stderr.decode()
    with av.open(str(film)) as container:
        packets = list(container.demux(video=0))
    shown = [packet.pts for packet in packets if packet.size]
    assert any(packet.dts is not None for packet in packets if not packet.size)
    reader = VideoReader(film)
    times = [frame.pts for frame in reader.frames()]
    assert (times, reader.damage) == (shown, None)
    assert [frame.pts for frame in reader.frames(first=len(times) - 2)] == shown[-2:]


def test_images_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "1.png", plane(40, 40, 8, 0), "gray")
    write_png(tmp_path / "2.png", plane(42, 40, 8, 0), "gray")
    with pytest.raises(InputError, match=r"2\.png: is 42x40"):
        list(VideoReader(tmp_path).frames())


def test_images_have_a_rate_and_films_keep_theirs(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv")
    with pytest.raises(UsageError, match="keeps its own frame rate"):
        VideoReader(tmp_path / "film.mkv", rate=Fraction(18))
    with pytest.raises(UsageError, match="not a frame rate"):
        VideoReader(tmp_path, rate=Fraction(0))


# --- bad films --------------------


def test_bad_films_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.mkv").touch()
    (tmp_path / "text.mp4").write_text("Dear Sir,\n" * 200)
    (tmp_path / "notes.txt").write_text("Dear Sir,\n" * 200)
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        wave = np.zeros((1, 2048), np.int16)
        sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
    bad = ("missing.mkv", "empty.mkv", "text.mp4", "notes.txt", "noise.avi", "folder", "sound.mkv", "no_%03d.png")
    for name in (*bad, "no.png"):
        with pytest.raises(InputError) as caught:
            VideoReader(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in caught.value.subject
        assert caught.value.remedy


def test_an_unreadable_film_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "film.mkv")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="not permitted"):
        VideoReader(tmp_path / "film.mkv")


def test_a_film_of_undecodable_packets_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as container:
        stream: Any = container.add_mux_stream("mpeg4", width=64, height=48, time_base=Fraction(1, 1000))
        for number in range(5):
            packet = av.Packet(bytes(100))
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = number * 40
            container.mux(packet)
    with pytest.raises(InputError):
        VideoReader(tmp_path / "film.mkv")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.mkv", {}),
        ("film.ts", {}),
        ("frag.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("fast.mp4", {"movflags": "faststart"}),
    ],
)
def test_a_cut_off_film_gives_its_frames_and_says_where_it_broke(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    stamps = [k * 3600 for k in range(100)]
    film = Film(
        160,
        120,
        codec="libx264",
        options={"g": "10"},
        time_base=Fraction(1, 90000),
        pts=stamps,
        audio="aac",
        audio_seconds=4.0,
        container_options=options,
    )
    make_film(tmp_path / name, film)
    whole = VideoReader(tmp_path / name)
    everything = list(whole.frames())
    assert len(everything) == 100
    assert whole.damage is None
    data = (tmp_path / name).read_bytes()
    (tmp_path / f"cut_{name}").write_bytes(data[: int(len(data) * 0.6)])
    cut = VideoReader(tmp_path / f"cut_{name}")
    frames = list(cut.frames())
    assert 35 < len(frames) < 85
    assert cut.damage is not None
    assert f"after frame {len(frames) - 1} " in cut.damage
    assert [frame.time for frame in frames] == [frame.time for frame in everything[: len(frames)]]
    for frame in frames[:-1]:
        np.testing.assert_array_equal(frame.luma, everything[frame.index].luma)
    color(tmp_path / f"cut_{name}", tmp_path / "out.mp4")
    assert len(lumas(tmp_path / "out.mp4")) == len(frames)


def test_corruption_in_the_middle_is_skipped_and_reported(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(160, 120, 40, codec="libx264", options={"g": "10"}))
    data = bytearray((tmp_path / "film.mkv").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(1).bytes(200)
    (tmp_path / "bad.mkv").write_bytes(data)
    reader = VideoReader(tmp_path / "bad.mkv")
    frames = list(reader.frames())
    assert len(frames) >= 36
    assert reader.damage is not None
    assert "near frame" in reader.damage
    good = lumas(tmp_path / "film.mkv")
    same = sum(np.array_equal(frame.luma, good[round(frame.time * 24)]) for frame in frames)
    assert 30 <= same < 40  # what the hit frame was a reference of is wrong up to the next keyframe


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("film.mkv", "libx264", {"g": "10", "bf": "3"}),
        ("film.avi", "mpeg4", {"g": "10", "bf": "2"}),
        ("film.mkv", "ffv1", {"g": "1", "level": "3", "slicecrc": "1", "slices": "4"}),
    ],
)
def test_damage_is_concealed_the_same_way_every_time(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    """A resumed run must see the very frames that the first run saw."""
    film = tmp_path / name
    make_film(film, Film(160, 120, 40, codec=codec, options=options))
    whole = film.read_bytes()
    noticed = []
    for number in range(8):
        data, place = bytearray(whole), int(len(whole) * (0.3 + 0.05 * number))
        data[place : place + 200] = np.random.default_rng(number).bytes(200)
        film.write_bytes(data)
        passes = set()
        for _ in range(6):
            reader = VideoReader(film)
            passes.add((*(frame.luma.tobytes() for frame in reader.frames()), reader.damage))
        assert len(passes) == 1
        noticed.append(reader.damage is not None)
    assert any(noticed)


# --- bad destinations --------------------


@pytest.fixture
def film(tmp_path: Path) -> Path:
    make_film(tmp_path / "film.mkv", Film(count=6))
    return tmp_path / "film.mkv"


def test_bad_destinations_are_refused_before_any_work(tmp_path: Path, film: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "link.mkv").symlink_to(film)
    os.link(film, tmp_path / "hard.mkv")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "frame_000000.png").write_bytes(b"precious")
    before = sorted(os.listdir(tmp_path))
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("there.mp4", "exists already", {}),
        ("folder.mp4", "is a folder", {"overwrite": True}),
        ("film.mkv", "is the film that is read", {"overwrite": True}),
        ("link.mkv", "is the film that is read", {"overwrite": True}),
        ("hard.mkv", "is the film that is read", {"overwrite": True}),
        ("nowhere/out.mp4", "there is no such folder", {}),
        ("film.mkv/out.mp4", "is not a folder", {}),
        ("out.xyz", "is not known", {}),
        ("out.png", "names one image", {}),
        ("out.mp4", "cannot hold ffv1", {"codec": "ffv1"}),
        ("out.mp4", "cannot hold prores", {"codec": "prores"}),
        ("images", "holds such images", {}),
        ("nowhere/images/f_%04d.png", "there is no such folder", {}),
    ]
    for name, problem, options in cases:
        with pytest.raises(OutputError, match=problem) as caught:
            check_destination(tmp_path / name, source=film, **options)
        assert "\n" not in str(caught.value)
        with pytest.raises(OutputError, match=problem):
            VideoWriter(tmp_path / name, VideoReader(film), **options)
    with pytest.raises(UsageError, match="no codec"):
        check_destination(tmp_path / "out.mp4", codec="av1")
    check_destination(tmp_path / "out.mp4", source=film)
    check_destination(tmp_path / "there.mp4", source=film, overwrite=True)
    check_destination(tmp_path / "new_folder", source=film)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


def test_a_read_only_folder_is_refused(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    with pytest.raises(OutputError, match="not permitted"):
        check_destination(tmp_path / "out.mp4", source=film)


def test_odd_sizes_go_to_444_or_name_the_remedy(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(61, 47, 3))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert writer.chroma_format == "444"
    assert any("odd" in warning for warning in writer.warnings)
    out = VideoReader(tmp_path / "out.mp4").info
    assert (out.width, out.height, out.chroma_format) == (61, 47, "444")
    with pytest.raises(OutputError, match="set `chroma_format` to 444, or set `codec` to ffv1"):
        color(tmp_path / "film.mkv", tmp_path / "no.mp4", chroma_format="420")
    for codec, name in (("h265", "h265.mp4"), ("prores", "prores.mov")):
        color(tmp_path / "film.mkv", tmp_path / name, codec=codec)
        info = VideoReader(tmp_path / name).info
        assert (info.width, info.height) == (61, 47)


def test_depths_a_codec_lacks_are_rounded_with_a_warning(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=2, pixel_format="gray16le", tags=(2, 2, 2, 2)))
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mp4", crf=1)
    assert any("rounded" in warning for warning in writer.warnings)
    for before, after in zip(lumas(tmp_path / "film.mkv"), lumas(tmp_path / "out.mp4"), strict=True):
        assert np.abs(before * (1023 / 65535) - after).mean() < 3


def test_options_out_of_range_are_refused(tmp_path: Path, film: Path) -> None:
    reader = VideoReader(film)
    for options, option in (
        ({"crf": 99}, "crf"),
        ({"chroma_format": "411"}, "chroma_format"),
        ({"start": 2, "end": 1}, "end"),
    ):
        with pytest.raises(UsageError) as caught:
            VideoWriter(tmp_path / "out.mp4", reader, **options)  # type: ignore[arg-type]
        assert caught.value.subject == option


# --- interruption --------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "images", "f_%03d.png"])
def test_an_interruption_leaves_what_was_there(
    tmp_path: Path, film: Path, error: type[BaseException], name: str
) -> None:
    folder = tmp_path / "result"
    folder.mkdir()
    if "." in name and "%" not in name:
        (folder / name).write_bytes(b"precious")
    before = sorted(os.listdir(folder))
    reader = VideoReader(film)

    def interrupted() -> None:
        with VideoWriter(folder / name, reader, overwrite=True) as writer:
            for frame in reader.frames():
                writer.write(paint(frame, writer.chroma_format))
                assert len(os.listdir(folder if name != "f_%03d.png" else tmp_path)) > len(before)
                if frame.index == 3:
                    raise error

    with pytest.raises(error):
        interrupted()
    assert sorted(os.listdir(folder)) == before
    assert sorted(os.listdir(tmp_path)) == ["film.mkv", "result"]
    if before:
        assert (folder / name).read_bytes() == b"precious"


def test_the_film_appears_only_when_it_is_complete(tmp_path: Path, film: Path) -> None:
    reader = VideoReader(film)
    with VideoWriter(tmp_path / "out.mp4", reader) as writer:
        for frame in reader.frames():
            writer.write(paint(frame, writer.chroma_format))
        assert not (tmp_path / "out.mp4").exists()
    assert nothing_left(tmp_path, "film.mkv", "out.mp4")
    assert len(lumas(tmp_path / "out.mp4")) == 6


def test_overwriting_replaces(tmp_path: Path, film: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"old")
    (tmp_path / "images").mkdir()
    for number in range(20):
        (tmp_path / "images" / f"frame_{number:06d}.png").write_bytes(b"old")
    (tmp_path / "images" / "notes.txt").write_text("mine")
    color(film, tmp_path / "out.mp4", overwrite=True)
    color(film, tmp_path / "images", overwrite=True)
    assert len(lumas(tmp_path / "out.mp4")) == 6
    assert nothing_left(tmp_path / "images", "notes.txt", *(f"frame_{k:06d}.png" for k in range(6)))
    assert nothing_left(tmp_path, "film.mkv", "images", "out.mp4")


def test_no_frames_is_an_error(tmp_path: Path, film: Path) -> None:
    with pytest.raises(OutputError, match="no frame was written"), VideoWriter(tmp_path / "out.mp4", VideoReader(film)):
        pass
    assert nothing_left(tmp_path, "film.mkv")


def test_frames_that_do_not_fit_are_refused(tmp_path: Path, film: Path) -> None:
    reader = VideoReader(film)
    frames = [paint(frame, "420") for frame in reader.frames()]
    writer = VideoWriter(tmp_path / "out.mp4", reader)

    def write(*some: Frame) -> None:
        with writer:
            for frame in some:
                writer.write(frame)

    with pytest.raises(ValueError, match="after"):
        write(frames[1], frames[0])
    with pytest.raises(ValueError, match="U and V"):
        write(next(iter(reader.frames())))
    with pytest.raises(ValueError, match="U and V"):
        write(paint(frames[5], "444"))
    assert nothing_left(tmp_path, "film.mkv")


@pytest.mark.parametrize("name", ["out.mkv", "images"])
def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path, name: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    make_film(tmp_path / "film.mkv", Film(320, 240, 40))
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted")
    try:
        with pytest.raises(OutputError, match="disk is full"):
            color(tmp_path / "film.mkv", disk / name, **({"codec": "ffv1"} if "." in name else {}))
        assert nothing_left(disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_failing_write_is_an_error_that_leaves_nothing(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(old: object, new: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="disk is full"):
        color(film, tmp_path / "out.mp4")
    assert nothing_left(tmp_path, "film.mkv")
