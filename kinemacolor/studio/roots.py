"""Which folders of this machine the page may look into, and what it sees there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError
from kinemacolor.core.natural_sort import natural_key
from kinemacolor.video.decode import FILM_SUFFIXES

BROWSED_SUFFIXES = frozenset({*FILM_SUFFIXES, ".m2ts", ".mts"})
"""Extensions of the files that the browser of folders lists as films."""
PROJECT_SUFFIX = ".toml"
MOST_LISTED = 2000
"""Entries of a folder that are shown, at most."""


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """Something in a folder.

    Attributes:
        name: of the file or folder.
        path: complete.
        kind: ``folder``, ``film``, ``project`` or ``images``, a folder whose images may be a film.
        bytes: size of a file, 0 for folders.
    """

    name: str
    path: str
    kind: str
    bytes: int = 0


class AllowedRoots:
    """Folders outside of which nothing is read or written. Links are resolved before a path is judged.

    Args:
        folders: the roots; those that are missing are left out.
    """

    def __init__(self, folders: Iterable[str | Path]) -> None:
        resolved = [Path(folder).expanduser().resolve() for folder in folders]
        self.folders = tuple(dict.fromkeys(folder for folder in resolved if folder.is_dir()))

    def check(self, path: str | Path) -> Path:
        """The complete path, links resolved.

        Raises:
            InputError: it lies outside of all roots, or is no path.
        """
        try:
            resolved = Path(path).expanduser().resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(path, "is no path on this machine", "give another one") from error
        if not any(resolved.is_relative_to(root) for root in self.folders):
            remedy = f"start the studio with --root {resolved if resolved.is_dir() else resolved.parent}"
            raise InputError(path, "lies outside of the folders that the studio may use", remedy)
        return resolved

    def listing(self, folder: str | Path | None) -> tuple[Path | None, list[FolderEntry]]:
        """A folder of the roots, or None for the roots themselves, and what it holds: folders first, then films.

        Raises:
            InputError: it lies outside, is missing, or cannot be read.
        """
        if not folder:
            return None, [FolderEntry(str(root), str(root), "folder") for root in self.folders]
        path = self.check(folder)
        try:
            entries = [entry for name in path.iterdir() if (entry := self._entry(name)) is not None]
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
            raise InputError(path, problem, "choose another folder") from error
        order = {"folder": 0, "project": 1, "film": 2}
        entries.sort(key=lambda entry: (order[entry.kind], natural_key(Path(entry.name))))
        return path, entries[:MOST_LISTED]

    def _entry(self, path: Path) -> FolderEntry | None:
        if path.name.startswith("."):
            return None
        try:
            target = path.resolve()
            if not any(target.is_relative_to(root) for root in self.folders):
                return None
            if path.is_dir():
                return FolderEntry(path.name, str(path), "folder")
            suffix = path.suffix.lower()
            kind = "project" if suffix == PROJECT_SUFFIX else "film" if suffix in BROWSED_SUFFIXES else None
            return FolderEntry(path.name, str(path), kind, path.stat().st_size) if kind else None
        except (OSError, RuntimeError):
            return None
