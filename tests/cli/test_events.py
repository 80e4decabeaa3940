"""The command line draws events, prints them raw, and follows jobs of other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinemacolor.cli.drawing import EventDrawing, draw_events
from kinemacolor.cli.options import dashed
from kinemacolor.core.events import (
    AnyEvent,
    DiskEstimateEvent,
    ProgressEvent,
    ResumedEvent,
    StartedEvent,
    WarningEvent,
    parse_event,
)
from tests.media import Film, make_film
from tests.stills import halves, write_still

KINEMACOLOR = [sys.executable, "-m", "kinemacolor"]
OPTIONS = ["film.mkv", "-r", "still.png", "--engine", "matching", "--working-size", "32", "-o", "out.mp4"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_film(tmp_path / "film.mkv", Film(count=30))
    write_still(tmp_path / "still.png", halves())
    return tmp_path


def kinemacolor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*KINEMACOLOR, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_raw_events_are_all_that_is_printed(folder: Path) -> None:
    run = kinemacolor(folder, "colorize", *OPTIONS, "--max-segment-frames", "10", "--events", "jsonl")
    assert (run.returncode, run.stderr) == (0, "")
    events = [parse_event(line) for line in run.stdout.splitlines()]
    kinds = [event.kind for event in events if event.kind != "progress"]
    assert kinds[:2] == ["started", "planned"]
    assert kinds[-1] == "finished"
    assert kinds.count("segment_finished") >= 3


def test_a_failure_is_an_event_and_a_line(folder: Path) -> None:
    (folder / "out.mp4").write_bytes(b"precious")
    run = kinemacolor(folder, "colorize", *OPTIONS, "--events", "jsonl")
    assert run.returncode == 4
    assert json.loads(run.stdout.splitlines()[-1])["problem"] == "exists already"
    assert run.stderr == "kinemacolor: out.mp4: exists already; give another name, or --overwrite\n"


def test_raw_events_of_key_frames_and_previews(folder: Path) -> None:
    run = kinemacolor(folder, "keyframes", "film.mkv", "-o", "paint", "--events", "jsonl")
    assert run.returncode == 0
    assert json.loads(run.stdout.splitlines()[-1])["kind"] == "finished"
    options = [*OPTIONS[:-1], "sheet.png", "--preview", "--events", "jsonl"]
    run = kinemacolor(folder, "colorize", *options)
    assert run.returncode == 0
    assert [json.loads(run.stdout.splitlines()[n])["kind"] for n in (0, -1)] == ["started", "finished"]


def test_a_preview_refuses_what_it_cannot_use_and_names_what_a_project_sets(folder: Path) -> None:
    (folder / "film.toml").write_text(
        "film = 'film.mkv'\noutput = 'sheet.png'\nreferences = ['still.png']\n"
        "[settings]\ncrf = 20\nengine = 'matching'\nworking_size = 32\n"
    )
    refused = kinemacolor(folder, "colorize", "--project", "film.toml", "--preview", "--codec", "ffv1")
    assert refused.returncode == 2
    assert "--codec: a preview cannot use it; leave it out, or color the film without --preview\n" in refused.stderr
    shown = kinemacolor(folder, "colorize", "--project", "film.toml", "--preview", "--quiet")
    assert (shown.returncode, shown.stderr) == (0, "warning: film.toml: a preview does not use crf\n")
    alone = kinemacolor(folder, "colorize", *OPTIONS, "--every", "3")
    assert alone.returncode == 2
    assert alone.stderr == "kinemacolor: --every: goes with --preview; give both, or leave it out\n"


def test_another_terminal_follows_a_job_and_its_interruption(folder: Path) -> None:
    make_film(folder / "film.mkv", Film(count=400))
    command = [*KINEMACOLOR, "colorize", *OPTIONS, "--max-segment-frames", "20", "--quiet"]
    running = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=_default_signals)
    limit = time.monotonic() + 60
    while not list(folder.glob("out.mp4.work/000001.npz")):
        assert time.monotonic() < limit
        assert running.poll() is None
        time.sleep(0.02)
    following = subprocess.Popen(
        [*KINEMACOLOR, "follow", "out.mp4", "--events", "jsonl"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert following.stdout
    first = json.loads(following.stdout.readline())
    assert (first["kind"], first["process"]) == ("started", running.pid)
    begin = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert time.monotonic() - begin < 5
    assert running.returncode == 130
    assert "what is finished is kept in out.mp4.work; give the same command again to resume" in err
    rest, _ = following.communicate(timeout=30)
    assert json.loads(rest.splitlines()[-1])["kind"] == "canceled"
    assert following.returncode == 0
    resumed = kinemacolor(folder, *command[3:-1])
    assert resumed.returncode == 0
    assert "frames were finished before" in resumed.stderr
    nothing = kinemacolor(folder, "follow", "out.mp4")
    assert nothing.returncode == 3
    assert nothing.stderr == "kinemacolor: out.mp4: no job is at work on it; start one with kinemacolor colorize\n"


def _default_signals() -> None:
    for kind in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(kind, signal.SIG_DFL)


# --- drawing --------------------

EVENTS: tuple[AnyEvent, ...] = (
    StartedEvent(job="colorize", film="film.mkv", output="out.mp4", process=os.getpid()),
    DiskEstimateEvent(needed=2_000_000, output=1_000_000, free=3_000_000),
    ResumedEvent(frames=20),
    ProgressEvent(stage="color", done=30, total=100, per_second=2.5, seconds_left=28.0),
    WarningEvent(message="a still was turned round"),
    ProgressEvent(stage="color", done=100, total=100, per_second=2.5, seconds_left=0.0),
)


def test_a_person_sees_progress_speed_time_left_and_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert draw_events(EVENTS) == EVENTS[-1]
    out, err = capsys.readouterr()
    assert out == ""
    for text in (
        "out.mp4: needs about 2 MB",
        "out.mp4: resumed; 20 frames were finished before",
        "warning: a still was turned round",
        "coloring",
        "100/100",
        "2.5 fps",
        "0:00:00 left",
    ):
        assert text in err


def test_quiet_drawing_shows_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    draw_events(EVENTS, quiet=True)
    assert capsys.readouterr() == ("", "warning: a still was turned round\n")


def test_raw_drawing_prints_lines_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with EventDrawing(raw=True) as drawing:
        for event in EVENTS:
            drawing.draw(event)
    out, err = capsys.readouterr()
    assert [parse_event(line) for line in out.splitlines()] == list(EVENTS)
    assert err == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (("working_size", "is odd", "leave it out"), "--working-size: is odd; leave it out"),
        (("references", "no still", "give one"), "--reference: no still; give one"),
        (("film", "is missing", "see help"), "FILM: is missing; see help"),
        (("a.mp4", "exists", "give another name, or `overwrite`"), "a.mp4: exists; give another name, or --overwrite"),
        (("a.mp4", "has `strange` words", "use `codec` or `chroma_format`"),
         "a.mp4: has strange words; use --codec or --chroma-format"),
    ],
)  # fmt: skip
def test_settings_in_errors_get_their_dashes(error: tuple[str, str, str], line: str) -> None:
    assert dashed(*error) == line
