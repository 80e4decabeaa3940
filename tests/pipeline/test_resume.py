"""A run that is killed goes on from its last finished segment, and its film is that of a run that was not."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline import color_film as film_path
from kinemacolor.pipeline import workdir
from kinemacolor.pipeline.fingerprint import differences
from kinemacolor.pipeline.job import colorize
from kinemacolor.pipeline.segment_runner import SegmentRunner
from kinemacolor.pipeline.summary import Summary
from kinemacolor.pipeline.workdir import work_folder
from kinemacolor.video.reader import VideoReader
from tests.stills import halves, write_still

FRAMES = 40
SHOTS = [Shot(0, 22), Shot(22, 40)]
PROGRAM = """
import sys
from pathlib import Path
from kinemacolor.core import job_context
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job import colorize
job_context.INTERVAL = 0
film, output, *stills = sys.argv[1:]
shots = [Shot(0, 22), Shot(22, 40)]
def watch(event):
    if event.kind == "progress" and event.stage == "color":
        print(event.done, flush=True)
colorize(film, stills, output, working_size=48, max_segment_frames=4, shots=shots, on_event=watch)
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 × 48, a pattern that moves, and sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(1)
    scenes = [np.kron(noise.integers(20, 220, (12, 40)), np.ones((4, 4))).astype(np.uint8) for _ in SHOTS]
    with av.open(str(path), "w") as container:
        picture: Any = container.add_stream("libx264", rate=24, options={"g": "10", "bf": "2"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound: Any = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(FRAMES):
            scene = next(k for k, shot in enumerate(SHOTS) if number in shot)
            luma = scenes[scene][:, number : number + 64]
            frame = av.VideoFrame.from_ndarray(np.vstack([luma, np.full((24, 64), 128, np.uint8)]), format="yuv420p")
            frame.pts = number
            container.mux(picture.encode(frame))
        for number in range(26):
            tone = (3000 * np.sin(np.arange(1024) * 0.1 + number)).astype(np.float32)[None] / 32768
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16000, 1024 * number
            container.mux(sound.encode(samples))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))
    return path


