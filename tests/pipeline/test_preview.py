"""Single frames of each shot, colored by themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kinemacolor.core.types import Shot
from kinemacolor.engine.registry import open_engine
from kinemacolor.pipeline.analysis import scan_frames
from kinemacolor.pipeline.preview import preview, preview_frames, write_preview
from kinemacolor.references.placement import ReferenceFile
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import gray, halves, write_still


def test_a_frame_of_each_shot(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(count=20))
    stills = [write_still(tmp_path / f"{k}.png", np.roll(halves(), 30 * k, axis=1)) for k in range(2)]
    calls: list[tuple[int, int | None]] = []
    with VideoReader(tmp_path / "film.mkv") as reader:
        found = scan_frames(reader, shots=[Shot(0, 3), Shot(3, 20)])
        files = [ReferenceFile(stills[0]), ReferenceFile(stills[1], frame=9)]
        samples = preview(
            reader, files, open_engine("matching"), found, every=8, side=32,
            progress=lambda done, total: calls.append((done, total)),
        )  # fmt: skip
    assert [(one.frame, one.shot, one.references) for one in samples] == [(1, 0, (0,)), (7, 1, (0, 1)), (15, 1, (0, 1))]
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert {one.picture.shape for one in samples} == {(32, 43, 3)}
    assert all(np.ptp(one.picture.astype(int), axis=2).max() > 20 for one in samples)  # in color
    assert all(-1 <= one.confidence <= 1 for one in samples)
    write_preview(tmp_path / "sheet.png", samples)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] > 3 * 43


def test_a_mirrored_still_is_turned_and_told_of(tmp_path: Path) -> None:
    picture = halves()
    (tmp_path / "in").mkdir()
    for number in range(2):
        write_still(tmp_path / "in" / f"{number:04}.png", gray(picture))
    stills = {"still.png": picture, "turned.png": np.ascontiguousarray(picture[:, ::-1])}
    told: dict[str, list[str]] = {name: [] for name in stills}
    shown = []
    for name, image in stills.items():
        write_still(tmp_path / name, image)
        with VideoReader(tmp_path / "in") as reader:
            found = scan_frames(reader, shots=[Shot(0, 2)])
            files = [ReferenceFile(tmp_path / name)]
            shown += preview(reader, files, open_engine("matching"), found, side=64, warn=told[name].append)
    assert told["still.png"] == []
    assert [line.split(": ", 1)[1] for line in told["turned.png"]] == ["shows the film mirrored, and was turned round"]
    assert np.abs(shown[0].picture.astype(int) - shown[1].picture).max() <= 2


@pytest.mark.parametrize(
    ("every", "expected"), [(1, list(range(5, 12))), (4, [7, 10]), (5, [7, 10]), (50, [6, 10]), (2, [6, 9, 11])]
)
def test_which_frames(every: int, expected: list[int]) -> None:
    found = preview_frames([Shot(5, 8), Shot(8, 12)], every)
    assert found == expected
    assert all(any(index in shot for index in found) for shot in (Shot(5, 8), Shot(8, 12)))
