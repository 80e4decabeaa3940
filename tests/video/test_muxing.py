"""What lies beside the picture, in the form in which restorers' own files hold it."""

from __future__ import annotations

import hashlib
import re
from fractions import Fraction
from pathlib import Path

import av
import pytest

from kinemacolor.core.errors import OutputError
from kinemacolor.video import film_sink
from kinemacolor.video.codecs import CODECS
from kinemacolor.video.film_sink import check_muxing
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.timecode import advance_timecode
from kinemacolor.video.writer import plan_output
from tests.media import Film, make_film
from tests.video.test_video import color, ffmpeg, nothing_left

PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=24:d=1")
SOUND = ("-f", "lavfi", "-i", "anoisesrc=d=1:r=48000:c=pink:seed=3,aformat=channel_layouts=stereo")

CODEC_FILES = [(codec, f"out{extension}") for codec, record in CODECS.items() for extension in record.extensions]


def make(path: Path, *arguments: str, sources: tuple[str, ...] = (*PICTURE, *SOUND)) -> Path:
    """A film that the ffmpeg program writes."""
    done = ffmpeg("-y", *sources, *arguments, path)
    assert done.returncode == 0, done.stderr.decode()
    return path


def rehearsed(source: Path, out: Path, **options: bool) -> list[str]:
    """What is told before the work."""
    info = VideoReader(source).info
    return check_muxing(out, info, plan_output(out, info), strict=options.get("strict", False))


def samples(path: Path) -> str:
    """A checksum of all samples of the first stream of sound, as an independent ffmpeg decodes it."""
    done = ffmpeg("-i", path, "-map", "0:a:0", "-f", "f64le", "-")
    assert len(done.stdout) > 8 * 8000
    return hashlib.sha256(done.stdout).hexdigest()


def first_sound(path: Path) -> tuple[str, Fraction]:
    """The codec of the sound, and seconds from the first picture to the first sample."""
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        frame = next(film.decode(stream))
        assert frame.pts is not None
        assert frame.time_base is not None
        return stream.codec_context.name, frame.pts * frame.time_base - VideoReader(path).info.first_time


def timecode(path: Path) -> tuple[str | None, int]:
    """The picture's time code, and how many tracks of time code the film has."""
    with av.open(str(path)) as film:
        tags = {key.lower(): value for key, value in film.streams.video[0].metadata.items()}
        return tags.get("timecode"), sum("timecode" in stream.metadata for stream in film.streams.data)


# --- time code --------------------


@pytest.mark.parametrize("name", ["out.mov", "out.mp4", "out.mkv"])
@pytest.mark.parametrize("drop", [False, True])
def test_a_track_of_time_code_is_kept(tmp_path: Path, name: str, drop: bool) -> None:
    code, rate = ("00:59:59;20", "30000/1001") if drop else ("01:00:00:05", "24")
    source = make(tmp_path / "film.mov", "-r", rate, "-c:v", "prores_ks", "-timecode", code)
    assert timecode(source) == (code, 1)
    out = tmp_path / name
    told = rehearsed(source, out)
    assert not any("stream" in line for line in told)
    color(source, out)
    assert timecode(out) == (code, 0 if name == "out.mkv" else 1)
    assert nothing_left(tmp_path, "film.mov", name)


def test_the_time_code_of_a_part_is_that_of_its_first_frame(tmp_path: Path) -> None:
    source = make(tmp_path / "film.mov", "-c:v", "prores_ks", "-timecode", "09:59:59:20")
    color(source, tmp_path / "out.mov", start=0.5)
    assert timecode(tmp_path / "out.mov") == ("10:00:00:08", 1)


