"""Training sources: films, folders of frames and photos, found in published layouts or in any folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.evaluation.splits import HALVES
from kinemacolor.propagation.correspondence import correlation
from kinemacolor.video.decode import FILM_SUFFIXES
from kinemacolor.video.image_sequence import COMMON_IMAGE_SUFFIXES

Kind = Literal["film", "frames", "photo"]
Split = Literal["train", "test"]

_NUMBERED = re.compile(r"(.*?)(\d+)$")
_MINIMUM_CORRELATION = 0.6
"""Median correlation of neighboring pictures from which a folder is a clip and not an album."""


@dataclass(frozen=True, slots=True)
class Source:
    """A film, a folder of frames, or a photo.

    Attributes:
        name: unique among the sources of a run: the path below the root, without suffix.
        path: of the file or the folder.
        kind: which of the three.
    """

    name: str
    path: Path
    kind: Kind

    @property
    def stem(self) -> str:
        """The last part of ``name``, by which lists name clips."""
        return self.name.rsplit("/", 1)[-1]


def find_sources(root: Path, split: Split = "train") -> list[Source]:
    """The sources of a folder, sorted by name.

    Published layouts, recognized by their folders:

    - DAVIS 2017: ``JPEGImages/480p/CLIP/*.jpg`` with ``ImageSets/2017/train.txt`` and ``val.txt``;
    - FVI and YouTube-VOS: ``train/JPEGImages/CLIP/*.jpg`` (``Train``, ``train_all_frames``), and ``test`` or ``Test``;
    - Videvo: ``train/CLIP/*.jpg`` and ``test/CLIP/*.jpg``.

    In any other folder, at any depth: films; folders of numbered pictures of one size that resemble their neighbors
    (clips); other pictures (photos). Hidden files are ignored.

    Args:
        root: the folder, or a single film.
        split: which half, where the layout has two; any other folder is all ``train``.

    Raises:
        InputError: the folder is missing or holds nothing usable.
    """
    if root.is_file() and root.suffix.lower() in FILM_SUFFIXES:
        return [Source(root.stem, root, "film")]
    if not root.is_dir():
        raise InputError(root, "is not a folder of films or photos", "give the folder of a data set")
    if (root / "JPEGImages").is_dir():
        sources = _davis(root, split)
    else:
        start = _split_folder(root, split)
        sources = [] if start is None else _walk(start)
    if not sources:
        half = "" if split == "train" else f" for the split {split!r}"
        raise InputError(root, f"holds no films, clips or photos{half}", "give the folder of a data set")
    return sorted(sources, key=lambda source: source.name)


def _davis(root: Path, split: Split) -> list[Source]:
    """Clips of DAVIS's list for the split, or all where there is no list; the cache reports those that are missing."""
    resolutions = sorted((root / "JPEGImages").iterdir())
    at_480 = [folder for folder in resolutions if folder.name == "480p"]
    flat = any(_pictures(folder) for folder in resolutions if folder.is_dir())
    base = root / "JPEGImages" if flat else (at_480 or resolutions)[0]
    listed = root / "ImageSets" / "2017" / ("train.txt" if split == "train" else "val.txt")
    if listed.is_file():
        names = [line.strip() for line in listed.read_text().splitlines() if line.strip()]
    else:
        names = sorted(folder.name for folder in base.iterdir() if folder.is_dir())
    return [Source(name, base / name, "frames") for name in names]


def _split_folder(root: Path, split: Split) -> Path | None:
    """The folder of a split; the root itself where there are no splits, None where it is not there."""
    folders = {folder.name.lower(): folder for folder in sorted(root.iterdir()) if folder.is_dir()}
    if folders.keys() & set(HALVES["test"]) and folders.keys() & set(HALVES["train"]):
        for name in HALVES[split]:
            if name in folders:
                inner = folders[name] / "JPEGImages"
                return inner if inner.is_dir() else folders[name]
        return None
    if split == "test":
        return None
    for name in HALVES["train"]:
        if name in folders and (folders[name] / "JPEGImages").is_dir():
            return folders[name] / "JPEGImages"
    return root


def _walk(root: Path) -> list[Source]:
    sources: list[Source] = []
    for name, subfolders, files in os.walk(root):
        subfolders[:] = sorted(subfolder for subfolder in subfolders if not subfolder.startswith("."))
        folder = Path(name)
        films = [folder / file for file in sorted(files) if Path(file).suffix.lower() in FILM_SUFFIXES]
        sources.extend(Source(_name(root, film), film, "film") for film in films if not film.name.startswith("."))
        pictures = _pictures(folder)
        if is_clip(pictures):
            sources.append(Source(_name(root, folder), folder, "frames"))
        else:
            sources.extend(Source(_name(root, picture), picture, "photo") for picture in pictures)
    return sources


def _name(root: Path, path: Path) -> str:
    if path == root:
        return root.name
    relative = path.relative_to(root)
    return (relative if path.is_dir() else relative.with_suffix("")).as_posix()


def _pictures(folder: Path) -> list[Path]:
    images = (path for path in folder.iterdir() if path.suffix.lower() in COMMON_IMAGE_SUFFIXES)
    return sorted(path for path in images if not path.name.startswith("."))


def is_clip(pictures: list[Path]) -> bool:
    """Whether pictures are the frames of a film: numbered, of one size, and similar to their neighbors."""
    if len(pictures) < 2:
        return False
    matches = [_NUMBERED.match(path.stem) for path in pictures]
    if not all(matches) or len({match[1] for match in matches if match}) > 1:
        return False
    correlations = []
    step = max(1, len(pictures) // 8)
    for index in range(0, len(pictures) - 1, step):
        a, b = (cv2.imread(str(path), cv2.IMREAD_REDUCED_GRAYSCALE_4) for path in pictures[index : index + 2])
        if a is None or b is None:
            continue
        if a.shape != b.shape:
            return False
        small = [cv2.resize(x, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) for x in (a, b)]
        correlations.append(correlation(small[0], small[1]))
    return bool(correlations) and float(np.median(correlations)) >= _MINIMUM_CORRELATION
