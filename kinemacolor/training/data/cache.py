"""Films and photos, decoded and resized once: one memory-mapped file of uint8 R'G'B', and an index of its shots.

A cache is a folder with ``frames.bin`` (shots in order, of each its frames (H, W, 3) in order) and ``index.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.types import Array
from kinemacolor.training.config.sections import DEMO_CLIPS
from kinemacolor.training.data.decode import FilmShots, decode_photo
from kinemacolor.training.data.sources import Source

CACHE_VERSION = 1
_FRAMES, _INDEX = "frames.bin", "index.json"


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Sizes and limits of a cache.

    Attributes:
        side: short side of films' frames, pixels; smaller films keep their size.
        photo_side: short side of photos; larger, since synthetic motion shows parts of them.
        limit: frames kept of one film; of a longer one, stretches spread over its length.
        shortest: shots of fewer frames are left out.
    """

    side: int = 180
    photo_side: int = 240
    limit: int = 2000
    shortest: int = 4

    @classmethod
    def for_side(cls, side: int) -> CacheSettings:
        """With films of this short side, and photos a third larger."""
        return cls(side, photo_side=round(side * 4 / 3))

    def __post_init__(self) -> None:
        for name, least in (("side", 32), ("photo_side", 32), ("limit", 2), ("shortest", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class CachedClip:
    """A shot of a film, or a photo, in a cache.

    Attributes:
        name: the source's name; of films ``NAME#2`` for the third shot.
        source: the source's name.
        photo: whether it is a photo (one frame).
        frames, height, width: its size.
        offset: of its first byte in ``frames.bin``.
        start: number of its first frame in the film.
    """

    name: str
    source: str
    photo: bool
    frames: int
    height: int
    width: int
    offset: int = 0
    start: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3)."""
        return self.frames, self.height, self.width, 3

    def matches(self, pattern: str) -> bool:
        """Whether ``pattern`` (with ``*``) is the source's name or the last part of it."""
        return fnmatch(self.source, pattern) or fnmatch(self.source.rsplit("/", 1)[-1], pattern)


@dataclass(frozen=True, slots=True)
class SkippedSource:
    """A source that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Cache:
    """An open cache, or a selection of its clips.

    Attributes:
        folder: of the cache.
        clips: shots and photos.
        skipped: sources left out when it was built.
        digest: SHA-256 of ``frames.bin``: identifies the data in logs and checkpoints.
        key: SHA-256 of the sources and settings it was built from.
    """

    folder: Path
    clips: tuple[CachedClip, ...]
    skipped: tuple[SkippedSource, ...]
    digest: str
    key: str
    _bytes: Array

    def frames(self, clip: CachedClip) -> Array:
        """R'G'B' (T, H, W, 3) uint8, mapped from the file: only frames that are accessed are read."""
        return self._bytes[clip.offset : clip.offset + int(np.prod(clip.shape))].reshape(clip.shape)

    def without(self, patterns: Iterable[str]) -> Cache:
        """The same cache without the sources of these names (``*`` stands for anything)."""
        patterns = tuple(patterns)
        return replace(self, clips=tuple(c for c in self.clips if not any(c.matches(p) for p in patterns)))

    def only(self, patterns: Iterable[str]) -> Cache:
        """The same cache with the sources of these names alone.

        Raises:
            UsageError: a pattern names no source of the cache.
        """
        patterns = tuple(patterns)
        for pattern in patterns:
            if not any(clip.matches(pattern) for clip in self.clips):
                raise UsageError(self.folder, f"no clip is named {pattern!r}", "name clips as index.json lists them")
        return replace(self, clips=tuple(c for c in self.clips if any(c.matches(p) for p in patterns)))


def is_cache(folder: Path) -> bool:
    """Whether a folder is a cache, as far as the names of its files tell."""
    return (folder / _INDEX).is_file()


def open_cache(folder: Path) -> Cache:
    """Opens a cache.

    Raises:
        InputError: the folder is not a cache, is of another version, or is corrupt.
    """
    remedy = "build the cache again, in an empty folder"
    try:
        index = parse_json((folder / _INDEX).read_text())
        if index["version"] != CACHE_VERSION:
            raise InputError(folder, f"is a cache of version {index['version']}, not {CACHE_VERSION}", remedy)
        clips = tuple(CachedClip(**clip) for clip in index["clips"])
        skipped = tuple(SkippedSource(**entry) for entry in index["skipped"])
        expected = sum(int(np.prod(clip.shape)) for clip in clips)
        size = (folder / _FRAMES).stat().st_size
        digest, key = index["digest"], index["key"]
    except FileNotFoundError as error:
        raise InputError(folder, f"is not a cache ({Path(error.filename).name} is missing)", remedy) from error
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(folder, f"{_INDEX} is corrupt", remedy) from error
    if size != expected:
        raise InputError(folder, f"{_FRAMES} has {size} bytes instead of {expected}", remedy)
    return Cache(folder, clips, skipped, digest, key, np.memmap(folder / _FRAMES, np.uint8, mode="r"))


def build_cache(
    sources: Sequence[Source],
    folder: Path,
    settings: CacheSettings | None = None,
    *,
    exclude: Iterable[str] = DEMO_CLIPS,
    progress: ProgressCallback | None = None,
) -> Cache:
    """Builds a cache, or opens the one that was built there from the same sources with the same settings.

    Args:
        sources: from ``find_sources``.
        folder: of the cache; written under another name and renamed when complete.
        settings: sizes and limits.
        exclude: names of sources that are never used (``*`` stands for anything).
        progress: called with the sources done and the sources in all.

    Raises:
        InputError: no usable source is left.
        OutputError: the folder holds something else, or cannot be written.
    """
    settings = settings or CacheSettings()
    patterns = tuple(exclude)
    chosen = [s for s in sources if not any(fnmatch(s.name, p) or fnmatch(s.stem, p) for p in patterns)]
    key = _cache_key(chosen, settings)
    if folder.exists():
        return reopen(folder, key)

    def entries() -> Iterator[tuple[CachedClip, Array]]:
        for number, source in enumerate(chosen):
            if progress:
                progress(number, len(chosen))
            try:
                is_empty = True
                for shot, (frames, start) in enumerate(_decode(source, settings)):
                    is_empty, is_photo = False, source.kind == "photo"
                    name = source.name if is_photo else f"{source.name}#{shot}"
                    count, height, width = frames.shape[:3]
                    yield CachedClip(name, source.name, is_photo, count, height, width, start=start), frames
                if is_empty:
                    reason = f"has no shot of {settings.shortest} frames in color"
                    skipped.append(SkippedSource(source.name, reason))
            except KinemacolorError as error:
                skipped.append(SkippedSource(source.name, error.problem))

    skipped: list[SkippedSource] = []
    return write_cache(folder, entries(), skipped, key)


def _decode(source: Source, settings: CacheSettings) -> Iterator[tuple[Array, int]]:
    """Shots (T, H, W, 3) of a source, and the number of the first frame of each."""
    if source.kind == "photo":
        yield decode_photo(source.path, settings.photo_side)[None], 0
    else:
        yield from FilmShots(source.path, source.kind, settings.side, settings.limit, settings.shortest)


def write_cache(
    folder: Path, entries: Iterable[tuple[CachedClip, Array]], skipped: Sequence[SkippedSource], key: str
) -> Cache:
    """Writes a cache from shots as they come.

    Args:
        folder: must not exist.
        entries: clips, whose ``offset`` is set here, and their R'G'B' (T, H, W, 3) uint8.
        skipped: sources left out; read after the last entry.
        key: see ``Cache``.

    Raises:
        InputError: there are no entries.
        OutputError: the folder cannot be written.
    """
    part = folder.with_name(folder.name + ".part")
    hasher, clips, offset = hashlib.sha256(), list[CachedClip](), 0
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with (part / _FRAMES).open("wb") as file:
            for clip, frames in entries:
                content = np.ascontiguousarray(frames).tobytes()
                file.write(content)
                hasher.update(content)
                clips.append(replace(clip, offset=offset))
                offset += len(content)
        if not clips:
            reason = f" (the first: {skipped[0].name}: {skipped[0].reason})" if skipped else ""
            raise InputError(folder, f"no film or photo can be used{reason}", "give other data")
        index = {
            "version": CACHE_VERSION,
            "key": key,
            "digest": hasher.hexdigest(),
            "clips": [asdict(clip) for clip in clips],
            "skipped": [asdict(source) for source in skipped],
        }
        (part / _INDEX).write_text(json.dumps(index, indent=1))
        os.replace(part, folder)
    except OSError as error:
        raise OutputError(
            folder, f"the cache cannot be written ({error.strerror})", "choose another folder, or make room"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_cache(folder)


def reopen(folder: Path, key: str) -> Cache:
    """Opens a cache that must have this key; raises OutputError where the folder holds anything else."""
    problem = "exists and is not a cache of these sources with these settings"
    try:
        cache = open_cache(folder)
    except InputError as error:
        raise OutputError(folder, problem, "choose another folder, or delete this one") from error
    if cache.key != key:
        raise OutputError(folder, problem, "choose another folder, or delete this one")
    return cache


def _cache_key(sources: Sequence[Source], settings: CacheSettings) -> str:
    """SHA-256 of the settings and of names, sizes and times of all files."""
    stamps: list[Any] = [CACHE_VERSION, asdict(settings)]
    for source in sources:
        files = sorted(source.path.iterdir()) if source.path.is_dir() else [source.path]
        for file in files:
            try:
                status = file.stat()
            except OSError:
                stamps.append((source.name, file.name, None))
                continue
            stamps.append((source.name, file.name, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