def test_time_codes_count_as_the_standard_says() -> None:
    ntsc = Fraction(30000, 1001)
    assert advance_timecode("00:00:59;29", ntsc, 1) == "00:01:00;02"
    assert advance_timecode("00:09:59;29", ntsc, 1) == "00:10:00;00"
    assert advance_timecode("00:00:00;00", ntsc, 107892) == "01:00:00;00"
    assert advance_timecode("23:59:59;29", ntsc, 1) == "00:00:00;00"
    assert advance_timecode("00:00:59;59", 2 * ntsc, 1) == "00:01:00;04"
    assert advance_timecode("23:59:59:24", Fraction(25), 1) == "00:00:00:00"
    code = "00:00:00;00"
    for _ in range(0, 2 * 107892, 997):
        code = advance_timecode(code, ntsc, 997)
    assert code == advance_timecode("00:00:00;00", ntsc, 997 * len(range(0, 2 * 107892, 997)))
    for wrong, rate in (("1:2", Fraction(24)), ("00:00:00;00", Fraction(25)), ("00:00:00;00", Fraction(30))):
        with pytest.raises(ValueError, match="timecode"):
            advance_timecode(wrong, rate, 0)


# --- the rehearsal --------------------


def test_what_fails_at_the_end_of_the_file_fails_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "film.mov", "-c:v", "prores_ks", "-timecode", "01:00:00:00")
    monkeypatch.setattr(film_sink.CopiedStreams, "_muxer_recreates", lambda *_: False)
    monkeypatch.setattr("kinemacolor.video.streams.container_accepts", lambda *_: True)
    with pytest.raises(OutputError, match="writing fails"):
        rehearsed(source, tmp_path / "out.mov")
    assert nothing_left(tmp_path, "film.mov")


@pytest.mark.parametrize("size", [(48, 32), (64, 48), (160, 120)])
@pytest.mark.parametrize(("codec", "name"), CODEC_FILES)
def test_every_codec_passes_the_rehearsal(tmp_path: Path, codec: str, name: str, size: tuple[int, int]) -> None:
    source, out = tmp_path / "film.mkv", tmp_path / name
    make_film(source, Film(count=2, width=size[0], height=size[1], audio="aac"))
    info = VideoReader(source).info
    assert check_muxing(out, info, plan_output(out, info, codec=codec), strict=True) == []
    assert nothing_left(tmp_path, "film.mkv")


def test_a_stream_that_fails_only_at_the_end_of_the_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "film.mov", "-c:v", "prores_ks", "-timecode", "01:00:00:00")
    monkeypatch.setattr(film_sink.CopiedStreams, "_muxer_recreates", lambda *_: False)
    (told,) = [line for line in rehearsed(source, tmp_path / "out.mov") if "data stream" in line]
    assert "left out" in told
    color(source, tmp_path / "out.mov")


# --- packets --------------------


def decoded(path: Path, stream: str) -> str:
    """A checksum of all pictures of a stream, as an independent ffmpeg decodes them."""
    done = ffmpeg("-i", path, "-map", f"0:{stream}", "-fps_mode", "passthrough", "-f", "rawvideo", "-")
    assert done.stdout
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
def test_another_angle_with_reordered_pictures_is_copied(tmp_path: Path, container: str) -> None:
    angle = ("-f", "lavfi", "-i", "testsrc2=s=48x32:r=24:d=1")
    pictures = ("-map", "0", "-map", "1", "-c:v", "libx264", "-bf", "3", "-b_strategy", "0")
    source = make(tmp_path / "film.mkv", *pictures, sources=(*PICTURE, *angle))
    with av.open(str(source)) as film:
        assert next(film.demux(film.streams.video[1])).dts is None  # Matroska does not store it
    out = tmp_path / f"out.{container}"
    writer = color(source, out)
    assert not any("left out" in line for line in writer.warnings)
    assert decoded(out, "v:1") == decoded(source, "v:1")
    with av.open(str(source)) as film, av.open(str(out)) as copy:
        times = [
            sorted(p.pts * p.time_base for p in f.demux(f.streams.video[1]) if p.pts is not None) for f in (film, copy)
        ]
    assert len(times[0]) == 24
    assert times[0] == times[1]


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
def test_packets_of_sound_shorter_than_the_units_of_time_are_copied(tmp_path: Path, container: str) -> None:
    plain, source = make(tmp_path / "plain.mkv", "-c:v", "mpeg4", "-c:a", "pcm_s16le"), tmp_path / "film.mkv"
    with av.open(str(plain)) as film, av.open(str(source), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in film.streams}
        sample = 0
        for packet in film.demux():
            content = bytes(packet)
            step = 4 * 20 if packet.stream.type == "audio" else len(content) or 1
            for begin in range(0, len(content), step):
                piece = av.Packet(content[begin : begin + step])
                piece.pts, piece.dts, piece.time_base = packet.pts, packet.dts, packet.time_base
                if packet.stream.type == "audio":
                    piece.pts = piece.dts = sample
                    piece.time_base, sample = Fraction(1, 48000), sample + 20
                piece.is_keyframe, piece.stream = packet.is_keyframe, streams[packet.stream.index]
                target.mux(piece)
    out = tmp_path / f"out.{container}"
    color(source, out)
    assert samples(out) == samples(plain)
    assert first_sound(out)[1] == 0


