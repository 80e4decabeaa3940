"""The lists of videos that papers on video colorization train and test on, and where a folder holds them.

Only lists that their makers published are included. FVI (1940 training and 100 test videos of YouTube-VOS) has no list
but the folders of its download: neither the repository of its makers (amjltc295/Free-Form-Video-Inpainting) nor that of
the work whose setting the paper follows (MaureenZOU/TSAM) names the videos. The paper counts 90 training videos of
Videvo, the public list has 80.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.video.decode import FILM_SUFFIXES
from kinemacolor.video.image_sequence import COMMON_IMAGE_SUFFIXES

SPLIT_FOLDER = Path(__file__).parent / "splits"
UNLISTED_SPLITS = {
    "fvi-train": "its makers publish no list of its 1940 videos",
    "fvi-test": "its makers publish no list of its 100 videos",
}
"""Sets that the paper names but that have no public list, and why."""
VIDEO_FOLDERS = ("JPEGImages/480p", "JPEGImages/Full-Resolution", "JPEGImages", "")
"""Folders in a data set that may hold its videos."""
HALVES = {"train": ("train", "train_all_frames"), "test": ("test", "valid", "val")}
"""Folders of data sets that come in two halves (Videvo, FVI, YouTube-VOS), in lower case."""
HALF_FOLDERS = ("JPEGImages", "imgs", "")
"""Folders in such a half that may hold its videos."""


def splits() -> list[str]:
    """Names of the lists: ``davis2017-train``, ``davis2017-val``, ``videvo-train``, ``videvo-test``."""
    return sorted(path.stem for path in SPLIT_FOLDER.glob("*.txt"))


def load_split(name: str) -> tuple[str, ...]:
    """The names of a list's videos, in its own order.

    Raises:
        UsageError: there is no such list, or its makers publish none.
    """
    if name in UNLISTED_SPLITS:
        raise UsageError(name, f"is not included: {UNLISTED_SPLITS[name]}", "list the folders of its download instead")
    if name not in splits():
        raise UsageError(name, "there is no list of this name", f"choose among {', '.join(splits())}")
    lines = (SPLIT_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def locate(split: str, folder: str | Path) -> dict[str, Path]:
    """Paths of the videos of a list in a folder, by name; missing videos are left out.

    A video is a folder of frames or a film file, in the folder itself, as in DAVIS in ``JPEGImages/480p``, or as in
    Videvo in the half's folder (``test/``, ``test/imgs/``). Its name may begin with that of the set: ``goat``,
    ``goat.mp4`` or ``davis_goat.mp4``.

    Raises:
        InputError: there is no such folder.
        UsageError: as ``load_split``.
    """
    names = load_split(split)
    root = Path(folder)
    if not root.is_dir():
        raise InputError(root, "is not a folder", f"give the folder that holds the videos of {split}")
    prefix, half = split.split("-")[0].rstrip("0123456789"), "train" if split.endswith("-train") else "test"
    folders = [*(root / part for part in VIDEO_FOLDERS), *half_folders(root, half)]
    paths = {}
    for name in names:
        candidates = (_video(folder, stem) for folder in folders for stem in (name, f"{prefix}_{name}"))
        path = next((candidate for candidate in candidates if candidate), None)
        if path:
            paths[name] = path
    return paths


def missing(split: str, folder: str | Path) -> list[str]:
    """Names of a list's videos that a folder does not contain, in the list's order (see ``locate``)."""
    paths = locate(split, folder)
    return [name for name in load_split(split) if name not in paths]


def half_folders(root: Path, half: str) -> list[Path]:
    """Folders that may hold the videos of a half (``train`` or ``test``) of a data set, whose names begin with it."""
    inside = {folder.name.lower(): folder for folder in sorted(root.iterdir()) if folder.is_dir()}
    found = [inside[name] for name in HALVES[half] if name in inside]
    return [folder / part for folder in found for part in HALF_FOLDERS if (folder / part).is_dir()]


def known_splits(names: Iterable[str]) -> dict[str, int]:
    """How many of these names each list holds; lists that hold none are left out."""
    given = set(names)
    counts = {split: len(given & set(load_split(split))) for split in splits()}
    return {split: count for split, count in counts.items() if count}


def _video(folder: Path, stem: str) -> Path | None:
    frames = folder / stem
    if frames.is_dir() and any(file.suffix.lower() in COMMON_IMAGE_SUFFIXES for file in frames.iterdir()):
        return frames
    films = (folder / f"{stem}{suffix}" for suffix in FILM_SUFFIXES)
    return next((film for film in films if film.is_file()), None)
