"""The film is found by what it is: its length and frames, not its place in the file or the folder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import UsageError
from kinemacolor.core.events import AnyEvent, WarningEvent
from kinemacolor.pipeline.job import colorize
from kinemacolor.video.film_stream import choose_stream
from kinemacolor.video.reader import VideoReader
from tests.stills import halves, write_still
from tests.video.test_video import ffmpeg

SIZES = {"poster": (96, 80), "film": (64, 48), "proxy": (32, 24)}


def write_streams(path: Path, streams: list[tuple[str, int]], rate: int = 24) -> Path:
    """A film of several streams of pictures, each with the name of its size and its number of frames."""
    with av.open(str(path), "w") as container:
        opened: list[tuple[Any, int, int]] = []
        for name, frames in streams:
            stream: Any = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=rate)
            stream.width, stream.height = SIZES[name]
            stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, rate)
            opened.append((stream, frames, len(opened)))
        for number in range(max(frames for _, frames in streams)):
            for stream, frames, order in opened:
                if number < frames:
                    level = np.full((stream.height * 3 // 2, stream.width), 40 + 60 * order + number % 50, np.uint8)
                    picture = av.VideoFrame.from_ndarray(level, format="yuv420p")
                    picture.pts, picture.time_base = number, Fraction(1, rate)
                    container.mux(stream.encode(picture))
        for stream, _, _ in opened:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".mov"])
def test_a_picture_before_the_film_is_not_the_film(tmp_path: Path, suffix: str) -> None:
    film = write_streams(tmp_path / f"film{suffix}", [("poster", 1), ("film", 30)])
    reader = VideoReader(film)
    assert (reader.info.width, reader.info.height, reader.info.stream) == (64, 48, 1)
    assert [frame.index for frame in reader.frames()] == list(range(30))
    (remark,) = reader.info.remarks
    assert "stream 1 (" in remark
    assert "not stream 0 (" in remark
    assert "1 frame)" in remark


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ([("film", 30), ("poster", 1)], 0),
        ([("poster", 5), ("film", 30)], 1),
        ([("proxy", 30), ("film", 30)], 1),
        ([("film", 30), ("film", 30)], 0),
        ([("poster", 1), ("poster", 1), ("film", 12)], 2),
    ],
)
def test_the_film_is_the_stream_with_the_most_frames(
    tmp_path: Path, streams: list[tuple[str, int]], expected: int
) -> None:
    for name in ("film.mkv", "film.mp4"):
        assert choose_stream(write_streams(tmp_path / name, streams)).index == expected


def test_of_equal_streams_the_one_that_players_show_is_the_film(tmp_path: Path) -> None:
    film = write_streams(tmp_path / "film.mkv", [("film", 9), ("film", 9)])
    marks = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    assert ffmpeg("-i", film, "-map", "0", "-c", "copy", *marks, tmp_path / "marked.mkv").returncode == 0
    assert choose_stream(tmp_path / "marked.mkv").index == 1


def test_a_long_film_is_judged_by_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_streams(tmp_path / "film.mkv", [("poster", 40), ("film", 200)])
    monkeypatch.setattr("kinemacolor.video.film_stream._SCANNED_PACKETS", 60)
    assert choose_stream(film).index == 1


def test_one_stream_leaves_no_choice(tmp_path: Path) -> None:
    film = write_streams(tmp_path / "film.mkv", [("film", 3)])
    assert choose_stream(film).remark is None
    assert VideoReader(film).info.remarks == ()


def test_a_stream_can_be_chosen(tmp_path: Path) -> None:
    film = write_streams(tmp_path / "film.mkv", [("film", 4), ("poster", 30)])
    reader = VideoReader(film, stream=0)
    assert len(list(reader.frames())) == 4
    assert reader.info.remarks == ()
    assert len(list(reader.frames(first=2))) == 2
    with pytest.raises(UsageError, match=r"stream 7 of .* holds no pictures; those with pictures: 0, 1"):
        VideoReader(film, stream=7)
    with pytest.raises(UsageError, match="a film kept as images has no streams"):
        VideoReader(write_still(tmp_path / "still.png", halves()), stream=0)


@pytest.mark.parametrize("chosen", [None, 0])
def test_the_choice_is_told_before_the_work(tmp_path: Path, chosen: int | None) -> None:
    film = write_streams(tmp_path / "film.mp4", [("poster", 2), ("film", 9)])
    still = write_still(tmp_path / "still.png", halves())
    events: list[AnyEvent] = []
    out = tmp_path / "out.mp4"
    summary = colorize(film, still, out, on_event=events.append, stream=chosen, report=tmp_path / "report.html")
    assert summary.frames == (9 if chosen is None else 2)
    told = [event.message for event in events if isinstance(event, WarningEvent) and "several streams" in event.message]
    assert len(told) == (1 if chosen is None else 0)
    if told:
        kinds = [type(event).__name__ for event in events]
        assert kinds.index("WarningEvent") < kinds.index("PlannedEvent")
        assert told[0] in summary.warnings


# --- folders --------------------


def write_images(folder: Path, *names: str, size: tuple[int, int] = (64, 48)) -> None:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full(size[::-1], 10 * number + 5, np.uint8))


FRAMES = [f"frame_{number:04d}.png" for number in range(8, 13)]


@pytest.mark.parametrize(
    "strays",
    [["cover.jpg"], ["sheet.png", "Thumbs.jpg"], ["1-poster.png"], ["scan notes 3.png"], ["frame_0008.jpg", "x.png"]],
)
def test_pictures_that_are_not_frames_are_left_out(tmp_path: Path, strays: list[str]) -> None:
    write_images(tmp_path / "scans", *FRAMES)
    write_images(tmp_path / "scans", *strays)
    reader = VideoReader(tmp_path / "scans")
    assert [frame.luma[0, 0] for frame in reader.frames()] == [5, 15, 25, 35, 45]
    assert reader.info.numbers == (8, 9, 10, 11, 12)
    (remark,) = reader.info.remarks
    assert all(name in remark for name in strays)


def test_small_copies_and_the_same_frames_in_another_format_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "scans", *FRAMES)
    write_images(tmp_path / "scans", *(name.replace("frame", "thumb") for name in FRAMES), size=(32, 24))
    write_images(tmp_path / "scans", *(name.replace("png", "jpg") for name in FRAMES))
    reader = VideoReader(tmp_path / "scans")
    assert [frame.luma[0, 0] for frame in reader.frames()] == [5, 15, 25, 35, 45]
    assert "10 pictures" in reader.info.remarks[0]


def test_masks_beside_the_frames_are_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "scans", "7a.tif", "8a.tif", "9a.tif")
    write_images(tmp_path / "scans", "7a-mask.tif", "8a-mask.tif", "9a-mask.tif", "index.tif")
    assert [frame.luma[0, 0] for frame in VideoReader(tmp_path / "scans").frames()] == [5, 15, 25]


def test_reels_in_one_folder_are_joined_and_told(tmp_path: Path) -> None:
    write_images(tmp_path / "scans", "reel1_1.png", "reel1_2.png", "reel2_1.png", "reel2_2.png")
    reader = VideoReader(tmp_path / "scans")
    assert [frame.luma[0, 0] for frame in reader.frames()] == [5, 15, 25, 35]
    assert "2 series" in reader.info.remarks[0]


@pytest.mark.parametrize("names", [["a.png", "b.png", "c.png"], ["1.png", "2.png"], ["cover.png"], FRAMES])
def test_a_folder_of_frames_alone_is_read_as_ever(tmp_path: Path, names: list[str]) -> None:
    write_images(tmp_path / "scans", *names)
    reader = VideoReader(tmp_path / "scans")
    assert [frame.luma[0, 0] for frame in reader.frames()] == [10 * number + 5 for number in range(len(names))]
    assert reader.info.remarks == ()
