"""Hostile inputs for ``fuzz.py``: small good files of every kind, and what is done to them, all decided by the seed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "kinemacolor" / "assets"
FRAMES, WIDTH, HEIGHT = 6, 64, 48
FILMS = {
    "h264.mp4": "-c:v libx264 -g 3 -c:a aac",
    "h264.mkv": "-c:v libx264 -bf 2 -c:a libmp3lame",
    "ffv1.mkv": "-c:v ffv1 -pix_fmt yuv422p10le -c:a flac",
    "hevc.mkv": "-c:v libx265 -x265-params log-level=error:pools=1 -c:a ac3",
    "mpeg4.avi": "-c:v mpeg4 -c:a libmp3lame",
    "mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le",
    "prores.mov": "-c:v prores_ks -c:a pcm_s24le -timecode 01:00:00:00",
    "mpeg2.ts": "-c:v mpeg2video -c:a mp2",
    "mpeg2.mpg": "-c:v mpeg2video -c:a mp2",
    "mpeg2.mxf": "-c:v mpeg2video -ar 48000 -c:a pcm_s16le",
    "vp8.webm": "-c:v libvpx -c:a libvorbis",
    "theora.ogv": "-c:v libtheora -c:a libvorbis",
    "wmv2.wmv": "-c:v wmv2 -c:a wmav2",
    "flv1.flv": "-c:v flv -ar 44100 -c:a libmp3lame",
    "raw.y4m": "-pix_fmt gray -an",
}
"""Films by name: options of ffmpeg."""
STILLS = ("rgb.png", "rgba.png", "deep.png", "photo.jpg", "scan.tiff", "web.webp")
SHOT_LISTS = {
    "shots.json": json.dumps(
        {"frames": FRAMES, "rate": "24", "shots": [{"first": 0, "last": 2}, {"first": 3, "last": 5}]}
    ),
    "shots.csv": "shot,first,last,start,end\n1,0,2,0.0,0.125\n2,3,5,0.125,0.25\n",
    "shots.edl": "TITLE: film\nFCM: NON-DROP FRAME\n\n"
    "001  AX       V     C        00:00:00:00 00:00:00:03 00:00:00:00 00:00:00:03\n"
    "002  AX       V     C        00:00:00:03 00:00:00:06 00:00:00:03 00:00:00:06\n",
}
PROJECT = """film = "film.mp4"
output = "out.mkv"
shots = "none"

[[references]]
file = "still.png"
frame = 2

[[references]]
file = "still.png"
time = "00:00:00.1"

[settings]
engine = "matching"
working_size = 32
codec = "ffv1"
saturation = 1.2
start = 0.0
end = "0.2"
max_segment_frames = 3
"""
KINDS = {"film": 40, "still": 14, "frame": 6, "shots": 10, "project": 10, "recipe": 8, "onnx": 6, "safetensors": 6}
"""Kinds of inputs, and how many of a hundred are of each."""
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\x7f")
ODD_NAMES = (
    "-{}",
    "a\nb{}",
    " {}",
    "%d{}",
    "ä\u202e{}",
    "{}.",
    "x" * 200 + "{}",
    "[1]*?{}",
    "\x1b[31m{}",
    "con\\{}",
    "\udcff{}",
)
WORDS = (
    *("-1", "0", "1e999", "nan", "inf", "-inf", "9" * 400, "1/0", "true", "{}", "[]", '""', "'''", '"\\u0000"'),
    *(
        "[" * 3000,
        "{a=" * 1500,
        "\0",
        "\ufeff",
        "\n",
        "1979-05-27",
        '"../../../etc/passwd"',
        "{preset = []}",
        "2147483648",
    ),
)


@dataclass(frozen=True, slots=True)
class FuzzInput:
    """One hostile input.

    Attributes:
        number: with the seed it decides everything.
        kind: of ``KINDS``.
        sample: the good file that it comes from.
        changes: what was done to it, for people.
        arguments: of the command line, to be run in the input's folder.
        outputs: names that the command may make.
    """

    number: int
    kind: str
    sample: str
    changes: tuple[str, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]


# --- good files --------------------


def make_samples(folder: Path) -> None:
    """Writes the good files into ``folder``/KIND/NAME."""
    for kind in ("film", "still", "shots", "project", "recipe", "onnx", "safetensors"):
        (folder / kind).mkdir(parents=True)
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=24:duration={FRAMES / 24}"
    sound = f"sine=frequency=440:sample_rate=48000:duration={FRAMES / 24}"
    inputs = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", sound]
    exact = ["-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact"]
    for name, options in FILMS.items():
        run_ffmpeg(*inputs, "-pix_fmt", "yuv420p", *options.split(), *exact, str(folder / "film" / name))
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pictures = {"rgba.png": np.dstack([noise, np.full((HEIGHT, WIDTH), 255, np.uint8)])}
    pictures["deep.png"] = noise.astype(np.uint16) * 257
    for name in STILLS:
        assert cv2.imwrite(str(folder / "still" / name), pictures.get(name, noise))
    for name, text in SHOT_LISTS.items():
        (folder / "shots" / name).write_text(text, "utf-8")
    (folder / "project" / "project.toml").write_text(PROJECT, "utf-8")
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        shutil.copy(recipe, folder / "recipe")
    for graph in sorted((ASSETS / "lite").glob("*.onnx")):
        shutil.copy(graph, folder / "onnx")
    shutil.copy(ASSETS / "lite.safetensors", folder / "safetensors")


def run_ffmpeg(*arguments: str) -> None:
    """Runs the independent ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]
    subprocess.run(command, check=True)


