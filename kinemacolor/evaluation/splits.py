"""The lists of videos that papers on video colorization train and test on, and where a folder holds them.

Only lists that their makers published are here. FVI (1940 training and 100 test videos of YouTube-VOS) has none but the
folders of its own download; the paper counts 90 training videos of Videvo, the public list has 80.
"""

from __future__ import annotations

from pathlib import Path

from kinemacolor.core.errors import InputError, UsageError

FOLDER = Path(__file__).parent / "splits"
UNLISTED = {
    "fvi-train": "its makers publish no list of its 1940 videos",
    "fvi-test": "its makers publish no list of its 100 videos",
}
"""Sets that the paper names and of which there is no public list, and why."""
LAYOUT = ("JPEGImages/480p", "JPEGImages/Full-Resolution", "JPEGImages", "")
"""Folders below a set's root in which its videos may lie."""
_FILMS = (".mp4", ".mkv", ".mov", ".avi", ".webm")
_IMAGES = frozenset({".jpg", ".jpeg", ".png"})


def splits() -> list[str]:
    """Names of the lists that there are: ``davis2017-train``, ``davis2017-val``, ``videvo-train``, ``videvo-test``."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load_split(name: str) -> tuple[str, ...]:
    """The names of a list's videos, in its own order.

    Raises:
        UsageError: there is no such list, or none that could be verified.
    """
    if name in UNLISTED:
        raise UsageError(name, f"is not listed here: {UNLISTED[name]}", "list the folders of its download instead")
    if name not in splits():
        raise UsageError(name, "there is no split of this name", f"choose among {', '.join(splits())}")
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def locate(split: str, folder: str | Path) -> dict[str, Path]:
    """Where a folder holds the videos of a list, by name; those it lacks are left out.

    A video is a folder of JPEG or PNG frames (right there, or as in DAVIS under ``JPEGImages/480p``) or a film file,
    whose name may begin with the set's: ``goat``, ``goat.mp4`` or ``davis_goat.mp4``.

    Raises:
        InputError: there is no such folder.
        UsageError: as ``load_split``.
    """
    names = load_split(split)
    root = Path(folder)
    if not root.is_dir():
        raise InputError(root, "is no folder", f"give the folder that holds the videos of {split}")
    prefix = split.split("-")[0].rstrip("0123456789")  # davis, videvo
    found = {}
    for name in names:
        candidates = (_video(root / part, stem) for part in LAYOUT for stem in (name, f"{prefix}_{name}"))
        path = next((candidate for candidate in candidates if candidate), None)
        if path:
            found[name] = path
    return found


def missing(split: str, folder: str | Path) -> list[str]:
    """The videos of a list that a folder lacks, in the list's order (see ``locate``)."""
    found = locate(split, folder)
    return [name for name in load_split(split) if name not in found]


def _video(folder: Path, stem: str) -> Path | None:
    frames = folder / stem
    if frames.is_dir() and any(file.suffix.lower() in _IMAGES for file in frames.iterdir()):
        return frames
    films = (folder / f"{stem}{suffix}" for suffix in _FILMS)
    return next((film for film in films if film.is_file()), None)
