"""The registry of codecs: a record is all that a codec needs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.types import Coding
from kinemacolor.video.codecs import CHROMA_FORMATS, CODECS, CONTAINERS, DEFAULT_CODEC, CodecRecord, find_codec
from kinemacolor.video.encoder import encoder_threads
from kinemacolor.video.info import ColorTags, VideoInfo
from kinemacolor.video.output import check_destination, plan_encoding
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import VideoWriter
from tests.media import Film, make_film
from tests.video.test_video import described, paint

TOY = CodecRecord(
    name="toy",
    summary="MPEG-4 part 2, for tests",
    encoder="mpeg4",
    depths=(8,),
    options=(("g", "1"),),
    containers=("matroska",),
    crf=7,
    crf_maximum=9,
    max_threads=2,
    chroma_formats=("420",),
    chroma_options={"420": (("bf", "0"),)},
    full_range_tagged=False,
)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> CodecRecord:
    monkeypatch.setitem(CODECS, "toy", TOY)
    return TOY


def info(**changes: Any) -> VideoInfo:
    values: dict[str, Any] = {
        "path": Path("film.mkv"),
        "width": 64,
        "height": 48,
        "coding": Coding(8, False, "bt709"),
        "pixel_format": "yuv420p",
        "chroma_format": "420",
        "rate": Fraction(24),
        "time_base": Fraction(1, 1000),
        "first_time": Fraction(0),
        "frames": 3,
        "duration": 0.125,
        "sample_aspect_ratio": Fraction(1),
        "rotation": 0,
        "tags": ColorTags(),
        "codec": "ffv1",
        "container": "matroska",
    }
    return VideoInfo(**{**values, **changes})


# --- records --------------------


@pytest.mark.parametrize("name", CODECS)
def test_records_fit_the_encoders_they_name(name: str) -> None:
    record = CODECS[name]
    assert record.name == name
    assert set(record.containers) <= set(CONTAINERS.values())
    assert list(record.depths) == sorted(record.depths)
    assert set(record.chroma_formats) <= set(CHROMA_FORMATS)
    assert "\n" not in record.summary
    assert av.codec.Codec(record.encoder, "w").type == "video"
    formats = {pixel_format.name for pixel_format in av.codec.Codec(record.encoder, "w").video_formats or ()}
    for chroma_format in record.chroma_formats:
        for depth in record.depths:
            coding = Coding(depth, False, "bt709")
            encoding = plan_encoding(Path("out.mkv"), info(coding=coding), name, chroma_format, None)
            assert encoding.bit_depth == depth
            assert encoding.pixel_format in formats


def test_the_default_is_a_record_and_unknown_names_are_refused() -> None:
    assert find_codec(DEFAULT_CODEC) is CODECS[DEFAULT_CODEC]
    with pytest.raises(UsageError, match="codec: there is no codec av1; choose among h264, h265, prores, ffv1"):
        find_codec("av1")


def test_threads_come_from_the_record_and_the_height() -> None:
    assert [encoder_threads("h264", height) for height in (48, 256, 1080, 2160)] == [1, 2, 8, 8]
    assert [encoder_threads("h265", height) for height in (48, 1080)] == [1, 3]
    assert [encoder_threads(name, 1080) for name in ("prores", "ffv1")] == [0, 0]


def test_the_registry_loads_nothing_heavy() -> None:
    program = "import kinemacolor.video.codecs, sys; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "kinemacolor" in loaded
    assert not {"av", "numpy", "cv2", "pydantic"} & set(loaded)


# --- what follows from a record --------------------


def test_options_follow_from_the_record() -> None:
    def options(codec: str, **changes: Any) -> dict[str, str]:
        return plan_encoding(Path("out.mov"), info(**changes), codec, None, None).options

    assert options("h264") == {"preset": "faster", "x264-params": "cpu-independent=1", "crf": "16"}
    assert options("prores") == {"vendor": "apl0", "profile": "hq"}
    assert options("prores", chroma_format="444") == {"vendor": "apl0", "profile": "4444"}
    assert options("ffv1") == {"level": "3", "g": "1", "slicecrc": "1"}


def test_chroma_a_codec_lacks_becomes_richer_or_is_refused() -> None:
    assert plan_encoding(Path("out.mov"), info(), "prores", None, None).chroma_format == "422"
    with pytest.raises(OutputError, match="prores has no chroma format 420; set `chroma_format` to 422 or 444"):
        plan_encoding(Path("out.mov"), info(), "prores", "420", None)


def test_full_range_that_files_cannot_tell_is_a_warning() -> None:
    full = info(coding=Coding(8, True, "bt709"))
    (warning,) = plan_encoding(Path("out.mov"), full, "prores", None, None, "full").warnings
    assert "contrast will look wrong" in warning
    assert "h264, h265 or ffv1" in warning
    assert plan_encoding(Path("out.mov"), full, "h264", None, None).warnings == ()


# --- a new codec --------------------


def test_a_new_record_is_known_everywhere(tmp_path: Path, toy: CodecRecord) -> None:
    with pytest.raises(UsageError, match="choose among h264, h265, prores, ffv1, toy"):
        check_destination(tmp_path / "out.mkv", codec="av1")
    check_destination(tmp_path / "out.mkv", codec="toy")
    with pytest.raises(OutputError, match=r"\.mp4 cannot hold toy; use \.mkv, or set `codec` to h264 or h265"):
        check_destination(tmp_path / "out.mp4", codec="toy")
    with pytest.raises(UsageError, match=r"crf: prores takes no crf 5; .*h264 \(0 to 51\), .* or toy \(0 to 9\)"):
        plan_encoding(tmp_path / "out.mov", info(), "prores", None, 5)
    with pytest.raises(UsageError, match="crf: toy takes no crf 10"):
        plan_encoding(tmp_path / "out.mkv", info(), "toy", None, 10)
    encoding = plan_encoding(tmp_path / "out.mkv", info(), "toy", None, None)
    assert (encoding.codec, encoding.pixel_format) == ("toy", "yuv420p")
    assert list(encoding.options.items()) == [("g", "1"), ("crf", "7"), ("bf", "0")]
    assert encoder_threads("toy", 1080) == 2


def test_a_new_record_is_obeyed(tmp_path: Path, toy: CodecRecord) -> None:
    deep = info(coding=Coding(16, True, "bt709"), chroma_format="444")
    encoding = plan_encoding(tmp_path / "out.mkv", deep, "toy", None, None)
    assert (encoding.chroma_format, encoding.bit_depth) == ("420", 8)
    rounded, full_range = encoding.warnings
    assert "toy holds 8 of the film's 16 bits: luma is rounded; ffv1 keeps it" in rounded
    assert "as readers of toy expect" in full_range
    odd = info(width=61)
    with pytest.raises(OutputError, match="toy cannot hold a film of 61x48 as 420; set `codec` to ffv1"):
        plan_encoding(tmp_path / "out.mkv", odd, "toy", None, None)


def test_a_film_is_written_with_a_new_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODECS, "toy", replace(TOY, crf=None))
    make_film(tmp_path / "film.mkv", Film(count=3))
    with VideoReader(tmp_path / "film.mkv") as film, VideoWriter(tmp_path / "out.mkv", film, codec="toy") as writer:
        for frame in film.frames():
            writer.write(paint(frame, writer.chroma_format))
    assert "Video: mpeg4" in described(tmp_path / "out.mkv")
    assert len(list(VideoReader(tmp_path / "out.mkv").frames())) == 3
