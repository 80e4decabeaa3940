"""Title cards, blank leader and shots that the user marks come out without any color, and cost the engine nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.events import AnyEvent, WarningEvent
from kinemacolor.core.types import Array, FloatArray, Reference
from kinemacolor.engine.protocol import EngineState, ReferenceBank, StepResult, cells
from kinemacolor.pipeline.job import colorize
from kinemacolor.pipeline.keyframes_job import KeyframesJob, KeyframesSpec
from kinemacolor.video.reader import VideoReader
from tests.shots.test_cards import printed, title_card
from tests.stills import write_still

SIZE = (144, 192)
LENGTHS = {"street": 16, "card": 20, "train": 16, "black": 14, "garden": 16}
STARTS = {"street": 0, "card": 16, "train": 36, "black": 52, "garden": 66}
COUNT = 82


class Painter:
    """An engine that paints everything orange and counts the frames it is asked for."""

    name, block_size = "painter", 1

    def __init__(self) -> None:
        self.frames = 0

    def start(self, references: Sequence[Reference]) -> ReferenceBank:
        count = sum(int(np.prod(cells(*reference.size))) for reference in references)
        one = np.ones((count, 2), np.float32)
        return ReferenceBank(one, one, np.ones(count, bool), tuple(references))

    def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
        self.frames += len(luma_block)
        ab = np.full((*luma_block.shape, 2), 30, np.float32)
        keys = np.zeros((len(luma_block), *cells(*luma_block.shape[1:]), 2), np.float32)
        return StepResult(ab, np.full(luma_block.shape, 0.5, np.float32), keys, EngineState())


def picture(name: str, number: int) -> Array:
    """(H, W) uint8, a frame of a shot."""
    if name == "card":
        card = title_card(640, 480)
        return printed(cv2.resize(card, SIZE[::-1], interpolation=cv2.INTER_AREA), number, grain=3, weave=0.5)
    if name == "black":
        return printed(np.full(SIZE, 16, np.uint8), number, grain=2)
    small = np.random.default_rng(len(name)).uniform(20, 235, (9, 12)).astype(np.float32)
    large = cv2.resize(small, (SIZE[1] + 40, SIZE[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(large[:, number : number + SIZE[1]], 0, 255).astype(np.uint8)


def frame_of(index: int) -> Array:
    name = next(name for name in reversed(STARTS) if STARTS[name] <= index)
    return picture(name, index - STARTS[name])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = SIZE[1], SIZE[0], "gray"
        for index in range(COUNT):
            picture = av.VideoFrame.from_ndarray(frame_of(index), format="gray")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def colored(index: int) -> Array:
    """A frame of the film, painted."""
    return np.dstack([frame_of(index)] * 3).astype(np.float32).__mul__([1.0, 0.7, 0.5]).astype(np.uint8)


@pytest.fixture
def still(tmp_path: Path) -> Path:
    return write_still(tmp_path / "street.png", colored(8))


def colorful(output: Path) -> list[str]:
    """Names of the shots that have any chroma that is not exactly neutral; one that has, has it in every frame."""
    with VideoReader(output) as reader:
        flags = [any((plane != 128).any() for plane in frame.chroma or ()) for frame in reader.frames(chroma=True)]
    assert len(flags) == COUNT
    names = []
    for name, start in STARTS.items():
        part = flags[start : start + LENGTHS[name]]
        assert all(part) or not any(part), (name, part)
        names += [name] if any(part) else []
    return names


def run(film: Path, references: Any, output: Path, **settings: Any) -> tuple[list[str], Painter, list[str]]:
    """Shots in color, the engine, and the warnings."""
    engine, events = Painter(), list[AnyEvent]()
    settings = {"codec": "ffv1", "overwrite": True, **settings}
    colorize(film, references, output, engine=engine, on_event=events.append, **settings)
    return colorful(output), engine, [event.message for event in events if isinstance(event, WarningEvent)]


def test_cards_and_leader_stay_gray(film: Path, still: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    names, engine, warnings = run(film, still, tmp_path / "out.mkv", report=report, max_segment_frames=16)
    assert names == ["street", "train", "garden"]
    assert engine.frames == sum(LENGTHS[name] for name in names)
    assert warnings == [
        "film.mkv: shot 2 (frames 16 to 35, title card), shot 4 (frames 52 to 65, blank leader) stay gray; "
        "bind a colored still to a shot, or set `neutral_shots` to none, to color it"
    ]
    record = json.loads(report.with_suffix(".json").read_text())
    assert [shot["neutral"] for shot in record["shots"]] == [False, True, False, True, False]
    assert warnings[0] in record["notes"]
    assert "stays gray" in report.read_text()
    assert not any(16 <= entry["frame"] < 36 or 52 <= entry["frame"] < 66 for entry in record["advice"])


def test_the_user_decides(film: Path, still: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    assert run(film, still, output, neutral_shots="none")[0] == list(STARTS)
    assert run(film, still, output, neutral_shots="5")[0] == ["street", "train"]
    assert run(film, still, output, neutral_shots="none,3")[0] == ["street", "card", "garden"]  # no leader is split off
    with pytest.raises(UsageError, match="neutral_shots: names shot 9, but the film has shots 1 to 5"):
        run(film, still, output, neutral_shots="9")
    with pytest.raises(UsageError, match="expected auto, none, or numbers of shots"):
        run(film, still, output, neutral_shots="the third")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_list_says_what_stays_gray(film: Path, still: Path, tmp_path: Path, kind: str) -> None:
    rows = [
        {"first": start, "last": start + LENGTHS[name] - 1, "neutral": {"card": "no", "garden": "yes"}.get(name, "")}
        for name, start in STARTS.items()
    ]
    path = tmp_path / f"shots.{kind}"
    if kind == "json":
        path.write_text(json.dumps({"shots": rows}))
    else:
        lines = [f"{row['first']},{row['last']},{row['neutral']}" for row in rows]
        path.write_text("\n".join(["first,last,neutral", *lines]))
    names, _, warnings = run(film, still, tmp_path / "out.mkv", shots=path)
    assert names == ["street", "card", "train"]
    assert len(warnings) == 1
    assert "shot 4 (frames 52 to 65, blank leader) stays gray" in warnings[0]


def test_a_gray_still_says_that_its_shot_stays_gray(film: Path, still: Path, tmp_path: Path) -> None:
    gray = write_still(tmp_path / "frame_0040.png", frame_of(40))
    names, engine, _ = run(film, [still, gray], tmp_path / "out.mkv")
    assert names == ["street", "garden"]
    assert engine.frames == 32
    painted = write_still(tmp_path / "frame_0045.png", colored(45))
    with pytest.raises(InputError, match=r"frame_0040\.png: is gray, .*frame_0045\.png colors the same shot"):
        run(film, [still, gray, painted], tmp_path / "out.mkv")
    with pytest.raises(InputError, match=r"is gray, and so are all stills"):
        run(film, [gray], tmp_path / "out.mkv")


def test_a_painted_card_is_colored(film: Path, still: Path, tmp_path: Path) -> None:
    tinted = write_still(tmp_path / "frame_0020.png", colored(20))
    assert run(film, [still, tinted], tmp_path / "out.mkv")[0] == ["street", "card", "train", "garden"]
    astray = write_still(tmp_path / "frame_0021.png", colored(8))  # it shows another shot
    assert run(film, [still, astray], tmp_path / "out.mkv")[0] == ["street", "train", "garden"]


def test_an_interrupted_run_knows_what_stays_gray(film: Path, still: Path, tmp_path: Path) -> None:
    class Interrupted(Painter):
        def step(self, luma_block: FloatArray, bank: ReferenceBank, state: EngineState | None = None) -> StepResult:
            if self.frames >= 20:
                raise ArithmeticError
            return super().step(luma_block, bank, state)

    output = tmp_path / "out.mkv"
    with pytest.raises(ArithmeticError):
        colorize(film, still, output, engine=Interrupted(), codec="ffv1")
    names, engine, warnings = run(film, still, output)
    assert names == ["street", "train", "garden"]
    assert engine.frames == 32  # the first shot was finished
    assert len(warnings) == 1


def test_nobody_is_asked_to_paint_a_card(film: Path, tmp_path: Path) -> None:
    job = KeyframesJob(KeyframesSpec(film=film, output=tmp_path / "paint", working_size=64, threshold=0.99))
    events = list(job.events())
    assert {pick.shot for pick in job.result().proposal.picks} == {0, 2, 4}
    assert [shot.shot.start for shot in job.result().proposal.shots] == [0, 36, 66]
    (warning,) = [event.message for event in events if isinstance(event, WarningEvent)]
    assert "shots 2, 4 stay gray" in warning
