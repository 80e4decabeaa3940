"""A cache in one small file, from which training runs on any machine.

A pack is a ZIP archive: ``index.json``; each shot as H.264 in Matroska (4:4:4, full-range BT.709), so that frames that
resemble each other cost little; each photo as JPEG (4:4:4). Chroma, which there is to learn, keeps its resolution.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_codes, yuv_to_rgb
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.types import Array, Coding
from kinemacolor.training.data.cache import Cache, Clip, Report, Skipped, open_cache, reopen, write_cache
from kinemacolor.training.data.decode import to_codes

VERSION = 1
LIMIT = 48 * 1024 * 1024
"""Bytes of a pack, at most."""
QUALITIES = tuple((12 + k, round(97.5 - 0.55 * k - 0.045 * k * k)) for k in range(21))
"""x264's crf and JPEG's quality, best first; the first that fits is taken."""
_CODING = Coding(8, True, "bt709")
_PROBES = 24


@dataclass(frozen=True, slots=True)
class Packed:
    """What became of a cache.

    Attributes:
        path: the pack.
        bytes: its size.
        crf, jpeg: qualities used.
        frames, photos: packed.
        dropped: names of clips for which there was no room.
    """

    path: Path
    bytes: int
    crf: int
    jpeg: int
    frames: int
    photos: int
    dropped: tuple[str, ...]


def pack(cache: Cache, destination: Path, limit: int = LIMIT, *, report: Report | None = None) -> Packed:
    """Packs a cache at the best quality that fits.

    Args:
        cache: what to pack (leave held-out clips in: ``Cache.without`` is for the one who trains).
        destination: written aside and renamed when complete; replaced if it exists.
        limit: bytes at most.
        report: told of progress.

    Raises:
        OutputError: the file cannot be written, or not even one clip has room.
    """
    first = bisect_left(QUALITIES[:-1], True, key=lambda quality: _forecast(cache, *quality) <= limit)
    for crf, jpeg in QUALITIES[first:]:
        contents = []
        for number, clip in enumerate(cache.clips):
            if report:
                report(number, len(cache.clips), clip.name)
            contents.append(_encode(cache.frames(clip), clip.photo, crf, jpeg))
        total = sum(map(len, contents)) + _overhead(cache.clips, cache.skipped)
        if total <= limit or (crf, jpeg) == QUALITIES[-1]:
            break
    return _write(cache, contents, destination, limit, crf, jpeg)


def _forecast(cache: Cache, crf: int, jpeg: int) -> float:
    """Bytes of a pack, judged (rather too high) from the first frames of a few clips."""
    forecast = float(_overhead(cache.clips, cache.skipped))
    for photo in (True, False):
        clips = [clip for clip in cache.clips if clip.photo == photo]
        pixels = packed = 0
        for clip in clips[:: max(1, len(clips) // _PROBES)]:
            frames = cache.frames(clip)[:48]
            packed += len(_encode(frames, photo, crf, jpeg))
            pixels += frames.size
        forecast += packed / max(pixels, 1) * sum(int(np.prod(clip.shape)) for clip in clips)
    return forecast


def _overhead(clips: Sequence[Clip], skipped: Sequence[Skipped]) -> int:
    """Bytes of index and directory, with some to spare."""
    return 4096 + 192 * len(clips) + len(_index(clips, skipped))


def _index(clips: Sequence[Clip], skipped: Sequence[Skipped]) -> bytes:
    index = {"version": VERSION, "clips": [asdict(c) for c in clips], "skipped": [asdict(s) for s in skipped]}
    return json.dumps(index).encode()


def _write(cache: Cache, contents: list[bytes], destination: Path, limit: int, crf: int, jpeg: int) -> Packed:
    order = np.random.default_rng(0).permutation(len(contents))
    room, kept = limit - _overhead(cache.clips, cache.skipped), set[int]()
    for number in order.tolist():
        if len(contents[number]) <= room:
            room -= len(contents[number])
            kept.add(number)
    if not kept:
        raise OutputError(destination, f"{limit} bytes have no room for a single clip", "allow a larger pack")
    clips = [clip for number, clip in enumerate(cache.clips) if number in kept]
    part = destination.with_name(destination.name + ".part")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry("index.json"), _index(clips, cache.skipped))
            for place, number in enumerate(sorted(kept)):
                archive.writestr(_entry(_member(place, cache.clips[number].photo)), contents[number])
        os.replace(part, destination)
    except OSError as error:
        raise OutputError(
            destination, f"the pack cannot be written ({error.strerror})", "choose another file, or make room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return Packed(
        destination,
        destination.stat().st_size,
        crf,
        jpeg,
        sum(clip.frames for clip in clips if not clip.photo),
        sum(clip.photo for clip in clips),
        tuple(clip.name for number, clip in enumerate(cache.clips) if number not in kept),
    )


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same cache makes the same file


def _member(number: int, photo: bool) -> str:
    return f"photos/{number:06d}.jpg" if photo else f"clips/{number:06d}.mkv"


def open_pack(path: Path, folder: Path) -> Cache:
    """Unpacks into a cache, or opens the one unpacked there before.

    Args:
        path: from ``pack``.
        folder: of the cache.

    Raises:
        InputError: the file is no pack, or torn.
        OutputError: the folder holds something else, or cannot be written.
    """
    remedy = "pack the cache again"
    try:
        with path.open("rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
        if folder.exists():
            return reopen(folder, key)
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read("index.json"))
            if index["version"] != VERSION:
                raise InputError(path, f"is a pack of version {index['version']}, not {VERSION}", remedy)
            clips = [Clip(**clip) for clip in index["clips"]]
            skipped = [Skipped(**one) for one in index["skipped"]]
            return write_cache(folder, _unpacked(path, archive, clips), skipped, key)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give a pack or the folder of a cache") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise InputError(path, "is no pack, or torn", remedy) from error


def open_data(path: Path, folder: Path | None = None) -> Cache:
    """Opens a cache, or a pack (unpacked into ``folder``, by default ``NAME.cache`` beside it)."""
    if path.is_dir():
        return open_cache(path)
    return open_pack(path, folder or path.with_name(path.name + ".cache"))


def _unpacked(path: Path, archive: zipfile.ZipFile, clips: Sequence[Clip]) -> Iterator[tuple[Clip, Array]]:
    for number, clip in enumerate(clips):
        content = archive.read(_member(number, clip.photo))
        frames = _decode_photo(content) if clip.photo else _decode_shot(content)
        if frames is None or frames.shape != clip.shape:
            raise InputError(path, f"{clip.name} in it is damaged", "pack the cache again")
        yield clip, frames


# --- pictures and bytes --------------------


def _encode(frames: Array, photo: bool, crf: int, jpeg: int) -> bytes:
    return _encode_photo(frames[0], jpeg) if photo else _encode_shot(frames, crf)


def _encode_photo(rgb: Array, quality: int) -> bytes:
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, content = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)
    assert done
    return bytes(content)


def _decode_photo(content: bytes) -> Array | None:
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[None, ..., ::-1])


def _encode_shot(frames: Array, crf: int) -> bytes:
    buffer = io.BytesIO()
    plain = {"fflags": "bitexact"}  # no random numbers, no name of a library: the same shot makes the same bytes
    with av.open(buffer, "w", format="matroska", container_options=plain) as container:
        options = {"crf": str(crf), "preset": "medium", "threads": "1"}
        stream: Any = container.add_stream("libx264", rate=24, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv444p"
        stream.codec_context.color_range, stream.codec_context.colorspace = 2, 1
        for rgb in frames:
            planes = np.stack(rgb_to_codes(rgb.astype(np.float32) / 255, _CODING, (1, 1)))
            picture = av.VideoFrame.from_ndarray(planes, format="yuv444p")
            picture.color_range, picture.colorspace = 2, 1
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _decode_shot(content: bytes) -> Array | None:
    frames = []
    try:
        with av.open(io.BytesIO(content), "r") as container:
            for picture in container.decode(video=0):
                y, u, v = map(_plane, picture.planes)
                frames.append(to_codes(yuv_to_rgb(y, u, v, _CODING)))
    except av.FFmpegError:
        return None
    return np.stack(frames) if frames else None


def _plane(plane: Any) -> Array:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width])
