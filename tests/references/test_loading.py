"""Stills of a job: unpainted ones of a folder are passed over, and memory does not grow with their number."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array, Reference
from kinemacolor.keyframes.export import EXPORTED_NAME
from kinemacolor.pipeline.job import Job, colorize
from kinemacolor.pipeline.job_spec import JobSpec
from kinemacolor.pipeline.keyframes_job import KeyframesJob, KeyframesSpec
from kinemacolor.references import loading
from kinemacolor.references.image import Still, read_reference, to_reference
from kinemacolor.references.loading import load_references
from kinemacolor.references.placement import ReferenceFile, reference_files
from kinemacolor.references.store import IN_MEMORY, ReferenceStore, TurnedReferences
from kinemacolor.report.contact_sheet import contact_sheet, write_contact_sheet
from kinemacolor.video.reader import VideoReader
from tests.stills import halves, write_still

SHOTS = 3
FRAMES = 6


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three shots of still pictures, six frames each."""
    folder = tmp_path / "film"
    folder.mkdir()
    for number in range(SHOTS * FRAMES):
        small = np.random.default_rng(number // FRAMES).uniform(0, 255, (8, 10)).astype(np.float32)
        assert cv2.imwrite(str(folder / f"{number:04}.png"), cv2.resize(small, (80, 64)))
    return folder


@pytest.fixture
def exported(film: Path, tmp_path: Path) -> Path:
    """Frames of each shot to paint, none of them painted."""
    KeyframesJob(KeyframesSpec(film=film, output=tmp_path / "paint", working_size=48, budget=SHOTS)).run()
    return tmp_path / "paint"


def frames_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if EXPORTED_NAME.fullmatch(path.name))


def paint(path: Path) -> None:
    image = cv2.imread(str(path))
    assert image is not None
    tint = np.where(np.arange(image.shape[1]) < image.shape[1] / 2, 0.5, 1.0)[:, None]
    image = np.clip(image * np.array([0.6, 0.8, 1.1]) * tint, 0, 255).astype(np.uint8)
    assert cv2.imwrite(str(path), image)


def warnings_of(job: Job) -> list[str]:
    messages: list[str] = []
    job.listen(lambda event: messages.append(event.message) if event.kind == "warning" else None)
    job.run()
    return messages


def test_unpainted_exports_and_own_files_are_passed_over(film: Path, exported: Path, tmp_path: Path) -> None:
    first, *rest = frames_of(exported)
    assert len(rest) == SHOTS - 1
    paint(first)
    spec = JobSpec(film=film, references=exported, output=tmp_path / "out.mp4", report=tmp_path / "out.html")
    expected = (
        f"{exported}: passed over {len(rest)} without colors ({', '.join(path.name for path in rest)}) "
        "and sheet.png, which kinemacolor made"
    )
    job = Job(spec)
    assert warnings_of(job) == [expected]
    assert job.result().warnings == (expected,)
    colors = [frame.chroma for frame in VideoReader(tmp_path / "out.mp4").frames(chroma=True)]
    assert all(chroma is not None and np.ptp(chroma[0]) > 0 for chroma in colors)


def test_a_folder_with_none_painted_is_refused(film: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"paint: none of its images is painted: 3 without colors .*; paint at least"):
        colorize(film, exported, tmp_path / "out.mp4")
    colored = write_still(tmp_path / "color.png", halves())
    with pytest.raises(InputError, match="paint: none of its images is painted"):
        colorize(film, [colored, exported], tmp_path / "out.mp4")


def test_a_gray_still_given_by_itself_is_an_error(film: Path, exported: Path, tmp_path: Path) -> None:
    """Unless it has a place in the film: then its shot stays gray."""
    first, second, *_ = frames_of(exported)
    paint(first)
    (tmp_path / "any.png").write_bytes(second.read_bytes())
    with pytest.raises(InputError, match=r"any\.png: is gray: it has no colors"):
        colorize(film, [exported, tmp_path / "any.png"], tmp_path / "out.mp4")


def test_a_preview_passes_over_too_and_is_no_still_itself(film: Path, exported: Path, tmp_path: Path) -> None:
    paint(frames_of(exported)[0])
    for name in ("preview.png", "preview.jpg"):
        Job(JobSpec(film=film, references=exported, output=exported / name)).preview(every=3)
        assert cv2.imread(str(exported / name)) is not None
    warnings = warnings_of(Job(JobSpec(film=film, references=exported, output=tmp_path / "out.mp4")))
    assert len(warnings) == 1
    assert warnings[0].endswith("and preview.jpg, preview.png, sheet.png, which kinemacolor made")


def test_a_painted_copy_beside_the_export_takes_its_place(film: Path, exported: Path) -> None:
    first = frames_of(exported)[0]
    copy = first.with_suffix(".tif")
    copy.write_bytes(first.read_bytes())
    image = cv2.imread(str(first))
    assert image is not None
    assert cv2.imwrite(str(copy), image)
    paint(copy)
    loaded = load_references(reference_files([exported]), VideoReader(film).info, (48, 60))
    assert [file.path for file in loaded.files] == [copy]


