"""Memory that does not suffice: one line with a remedy, finished work kept, and no film taken for a damaged one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha1
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from kinemacolor.core import memory
from kinemacolor.core.errors import OutputError
from kinemacolor.core.events import FailedEvent
from kinemacolor.core.memory import check_memory, is_allocation_failure
from kinemacolor.engine.matching import MatchingEngine
from kinemacolor.pipeline.job import Job
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.settings import ColorizeSettings
from kinemacolor.pipeline.workdir import work_folder
from kinemacolor.video import film_sink
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still

FAILURES: list[Exception] = [
    MemoryError(),
    OSError(12, "Cannot allocate memory"),
    av.error.MemoryError(12, "Cannot allocate memory"),
    cv2.error("(-4:Insufficient memory) Failed to allocate 1073741824 bytes in function 'OutOfMemoryError'"),
    RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("can't start new thread"),
    ImportError("onnxruntime_pybind11_state.so: failed to map segment from shared object"),
]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is short."""
    monkeypatch.setattr(memory, "_FREE", 1 << 62)


def job(tmp_path: Path, name: str = "out.mkv") -> Job:
    film = tmp_path / "film.mkv"
    make_film(film, Film(count=12))
    still = write_still(tmp_path / "still.png", halves())
    settings = ColorizeSettings(engine="matching", working_size=32, max_segment_frames=4)
    return Job(JobSpec(film=film, references=still, output=tmp_path / name, settings=settings, shots="none"))


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_what_libraries_raise_becomes_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    started = job(tmp_path)
    steps = 0
    step = MatchingEngine.step

    def fail(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 6:
            raise failure
        return step(*arguments)

    monkeypatch.setattr(MatchingEngine, "step", fail)
    with pytest.raises(OutputError) as told:
        started.run()
    film = tmp_path / "film.mkv"
    remedy = "close other programs and give the same again to go on, or start over with a smaller `working_size`"
    assert str(told.value).startswith(f"{film}: the memory that is free here does not suffice; {remedy}")
    last = started.last_event
    assert isinstance(last, FailedEvent)
    assert last.exit_code == 4
    assert work_folder(tmp_path / "out.mkv").exists()
    monkeypatch.undo()
    assert Job(started.spec).run().resumed == 4


def test_a_film_is_not_taken_for_damaged_for_lack_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "film.mkv", Film(160, 120, 40, codec="mjpeg", pixel_format="yuvj420p"))
    data = (tmp_path / "film.mkv").read_bytes()
    starts = [at.start() for at in re.finditer(b"\xff\xd8\xff", data)]
    (tmp_path / "film.mkv").write_bytes(data[: starts[20]] + bytes(1000) + data[starts[20] + 1000 :])
    reader = VideoReader(tmp_path / "film.mkv")
    assert len(list(reader.frames())) == 39
    assert reader.damage is not None
    monkeypatch.setattr(memory, "_FREE", 1 << 62)  # now nothing proves that it is the file's fault
    with pytest.raises(MemoryError):
        list(reader.frames())


def test_a_corrupt_file_that_asks_for_too_much_is_no_lack_of_memory() -> None:
    check_memory(av.error.MemoryError(12, "Cannot allocate memory"))


@pytest.mark.usefixtures("short")
def test_where_memory_is_short_failures_of_it_are_told() -> None:
    with pytest.raises(MemoryError):
        check_memory(av.error.InvalidDataError(1, "Invalid data found"))  # some libraries do not say why
    assert not is_allocation_failure(ValueError("something else"))
    external = av.error.ExternalError(0x20545845, "Generic error in an external library")
    assert "memory that is free" in str(output_error(Path("out.mkv"), external))


def test_an_encoder_that_fails_where_memory_is_there_is_told_as_before() -> None:
    external = av.error.ExternalError(0x20545845, "Generic error in an external library")
    assert "writing fails" in str(film_sink.output_error(Path("out.mkv"), external))


LIMITED = """
import re, resource, sys
import kinemacolor.engine.matching, kinemacolor.pipeline.job
from kinemacolor.cli import main
size = int(re.search("VmSize:(.*)kB", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["kinemacolor", *sys.argv[2:]]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system holds to the limit")
def test_runs_under_a_limit_end_in_a_film_or_in_one_line(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(width=960, height=720, count=10, codec="ffv1"))
    for name in ("a.png", "b.png"):
        write_still(tmp_path / name, halves())
    options = ["film.mkv", "-r", "a.png", "-r", "b.png", "--engine", "matching", "--max-segment-frames", "4"]
    options += ["--working-size", "96", "--codec", "ffv1", "--quiet", "--shots", "none"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    def colorize(output: str, room: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, str(room), "colorize", *options, "--output", output]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    whole = colorize("whole.mkv", 1 << 40)
    assert whole.returncode == 0, whole.stderr
    codes = set()
    for room in (10, 40, 80, 130, 200, 300, 500):
        run = colorize("out.mkv", room << 20)
        codes.add(run.returncode)
        if run.returncode == 0:
            break
        assert not (tmp_path / "out.mkv").exists()
        if run.returncode < 0:  # a library did not check what it got, and the system ended the run
            continue
        assert run.returncode == 4, run.stderr
        assert run.stderr.count("kinemacolor: film.mkv: the memory that is free here does not suffice; close") == 1
        assert "Traceback" not in run.stderr
    assert 4 in codes
    assert run.returncode == 0 or colorize("out.mkv", 1 << 40).returncode == 0
    names = ("film.mkv", "whole.mkv", "out.mkv")
    films = [[sha1(frame.luma).digest() for frame in VideoReader(tmp_path / name).frames()] for name in names]
    assert films[0] == films[1] == films[2]
    assert not work_folder(tmp_path / "out.mkv").exists()