NOISE = ("-f", "lavfi", "-i", "nullsrc=s=320x240:r=24:d=4,geq=random(1)*255:128:128")
LATE = ("-itsoffset", "3", "-f", "lavfi", "-i", "anoisesrc=d=1:r=48000:c=pink:seed=4")
EARLY = ("-f", "lavfi", "-i", "anoisesrc=d=4:r=48000:c=pink:seed=5")


@pytest.mark.parametrize(("name", "early"), [("film.vob", False), ("film.vob", True), ("film.ts", True)])
def test_sound_that_begins_after_what_is_probed_is_kept(tmp_path: Path, name: str, early: bool) -> None:
    sources = (*NOISE, *(EARLY if early else ()), *LATE)
    mapping = [argument for number in range(3 if early else 2) for argument in ("-map", str(number))]
    codecs = ("-c:v", "mpeg2video", "-g", "1", "-q:v", "1", "-c:a", "ac3", "-ac", "2")
    source = make(tmp_path / name, *mapping, *codecs, sources=sources)
    assert source.stat().st_size > 8_000_000
    out = tmp_path / "out.mkv"
    assert not any("stream" in line for line in rehearsed(source, out, strict=True))
    color(source, out)
    with av.open(str(out)) as film:
        tracks = [stream.codec_context.name for stream in film.streams.audio]
    assert tracks == ["ac3"] * (2 if early else 1)
    late = ffmpeg("-i", out, "-map", f"0:a:{int(early)}", "-f", "s16le", "-").stdout
    assert len(late) // 4 in range(48000, 48000 + 2 * 1536)
    begin = VideoReader(out).info.first_time
    with av.open(str(out)) as film:
        packet = next(film.demux(film.streams.audio[int(early)]))
        assert packet.pts is not None
        assert abs(packet.pts * packet.time_base - begin - 3) < Fraction(1, 50)


def test_a_stream_that_is_announced_and_never_comes_is_no_loss(tmp_path: Path) -> None:
    sounds = ("-map", "0", "-map", "1", "-c:v", "libx264", "-c:a", "truehd", "-strict", "-2")
    source = make(tmp_path / "film.m2ts", *sounds)
    with av.open(str(source)) as film:
        assert [stream.codec_context.name for stream in film.streams.audio] == ["truehd", "ac3"]
    assert not any("stream" in line for line in rehearsed(source, tmp_path / "out.mkv", strict=True))


def test_the_menus_of_a_dvd_are_no_loss(tmp_path: Path) -> None:
    source = make(tmp_path / "film.vob", "-target", "ntsc-dvd")
    with av.open(str(source)) as film:
        assert [stream.type for stream in film.streams] == ["data", "video", "audio"]
    assert not any("stream" in line for line in rehearsed(source, tmp_path / "out.mkv", strict=True))


# --- names, languages, chapters --------------------


