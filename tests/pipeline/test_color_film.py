"""THE path: luma and times pass untouched, blocks and memory reach the engine, failures leave nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import kinemacolor
from kinemacolor import cli
from kinemacolor.core import job_context
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import AnyEvent, DiskEstimateEvent, ProgressEvent
from kinemacolor.core.pipelining import STAGE_THREAD
from kinemacolor.core.types import Array, FloatArray, Frame, Reference
from kinemacolor.engine.protocol import Engine, EngineState, ReferenceBank, StepResult, cells
from kinemacolor.engine.registry import open_engine
from kinemacolor.pipeline import disk_space, segment_runner
from kinemacolor.pipeline.analysis import expected_frames
from kinemacolor.pipeline.job import colorize
from kinemacolor.pipeline.summary import Summary
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter
from tests.media import Film, make_film
from tests.stills import gray, halves, write_still

TURN_CLOCKWISE = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)


class Count(EngineState):
    """Memory of the fake engine: how many blocks it has seen."""

    __slots__ = ("blocks",)

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks


class Fake:
    """An engine that paints each frame by its own mean lightness and notes what it is asked."""

    name = "fake"

    def __init__(self, block_size: int = 1, fail_at: int | None = None) -> None:
        self.block_size = block_size
        self.fail_at = fail_at
        self.references: tuple[Reference, ...] = ()
        self.blocks: list[int] = []
        self.states: list[int | None] = []
        self.shapes: set[tuple[int, ...]] = set()
        self.threads: set[threading.Thread] = set()

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        self.references = tuple(references)
        count = sum(int(np.prod(cells(*reference.size))) for reference in references)
        return ReferenceBank(
            np.ones((count, 2), np.float32), np.zeros((count, 2), np.float32), np.ones(count, bool), self.references
        )

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        if len(self.blocks) == self.fail_at:
            raise ArithmeticError("the fake engine fails")
        assert state is None or isinstance(state, Count)
        self.blocks.append(len(luma_block))
        self.states.append(state.blocks if state else None)
        self.shapes.add(luma_block.shape[1:])
        self.threads.add(threading.current_thread())
        count, height, width = luma_block.shape
        ab = np.zeros((count, height, width, 2), np.float32)
        ab[..., 0] = luma_block.mean(axis=(1, 2), keepdims=True) / 2 - 20
        keys = np.zeros((count, *cells(height, width), 2), np.float32)
        similarity = np.full((count, height, width), 0.25, np.float32)
        return StepResult(ab, similarity, keys, Count(len(self.blocks)))


class Calls:
    """Takes events; knows what they say of coloring."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def __call__(self, event: AnyEvent) -> None:
        self.events.append(event)

    @property
    def progress(self) -> list[tuple[int, int | None]]:
        """(done, total) of the stage ``color``."""
        return [(e.done, e.total) for e in self.events if isinstance(e, ProgressEvent) and e.stage == "color"]


@pytest.fixture(autouse=True)
def _every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_context, "INTERVAL", 0.0)


@pytest.fixture(scope="module")
def matching() -> Engine:
    return open_engine("matching")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_still(tmp_path_factory.mktemp("stills") / "still.png", halves())


@pytest.fixture
def film(tmp_path: Path) -> Path:
    make_film(tmp_path / "film.mkv", Film(count=7))
    return tmp_path / "film.mkv"