def test_exports_in_folders_of_shots_are_passed_over(film: Path, exported: Path) -> None:
    first, second, third = frames_of(exported)
    for number, path in enumerate((first, second, third), start=1):
        (exported / f"shot-{number}").mkdir()
        path.rename(exported / f"shot-{number}" / path.name)
    paint(exported / "shot-2" / second.name)
    loaded = load_references(reference_files([exported]), VideoReader(film).info, (48, 60))
    assert [(file.path.name, file.shot) for file in loaded.files] == [(second.name, 2)]
    assert len(loaded.remarks) == 1


def test_a_sheet_is_known_by_its_content(tmp_path: Path, film: Path) -> None:
    folder = tmp_path / "stills"
    folder.mkdir()
    write_contact_sheet(folder / "renamed.png", contact_sheet([("a", halves())]))
    write_still(folder / "a.png", halves())
    loaded = load_references(reference_files([folder]), VideoReader(film).info, (48, 60))
    assert [file.path.name for file in loaded.files] == ["a.png"]
    assert loaded.remarks == (f"{folder}: passed over renamed.png, which kinemacolor made",)


def test_a_sheet_given_by_itself_is_passed_over(film: Path, exported: Path) -> None:
    """As where a program lists the folder's images."""
    info, (first, *_), sheet = VideoReader(film).info, frames_of(exported), exported / "sheet.png"
    paint(first)
    loaded = load_references(reference_files([sheet, first]), info, (48, 60))
    assert [file.path for file in loaded.files] == [first]
    assert loaded.remarks == (f"{sheet}: passed over, since kinemacolor made it",)
    with pytest.raises(InputError, match=r"sheet\.png: was made by kinemacolor .*; give a colored still"):
        load_references(reference_files([sheet]), info, (48, 60))


def test_painted_images_in_a_folder_that_is_not_read_are_named(film: Path, exported: Path) -> None:
    first = frames_of(exported)[0]
    (exported / "painted").mkdir()
    paint(first)
    first.rename(exported / "painted" / first.name)
    (exported / "notes").mkdir()
    with pytest.raises(InputError, match=r"in color, or give the folder inside it: painted$"):
        load_references(reference_files([exported]), VideoReader(film).info, (48, 60))


# --- memory --------------------


def test_one_still_at_a_time_is_in_memory(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[weakref.ref[Any]] = []
    alive_before: list[int] = []

    def tracked(file: ReferenceFile) -> Still:
        alive_before.append(sum(array() is not None for array in read))
        still = read_reference(file)
        read.append(weakref.ref(still.rgb))
        return still

    monkeypatch.setattr(loading, "read_reference", tracked)
    files = [ReferenceFile(write_still(tmp_path / f"still{number}.png", halves(320, 240))) for number in range(12)]
    loaded = load_references(files, VideoReader(film).info, (48, 60))
    assert len(loaded.references) == 12
    assert alive_before == 12 * [0]


def reference(seed: int, size: tuple[int, int] = (216, 384)) -> Reference:
    generator = np.random.default_rng(seed)
    return Reference(
        generator.uniform(0, 100, size).astype(np.float32),
        generator.uniform(-90, 90, (*size, 2)).astype(np.float32),
        generator.uniform(0, 1, size) > 0.1,
        f"still{seed}.png",
        seed,
    )


def same(first: Reference, second: Reference) -> bool:
    planes: list[tuple[Array, Array]] = [(first.lightness, second.lightness), (first.ab, second.ab)]
    planes.append((first.mask, second.mask))
    return all(np.array_equal(*pair) for pair in planes) and (first.name, first.frame) == (second.name, second.frame)


def test_kept_references_come_back_bit_for_bit() -> None:
    store = ReferenceStore()
    count = IN_MEMORY // (13 * 216 * 384) + 3  # more than memory takes
    for seed in range(count):
        store.add(reference(seed, (216, 384) if seed % 2 else (144, 576)))
    for seed in (count - 1, 0, 3, 1):
        assert same(store[seed], reference(seed, (216, 384) if seed % 2 else (144, 576)))
    assert same(store[-1], store[count - 1])
    assert [kept.frame for kept in store[2:4]] == [2, 3]
    with pytest.raises(IndexError):
        store[count]
    turned = TurnedReferences(store, [1])
    assert same(turned[1], reference(1).mirrored())
    assert same(turned[0], store[0])
    assert len(list(turned)) == count


def test_loaded_references_are_those_made_from_their_stills(film: Path, tmp_path: Path) -> None:
    still = write_still(tmp_path / "a.png", halves())
    info = VideoReader(film).info
    loaded = load_references([ReferenceFile(still)], info, (48, 60))
    direct = to_reference(read_reference(ReferenceFile(still)), (48, 60), info.coding.matrix, aspect=80 / 64)
    assert same(loaded.references[0], direct)