def track_tags(path: Path, kind: str) -> list[tuple[str | None, str | None]]:
    """Language and name of each track of a kind."""
    with av.open(str(path)) as film:
        tags = [stream.metadata for stream in film.streams if stream.type == kind]
        return [(tag.get("language"), tag.get("title") or tag.get("name")) for tag in tags]


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
def test_names_and_languages_of_tracks_are_kept(tmp_path: Path, container: str) -> None:
    languages = ("-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=fra")
    names = ("-metadata:s:a:0", "title=Stummfilm", "-metadata:s:a:1", "title=Kommentar")
    tracks = ("-map", "0", "-map", "1", "-map", "1", "-c:v", "mpeg4", "-c:a", "aac", *languages, *names)
    expected = [("ger" if container == "mov" else "deu", "Stummfilm"), ("fra", "Kommentar")]
    source = make(tmp_path / "film.mp4", *tracks)
    out = tmp_path / f"out.{container}"
    assert not any("language" in line for line in color(source, out).warnings)
    assert track_tags(out, "audio") == expected
    color(out, tmp_path / f"again.{container}")
    assert track_tags(tmp_path / f"again.{container}", "audio") == expected


def test_a_language_that_quicktime_does_not_know_is_told(tmp_path: Path) -> None:
    source = make(tmp_path / "film.mkv", "-c:v", "mpeg4", "-c:a", "aac", "-metadata:s:a:0", "language=gle")
    (line,) = [line for line in rehearsed(source, tmp_path / "out.mov") if "language" in line]
    assert "(gle)" in line
    assert "audio stream 1" in line
    assert not any("language" in line for line in rehearsed(source, tmp_path / "out.mp4"))


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
def test_chapters_kept_as_a_track_of_text_stay_chapters(tmp_path: Path, container: str) -> None:
    (tmp_path / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/10\nSTART=0\nEND=4\ntitle=Erstes\n"
        "[CHAPTER]\nTIMEBASE=1/10\nSTART=4\nEND=10\ntitle=Zweites\n"
    )
    sources = (*PICTURE, *SOUND, "-i", str(tmp_path / "chapters.txt"))
    source = make(tmp_path / "film.mov", "-map_metadata", "2", "-c:v", "mjpeg", "-c:a", "pcm_s16le", sources=sources)
    with av.open(str(source)) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio", "data"]
    out = tmp_path / f"out.{container}"
    assert not any("stream" in line for line in rehearsed(source, out, strict=True))
    color(source, out)
    with av.open(str(out)) as film:
        chapters = [(round(c["start"] * c["time_base"], 3), c["metadata"]["title"]) for c in film.chapters()]
    assert chapters == [(0, "Erstes"), (Fraction(2, 5), "Zweites")]


# --- subtitles --------------------

SHOWN = """1
00:00:00,100 --> 00:00:00,600
One

2
00:00:00,100 --> 00:00:00,600
Two at once

3
00:00:00,300 --> 00:00:00,900
Three, over both

"""


def subtitles(path: Path) -> list[tuple[str, str]]:
    """When subtitles are shown, and their text, as an independent ffmpeg reads them."""
    text = ffmpeg("-i", path, "-map", "0:s", "-f", "srt", "-").stdout.decode()
    blocks = [block.split("\n", 2) for block in text.replace("\r", "").strip().split("\n\n")]
    return [(block[1].replace("00:00:00,", ""), re.sub("<[^>]*>", "", block[2])) for block in blocks]