def flat_film(path: Path, levels: Sequence[int]) -> None:
    """A film whose frame k has the luma ``levels[k]`` everywhere."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for number, level in enumerate(levels):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64), level, np.uint8), format="gray")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def frames(path: Path) -> list[Frame]:
    return list(VideoReader(path).frames(chroma=True))


def stage_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == STAGE_THREAD]


# --- what passes untouched --------------------


@pytest.mark.parametrize(
    ("pixel_format", "width", "height"),
    [
        ("yuv420p", 64, 48),
        ("yuv420p", 61, 47),
        ("yuv422p", 63, 48),
        ("gray", 61, 47),
        ("yuv420p10le", 64, 48),
        ("yuv444p10le", 61, 47),
        ("gray10le", 48, 61),
    ],
)
def test_luma_and_times_come_out_as_they_went_in(
    tmp_path: Path, matching: Engine, still: Path, pixel_format: str, width: int, height: int
) -> None:
    stamps = [0, 40, 41, 90, 200, 1203]
    made = make_film(tmp_path / "film.mkv", Film(width, height, pixel_format=pixel_format, pts=stamps))
    summary = colorize(
        tmp_path / "film.mkv", [still], tmp_path / "out.mkv", engine=matching, working_size=32, codec="ffv1"
    )
    colored = frames(tmp_path / "out.mkv")
    assert [frame.time for frame in colored] == [Fraction(pts, 1000) for pts in stamps]
    assert (summary.frames, summary.size) == (6, (width, height))
    depth = 10 if "10" in pixel_format else 8
    for planes, frame in zip(made, colored, strict=True):
        assert frame.coding.bit_depth == depth
        np.testing.assert_array_equal(frame.luma, planes[0])
        assert frame.chroma is not None
        assert np.ptp(frame.chroma[0]) > 0  # it is colored


def test_colors_land_where_the_still_has_them(tmp_path: Path, matching: Engine, still: Path) -> None:
    write_images(tmp_path / "in", [gray(halves())] * 3)
    colorize(
        tmp_path / "in",
        [still],
        tmp_path / "out.mkv",
        engine=matching,
        working_size=64,
        codec="ffv1",
        chroma_format="444",
    )
    for frame in frames(tmp_path / "out.mkv"):
        assert frame.chroma is not None
        u, v = (plane.astype(float) - 128 for plane in frame.chroma)
        assert v[:, :40].mean() > 15  # red
        assert u[:, 56:].mean() > 15  # blue
        assert u[:, :40].mean() < 0


def write_images(folder: Path, images: Sequence[Array]) -> None:
    folder.mkdir()
    for number, image in enumerate(images):
        write_still(folder / f"{number:03d}.png", image)


# --- the engine --------------------


@pytest.mark.parametrize(("size", "blocks"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (9, [7])])
def test_blocks_and_states(film: Path, still: Path, size: int, blocks: list[int]) -> None:
    engine = Fake(size)
    assert isinstance(engine, Engine)
    summary = colorize(film, [still], film.with_name("out.mkv"), engine=engine, working_size=40, codec="ffv1")
    assert engine.blocks == blocks
    assert engine.states == [None, *range(1, len(blocks))]
    assert engine.shapes == {(40, 53)}
    assert (summary.frames, len(frames(summary.output))) == (7, 7)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_each_frame_gets_its_own_colors(tmp_path: Path, still: Path, size: int) -> None:
    levels = [60, 200, 90, 170, 120, 60, 230, 30, 140, 100]
    flat_film(tmp_path / "film.mkv", levels)
    for name, block in (("one", 1), ("blocks", size)):
        colorize(
            tmp_path / "film.mkv",
            [still],
            tmp_path / f"{name}.mkv",
            engine=Fake(block),
            codec="ffv1",
            temporal_smoothing=False,
        )
    colored = frames(tmp_path / "blocks.mkv")
    assert [int(frame.luma[0, 0]) for frame in colored] == levels
    by_level = sorted((int(frame.luma[0, 0]), int(frame.chroma[1][20, 20])) for frame in colored if frame.chroma)
    assert len(by_level) == 10
    tones = [v for level, v in by_level if 60 <= level <= 200]  # beyond, the gamut narrows
    assert tones == sorted(tones)
    assert tones[-1] - tones[0] > 10
    for one, other in zip(frames(tmp_path / "one.mkv"), colored, strict=True):
        np.testing.assert_array_equal(one.chroma, other.chroma)


def test_the_reference_is_brought_to_what_the_film_stores(tmp_path: Path, still: Path) -> None:
    stored = np.rot90(gray(halves()), 1)  # a viewer turns it clockwise
    make_film(tmp_path / "film.mov", Film(64, 96, 1, codec="libx264", display_matrix=TURN_CLOCKWISE))
    engine = Fake()
    colorize(tmp_path / "film.mov", [still], tmp_path / "out.mp4", engine=engine, working_size=64)
    (reference,) = engine.references
    assert engine.shapes == {reference.size} == {(96, 64)}
    correlation = np.corrcoef(reference.lightness.ravel(), stored.ravel())[0, 1]
    assert correlation > 0.99


def test_pixels_that_are_not_square_are_seen_in_the_films_shape(tmp_path: Path, still: Path) -> None:
    make_film(tmp_path / "film.mp4", Film(48, 64, 1, codec="libx264", sar=Fraction(2)))
    engine = Fake()
    summary = colorize(tmp_path / "film.mp4", [still], tmp_path / "out.mp4", engine=engine, working_size=64)
    assert engine.shapes == {(64, 96)} == {engine.references[0].size}
    assert summary.network_size == (96, 64)


def test_a_mirrored_still_is_turned_and_told_of(tmp_path: Path) -> None:
    picture = halves()
    write_images(tmp_path / "in", [gray(picture)] * 3)
    write_still(tmp_path / "still.png", picture)
    write_still(tmp_path / "turned.png", np.ascontiguousarray(picture[:, ::-1]))
    seen = []
    for name in ("still", "turned"):
        engine = Fake()
        summary = colorize(
            tmp_path / "in", [tmp_path / f"{name}.png"], tmp_path / f"{name}.mp4", engine=engine, working_size=64
        )
        seen.append((engine.references[-1], [line.split(": ", 1)[1] for line in summary.warnings]))
    assert [warnings for _, warnings in seen] == [[], ["shows the film mirrored, and was turned round"]]
    np.testing.assert_allclose(seen[0][0].ab, seen[1][0].ab, atol=1e-3)


def test_stages_work_beside_one_another(film: Path, still: Path) -> None:
    engine = Fake()
    during: list[int] = []
    output = film.with_name("out.mp4")
    colorize(film, [still], output, engine=engine, on_event=lambda event: during.append(len(stage_threads())))
    assert threading.main_thread() not in engine.threads
    assert max(during) >= 2
    assert stage_threads() == []


# --- the summary --------------------


def test_summary_and_progress(film: Path, still: Path) -> None:
    calls = Calls()
    output = film.with_name("out.mp4")
    summary = colorize(film, [still], output, engine=Fake(2), on_event=calls)
    assert isinstance(summary, Summary)
    assert calls.progress == [(k, 7) for k in range(1, 8)]
    assert (summary.output, summary.frames, summary.size) == (output, 7, (64, 48))
    assert summary.network_size == (333, 249)
    assert summary.confidence == pytest.approx(0.25)
    assert (summary.warnings, summary.damage) == ((), None)
    assert set(summary.stage_seconds) == {"analyze", "read", "network", "smooth", "upsample", "write", "join"}
    assert 0 < max(summary.stage_seconds.values()) <= summary.seconds
    assert summary.frames_per_second == pytest.approx(7 / summary.seconds)


def test_a_part_of_a_film(tmp_path: Path, still: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=24, rate=Fraction(25)))
    calls = Calls()
    summary = colorize(
        tmp_path / "film.mkv", [still], tmp_path / "out.mkv", engine=Fake(), codec="ffv1", start=0.2, end=0.4,
        on_event=calls,
    )  # fmt: skip
    assert summary.frames == 5
    assert calls.progress[-1] == (5, 5)
    whole = frames(tmp_path / "film.mkv")
    for frame, source in zip(frames(tmp_path / "out.mkv"), whole[5:10], strict=True):
        np.testing.assert_array_equal(frame.luma, source.luma)
        assert frame.time == source.time - Fraction(1, 5)


def test_expected_frames(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=50, rate=Fraction(25)))
    assert len(list(VideoReader(tmp_path / "film.mkv").frames(start=0.19, end=0.41))) == 6
    info = VideoReader(tmp_path / "film.mkv").info
    spans = [((None, None), 50), ((1, None), 25), ((None, 1), 25), ((1, 1.5), 13), ((0.19, 0.41), 6), ((5, None), 0)]
    for span, count in spans:
        assert expected_frames(info, *span) == count  # type: ignore[arg-type]


def test_the_command_line_takes_the_same_path(film: Path, still: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kinemacolor.colorize is colorize
    assert kinemacolor.Summary is Summary
    kinemacolor.colorize(film, [still], film.with_name("api.mkv"), working_size=48, codec="ffv1", chroma_format="444")
    output = film.with_name("cli.mkv")
    options = ["--working-size", "48", "--codec", "ffv1", "--chroma-format", "444", "--quiet"]
    arguments = ["colorize", str(film), "-r", str(still), "-o", str(output), *options]
    assert not cli.app(arguments, standalone_mode=False)
    for one, other in zip(frames(film.with_name("api.mkv")), frames(output), strict=True):
        np.testing.assert_array_equal(one.luma, other.luma)
        np.testing.assert_array_equal(one.chroma, other.chroma)


def test_usage_is_checked_before_any_file_is_opened(tmp_path: Path) -> None:
    for changes in ({"references": []}, {"working_size": 31}, {"start": float("nan")}, {"end": float("inf")}):
        arguments: dict[str, Any] = {"references": ["no.png"], "output": tmp_path / "out.mp4", **changes}
        with pytest.raises(UsageError):
            colorize(tmp_path / "no.mkv", **arguments)


# --- failures --------------------


def break_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = VideoReader.frames

    def broken(self: VideoReader, **options: Any) -> Iterator[Frame]:
        for frame in whole(self, **options):
            if frame.index == 4:
                raise ArithmeticError("reading fails")
            yield frame

    monkeypatch.setattr(VideoReader, "frames", broken)


def break_upsampling(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ArithmeticError("upsampling fails")

    monkeypatch.setattr(segment_runner, "chroma_planes", broken)


def break_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object, frame: Frame) -> None:
        if frame.index == 3:
            raise ArithmeticError("writing fails")

    monkeypatch.setattr(SegmentWriter, "write", broken)


def test_progress_counts_passes(tmp_path: Path) -> None:
    """From a still in the middle: three frames backward, four forward; between two stills each pass counts half."""
    flat_film(tmp_path / "film.mkv", [60, 70, 80, 90, 100, 110, 120])
    seen: list[list[int]] = []
    for names in (["0003"], ["0000", "0006"]):
        folder = tmp_path / "-".join(names)
        folder.mkdir()
        for name in names:
            write_still(folder / f"{name}.png", halves())
        calls = Calls()
        colorize(tmp_path / "film.mkv", [folder], folder / "out.mkv", engine=Fake(), working_size=48, on_event=calls)
        seen.append([done for done, _ in calls.progress])
    assert seen[0] == [1, 2, 3, 4, 5, 6, 7]
    assert seen[1] == sorted(seen[1])
    assert len(seen[1]) > 10
    assert seen[1][-1] == 7


def test_the_room_of_a_long_film_is_estimated(tmp_path: Path, still: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_film(tmp_path / "film.mkv", Film(count=60))
    monkeypatch.setattr(disk_space, "SHORT_FILM", 59)
    monkeypatch.setattr(disk_space, "PROBE_FRAMES", 5)
    calls = Calls()
    output = tmp_path / "out.mkv"
    colorize(tmp_path / "film.mkv", [still], output, engine=Fake(), codec="ffv1", on_event=calls)
    (estimate,) = (event for event in calls.events if isinstance(event, DiskEstimateEvent))
    assert re.fullmatch(
        r"needs about \d+ MB .* while it is made and \d+ MB in the end, .*; [\d.]+ [MG]B are free", estimate.message
    )
    assert estimate.needed == 2 * estimate.output
    assert 0.5 < estimate.output / output.stat().st_size < 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", "out.mkv"]
    monkeypatch.setattr(disk_space, "SHORT_FILM", 60)
    calls = Calls()
    colorize(tmp_path / "film.mkv", [still], output, engine=Fake(), codec="ffv1", overwrite=True, on_event=calls)
    assert not any(isinstance(event, DiskEstimateEvent) for event in calls.events)


@pytest.mark.parametrize("where", ["read", "network", "upsample", "write", "progress"])
@pytest.mark.parametrize("name", ["out.mkv", "pictures"])
def test_a_failure_anywhere_is_told_and_leaves_nothing(
    film: Path, still: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    folder = film.parent / "result"
    folder.mkdir()
    (folder / "out.mkv").write_bytes(b"precious")
    breaks = {"read": break_reading, "upsample": break_upsampling, "write": break_writing}
    if where in breaks:
        breaks[where](monkeypatch)

    def watch(event: AnyEvent) -> None:
        if where == "progress" and isinstance(event, ProgressEvent) and event.done == 3:
            raise ArithmeticError("whoever watches fails")

    with pytest.raises(ArithmeticError):
        colorize(
            film, [still], folder / name, overwrite=True, on_event=watch,
            engine=Fake(2, fail_at=2 if where == "network" else None),
        )  # fmt: skip
    assert os.listdir(folder) == ["out.mkv"]
    assert (folder / "out.mkv").read_bytes() == b"precious"
    assert stage_threads() == []


def test_a_film_that_changes_its_size_is_refused_after_its_start(tmp_path: Path, still: Path, matching: Engine) -> None:
    write_images(tmp_path / "in", [gray(halves()), gray(halves()), gray(halves(98, 64))])
    with pytest.raises(InputError, match=r"002\.png: is 98x64"):
        colorize(tmp_path / "in", [still], tmp_path / "out.mp4", engine=matching, working_size=32)
    assert os.listdir(tmp_path) == ["in"]


# --- memory --------------------


def test_memory_does_not_grow_with_the_film() -> None:
    benchmark = Path(__file__).parents[2] / "benchmarks" / "memory.py"
    command = [sys.executable, str(benchmark), "--frames", "80", "--film", "320x180", "--working-size", "32"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ratio" in run.stdout


def test_a_film_of_a_few_pixels_is_refused_in_one_line(tmp_path: Path, still: Path, matching: Engine) -> None:
    write_images(tmp_path / "in", [gray(halves(48, 6))] * 3)
    with pytest.raises(
        InputError, match=r"in: is 48x6 pixels, too small .*; enlarge it to sides of at least 16 pixels"
    ):
        colorize(tmp_path / "in", [still], tmp_path / "out.mp4", engine=matching, working_size=32)
    assert os.listdir(tmp_path) == ["in"]
