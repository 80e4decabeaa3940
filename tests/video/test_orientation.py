"""Marks that turn or flip a picture: what a player shows upright comes out upright, in every output."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.orientation import AS_STORED, Orientation, image_orientation, matrix_orientation
from kinemacolor.core.types import Array
from kinemacolor.pipeline.job import colorize
from kinemacolor.references.image import read_still
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still
from tests.video.test_video import color, ffmpeg

ONE = 65536
MATRICES = {
    (turn, flip): (sign * cos * ONE, sign * sin * ONE, 0, -sin * ONE, cos * ONE, 0, 0, 0, 1 << 30)
    for turn, (cos, sin) in {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}.items()
    for flip, sign in ((False, 1), (True, -1))
}
EXIF = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
"""What a viewer makes of a stored picture, by the standard's words on rows and columns."""


def shown(path: Path, width: int, height: int) -> Array:
    """Luma of the frames as an independent player shows them."""
    raw = ffmpeg("-i", path, "-vf", "extractplanes=y", "-fps_mode", "passthrough", "-f", "rawvideo", "-").stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width)


def tiff_block(code: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, code, 0, 0)


def marked(path: Path, image: Array, code: int) -> Path:
    """Writes an image whose EXIF says how it is turned."""
    if path.suffix == ".tif":
        header = {256: image.shape[1], 257: image.shape[0], 258: 8, 259: 1, 262: 1, 273: 8, 274: code}
        entries = {**header, 277: 1, 278: image.shape[0], 279: image.size}
        directory = struct.pack("<H", len(entries))
        for tag, value in sorted(entries.items()):
            directory += struct.pack("<HHIHH", tag, 3, 1, value, 0)
        content = b"II*\0" + struct.pack("<I", 8 + image.size) + image.tobytes() + directory + b"\0\0\0\0"
    else:
        content = cv2.imencode(path.suffix, image)[1].tobytes()
        if path.suffix == ".png":
            block = b"eXIf" + tiff_block(code)
            chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
            content = content[:33] + chunk + content[33:]
        elif path.suffix == ".jpg":
            block = b"Exif\0\0" + tiff_block(code)
            content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("turn", "flip"), MATRICES)
@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv", "images"])
def test_what_a_player_shows_upright_comes_out_upright(tmp_path: Path, name: str, turn: int, flip: bool) -> None:
    source, out = tmp_path / "film.mp4", tmp_path / name
    make_film(source, Film(count=2, codec="libx264", display_matrix=MATRICES[turn, flip]))
    info = VideoReader(source).info
    assert info.orientation == Orientation(turn, flip)
    width, height = (48, 64) if turn % 180 else (64, 48)
    upright = shown(source, width, height)
    writer = color(source, out, **({} if name == "images" else {"crf": 1}))
    assert not [line for line in writer.warnings if "milliseconds" not in line]
    if name == "images":
        images = VideoReader(out)
        assert (images.info.width, images.info.height) == (width, height)
        levels = np.stack([frame.luma for frame in images.frames()])
    else:
        assert VideoReader(out).info.orientation == Orientation(turn, flip)
        levels = shown(out, width, height)
    assert np.corrcoef(levels.ravel(), upright.ravel())[0, 1] > 0.9