@pytest.mark.parametrize("codec", ["srt", "ass", "webvtt"])
@pytest.mark.parametrize("container", ["mov", "mp4"])
def test_subtitles_that_overlap_stay_when_and_as_long_as_they_were(tmp_path: Path, container: str, codec: str) -> None:
    (tmp_path / "shown.srt").write_text(SHOWN)
    sources = (*PICTURE, "-i", str(tmp_path / "shown.srt"))
    source = make(tmp_path / "film.mkv", "-c:v", "mpeg4", "-c:s", codec, sources=sources)
    writer = color(source, tmp_path / f"out.{container}")
    assert sum("subtitle stream 1 was converted" in line for line in writer.warnings) == 1
    assert subtitles(tmp_path / f"out.{container}") == [
        ("100 --> 300", "One\nTwo at once"),
        ("300 --> 600", "One\nTwo at once\nThree, over both"),
        ("600 --> 900", "Three, over both"),
    ]
    color(source, tmp_path / "part.mp4", start=0.5)
    assert subtitles(tmp_path / "part.mp4") == [
        ("000 --> 100", "One\nTwo at once\nThree, over both"),
        ("100 --> 400", "Three, over both"),
    ]


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
def test_a_subtitle_shown_when_a_part_begins_is_in_it(tmp_path: Path, container: str) -> None:
    (tmp_path / "shown.srt").write_text("1\n00:00:00,100 --> 00:00:00,800\nStill here\n\n")
    sources = (*PICTURE, "-i", str(tmp_path / "shown.srt"))
    source = make(tmp_path / "film.mkv", "-c:v", "mpeg4", "-g", "6", "-c:s", "srt", sources=sources)
    out = tmp_path / f"out.{container}"
    color(source, out, start=0.5)
    assert subtitles(out) == [("000 --> 300", "Still here")]


# --- sound --------------------

DISC = ("-c:v", "mpeg2video", "-c:a")
SOUNDS = {
    "dvd.vob": (*DISC, "pcm_dvd"),
    "dvd24.vob": (*DISC, "pcm_dvd", "-sample_fmt", "s32"),
    "bluray.m2ts": (*DISC, "pcm_bluray", "-sample_fmt", "s32"),
    "wma.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "wma1.avi": ("-c:v", "mpeg4", "-c:a", "wmav1"),
    "amr.3gp": ("-c:v", "mpeg4", "-c:a", "libopencore_amrnb", "-ar", "8000", "-ac", "1", "-b:a", "12.2k"),
    "adpcm.avi": ("-c:v", "mpeg4", "-c:a", "adpcm_ms"),
    "ima.avi": ("-c:v", "mpeg4", "-c:a", "adpcm_ima_wav"),
    "qt.mov": ("-c:v", "mpeg4", "-c:a", "adpcm_ima_qt"),
    "mulaw.avi": ("-c:v", "mpeg4", "-c:a", "pcm_mulaw"),
    "alaw.mov": ("-c:v", "mpeg4", "-c:a", "pcm_alaw"),
    "s24.mkv": ("-c:v", "mpeg4", "-c:a", "pcm_s24le"),
    "u8.avi": ("-c:v", "mpeg4", "-c:a", "pcm_u8"),
}


@pytest.mark.parametrize("container", ["mkv", "mov", "mp4"])
@pytest.mark.parametrize("name", SOUNDS)
def test_every_sample_is_kept_and_conversion_is_told_before(tmp_path: Path, name: str, container: str) -> None:
    source = make(tmp_path / name, *SOUNDS[name])
    out = tmp_path / f"out.{container}"
    told = [line for line in rehearsed(source, out) if "audio" in line]
    assert [line for line in color(source, out).warnings if "audio" in line] == told
    assert samples(out) == samples(source)
    codecs, starts = zip(first_sound(source), first_sound(out), strict=True)
    assert abs(starts[0] - starts[1]) <= Fraction(1, 500)
    if codecs[0] == codecs[1]:
        assert told == []
    else:
        assert codecs[1].startswith(("pcm_", "flac"))
        assert codecs[1] == "flac" or container != "mp4" or codecs[0].startswith(("wma", "amr")) or name == "u8.avi"
        (line,) = told
        assert codecs[0] in line
        assert codecs[1] in line
        assert "without loss" in line
        with pytest.raises(OutputError, match="cannot hold audio"):
            rehearsed(source, tmp_path / f"strict.{container}", strict=True)
    assert nothing_left(tmp_path, name, out.name)


def test_a_part_of_converted_sound_stays_in_step(tmp_path: Path) -> None:
    source = make(tmp_path / "film.vob", *DISC, "pcm_dvd")
    color(source, tmp_path / "out.mkv", start=0.5)
    codec, start = first_sound(tmp_path / "out.mkv")
    assert codec == "pcm_s24le"
    assert 0 <= start < Fraction(1, 20)
