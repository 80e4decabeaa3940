"""Films kept as images: gaps and damage are told, and the output keeps the film's own numbers and names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError, OutputError, UsageError
from kinemacolor.core.types import Array
from kinemacolor.pipeline.job import Job, colorize
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.references.film_names import FilmNames
from kinemacolor.references.placement import reference_files
from kinemacolor.references.selection import bindings_within
from kinemacolor.video.image_numbers import missing_images
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import VideoWriter
from tests.stills import halves, write_still

SIZE = (80, 64)


def picture(number: int) -> Array:
    small = np.random.default_rng(7).uniform(40, 220, (8, 10)).astype(np.float32)
    return np.roll(cv2.resize(small, SIZE), 2 * (number % 20), axis=1).astype(np.uint8)


def make_scans(folder: Path, names: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        assert cv2.imwrite(str(folder / name), picture(number))
    return folder


def scan_names(first: int = 86400, count: int = 6, word: str = "", digits: int = 7) -> list[str]:
    return [f"{word}{number:0{digits}}.png" for number in range(first, first + count)]


def still(folder: Path, name: str = "still.png") -> Path:
    return write_still(folder / name, halves(*SIZE))


def run(film: Path, output: Path, references: Any, **settings: Any) -> list[str]:
    """Colors a film; returns the warnings."""
    messages: list[str] = []

    def keep(event: Any) -> None:
        if event.kind == "warning":
            messages.append(event.message)

    colorize(film, references, output, shots="none", on_event=keep, **settings)
    return messages


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- numbers and names of the output --------------------


@pytest.mark.parametrize("names", [scan_names(), scan_names(100, word="IMG_", digits=4), ["a.png", "b7.png", "c.png"]])
def test_images_keep_their_names_in_a_folder(tmp_path: Path, names: list[str]) -> None:
    film = make_scans(tmp_path / "film", names)
    assert run(film, tmp_path / "out", still(tmp_path), max_segment_frames=2) == []
    assert names_in(tmp_path / "out") == names
    for number, name in enumerate(names):
        image = cv2.imread(str(tmp_path / "out" / name))
        assert image is not None
        luma = image.astype(float) @ np.array([0.114, 0.587, 0.299])
        errors = [np.abs(luma - picture(other)).mean() for other in range(len(names))]
        assert int(np.argmin(errors)) == number


def test_images_keep_their_numbers_in_a_pattern_of_a_new_folder(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", scan_names(count=4))
    run(film, tmp_path / "new" / "color_%08d.png", still(tmp_path))
    assert names_in(tmp_path / "new") == [f"color_{number:08d}.png" for number in range(86400, 86404)]
    assert names_in(tmp_path) == ["film", "new", "still.png"]


@pytest.mark.parametrize("output", ["new/reel/1", "new/reel/1/%07d.png"])
def test_folders_of_images_are_made_however_many_are_missing(tmp_path: Path, output: str) -> None:
    film, path = make_scans(tmp_path / "film", scan_names(count=4)), still(tmp_path)
    with pytest.raises(InputError):
        run(film, tmp_path / output, tmp_path / "none.png")
    with pytest.raises(UsageError):  # told after the film was read
        run(film, tmp_path / output, path, neutral_shots="7")
    assert names_in(tmp_path) == ["film", "still.png"]
    run(film, tmp_path / output, path)
    assert names_in(tmp_path / "new" / "reel" / "1") == scan_names(count=4)
    assert [names_in(folder) for folder in (tmp_path / "new", tmp_path / "new" / "reel")] == [["reel"], ["1"]]


def test_numbers_inside_names_are_kept(tmp_path: Path) -> None:
    names = [f"scan_{number:05d}_v2_gray.png" for number in range(500, 506)]
    film = make_scans(tmp_path / "film", names)
    assert run(film, tmp_path / "new" / "%06d.png", still(tmp_path)) == []
    assert names_in(tmp_path / "new") == [f"{number:06d}.png" for number in range(500, 506)]
    assert bound(film, still(tmp_path, "scan_00503_v2_color.png")) == 3
    assert bound(film, still(tmp_path, "scan_00503_color.png")) == 3
    assert bound(film, still(tmp_path, "scan_503_v2_gray.png")) == 3
    assert bound(film, still(tmp_path, "0000504.png")) == 4
    (film / names[2]).unlink()
    (warning,) = run(film, tmp_path / "out", still(tmp_path))
    assert "1 image is missing by their numbers: scan_00502_v2_gray;" in warning


def test_images_of_several_formats_are_one_film(tmp_path: Path) -> None:
    suffixes = [".tif", ".png", ".jpg", ".bmp", ".png", ".webp"]
    film = make_scans(tmp_path / "film", [f"{number:04d}{suffix}" for number, suffix in enumerate(suffixes)])
    for number in (3, 4):  # in color, as many scanners write gray
        assert cv2.imwrite(str(film / f"{number:04d}{suffixes[number]}"), np.dstack([picture(number)] * 3))
    assert run(film, tmp_path / "out", still(tmp_path)) == []
    for number in range(6):
        image = cv2.imread(str(tmp_path / "out" / f"{number:04d}.png"))
        assert image is not None
        luma = image.astype(float) @ np.array([0.114, 0.587, 0.299])
        errors = [np.abs(luma - picture(other)).mean() for other in range(6)]
        assert int(np.argmin(errors)) == number


def test_images_of_other_depth_are_named(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", scan_names())
    assert cv2.imwrite(str(film / "0086403.png"), picture(3).astype(np.uint16) * 257)
    with pytest.raises(InputError, match=r"0086403.png: is 80x64 at 16 bits, the first image is 80x64 at 8 bits; conv"):
        run(film, tmp_path / "out", still(tmp_path))


def test_what_was_told_of_a_gap_is_not_told_again(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", scan_names())
    (film / "0086402.png").unlink()
    (film / "0086404.png").write_bytes(b"")
    gap, damage = run(film / "%07d.png", tmp_path / "out", still(tmp_path))
    assert "missing by their numbers: 0086402" in gap
    assert damage.startswith(f"{film}/%07d.png: 1 image could not be decoded: 0086404.png")


def test_a_part_keeps_its_numbers(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", scan_names())
    run(film, tmp_path / "out", still(tmp_path), fps=4, start=0.5, end=1.25)
    assert names_in(tmp_path / "out") == scan_names(86402, 3)


def test_images_of_one_name_get_numbers(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", ["a.PNG", "a.png"])
    run(film, tmp_path / "out", still(tmp_path))
    assert names_in(tmp_path / "out") == ["frame_000000.png", "frame_000001.png"]


def test_results_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", scan_names(count=3))
    make_scans(tmp_path / "out", ["0086401.png", "other.png"])
    with pytest.raises(OutputError, match="holds such images already"):
        run(film, tmp_path / "out", still(tmp_path))
    run(film, tmp_path / "out", still(tmp_path), overwrite=True)
    assert names_in(tmp_path / "out") == [*scan_names(count=3), "other.png"]


def test_a_writer_by_itself_keeps_the_names(tmp_path: Path) -> None:
    film = VideoReader(make_scans(tmp_path / "film", scan_names(count=3)))
    with VideoWriter(tmp_path / "out", film) as writer:
        for frame in film.frames(first=1):
            neutral = np.full_like(frame.luma, 128)
            writer.write(frame.with_chroma(neutral, neutral))
    assert names_in(tmp_path / "out") == scan_names(86401, 2)


def test_a_job_that_fails_leaves_no_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = make_scans(tmp_path / "film", scan_names(count=3))

    def fail(*_: Any, **__: Any) -> None:
        raise InputError("film", "fails", "nothing")

    monkeypatch.setattr("kinemacolor.pipeline.color_film.plan_film", fail)
    with pytest.raises(InputError, match="fails"):
        run(film, tmp_path / "new" / "%07d.png", still(tmp_path))
    assert names_in(tmp_path) == ["film", "still.png"]


# --- gaps and damage --------------------


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["a1", "a2", "a4"], "1 image is missing by their numbers: a3"),
        (["0098", "0099", "0100", "0105", "0106", "0108"], "5 images are missing by their numbers: 0101 to 0104, 0107"),
        (["a1", "a2", "a3", "b7", "b8", "b10"], "1 image is missing by their numbers: b9"),
        (["f10", "f20", "f30", "f50"], "1 image is missing by their numbers: f40"),
        (["a1", "a2", "b1", "b2"], None),
        (["10", "20", "30"], None),
        (["7"], None),
        (["a", "b", "c9"], None),
        (["12", "140", "377", "1012"], None),
        (
            [str(k) for k in range(0, 40) if k % 6 != 5],
            "6 images are missing by their numbers: 5, 11, 17, 23, 29 and 1 more gaps",
        ),
    ],
)
def test_missing_numbers_are_named(names: list[str], missing: str | None) -> None:
    assert missing_images(names) == missing


@pytest.mark.parametrize("source", ["film", "film/%07d.png"])
def test_a_gap_is_told_before_the_work_and_stays_in_the_numbers(tmp_path: Path, source: str) -> None:
    make_scans(tmp_path / "film", scan_names())
    (tmp_path / "film" / "0086402.png").unlink()
    missing = "1 image is missing by their numbers: 0086402"
    with pytest.raises(InputError, match=f"{missing}; add them, or leave out `strict`"):
        run(tmp_path / source, tmp_path / "out", still(tmp_path), strict=True)
    assert run(tmp_path / source, tmp_path / "out", still(tmp_path)) == [
        f"{tmp_path / source}: {missing}; the frames after a gap follow those before it"
    ]
    assert names_in(tmp_path / "out") == [name for name in scan_names() if name != "0086402.png"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_damaged_image_is_named(tmp_path: Path, suffix: str) -> None:
    names = [Path(name).stem + suffix for name in scan_names()]
    film = make_scans(tmp_path / "film", names)
    content = (film / names[3]).read_bytes()
    (film / names[3]).write_bytes(content[: len(content) // 2])
    damage = f"1 image could not be decoded: {names[3]}"
    with pytest.raises(InputError, match=rf"film: {damage}.*; replace them, or leave out `strict`"):
        run(film, tmp_path / "out", still(tmp_path), strict=True)
    warnings = run(film, tmp_path / "out", still(tmp_path))
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{film}: {damage}")
    assert names_in(tmp_path / "out") == [name for name in scan_names() if name != "0086403.png"]


# --- stills by the film's own names --------------------


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("IMG_0103.png", 3),
        ("img_0103.jpg", 3),
        ("IMG_103.png", 3),
        ("IMG_0103 painted.png", 3),
        ("IMG_0103-color.png", 3),
        ("IMG_0103 (2).png", 3),
        ("0103.png", 3),
        ("IMG_2000.png", None),
        ("DSC_0103.png", None),
        ("103.png", None),
        ("IMG_01034.png", None),
        ("portrait.png", None),
    ],
)
def test_a_still_binds_by_the_name_of_a_camera_film(tmp_path: Path, name: str, frame: int | None) -> None:
    film = make_scans(tmp_path / "film", scan_names(100, word="IMG_", digits=4))
    assert bound(film, still(tmp_path, name)) == frame


@pytest.mark.parametrize(
    ("names", "name", "frame"),
    [
        (scan_names(), "0086404.png", 4),
        (scan_names(), "0086404_painted.png", 4),
        (["1.png", "2.png", "3.png"], "2.png", 1),
        (["000000.png", "000001.png", "000002.png"], "1.png", None),
        (["a_0001.png", "a_0002.png", "b_0001.png", "b_0002.png"], "b_0001.png", 2),
        (["20240511_101530_1.png", "20240511_101530_2.png"], "20240511_101530_2.png", 1),
        (["metropolis-1927.png", "metropolis-1928.png"], "metropolis-1928.png", 1),
    ],
)
def test_a_still_binds_by_the_names_of_any_film(tmp_path: Path, names: list[str], name: str, frame: int | None) -> None:
    film = make_scans(tmp_path / "film", names)
    assert bound(film, still(tmp_path, name)) == frame


def bound(film: Path, path: Path) -> int | None:
    job = Job(JobSpec(film=film, references=path, output=film.parent / "out.mp4", shots="none"))
    plan = job.plan()
    (binding,) = bindings_within(reference_files([path]), plan.analysis, VideoReader(film).info)
    return binding.frame


def test_a_damaged_image_moves_no_still(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", ["a_0001.png", "a_0002.png", "b_0001.png", "b_0002.png"])
    (film / "a_0002.png").write_bytes(b"damaged")
    assert bound(film, still(tmp_path, "b_0002.png")) == 2  # the third that decodes


def test_a_still_of_a_frame_outside_the_part_stays_outside(tmp_path: Path) -> None:
    film = make_scans(tmp_path / "film", ["a_1.png", "a_2.png", "b_1.png", "b_2.png"])
    inside = still(tmp_path, "b_1.png")
    run(film, tmp_path / "out", [inside, still(tmp_path, "a_1.png"), still(tmp_path, "b_2.png")], fps=1, start=1, end=3)
    assert names_in(tmp_path / "out") == ["a_2.png", "b_1.png"]


def test_longest_name_before_words_counts() -> None:
    film = FilmNames(["reel 1", "reel 1 take 2"])
    assert film.position_before_words("reel 1 painted") == 0
    assert film.position_before_words("reel 1 take 2 painted") == 1
    assert film.position("REEL 1 take 2") == 1