@pytest.fixture(scope="module")
def stills(film: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One bound in the middle of the first shot, one at its end, one free."""
    folder = tmp_path_factory.mktemp("stills")
    with VideoReader(film) as reader:
        lumas = {frame.index: frame.luma for frame in reader.frames() if frame.index in (7, 19)}
    painted = [np.dstack([luma, luma // 2 + 40, 255 - luma // 2]) for luma in lumas.values()]
    images = zip(("0007.png", "0019.png", "any.png"), [*painted, np.roll(halves(), 80, axis=1)], strict=True)
    return [write_still(folder / name, image) for name, image in images]


@pytest.fixture(scope="module")
def whole(film: Path, stills: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of a run that is left in peace."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    summary = run(film, stills, output)
    assert (summary.frames, summary.shots, summary.resumed) == (FRAMES, 2, 0)
    assert not work_folder(output).exists()
    return output


def run(film: Path, stills: Sequence[Path], output: Path, **changes: Any) -> Summary:
    return colorize(
        film, list(stills), output, **{"working_size": 48, "max_segment_frames": 4, "shots": SHOTS, **changes}
    )


def content(path: Path) -> tuple[list[np.ndarray], list[tuple[int | None, bytes]]]:
    """Decoded frames with their times, and sound packets."""
    with av.open(str(path)) as container:
        frames = [np.append(f.to_ndarray(format="yuv420p").ravel(), f.pts) for f in container.decode(video=0)]
        container.seek(0)
        packets = [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
    return frames, packets


def same(a: Path, b: Path) -> None:
    (frames, packets), (others, others_packets) = content(a), content(b)
    assert len(frames) == len(others) == FRAMES
    for one, other in zip(frames, others, strict=True):
        np.testing.assert_array_equal(one, other)
    assert packets == others_packets
    assert len(packets) > 20


def test_killed_at_twenty_moments(film: Path, stills: list[Path], whole: Path, tmp_path: Path) -> None:
    output, moments, killed, finished = tmp_path / "out.mp4", random.Random(7), 0, 0
    command = [sys.executable, "-c", PROGRAM, str(film), str(output), *map(str, stills)]
    while killed < 20:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        for _ in range(moments.randint(0, 5)):  # anywhere in looking, coloring, encoding, or taking notes of it
            if not process.stdout.readline():
                break
        time.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode != 0
        if process.returncode == 0:
            same(output, whole)
            assert not work_folder(output).exists()
            output.unlink()
            finished += 1
    assert not output.exists()
    before = len(list(work_folder(output).glob("[0-9]*.segment")))
    summary = run(film, stills, output)
    assert finished or (summary.resumed > 0) == (before > 0)
    same(output, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("at", range(1, 11))
def test_broken_off_in_each_segment(
    film: Path, stills: list[Path], whole: Path, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, count, finish = tmp_path / "out.mp4", 0, SegmentRunner._render_segment

    def broken(self: SegmentRunner, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise KeyboardInterrupt
        finish(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(SegmentRunner, "_render_segment", broken)
        with pytest.raises(KeyboardInterrupt):
            run(film, stills, output)
    assert not output.exists()
    assert work_folder(output).exists() == (at > 1)  # before the first segment nothing is worth keeping
    summary = run(film, stills, output)
    assert (summary.resumed > 0) == (at > 1)
    same(output, whole)
    assert not work_folder(output).exists()


@pytest.mark.parametrize("name", ["out.mp4", "pictures"])
def test_what_a_killed_join_left_is_swept(film: Path, stills: list[Path], tmp_path: Path, name: str) -> None:
    (tmp_path / ".out.partial-4711.mp4").write_bytes(b"half a film")
    (tmp_path / ".outer.partial-4711.mp4").write_bytes(b"another film's")
    (tmp_path / ".pictures.partial-4711").mkdir()
    run(film, stills, tmp_path / name)
    others = {".out.partial-4711.mp4", ".pictures.partial-4711"} - {
        f".{Path(name).stem}.partial-4711{Path(name).suffix}"
    }
    assert {path.name for path in tmp_path.iterdir()} == {name, ".outer.partial-4711.mp4", *others}


# --- something else --------------------


@pytest.fixture
def begun(film: Path, stills: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output whose run broke off at the join."""
    shutil.copy(film, tmp_path / "film.mp4")
    for still in stills:
        shutil.copy(still, tmp_path / still.name)
    with monkeypatch.context() as patch:

        def full(*_: Any, **__: Any) -> list[str]:
            raise OutputError("out.mp4", "the disk is full", "make room")

        patch.setattr(film_path, "join_segments", full)
        with pytest.raises(OutputError, match="disk is full"):
            run(tmp_path / "film.mp4", [tmp_path / still.name for still in stills], tmp_path / "out.mp4")
    assert work_folder(tmp_path / "out.mp4").exists()
    return tmp_path / "out.mp4"


def again(output: Path, stills: list[Path], **changes: Any) -> Summary:
    return run(output.parent / "film.mp4", [output.parent / still.name for still in stills], output, **changes)


def test_what_is_finished_stays_usable(begun: Path, stills: list[Path], whole: Path) -> None:
    assert again(begun, stills).resumed == FRAMES
    same(begun, whole)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"working_size": 32}, "settings.working_size: 48 → 32"),
        ({"crf": 20}, "settings.crf: null → 20"),
        ({"saturation": 1.5}, "settings.saturation: 1.0 → 1.5"),
        ({"chroma_upsampling": "best"}, 'settings.chroma_upsampling: "fast" → "best"'),
        ({"engine": "matching", "propagation": "off"}, 'settings.propagation: "full" → "off"'),
        ({"shots": [Shot(0, 20), Shot(20, 40)]}, "shots: [[0, 22]"),
        ({"crf": 20, "saturation": 1.5}, "settings.crf: null → 20; settings.saturation: 1.0 → 1.5; give"),
        ({"max_segment_frames": 5}, "settings.max_segment_frames: 4 → 5"),
        ({"end": 1.0}, 'settings.end: null → "1"'),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_another_setting_is_refused_with_its_name(
    begun: Path, stills: list[Path], changes: dict[str, Any], told: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in work_folder(begun).rglob("*")}
    with pytest.raises(UsageError, match="`restart`") as caught:
        again(begun, stills, **changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in work_folder(begun).rglob("*")} == before
    assert not begun.exists()


