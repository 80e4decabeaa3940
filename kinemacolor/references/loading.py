"""The stills of a job, one after the other read from their files and kept at network size."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kinemacolor.core.errors import InputError
from kinemacolor.core.own_images import is_sheet
from kinemacolor.references.image import GrayStillError, read_reference, to_reference
from kinemacolor.references.neutral import marks_shot
from kinemacolor.references.placement import STILL_SUFFIXES, ReferenceFile, shot_of_folder
from kinemacolor.references.size import picture_aspect
from kinemacolor.references.store import ReferenceStore
from kinemacolor.video.info import VideoInfo

PROPOSAL_FILE, PROPOSAL_SHEET = "proposal.json", "sheet.png"
"""What lies beside frames that were exported for painting."""
_NAMED = 3  # files that a line for the user names


@dataclass(frozen=True, slots=True, eq=False)
class LoadedReferences:
    """The stills that color a film.

    Attributes:
        files: of each.
        references: the stills at network size.
        gray: stills without color that are given by themselves, with their places: their shots stay gray.
        remarks: what the user should know about them, a line each.
    """

    files: tuple[ReferenceFile, ...]
    references: ReferenceStore
    gray: tuple[ReferenceFile, ...]
    remarks: tuple[str, ...]


def load_references(files: Sequence[ReferenceFile], info: VideoInfo, frame_size: tuple[int, int]) -> LoadedReferences:
    """Reads stills, one at a time in memory.

    Of a folder's images, those without colors and sheets that this program made are passed over. A gray still that is
    given by itself, with its place in the film, marks its shot.

    Args:
        files: the stills.
        info: of the film.
        frame_size: (height, width) at which the network sees the film's frames as stored.

    Raises:
        InputError: a still or mask cannot be used, a still given by itself is gray and has no place, all are gray, or
            a folder has no colored one.
        OutputError: there is no room for temporary files.
    """
    store = ReferenceStore()
    painted: list[ReferenceFile] = []
    gray: list[ReferenceFile] = []
    remarks: list[str] = []
    passed_over: dict[Path, _PassedOver] = {}
    for file in files:
        passed = passed_over.setdefault(file.folder, _PassedOver()) if file.folder else None
        if _is_own_sheet(file.path):
            if passed:
                passed.sheets.append(file.path)
            else:
                remarks.append(f"{file.path}: passed over, since kinemacolor made it")
            continue
        try:
            remarks += _add(store, file, info, frame_size)
        except GrayStillError:
            if passed:
                passed.gray.append(file.path)
            elif marks_shot(file):
                gray.append(file)
            else:
                raise
            continue
        painted.append(file)
    folders = {file.folder for file in painted}
    for folder, passed in passed_over.items():
        if folder not in folders:
            problem = f"none of its images is painted: {passed}"
            raise InputError(folder, problem, f"paint at least one of them in color{_unread_folders(folder)}")
        if passed.gray or passed.sheets:
            remarks.append(f"{folder}: passed over {passed}")
    if not painted and gray:
        raise InputError(gray[0].path, "is gray, and so are all stills", "give at least one in color")
    if not painted:
        raise InputError(files[0].path, "was made by kinemacolor for people to look at", "give a colored still")
    return LoadedReferences(tuple(painted), store, tuple(gray), tuple(remarks))


def _add(store: ReferenceStore, file: ReferenceFile, info: VideoInfo, frame_size: tuple[int, int]) -> tuple[str, ...]:
    """Reads a still and keeps it at network size alone; returns remarks."""
    still = read_reference(file)
    aspect, matrix = picture_aspect(info), info.coding.matrix
    store.add(to_reference(still, frame_size, matrix, aspect=aspect, orientation=info.orientation))
    return still.remarks


@dataclass(slots=True)
class _PassedOver:
    """Images of a folder that are no colored stills."""

    gray: list[Path] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        parts = []
        if self.gray:
            parts.append(f"{len(self.gray)} without colors ({_names(self.gray)})")
        if self.sheets:
            parts.append(f"{_names(self.sheets)}, which kinemacolor made")
        return " and ".join(parts)


def _unread_folders(folder: Path) -> str:
    """Words about a folder's subfolders with images, none of which is read; nothing where there is none."""
    with contextlib.suppress(OSError):
        unread = [path for path in sorted(folder.iterdir()) if path.is_dir() and shot_of_folder(path) is None]
        unread = [path for path in unread if any(file.suffix.lower() in STILL_SUFFIXES for file in path.iterdir())]
        if unread:
            return f", or give the folder inside it: {_names(unread)}"
    return ""


def _names(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths[:_NAMED]]
    more = [f"{len(paths) - _NAMED} more"] if len(paths) > _NAMED else []
    return ", ".join([*names, *more])


def _is_own_sheet(path: Path) -> bool:
    if path.name == PROPOSAL_SHEET and (path.parent / PROPOSAL_FILE).is_file():
        return True
    try:
        with path.open("rb") as file:
            return is_sheet(file.read(256))
    except OSError:
        return False