def test_a_finished_job_gives_upright_images(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mp4", Film(count=3, codec="libx264", display_matrix=MATRICES[90, True]))
    write_still(tmp_path / "still.png", halves())
    out = tmp_path / "out"
    colorize(tmp_path / "film.mp4", tmp_path / "still.png", out, report=tmp_path / "r.html", overlay=tmp_path / "o.mp4")
    assert cv2.imread(str(out / "frame_000000.png")).shape[:2] == (64, 48)
    overlay = VideoReader(tmp_path / "o.mp4").info
    assert (overlay.width, overlay.height) == (48, 64)


def test_a_tilted_film_is_told(tmp_path: Path) -> None:
    cos, sin = round(ONE * np.cos(0.2)), round(ONE * np.sin(0.2))
    matrix = (cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)
    assert matrix_orientation(matrix) == (AS_STORED, pytest.approx(np.degrees(0.2), abs=0.01))
    make_film(tmp_path / "film.mp4", Film(count=2, codec="libx264", display_matrix=matrix))
    (remark,) = VideoReader(tmp_path / "film.mp4").info.remarks
    assert "+11°" in remark


def test_marks_inside_the_stream_are_honored_and_a_change_is_told(tmp_path: Path) -> None:
    parts = []
    for turn in (90, 180):
        mark = f"h264_metadata=display_orientation=insert:rotate={turn}"
        make = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25", "-frames:v", "6", "-c:v", "libx264", "-bf", "0")
        ffmpeg(*make, "-bsf:v", mark, tmp_path / f"{turn}.h264")
        parts.append((tmp_path / f"{turn}.h264").read_bytes())
    for name, content in (("one", parts[0]), ("two", b"".join(parts))):
        (tmp_path / f"{name}.h264").write_bytes(content)
        ffmpeg("-r", "25", "-i", tmp_path / f"{name}.h264", "-c", "copy", tmp_path / f"{name}.mp4")
    one, two = (VideoReader(tmp_path / name) for name in ("one.mp4", "two.mp4"))
    assert one.info.orientation == Orientation(270)  # the mark counts counterclockwise
    color(tmp_path / "one.mp4", tmp_path / "out.mp4")
    assert VideoReader(tmp_path / "out.mp4").info.orientation == Orientation(270)
    assert len(list(one.frames())) == 6
    assert one.damage is None
    assert len(list(two.frames())) == 12
    assert "from frame 6 on another mark turns the picture" in str(two.damage)


@pytest.mark.parametrize("code", EXIF)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_frames_kept_as_images_are_read_upright(tmp_path: Path, suffix: str, code: int) -> None:
    rng = np.random.default_rng(1)
    stored = cv2.resize(rng.integers(30, 220, (6, 8), np.uint8), (64, 48), interpolation=cv2.INTER_NEAREST)
    for number in range(2):
        marked(tmp_path / f"{number}{suffix}", stored, code)
    reader = VideoReader(tmp_path)
    upright = EXIF[code](stored)
    assert (reader.info.height, reader.info.width) == upright.shape
    assert reader.info.orientation == AS_STORED
    for frame in reader.frames():
        assert np.abs(frame.luma.astype(int) - upright).max() <= (12 if suffix == ".jpg" else 0)


def test_turned_and_upright_images_make_one_film(tmp_path: Path) -> None:
    stored = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64)
    marked(tmp_path / "1.png", stored, 6)
    marked(tmp_path / "2.png", np.ascontiguousarray(EXIF[6](stored)), 1)
    first, second = (frame.luma for frame in VideoReader(tmp_path).frames())
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("sampling", [(2, 1), (2, 2), (1, 1)])
@pytest.mark.parametrize("code", EXIF)
def test_color_turns_with_the_picture(tmp_path: Path, code: int, sampling: tuple[int, int]) -> None:
    from PIL import Image

    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:16, :16], stored[16:] = (200, 40, 40), (40, 60, 200)
    exif = Image.Exif()
    exif[274] = code
    image = Image.fromarray(stored)
    image.save(tmp_path / "1.jpg", quality=95, subsampling={(1, 1): 0, (2, 1): 1, (2, 2): 2}[sampling], exif=exif)
    reader = VideoReader(tmp_path)
    (frame,) = reader.frames(chroma=True)
    assert frame.chroma is not None
    upright = EXIF[code](cv2.cvtColor(stored, cv2.COLOR_RGB2YCrCb)[..., 1])
    red = frame.chroma[1]
    step_y, step_x = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[reader.info.chroma_format]
    assert red.shape == (-(-reader.info.height // step_y), -(-reader.info.width // step_x))
    assert np.median(np.abs(red.astype(int) - upright[::step_y, ::step_x])) <= 2


@pytest.mark.parametrize("code", EXIF)
@pytest.mark.parametrize(
    "name", ["still.png", "alpha.png", "still.jpg", "still.webp", "alpha.webp", "still.tif", "alpha.tif"]
)
def test_stills_are_read_upright(tmp_path: Path, name: str, code: int) -> None:
    from PIL import Image

    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:16, :16], stored[16:] = (200, 40, 40), (40, 60, 200)
    image = Image.fromarray(stored)
    if name.startswith("alpha"):
        image.putalpha(Image.fromarray(np.where(stored[..., 2] > 0, 255, 0).astype(np.uint8)))
    exif = Image.Exif()
    exif[274] = code
    options = {"lossless": True} if name.endswith("webp") else {}
    image.save(tmp_path / name, exif=exif, **options)
    still = read_still(tmp_path / name)
    upright = EXIF[code](stored) / 255
    assert still.rgb.shape == upright.shape
    assert np.median(np.abs(still.rgb - upright)[still.mask]) < 0.02
    assert np.abs(still.rgb - upright)[still.mask].mean() < 0.03
    if name.startswith("alpha"):
        np.testing.assert_array_equal(still.mask, EXIF[code](stored[..., 2] > 0))


def test_a_cut_off_mark_is_no_mark() -> None:
    whole = b"\xff\xd8\xff\xe1" + struct.pack(">H", 34) + b"Exif\0\0" + tiff_block(6)
    assert image_orientation(whole) == Orientation(90)
    for length in range(len(whole) - 6):
        assert image_orientation(whole[:length]) == AS_STORED


def test_an_orientation_of_arrays_has_an_inverse() -> None:
    picture = np.arange(24).reshape(2, 4, 3)
    for orientation in (Orientation(turn, flip) for turn, flip in MATRICES):
        np.testing.assert_array_equal(orientation.stored(orientation.upright(picture)), picture)


def test_the_default_of_a_film_is_upright() -> None:
    assert VideoInfo.__dataclass_fields__["flipped"].default is False