def test_another_reference_or_film_is_refused(begun: Path, stills: list[Path]) -> None:
    write_still(begun.parent / stills[2].name, halves()[::-1])
    with pytest.raises(UsageError, match=r"references\.3\.sha256: "):
        again(begun, stills)
    summary = again(begun, stills, restart=True)
    assert (summary.resumed, summary.frames) == (0, FRAMES)


def test_a_changed_film_is_refused(begun: Path, stills: list[Path]) -> None:
    film = begun.parent / "film.mp4"
    film.write_bytes(film.read_bytes() + b"\0")
    with pytest.raises(UsageError, match=r"film\.bytes: "):
        again(begun, stills)


def test_two_runs_do_not_meet(begun: Path, stills: list[Path]) -> None:
    lock = workdir.lock_file(work_folder(begun) / "lock")
    with pytest.raises(OutputError, match="another run is at work"):
        again(begun, stills)
    lock.close()
    assert again(begun, stills).frames == FRAMES


@pytest.mark.parametrize("name", ["000002.segment", "000002.npz", "analysis.npz", "selection.json", "job.json"])
def test_torn_work_is_one_line(begun: Path, stills: list[Path], name: str) -> None:
    path = work_folder(begun) / name
    content = path.read_bytes()
    path.write_bytes(content[: min(40, len(content) // 2)])
    with pytest.raises(InputError, match="`restart`") as caught:
        again(begun, stills)
    assert "\n" not in str(caught.value)
    assert again(begun, stills, restart=True).frames == FRAMES


def test_a_folder_of_an_earlier_version_is_refused_by_name(begun: Path, stills: list[Path]) -> None:
    record = work_folder(begun) / "job.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "format": 2}))
    with pytest.raises(UsageError, match=r"another version .*\(format 2, this one writes 3\); start over") as caught:
        again(begun, stills)
    assert caught.value.subject == str(work_folder(begun))
    assert again(begun, stills, restart=True).frames == FRAMES


def test_a_setting_that_decides_the_container_alone_does_not_stop_a_resumption(
    begun: Path, stills: list[Path], whole: Path
) -> None:
    assert again(begun, stills, strict=True).resumed == FRAMES
    same(begun, whole)


def test_what_differs_late_in_long_values_is_shown() -> None:
    before, now = ([[start, start + 10] for start in range(0, 400, 10)] for _ in range(2))
    now[30] = [300, 311]
    (line,) = differences({"shots": before}, {"shots": now})
    name, _, values = line.partition(": ")
    old, arrow, new = values.partition(" → ")
    assert (name, arrow) == ("shots", " → ")
    assert "[300, 310]" in old
    assert "[300, 311]" in new
    assert max(len(old), len(new)) <= 62


@given(st.text(max_size=200), st.text(max_size=200))
def test_both_sides_of_a_difference_differ(before: str, now: str) -> None:
    lines = differences({"a": before}, {"a": now})
    assert (lines == []) == (before == now)
    for line in lines:
        old, _, new = line.removeprefix("a: ").partition(" → ")
        assert old != new


def test_the_settings_come_first_and_entries_are_counted() -> None:
    before = {"film": {"bytes": 1}, "references": [{"name": "a"}], "settings": {"crf": None}}
    now = {"film": {"bytes": 2}, "references": [{"name": "b"}, {"name": "c"}], "settings": {"crf": 20}}
    assert differences(before, now) == [
        "settings.crf: null → 20",
        "film.bytes: 1 → 2",
        "references: 1 → 2 entries",
        'references.1.name: "a" → "b"',
    ]


def test_a_kill_while_the_work_folder_is_removed_leaves_nothing_that_is_taken_for_work(
    begun: Path, stills: list[Path], whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workdir.shutil, "rmtree", lambda folder, **_: next(folder.glob("*.npz")).unlink())
        assert again(begun, stills).resumed == FRAMES
    assert work_folder(begun).exists()
    assert again(begun, stills, overwrite=True).resumed == 0
    same(begun, whole)
