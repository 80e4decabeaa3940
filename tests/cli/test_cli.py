"""The command line: good runs, and every bad input gets one line, its exit code, and nothing touched."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest

from kinemacolor import cli
from kinemacolor.video import image_segments, packets
from kinemacolor.video.reader import VideoReader
from tests.media import SUBTITLES, Film, make_film
from tests.stills import gray, halves, write_still

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ERROR = re.compile(r"kinemacolor: (?P<subject>.+?): (?P<problem>.+); (?P<remedy>.+)\n")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command line in this process; output is caught below Python, where native libraries print."""
    handlers = {kind: signal.getsignal(kind) for kind in SIGNALS}

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["kinemacolor", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        assert isinstance(left.value.code, int)
        return Result(left.value.code, out, err)

    yield call
    for kind, handler in handlers.items():
        signal.signal(kind, handler)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and folder below: time of change and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


def cut(path: Path, destination: Path, share: float) -> None:
    content = path.read_bytes()
    destination.write_bytes(content[: round(len(content) * share)])


def make_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="stereo")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad files. No test may change it, and each checks that it did not."""
    folder = tmp_path_factory.mktemp("bad")
    noise = np.random.default_rng(0)
    make_film(folder / "film.mkv")
    make_film(folder / "full.mkv", Film(attachment=b"font", subtitles=SUBTITLES))
    make_film(folder / "zero.mkv", Film(pts=[], audio="pcm_s16le"))
    make_sound(folder / "sound.mkv")
    (folder / "empty.mkv").touch()
    (folder / "noise.mkv").write_bytes(noise.bytes(5000))
    (folder / "text.mp4").write_text("Dear Sir,\n" * 200)
    (folder / "notes.txt").write_text("Dear Sir,\n" * 200)
    cut(folder / "film.mkv", folder / "header.mkv", 0.01)
    color = halves()
    write_still(folder / "still.png", color)
    write_still(folder / "still.jpg", color)
    write_still(folder / "gray.png", gray(color))
    write_still(folder / "almost_gray.jpg", np.repeat(gray(color)[..., None], 3, 2) + noise.integers(0, 3, (64, 96, 3)))
    write_still(folder / "small.png", color[:31])
    write_still(folder / "clear.png", color, np.zeros(color.shape[:2], np.uint8))
    hair = np.zeros((640, 960), np.uint8)
    hair[300, 300:600] = 255
    write_still(folder / "hair.png", halves(960, 640), hair)
    cut(folder / "still.png", folder / "cut.png", 0.6)
    cut(folder / "still.jpg", folder / "cut.jpg", 0.6)
    for name in ("flipped.png", "flipped.jpg"):
        content = bytearray((folder / name.replace("flipped", "still")).read_bytes())
        middle = slice(len(content) * 3 // 4, len(content) * 3 // 4 + 60)
        content[middle] = noise.bytes(60)
        (folder / name).write_bytes(content)
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("Dear Sir,")
    (folder / "there.mp4").write_bytes(b"precious")
    (folder / "images").mkdir()
    (folder / "images" / "frame_000000.png").write_bytes(b"precious")
    (folder / "link.mkv").symlink_to("film.mkv")
    return folder


FILM = ("film.mkv", "-r", "still.png")
BAD_FILMS = {
    "missing.mkv": "no such file",
    "empty.mkv": "empty",
    "noise.mkv": "cannot be read as a film",
    "text.mp4": "cannot be read as a film",
    "notes.txt": "text file",
    "header.mkv": "",
    "sound.mkv": "no video stream",
    "zero.mkv": "none of its frames",
    "missing_%03d.png": "pattern",
    "a" * 300 + ".mkv": "too long",
}
BAD_STILLS = {
    "missing.png": "cannot be read",
    "images/frame_000000.png": "not an image",
    "empty.png": "empty",
    "text.png": "not an image",
    "film.mkv": "not an image",
    "cut.png": "corrupt",
    "cut.jpg": "corrupt",
    "flipped.png": "corrupt",
    "flipped.jpg": "corrupt",
    "gray.png": "is gray",
    "almost_gray.jpg": "is gray",
    "clear.png": "transparent",
    "hair.png": "opaque",
    "small.png": "96x31",
}
BAD_OUTPUTS = {
    "there.mp4": "exists",
    "images": "holds such images",
    "images/frame_%06d.png": "holds such images",
    "nowhere/out.mp4": "no such folder",
    "film.mkv/out.mp4": "not a folder",
    "out.xyz": "extension .xyz",
    "out.png": "one image",
    "out.avi": "extension .avi",
    "b" * 300 + ".mp4": "too long",
}
BAD_OPTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "engine": (("--engine", "magic"), "expected lite, matching"),
    "small size": (("--working-size", "31"), "got 31"),
    "negative size": (("--working-size", "-5"), "got -5"),
    "large size": (("--working-size", "99999"), "99999"),
    "no start": (("--start", "soon"), "--start: expected seconds or a time"),
    "start nan": (("--start", "nan"), "nan"),
    "start inf": (("--start", "inf"), "inf"),
    "end nan": (("--end", "nan"), "nan"),
    "negative start": (("--start", "-1"), "not before 0"),
    "start after the end": (("--start", "0.3", "--end", "0.2"), "after start"),
    "start beyond the film": (("--start", "100"), "no frame lies"),
    "end at 0": (("--end", "0"), "after start"),
    "fps of a film": (("--fps", "18"), "own frame rate"),
    "codec": (("--codec", "av1"), "av1"),
    "crf": (("--crf", "99"), "99"),
    "chroma": (("--chroma-format", "411"), "411"),
    "upsample": (("--chroma-upsampling", "superb"), "superb"),
    "no such option": (("--color",), "--color"),
}


def refused(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, *arguments: str) -> str:
    """Runs, checks everything a refusal must be, and returns the line."""
    monkeypatch.chdir(folder)
    before = snapshot(folder)
    result = run("colorize", *arguments)
    assert (result.code, result.out) == (code, ""), result
    assert len(result.err.splitlines()) == 1, result.err
    assert "Traceback" not in result.err
    assert words in result.err
    assert snapshot(folder) == before
    return result.err


@pytest.mark.parametrize("name", BAD_FILMS)
def test_bad_films(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    line = refused(run, bad, monkeypatch, 3, BAD_FILMS[name], name, "-r", "still.png", "-o", "out.mp4")
    match = ERROR.fullmatch(line)
    assert match is not None
    assert match["subject"] == name


@pytest.mark.parametrize("name", BAD_STILLS)
def test_bad_references(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    line = refused(
        run, bad, monkeypatch, 3, BAD_STILLS[name], "film.mkv", "-r", "still.png", "-r", name, "-o", "out.mp4"
    )
    match = ERROR.fullmatch(line)
    assert match is not None
    assert match["subject"] == name


@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_bad_outputs(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    match = ERROR.fullmatch(refused(run, bad, monkeypatch, 4, BAD_OUTPUTS[name], *FILM, "-o", name))
    assert match is not None
    assert match["subject"] == name or Path(name).is_relative_to(match["subject"])


@pytest.mark.parametrize("name", ["film.mkv", "./film.mkv", "link.mkv"])
def test_the_film_is_never_its_own_output(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    options = ("-o", name, "--overwrite", "--codec", "ffv1")
    match = ERROR.fullmatch(refused(run, bad, monkeypatch, 4, "is the film that is read", *FILM, *options))
    assert match is not None
    assert Path(match["subject"]) == Path(name)


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    options, words = BAD_OPTIONS[case]
    assert "; " in refused(run, bad, monkeypatch, 2, words, *FILM, "-o", "out.mp4", *options)


@pytest.mark.parametrize("rate", ["fast", "0", "-5", "nan", "1/0", "1e99", "1e-99", "24:1"])
def test_bad_rates(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    arguments = ("images", "-r", "still.png", "-o", "out.mp4", "--fps", rate)
    match = ERROR.fullmatch(refused(run, bad, monkeypatch, 2, rate, *arguments))
    assert match is not None
    assert match["subject"] == "--fps"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("film.mkv", "-o", "out.mp4"), "--reference"),
        (("film.mkv", "-r", "still.png"), "--output"),
        (("-r", "still.png", "-o", "out.mp4"), "film"),
        ((*FILM, "-o", "out.mp4", "film.mkv"), "unexpected"),
    ],
)
def test_missing_arguments(
    run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    assert "; " in refused(run, bad, monkeypatch, 2, words, *arguments)  # the remedy


def test_a_command_that_does_not_exist(run: Run) -> None:
    result = run("colorise")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert "colorise" in result.err


def test_an_unreadable_film_and_a_locked_folder(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "film.mkv" and allowed(path, mode))
    refused(run, bad, monkeypatch, 3, "not permitted", *FILM, "-o", "out.mp4")
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and allowed(path, mode))
    refused(run, bad, monkeypatch, 4, "not permitted", *FILM, "-o", "out.mp4")
    monkeypatch.setattr(os, "access", allowed)

    def locked(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as inner:
        inner.setattr(Path, "is_dir", locked)
        inner.setattr(Path, "exists", locked)
        inner.chdir(bad)
        assert run("colorize", *FILM, "-o", "out.mp4").err.count("Permission denied") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders and read every file")
def test_permissions_as_the_system_keeps_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "film.mkv")
    write_still(tmp_path / "still.png", halves())
    (tmp_path / "locked").mkdir(mode=0o500)
    refused(run, tmp_path, monkeypatch, 4, "not permitted", *FILM, "-o", "locked/out.mp4")
    (tmp_path / "film.mkv").chmod(0)
    monkeypatch.chdir(tmp_path)
    assert run("colorize", *FILM, "-o", "out.mp4").code == 3


# --- good runs and half-good ones --------------------


@pytest.fixture
def folder(tmp_path: Path, bad: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with a film and a still; the current one."""
    for name in ("film.mkv", "full.mkv", "still.png"):
        (tmp_path / name).write_bytes((bad / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = (*FILM, "--working-size", "32")
FOLDER = ["film.mkv", "full.mkv", "still.png"]


def test_a_run_prints_one_line_and_makes_one_file(run: Run, folder: Path) -> None:
    result = run("colorize", *SMALL, "-o", "out.mp4")
    assert result.code == 0
    assert re.fullmatch(
        r"out\.mp4: 12 frames in [\d.]+ s \([\d.]+ a second\), mean confidence -?\d\.\d\d\n", result.out
    )
    assert "12/12" in result.err
    assert sorted(os.listdir(folder)) == sorted([*FOLDER, "out.mp4"])
    quiet = run("colorize", *SMALL, "-o", "out.mp4", "--overwrite", "--quiet")
    assert quiet == (0, "", "")


def test_the_summary_as_json(run: Run, folder: Path) -> None:
    result = run("colorize", *SMALL, "-o", "out.mkv", "--codec", "ffv1", "--json", "--start", "0.1", "--end", "0.3")
    assert (result.code, result.err) == (0, "")
    record = json.loads(result.out)
    assert (record["output"], record["frames"], record["size"]) == ("out.mkv", 5, [64, 48])
    assert record["network_size"] == [43, 32]
    assert set(record["stage_frames_per_second"]) == {
        "analyze",
        "read",
        "network",
        "smooth",
        "upsample",
        "write",
        "join",
    }
    assert (record["warnings"], record["damage"]) == ([], None)
    assert len(list(VideoReader(folder / "out.mkv").frames())) == 5


def test_every_option_reaches_the_film(run: Run, folder: Path) -> None:
    options = (
        "--codec",
        "h265",
        "--crf",
        "30",
        "--chroma-format",
        "444",
        "--chroma-upsampling",
        "best",
        "--propagation",
        "off",
        "--quiet",
    )
    assert run("colorize", *SMALL, "-o", "out.mp4", *options).code == 0
    info = VideoReader(folder / "out.mp4").info
    assert (info.codec, info.chroma_format) == ("hevc", "444")


def test_a_folder_of_images_in_and_out(run: Run, folder: Path) -> None:
    (folder / "in").mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / "in" / f"{number}.png"), gray(halves()))
    arguments = ("-r", "still.png", "--working-size", "32", "--quiet")
    assert run("colorize", "in", *arguments, "-o", "out", "--fps", "18") == (0, "", "")
    assert sorted(os.listdir("out")) == [f"{k}.png" for k in range(3)]
    assert run("colorize", "in/%d.png", *arguments, "-o", "out.mkv", "--fps", "24000/1001").code == 0
    assert VideoReader(folder / "out.mkv").info.rate == Fraction(24000, 1001)


