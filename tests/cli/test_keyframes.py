"""``kinemacolor keyframes``."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from kinemacolor.cli.keyframes import keyframes
from kinemacolor.core.errors import KinemacolorError
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array
from kinemacolor.keyframes.sampling import sample_frames
from kinemacolor.pipeline.analysis import scan_frames
from kinemacolor.references.image import read_still
from kinemacolor.references.placement import reference_files
from kinemacolor.references.selection import bindings_within
from kinemacolor.shots.lists import write_shots
from kinemacolor.video.reader import VideoReader
from tests.media import Film, make_film
from tests.stills import halves, write_still

app = typer.Typer()
app.command()(keyframes)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> KinemacolorError:
    """The one line that a user would read."""
    result = run(*arguments)
    assert isinstance(result.exception, KinemacolorError), result.output
    assert "\n" not in str(result.exception)
    return result.exception


def rooms(path: Path, lengths: tuple[int, ...] = (14, 13, 12), kinds: tuple[int, ...] = (1, 2, 1)) -> Path:
    """A film, 80 × 64, of shots of still rooms, coded without loss as gray."""
    pictures = {kind: room(kind) for kind in kinds}
    folder = path.with_suffix("")
    folder.mkdir()
    for index, kind in enumerate(kind for kind, length in zip(kinds, lengths, strict=True) for _ in range(length)):
        assert cv2.imwrite(str(folder / f"{index:04d}.png"), pictures[kind])
    return folder


def room(kind: int) -> Array:
    """A picture like no other."""
    rng = np.random.default_rng(kind)
    small = rng.uniform(0, 255, (8, 10)).astype(np.float32)
    image: Array = cv2.resize(small, (80, 64), interpolation=cv2.INTER_CUBIC if kind % 2 else cv2.INTER_NEAREST)
    return np.clip(image, 0, 255).astype(np.uint8)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_proposal_is_exported(tmp_path: Path) -> None:
    film, folder = rooms(tmp_path / "rooms.film"), tmp_path / "paint"
    result = run(film, "--output", folder, "--working-size", 32, "--threshold", 0.9)
    assert result.exit_code == 0, result.output
    told = json.loads((folder / "proposal.json").read_text())
    frames = [pick["frame"] for pick in told["picks"]]
    assert len(frames) == 2  # the third shot is the first room again
    assert [(shot["start"], shot["stop"]) for shot in told["shots"]] == [(0, 14), (14, 27), (27, 39)]
    assert names(folder) == sorted([*(f"{frame:07d}.png" for frame in frames), "proposal.json", "sheet.png"])
    for frame in frames:
        image = cv2.imread(str(folder / f"{frame:07d}.png"), cv2.IMREAD_UNCHANGED)
        kind = 2 if 14 <= frame < 27 else 1
        np.testing.assert_array_equal(image, np.dstack([room(kind)] * 3))
    assert f"{folder}: 2 frames to paint, in 2 of 3 shots" in result.stdout
    assert told["met"]
    assert names(tmp_path) == ["paint", "rooms"]  # nothing is left beside it


def test_exports_of_images_have_the_images_numbers(tmp_path: Path) -> None:
    film, folder = rooms(tmp_path / "rooms.film"), tmp_path / "paint"
    for file in sorted(film.iterdir(), reverse=True):
        file.rename(film / f"reel2_{int(file.stem) + 86401:06d}.png")
    run(film, "-o", folder, "--working-size", 32, "--threshold", 0.9)
    told = json.loads((folder / "proposal.json").read_text())
    for pick in told["picks"]:
        assert pick["file"] == f"{pick['frame'] + 86401:07d}.png"
        image = cv2.imread(str(folder / pick["file"]), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, np.dstack([room(2 if pick["shot"] == 1 else 1)] * 3))
    with VideoReader(film) as reader:
        found = scan_frames(reader)
        files = reference_files([folder / pick["file"] for pick in told["picks"]])
        bound = [one.frame for one in bindings_within(files, found, reader.info)]
    assert bound == [pick["frame"] for pick in told["picks"]]


def test_the_proposal_as_json_says_the_same(tmp_path: Path) -> None:
    film, folder = rooms(tmp_path / "rooms.film"), tmp_path / "paint"
    result = run(film, "-o", folder, "--working-size", 32, "--budget", 1, "--every", 6, "--json")
    told = json.loads(result.stdout)
    assert told == json.loads((folder / "proposal.json").read_text())
    (pick,) = told["picks"]
    assert pick["shot"] in (0, 2)
    assert pick["seconds"] == pytest.approx(pick["frame"] / 24, abs=1e-3)
    assert sum(shot["sampled"] for shot in told["shots"]) == 3 + 3 + 2
    assert told["size"] == [40, 32]
    assert not told["met"]


def test_frames_are_exported_as_a_viewer_sees_them(tmp_path: Path) -> None:
    """Square pixels, turned upright, full range; 16 bits for a film of 10."""
    turn = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    film = tmp_path / "film.mp4"
    recipe = Film(48, 64, 5, "yuv420p10le", "libx264", {"crf": "1"}, sar=Fraction(4, 3), tags=(1, 1, 1, 1))
    make_film(film, recipe)
    with VideoReader(film) as reader:
        lumas = [frame.luma.astype(np.float64) for frame in reader.frames()]
    make_film(tmp_path / "turned.mp4", Film(count=5, codec="libx264", display_matrix=turn, options={"qp": "0"}))
    assert run(film, "-o", tmp_path / "a", "--working-size", 32, "--budget", 1, "-q").exit_code == 0
    assert run(tmp_path / "turned.mp4", "-o", tmp_path / "b", "--working-size", 32, "--budget", 1, "-q").exit_code == 0
    (name,) = (name for name in names(tmp_path / "a") if name[:7].isdecimal())
    image = cv2.imread(str(tmp_path / "a" / name), cv2.IMREAD_UNCHANGED)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint16
    expected = np.clip((lumas[int(name[:7])] - 64) / 876, 0, 1) * 65535
    assert np.abs(image[..., 0].mean(axis=1) - expected.mean(axis=1)).max() < 400
    assert (image == image[..., :1]).all()
    (name,) = (name for name in names(tmp_path / "b") if name[:7].isdecimal())
    upright = cv2.imread(str(tmp_path / "b" / name), cv2.IMREAD_UNCHANGED)[..., 0]
    with VideoReader(tmp_path / "turned.mp4") as reader:
        stored = list(reader.frames())[int(name[:7])].luma.astype(np.float64)
        turns = reader.info.rotation // 90
    assert turns in (1, 3)
    expected = np.clip((np.rot90(stored, -turns) - 16) * 255 / 219, 0, 255)
    np.testing.assert_allclose(upright, expected, atol=0.51)


def test_a_list_of_shots_is_taken(tmp_path: Path) -> None:
    film, file = rooms(tmp_path / "rooms.film"), tmp_path / "shots.json"
    write_shots(file, (Shot(0, 10), Shot(10, 39)), Fraction(24), str(film))
    told = json.loads(run(film, "-o", tmp_path / "paint", "--working-size", 32, "--shots", file, "--json").stdout)
    assert [(shot["start"], shot["stop"]) for shot in told["shots"]] == [(0, 10), (10, 39)]


# --- what is refused --------------------


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--budget", 0, "expected a number greater than or equal to 1, got 0"),
        ("--threshold", 1.5, "expected a number less than or equal to 1, got 1.5"),
        ("--threshold", 0, "expected a number greater than 0, got 0.0"),
        ("--every", 0, "expected a number greater than or equal to 1, got 0"),
        ("--working-size", 8, "expected a number greater than or equal to 32, got 8"),
        ("--engine", "none", "expected lite, matching, onnx, torch, got 'none'"),
    ],
)
def test_numbers_that_make_no_sense(tmp_path: Path, option: str, value: Any, problem: str) -> None:
    error = refused("film.mp4", "-o", tmp_path / "paint", option, value)
    assert error.exit_code == 2
    name = option.removeprefix("--").replace("-", "_")
    assert str(error).startswith(f"{name}: {problem}")


def test_a_film_that_is_not_there(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.mp4", "-o", tmp_path / "paint")
    assert error.exit_code == 3
    assert "none.mp4" in str(error)
    assert names(tmp_path) == []


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    film, folder = rooms(tmp_path / "rooms.film", (9,), (1,)), tmp_path / "paint"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "0000003.png").write_bytes((film / "0000.png").read_bytes())
    error = refused(film, "-o", folder)
    assert error.exit_code == 4
    assert str(error) == f"{folder}: holds files already; choose another folder, or `overwrite`"
    assert (
        run(film, "-o", folder, "--overwrite", "--working-size", 32, "--budget", 1, "--every", 9, "-q").exit_code == 0
    )
    assert names(folder) == ["0000004.png", "notes.txt", "proposal.json", "sheet.png"]


def test_painted_frames_are_never_replaced(tmp_path: Path) -> None:
    film, folder = rooms(tmp_path / "rooms.film", (9,), (1,)), tmp_path / "paint"
    assert run(film, "-o", folder, "--working-size", 32, "--budget", 1, "-q").exit_code == 0
    name = names(folder)[0]
    write_still(folder / name, halves(80, 64))
    error = refused(film, "-o", folder, "--overwrite", "--working-size", 32, "--budget", 1)
    assert error.exit_code == 4
    assert f"{name} in it is painted" in str(error)
    read_still(folder / name)


def test_places_where_no_folder_can_be(tmp_path: Path) -> None:
    film = rooms(tmp_path / "rooms.film", (9,), (1,))
    (tmp_path / "file").write_text("x")
    assert "is a file" in str(refused(film, "-o", tmp_path / "file"))
    assert "there is no such folder" in str(refused(film, "-o", tmp_path / "none" / "paint"))
    assert "is the folder of the film" in str(refused(film, "-o", film, "--overwrite"))
    assert "is the folder of the film" in str(refused(film / "%04d.png", "-o", film, "--overwrite"))


def test_a_film_that_breaks_off_is_told(tmp_path: Path) -> None:
    make_film(tmp_path / "whole.mkv", Film(count=20))
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "half.mkv").write_bytes(content[: len(content) // 2])
    result = run(tmp_path / "half.mkv", "-o", tmp_path / "paint", "--working-size", 32, "--budget", 1)
    assert result.exit_code == 3
    assert "what decodes was compared" in result.stderr
    assert "proposal.json" in names(tmp_path / "paint")


def test_nothing_is_left_where_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, folder = rooms(tmp_path / "rooms.film", (9,), (1,)), tmp_path / "paint"

    def full(self: Path, *arguments: Any, **options: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    error = refused(film, "-o", folder, "--working-size", 32, "--budget", 1)
    assert error.exit_code == 4
    assert "No space left on device" in str(error)
    assert names(tmp_path) == ["rooms"]


# --- which frames are looked at --------------------


@pytest.mark.parametrize("every", [1, 4, 7, 100])
def test_every_shot_is_looked_at_in_equal_pieces(every: int) -> None:
    shots = [Shot(0, 1), Shot(1, 30), Shot(30, 130), Shot(130, 133)]
    frames = sample_frames(shots, every)
    assert frames == sorted(set(frames))
    for shot in shots:
        assert shot.stop
        own = [frame for frame in frames if frame in shot]
        steps = np.diff([2 * shot.start - own[0] - 1, *own, 2 * shot.stop - own[-1]])  # mirrored at both ends
        assert max(steps) <= every + 1
        assert max(steps) - min(steps) <= 2
        assert len(own) == -(-(shot.stop - shot.start) // every)


def test_long_films_are_looked_at_less_often() -> None:
    assert len(sample_frames([Shot(0, 400)], None)) == 100
    assert len(sample_frames([Shot(0, 170_000)], None)) == pytest.approx(1000, abs=10)
    lone = [Shot(10 * k, 10 * k + 10) for k in range(3000)]
    assert len(sample_frames(lone, None)) == 3000  # one in each shot all the same
