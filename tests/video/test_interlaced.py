"""Interlaced films: the order of fields stays in the marks of the output, and the user is warned."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinemacolor.core.events import AnyEvent, WarningEvent
from kinemacolor.pipeline.job import colorize
from kinemacolor.video.reader import VideoReader
from tests.stills import halves, write_still
from tests.video.test_video import color, described, ffmpeg

H264 = ("-c:v", "libx264", "-flags", "+ilme+ildct")
SOURCES = {
    "h264.mp4": H264,
    "h264.ts": H264,
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct"),
    "prores.mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10", "-flags", "+ilme+ildct"),
    "ffv1.mkv": ("-c:v", "ffv1"),
    "h265.mov": ("-c:v", "libx265", "-x265-params", "log-level=error"),
}
SHOWN = {"top": "top", "bottom": "bottom"}


def make_interlaced(path: Path, order: str | None, options: tuple[str, ...]) -> Path:
    picture = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "4")
    fields = ("-vf", f"setfield={ {'top': 'tff', 'bottom': 'bff'}[order] }") if order else ()
    result = ffmpeg("-y", *picture, *fields, *options, path)
    assert result.returncode == 0, result.stderr.decode()
    return path


def frame_fields(path: Path) -> list[str]:
    """Of each frame as an independent decoder says: T, B or P."""
    lines = ffmpeg("-i", path, "-vf", "showinfo", "-f", "null", "-").stderr.decode().splitlines()
    return [line.split(" i:")[1][0] for line in lines if " i:" in line]


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize("name", SOURCES)
def test_the_field_order_of_a_film_is_known(tmp_path: Path, name: str, order: str) -> None:
    assert VideoReader(make_interlaced(tmp_path / name, order, SOURCES[name])).info.field_order == order


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg2.mpg", "prores.mov", "ffv1.mkv"])
def test_a_progressive_film_is_known_as_such(tmp_path: Path, name: str) -> None:
    options = tuple(option for option in SOURCES[name] if option not in ("-flags", "+ilme+ildct"))
    info = VideoReader(make_interlaced(tmp_path / name, None, options)).info
    assert info.field_order == "progressive"


@pytest.mark.parametrize(
    "options",
    [
        ("-c:v", "jpeg2000", "-pix_fmt", "yuv422p10"),
        ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p"),
        ("-c:v", "utvideo"),
        ("-c:v", "huffyuv", "-pix_fmt", "yuv422p"),
    ],
)
def test_where_frames_bear_no_mark_the_container_says_it(tmp_path: Path, options: tuple[str, ...]) -> None:
    for order, mark in (("top", "tt"), ("bottom", "bb")):
        source = make_interlaced(tmp_path / f"{order}.mkv", order, (*options, "-field_order", mark))
        info = VideoReader(source).info
        assert (info.field_order, info.remarks) == (order, ())


def test_marks_that_disagree_are_told(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "film.mov", "bottom", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10"))
    assert "bottom " in described(source)
    assert set(frame_fields(source)) == {"P"}
    info = VideoReader(source).info
    assert info.field_order == "progressive"
    (remark,) = info.remarks
    assert str(source) in remark
    assert "(bottom field first)" in remark
    assert "bwdif" in remark


def test_dv_has_its_bottom_field_first(tmp_path: Path) -> None:
    options = ("-s", "720x576", "-pix_fmt", "yuv420p", "-c:v", "dvvideo")
    assert VideoReader(make_interlaced(tmp_path / "dv.avi", "bottom", options)).info.field_order == "bottom"


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize(
    ("codec", "out", "in_frames"),
    [
        ("h264", "out.mp4", True),
        ("h264", "out.mkv", True),
        ("h264", "out.mov", True),
        ("prores", "out.mov", True),
        ("prores", "out.mkv", True),
        ("ffv1", "out.mkv", True),
        ("h265", "out.mov", False),
        ("h265", "out.mkv", False),
    ],
)
def test_the_field_order_stays_in_the_marks(tmp_path: Path, codec: str, out: str, in_frames: bool, order: str) -> None:
    source = make_interlaced(tmp_path / "film.mp4", order, H264)
    writer = color(source, tmp_path / out, codec=codec)
    (warning,) = [line for line in writer.warnings if "interlaced" in line]
    assert f"{order} field first" in warning
    assert "bwdif" in warning
    if in_frames:
        assert set(frame_fields(tmp_path / out)) == {order[0].upper()}
    if codec != "h264":
        assert f"{order} " in described(tmp_path / out)  # "top first", or "top coded first (swapped)"
    assert VideoReader(tmp_path / out).info.field_order == order


def test_what_bears_no_mark_is_told(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "film.mp4", "top", H264)
    assert any("bears no mark of it" in line for line in color(source, tmp_path / "out.mp4", codec="h265").warnings)
    assert any("images bear no mark of it" in line for line in color(source, tmp_path / "folder").warnings)


def test_a_height_that_x264_cannot_code_in_fields_is_marked_outside(tmp_path: Path) -> None:
    make = ("-vf", "setfield=tff,pad=64:50", "-c:v", "ffv1")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "3", *make, tmp_path / "film.mkv")
    source = tmp_path / "film.mkv"
    color(source, tmp_path / "out.mkv", chroma_format="420")
    assert "top" in described(tmp_path / "out.mkv")


def test_a_finished_job_keeps_the_order_and_warns_before_the_work(tmp_path: Path) -> None:
    source = make_interlaced(tmp_path / "film.ts", "bottom", H264)
    still = write_still(tmp_path / "still.png", halves())
    events: list[AnyEvent] = []
    colorize(source, still, tmp_path / "out.mp4", on_event=events.append, max_segment_frames=2)
    assert set(frame_fields(tmp_path / "out.mp4")) == {"B"}
    told = [event.message for event in events if isinstance(event, WarningEvent) and "interlaced" in event.message]
    assert len(told) == 1
    names = [type(event).__name__ for event in events]
    assert names.index("WarningEvent") < names.index("PlannedEvent")


def test_interlaced_frames_after_progressive_ones_are_told_before_the_work(tmp_path: Path) -> None:
    mpeg2 = SOURCES["mpeg2.mpg"]
    parts = [
        make_interlaced(tmp_path / "title.mpg", None, mpeg2[:2]),
        make_interlaced(tmp_path / "rest.mpg", "top", mpeg2),
    ]
    source = tmp_path / "film.mpg"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert set(frame_fields(source)) == {"P", "T"}
    assert VideoReader(source).info.field_order == "progressive"
    events: list[AnyEvent] = []
    still = write_still(tmp_path / "still.png", halves())
    summary = colorize(source, still, tmp_path / "out.mkv", on_event=events.append)
    assert summary.damage is None
    told = [event.message for event in events if isinstance(event, WarningEvent)]
    (line,) = [line for line in told if "marked as interlaced" in line]
    assert line.startswith(f"{source}: 4 of {summary.frames} frames")
    assert line in summary.warnings
    names = [type(event).__name__ for event in events]
    assert "WarningEvent" not in names[names.index("PlannedEvent") :]
    reader = VideoReader(parts[0])
    assert len(list(reader.frames())) == 4
    assert reader.remark is None