def test_what_the_container_cannot_hold_is_dropped_with_a_warning_or_refused(run: Run, folder: Path) -> None:
    film = ("full.mkv", "-r", "still.png", "--working-size", "32", "--quiet", "-o", "out.mp4")
    before = snapshot(folder)
    strict = run("colorize", *film, "--strict")
    assert (strict.code, strict.out) == (4, "")
    assert ERROR.fullmatch(strict.err), strict.err
    assert "attachment" in strict.err
    assert snapshot(folder) == before
    loose = run("colorize", *film)
    assert (loose.code, loose.out) == (0, "")
    assert all(line.startswith("warning: ") for line in loose.err.splitlines())
    assert "attachment" in loose.err
    assert sorted(os.listdir(folder)) == sorted([*FOLDER, "out.mp4"])


@pytest.mark.parametrize("arguments", [("-o", "out.mp4"), ("-o", "there.mp4", "--overwrite"), ("-o", "pictures")])
def test_a_disk_that_fills_up(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    (folder / "there.mp4").write_bytes(b"precious")
    before = snapshot(folder)
    written = 0

    def full(*_: object) -> None:
        nonlocal written
        written += 1
        if written > 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packets.PacketFile, "add", full)
    monkeypatch.setattr(image_segments.ImageFolder, "write", full)
    result = run("colorize", *SMALL, "--quiet", *arguments)
    assert (result.code, result.out) == (4, "")
    match = ERROR.fullmatch(result.err)
    assert match is not None
    assert match["subject"].startswith(f"{arguments[1]}.work/")
    assert match["problem"] == "the disk is full"
    assert snapshot(folder) == before


