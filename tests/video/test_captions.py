"""Closed captions inside the picture stream."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type

from kinemacolor.core.errors import OutputError
from kinemacolor.video.captions import insert_captions
from kinemacolor.video.codecs import CODECS
from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter, join_segments
from kinemacolor.video.writer import plan_output
from tests.media import Film, make_film
from tests.video.test_video import color, ffmpeg, paint

COUNT = 24


def units(number: int) -> bytes:
    """The captions of a frame: two bytes of text, and bytes among which a start code would occur."""
    return bytes([0xFC, 0x41 + number, 0x42]) + bytes([0xFC, 0, 0]) + bytes([0xFA, 0, number % 4])


def captioned(path: Path) -> Path:
    """A film whose pictures have captions, in H.264 with frames that are decoded in another order."""
    plain = path.with_name("plain.mp4")
    make_film(plain, Film(count=COUNT, codec="libx264", options={"bf": "3"}, audio="aac"))
    record = CODECS["h264"].nal_units
    assert record is not None
    annexb = path.with_name("plain.ts")
    assert ffmpeg("-i", plain, "-map", "0", "-c", "copy", annexb).returncode == 0
    with av.open(str(annexb)) as source, av.open(str(path), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        origin = source.streams.video[0].start_time or 0
        for packet in source.demux():
            if not packet.size:
                continue
            new = packet
            if packet.stream.type == "video" and packet.pts is not None and packet.time_base:
                number = round((packet.pts - origin) * packet.time_base * 24)
                new = av.Packet(insert_captions(bytes(packet), units(number), record))
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.is_keyframe = packet.is_keyframe
            new.stream = streams[packet.stream.index]
            target.mux(new)
    return path


def captions(path: Path) -> list[bytes]:
    """The captions of each frame of a film, as FFmpeg decodes them."""
    with av.open(str(path)) as film:
        return [bytes(picture.side_data[Type.A53_CC]) for picture in film.decode(video=0)]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_captions_are_carried_over_with_their_frames(tmp_path: Path, codec: str, name: str) -> None:
    source = captioned(tmp_path / "film.ts")
    assert captions(source) == [units(number) for number in range(COUNT)]
    color(source, tmp_path / name, codec=codec)
    assert captions(tmp_path / name) == captions(source)
    shown = ffmpeg("-i", tmp_path / name, "-vf", "showinfo", "-f", "null", "-").stderr.decode().lower()
    assert shown.count("closed captions: (9 bytes)") == COUNT
    info = VideoReader(source).info
    assert not any(
        "captions" in line
        for line in check_muxing(tmp_path / name, info, plan_output(name, info, codec=codec), strict=False)
    )


def test_captions_are_in_the_segments_of_a_film(tmp_path: Path) -> None:
    source = captioned(tmp_path / "film.ts")
    reader, out = VideoReader(source), tmp_path / "out.mp4"
    encoding = plan_output(out, reader.info)
    paths = [tmp_path / "0.seg", tmp_path / "1.seg"]
    for path, first in zip(paths, (0, 10), strict=True):
        with SegmentWriter(path, reader.info, encoding) as writer:
            for frame in reader.frames(first=first, last=10 if first == 0 else None):
                writer.write(paint(frame, encoding.chroma_format))
    join_segments(out, reader, paths, encoding)
    assert captions(out) == captions(source)


def test_captions_that_a_codec_cannot_hold_are_told_before_the_work(tmp_path: Path) -> None:
    source, out = captioned(tmp_path / "film.ts"), tmp_path / "out.mkv"
    info = VideoReader(source).info
    encoding = plan_output(out, info, codec="ffv1")
    (line,) = [line for line in check_muxing(out, info, encoding, strict=False) if "captions" in line]
    assert "h264 or h265" in line
    with pytest.raises(OutputError, match="captions"):
        check_muxing(out, info, encoding, strict=True)


def test_captions_of_mpeg2_are_found_and_carried_over(tmp_path: Path) -> None:
    source = tmp_path / "film.ts"
    done = ffmpeg("-i", captioned(tmp_path / "h264.ts"), "-c:v", "mpeg2video", "-a53cc", "1", "-bf", "2", source)
    assert done.returncode == 0
    assert captions(source) == [units(number) for number in range(COUNT)]
    color(source, tmp_path / "out.mp4")
    assert captions(tmp_path / "out.mp4") == captions(source)
    info = VideoReader(source).info
    told = check_muxing(tmp_path / "out.mkv", info, plan_output(tmp_path / "out.mkv", info, codec="ffv1"), strict=False)
    assert any("captions" in line for line in told)


def test_many_units_become_several_messages() -> None:
    record = CODECS["h265"].nal_units
    assert record is not None
    picture = b"\0\0\0\1\x40\1vps\0\0\1\x02\1slice"
    captioned = insert_captions(picture, bytes([0xFC, 65, 66]) * 40, record)
    assert captioned.startswith(b"\0\0\0\1\x40\1vps\0\0\0\1\x4e\1")
    assert captioned.endswith(b"\x80\0\0\1\x02\1slice")
    assert captioned.count(b"GA94\x03") == 2
    assert b"GA94\x03" + bytes([0x40 | 31, 0xFF]) in captioned
    assert b"GA94\x03" + bytes([0x40 | 9, 0xFF]) in captioned