# --- what is done to them --------------------


def mutate(content: bytes, other: bytes, draw: random.Random, *, text: bool) -> tuple[bytes, list[str]]:
    """A file's content after one to three changes, and their names.

    Args:
        content: of the good file.
        other: of another one of its kind, to be spliced in.
        draw: decides.
        text: whether words and lines may be changed as well; else single letters of words.
    """
    ways: list[Callable[[bytes, bytes, random.Random], bytes]] = [_flip, _flip_head, _cut, _splice, _extreme, _drop]
    if text:
        ways += [_word, _word, _word, _lines, _lines, _insert]
    else:
        ways += [_letters]
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        way = draw.choice(ways)
        content = way(content, other, draw)
        names.append(way.__name__.strip("_"))
    return content, names


def _flip(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return _flipped(content, len(content), draw)


def _flip_head(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return _flipped(content, min(len(content), 400), draw)


def _flipped(content: bytes, reach: int, draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(round(2 ** draw.uniform(0, 7)) if reach else 0):
        data[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return bytes(data)


def _cut(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _drop(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(content))
    return content[:start] + content[start + round(2 ** draw.uniform(0, 12)) :]


def _splice(content: bytes, other: bytes, draw: random.Random) -> bytes:
    at, start = draw.randint(0, len(content)), draw.randint(0, len(other))
    piece = other[start : start + round(2 ** draw.uniform(0, 13))]
    return content[:at] + piece + content[at + draw.choice((0, len(piece))) :]


def _extreme(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        at = draw.randint(0, max(0, len(data) - 4))
        data[at : at + 4] = draw.choice(EXTREMES)
    return bytes(data)


def _letters(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    """Letters and digits of words within the first or the last few thousand bytes, where names and sizes stand."""
    data, start = bytearray(content), draw.choice((0, max(0, len(content) - 6000)))
    words = [word.span() for word in re.finditer(rb"[\w.]{2,}", content[start : start + 6000])]
    for first, stop in draw.choices(words, k=draw.randint(1, 4)) if words else ():
        data[start + draw.randrange(first, stop)] = draw.choice(b'0123456789abez_-.,"{}')
    return bytes(data)


def _word(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    values = list(re.finditer(rb"[-\w.:\"]+", content))
    if not values:
        return content
    chosen = draw.choice(values)
    return content[: chosen.start()] + draw.choice(WORDS).encode() + content[chosen.end() :]


def _insert(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] + draw.choice((b"\xff\xfe", *(word.encode() for word in WORDS))) + content[at:]


def _lines(content: bytes, other: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    way = draw.randrange(3)
    if way == 0:
        del lines[at]
    else:
        lines.insert(at, draw.choice(lines if way == 1 else other.split(b"\n")))
    return b"\n".join(lines)


# --- an input --------------------


def make_input(seed: int, number: int, samples: Path, folder: Path) -> FuzzInput:
    """Writes the input's files into ``folder``, which must be empty."""
    draw = random.Random(f"{seed}:{number}")
    kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
    sources = sorted((samples / ("still" if kind == "frame" else kind)).iterdir())
    chosen, other = draw.choice(sources), draw.choice(sources)
    text = kind in ("shots", "project", "recipe")
    content, changes = chosen.read_bytes(), []
    if draw.random() < 0.93:
        content, changes = mutate(content, other.read_bytes(), draw, text=text)
    name = chosen.name
    if kind != "onnx" and (not changes or draw.random() < 0.06):  # a graph's name is its own
        name, change = _renamed(chosen.name, draw)
        changes.append(change)
    os.link(samples / "film" / "h264.mp4", folder / "film.mp4")
    os.link(samples / "still" / "rgb.png", folder / "still.png")
    arguments, outputs = _ARGUMENTS[kind](name, draw)
    place = folder / _PLACES.get(kind, ".")
    place.mkdir(exist_ok=True)
    if kind == "onnx":
        for graph in sources:
            if graph != chosen:
                os.link(graph, place / graph.name)
    if kind == "frame":
        for at in (1, 3):
            shutil.copy(samples / "still" / "rgb.png", place / f"frame_{at:04}.png")
        name = f"frame_0002{chosen.suffix}"
    (place / name).write_bytes(content)
    if kind == "project":
        outputs = _project_output(content, outputs)
    if "--overwrite" in arguments:
        for output in outputs:
            if not output.endswith("/"):
                shutil.copy(samples / "film" / "h264.mp4", folder / output)
    return FuzzInput(number, kind, chosen.name, tuple(changes), tuple(arguments), tuple(outputs))


def _renamed(name: str, draw: random.Random) -> tuple[str, str]:
    if draw.random() < 0.5:
        suffix = draw.choice(
            (*(Path(film).suffix for film in FILMS), ".png", ".jpg", ".json", ".edl", ".toml", ".txt", "")
        )
        return f"{Path(name).stem}{suffix}", f"renamed to {suffix or 'no suffix'}"
    pattern = draw.choice(ODD_NAMES)
    return pattern.format(name), f"renamed to {pattern!r}"


def _project_output(content: bytes, outputs: list[str]) -> list[str]:
    """The outputs of a project, which a change may have renamed."""
    with contextlib.suppress(ValueError, RecursionError):
        renamed = tomllib.loads(content.decode()).get("output")
        return [renamed] if isinstance(renamed, str) and renamed else outputs
    return outputs


_PLACES = {"onnx": "graphs", "frame": "frames"}
_Arguments = tuple[list[str], list[str]]


def _colorize(film: str, output: str, *options: str, still: str = "still.png", engine: str = "matching") -> list[str]:
    size = ["--working-size", "32"]
    return ["colorize", film, "-r", still, "-o", output, "--engine", engine, *size, "--quiet", *options]


def _film_arguments(name: str, draw: random.Random) -> _Arguments:
    way = draw.random()
    if way < 0.12:
        return ["shots", name, "-o", "list.json", "--sheet", "sheet.png", "--quiet"], ["list.json", "sheet.png"]
    if way < 0.2:
        return _colorize(name, "sheet.png", "--preview", "--every", "2"), ["sheet.png"]
    if way < 0.26:
        return ["keyframes", name, "-o", "paint", "--working-size", "32", "--engine", "matching", "--quiet"], ["paint/"]
    output = draw.choice(("out.mp4", "out.mkv", "out.mov", "pictures/"))
    options = ["--overwrite"] if draw.random() < 0.3 else []
    options += draw.choice(
        ([], [], ["--start", "0.1"], ["--codec", "ffv1"], ["--strict"], ["--max-segment-frames", "2"])
    )
    options += ["--report", "report.html"] if draw.random() < 0.1 and not output.endswith("/") else []
    return _colorize(name, output, *options), [output, *(["report.html"] if "--report" in options else [])]


def _still_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", still=name), ["out.mp4"]


def _frame_arguments(_name: str, draw: random.Random) -> _Arguments:
    output = draw.choice(("out.mp4", "pictures/"))
    return _colorize("frames", output), [output]


def _shots_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--shots", name), ["out.mp4"]


def _project_arguments(name: str, _draw: random.Random) -> _Arguments:
    return ["colorize", "--project", name, "--quiet"], ["out.mkv"]


def _recipe_arguments(name: str, _draw: random.Random) -> _Arguments:
    # Data that is not there: what parses ends at once, and nothing is trained.
    return ["train", name, "--data", "nothing", "--output", "run", "--dry-run", "--quiet"], []


def _onnx_arguments(_name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--weights", "graphs", engine="onnx"), ["out.mp4"]


def _safetensors_arguments(name: str, _draw: random.Random) -> _Arguments:
    return _colorize("film.mp4", "out.mp4", "--weights", name, engine="torch"), ["out.mp4"]


_ARGUMENTS: dict[str, Callable[[str, random.Random], _Arguments]] = {
    "film": _film_arguments,
    "still": _still_arguments,
    "frame": _frame_arguments,
    "shots": _shots_arguments,
    "project": _project_arguments,
    "recipe": _recipe_arguments,
    "onnx": _onnx_arguments,
    "safetensors": _safetensors_arguments,
}