def test_a_film_cut_in_the_middle_is_colored_as_far_as_it_goes(run: Run, folder: Path) -> None:
    stamps = [k * 40 for k in range(60)]
    make_film(folder / "whole.mkv", Film(96, 64, codec="libx264", options={"g": "10"}, rate=Fraction(25), pts=stamps))
    cut(folder / "whole.mkv", folder / "broken.mkv", 0.5)
    times = [frame.time for frame in VideoReader(folder / "broken.mkv").frames()]
    assert 10 < len(times) < 50
    result = run(
        "colorize",
        "broken.mkv",
        "-r",
        "still.png",
        "--working-size",
        "32",
        "--quiet",
        "-o",
        "out.mkv",
        "--codec",
        "ffv1",
    )
    assert (result.code, result.out) == (3, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("broken.mkv: ")
    place = re.search(r"after frame (\d+) \(([\d.]+) s\)", result.err)
    assert place is not None, result.err
    assert int(place[1]) == len(times) - 1
    assert float(place[2]) == pytest.approx(float(times[-1]), abs=0.001)
    assert [frame.time for frame in VideoReader(folder / "out.mkv").frames()] == times
    assert VideoReader(folder / "out.mkv").damage is None
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


def test_info_names_weights_and_their_license(run: Run) -> None:
    record = json.loads(run("info", "--json").out)
    assert record["version"] == "0.1.0"
    assert list(record["engines"])[:2] == ["lite", "matching"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", w["sha256"]) and w["license"] and w["bytes"] for w in record["weights"])
    text = run("info").out
    assert all(w["sha256"] in text and w["license"] in text for w in record["weights"])


def test_info_tells_what_a_network_costs(run: Run) -> None:
    pytest.importorskip("torch", reason="needs the extra train")
    record = json.loads(run("info", "--config", "lite", "--json").out)
    assert record["parameters"]["total"] < 10e6
    assert sum(v for k, v in record["gflop"].items() if k != "total") == pytest.approx(
        record["gflop"]["total"], abs=0.01
    )
    text = run("info", "--config", "lite", "--block-size", "1").out
    assert "lite: blocks of 1, 384×216" in text
    assert f"{record['parameters']['total']:,}" in text
    for arguments in (("--config", "nonsense"), ("--block-size", "2"), ("--config", "lite", "--block-size", "7")):
        refused = run("info", *arguments)
        assert refused.code != 0
        assert refused.err.count("\n") == 1


def test_version_and_help(run: Run) -> None:
    assert run("--version") == (0, "kinemacolor 0.1.0\n", "")
    helped = run("colorize", "--help")
    assert helped.code == 0
    assert "kinemacolor colorize film.mp4 --reference still.png" in helped.out
    assert run().code == 2


# --- interruption --------------------

START = "from kinemacolor.cli import main; main()"
STUCK = """
import time
from kinemacolor.engine.network import NetworkEngine
def step(*_):
    print("stepping", flush=True)
    time.sleep(60)
NetworkEngine.step = step
"""


def attentive() -> None:
    """Background shells ignore Ctrl-C and ``nohup`` a closed terminal, and a child would inherit that."""
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


def started(folder: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, "colorize", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=attentive,
    )


def interrupted(process: subprocess.Popen[str], folder: Path, kinds: tuple[signal.Signals, ...]) -> float:
    """Sends signals, shortly one after the other, and returns how long the end took; checks how it ended."""
    begin = time.monotonic()
    for kind in kinds:
        process.send_signal(kind)
        time.sleep(0.02)
    try:
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.strip().splitlines() == ["kinemacolor: interrupted; nothing was left under the output's name"]
    return time.monotonic() - begin


def wait_for(done: Callable[[], object], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < limit, "nothing happened"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("kinds", "output"),
    [
        ((signal.SIGINT,), "there.mp4"),
        ((signal.SIGINT, signal.SIGTERM) * 20, "out.mkv"),
        ((signal.SIGTERM,), "pictures"),
        ((signal.SIGHUP,), "out.mov"),
    ],
)
def test_an_interruption_ends_soon_and_leaves_nothing(
    tmp_path: Path, bad: Path, kinds: tuple[signal.Signals, ...], output: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    make_film(folder / "film.mkv", Film(count=400))
    (folder / "still.png").write_bytes((bad / "still.png").read_bytes())
    (folder / "there.mp4").write_bytes(b"precious")
    before = snapshot(folder)
    process = started(folder, START, *FILM, "-o", output, "--overwrite", "--quiet")
    wait_for(lambda: process.poll() is not None or any(name.endswith(".work") for name in os.listdir(folder)))
    time.sleep(0.5)
    assert interrupted(process, folder, kinds) < 5
    assert snapshot(folder) == before


def test_an_interruption_does_not_wait_for_a_stage_that_is_stuck(tmp_path: Path, bad: Path) -> None:
    for name in ("film.mkv", "still.png"):
        (tmp_path / name).write_bytes((bad / name).read_bytes())
    before = snapshot(tmp_path)
    process = started(tmp_path, STUCK + START, *FILM, "-o", "out.mp4", "--quiet")
    assert process.stdout is not None
    assert process.stdout.readline() == "stepping\n"
    assert interrupted(process, tmp_path, (signal.SIGINT,)) < 5
    assert snapshot(tmp_path) == before


def test_a_second_interruption_does_not_disturb_the_tidying(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(cli.time, "monotonic", lambda: now)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    cli._interruptible()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    now = 101.9
    signal.raise_signal(signal.SIGINT)
    now = 102.1
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN  # as nohup and background shells want it


def test_as_a_module_errors_are_one_line_too(bad: Path) -> None:
    before = snapshot(bad)
    command = [sys.executable, "-m", "kinemacolor", "colorize", "film.mkv", "-r", "flipped.png", "-o", "out.mp4"]
    result = subprocess.run(command, cwd=bad, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (3, "")
    assert ERROR.fullmatch(result.stderr), result.stderr
    assert snapshot(bad) == before


def test_what_shots_tells_of_a_film_is_marked_as_a_warning(tmp_path: Path, run: Run) -> None:
    part = tmp_path / "part.ts"
    make_film(part, Film(codec="libx264"))
    (tmp_path / "film.ts").write_bytes(2 * part.read_bytes())
    result = run("shots", tmp_path / "film.ts", "-o", tmp_path / "shots.json", "--quiet")
    assert result.code == 0
    assert result.err.startswith(f"warning: {tmp_path / 'film.ts'}: its clock starts over")
    assert len(result.err.splitlines()) == 1
