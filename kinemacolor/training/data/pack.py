"""A cache in one small file, from which training runs on any machine.

A pack is a ZIP archive: ``index.json``; each shot as H.264 in Matroska (4:4:4, full-range BT.709), so that similar
frames take little space; each photo as JPEG (4:4:4). Chroma, which is what training learns, keeps its resolution.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.color import rgb_to_codes, yuv_to_rgb
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.types import Array, Coding
from kinemacolor.training.data.cache import Cache, CachedClip, SkippedSource, reopen, write_cache
from kinemacolor.training.data.decode import to_codes

PACK_VERSION = 1
PACK_BYTES = 48 * 1024 * 1024
"""Size of a pack at most, by default."""
PACK_QUALITIES = tuple((12 + k, round(97.5 - 0.55 * k - 0.045 * k * k)) for k in range(21))
"""x264's crf and JPEG's quality, best first; the first that fits is taken."""
_CODING = Coding(8, True, "bt709")
_PROBED_CLIPS = 24
"""Clips of each kind from which the size of a pack is estimated."""


@dataclass(frozen=True, slots=True)
class PackSummary:
    """Contents of a pack that was written.

    Attributes:
        path: of the pack.
        bytes: its size.
        crf, jpeg: qualities used.
        frames, photos: how many it holds.
        dropped: names of clips for which there was no room.
    """

    path: Path
    bytes: int
    crf: int
    jpeg: int
    frames: int
    photos: int
    dropped: tuple[str, ...]


def pack(
    cache: Cache, destination: Path, limit: int = PACK_BYTES, *, progress: ProgressCallback | None = None
) -> PackSummary:
    """Packs a cache at the best quality that fits.

    Args:
        cache: to be packed, with the clips that training holds out.
        destination: written under another name and renamed when complete; replaced if it exists.
        limit: size at most, bytes.
        progress: called with the clips done and the clips in all, from the start for each quality that is tried.

    Raises:
        OutputError: the file cannot be written, or not even one clip has room.
    """
    first = bisect_left(PACK_QUALITIES[:-1], True, key=lambda quality: _estimated_bytes(cache, *quality) <= limit)
    for crf, jpeg in PACK_QUALITIES[first:]:
        contents = []
        for number, clip in enumerate(cache.clips):
            if progress:
                progress(number, len(cache.clips))
            contents.append(_encode(cache.frames(clip), clip.photo, crf, jpeg))
        total = sum(map(len, contents)) + _overhead(cache.clips, cache.skipped)
        if total <= limit or (crf, jpeg) == PACK_QUALITIES[-1]:
            break
    return _write(cache, contents, destination, limit, crf, jpeg)


def _estimated_bytes(cache: Cache, crf: int, jpeg: int) -> float:
    """Size of a pack, estimated (rather too high) from the first frames of a few clips."""
    estimate = float(_overhead(cache.clips, cache.skipped))
    for photo in (True, False):
        clips = [clip for clip in cache.clips if clip.photo == photo]
        pixels = packed = 0
        for clip in clips[:: max(1, len(clips) // _PROBED_CLIPS)]:
            frames = cache.frames(clip)[:48]
            packed += len(_encode(frames, photo, crf, jpeg))
            pixels += frames.size
        estimate += packed / max(pixels, 1) * sum(int(np.prod(clip.shape)) for clip in clips)
    return estimate


def _overhead(clips: Sequence[CachedClip], skipped: Sequence[SkippedSource]) -> int:
    """Bytes of index and directory, with some to spare."""
    return 4096 + 192 * len(clips) + len(_index(clips, skipped))


def _index(clips: Sequence[CachedClip], skipped: Sequence[SkippedSource]) -> bytes:
    index = {"version": PACK_VERSION, "clips": [asdict(c) for c in clips], "skipped": [asdict(s) for s in skipped]}
    return json.dumps(index).encode()


def _write(cache: Cache, contents: list[bytes], destination: Path, limit: int, crf: int, jpeg: int) -> PackSummary:
    """Writes the clips that fit, drawn at random where there is no room for all."""
    order = np.random.default_rng(0).permutation(len(contents))
    room, kept = limit - _overhead(cache.clips, cache.skipped), set[int]()
    for number in order.tolist():
        if len(contents[number]) <= room:
            room -= len(contents[number])
            kept.add(number)
    if not kept:
        raise OutputError(destination, f"{limit} bytes have no room for a single clip", "allow a larger pack")
    clips = [clip for number, clip in enumerate(cache.clips) if number in kept]
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(destination) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_entry("index.json"), _index(clips, cache.skipped))
            for position, number in enumerate(sorted(kept)):
                archive.writestr(_entry(_member_name(position, cache.clips[number].photo)), contents[number])
    except OSError as error:
        raise OutputError(
            destination, f"the pack cannot be written ({error.strerror})", "choose another file, or make room"
        ) from error
    return PackSummary(
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


def _member_name(number: int, photo: bool) -> str:
    return f"photos/{number:06d}.jpg" if photo else f"clips/{number:06d}.mkv"


def open_pack(path: Path, folder: Path) -> Cache:
    """Unpacks into a cache, or opens the one unpacked there before.

    Args:
        path: from ``pack``.
        folder: of the cache.

    Raises:
        InputError: the file is not a pack, or is corrupt.
        OutputError: the folder holds something else, or cannot be written.
    """
    remedy = "pack the cache again"
    try:
        with path.open("rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
        if folder.exists():
            return reopen(folder, key)
        with zipfile.ZipFile(path) as archive:
            index = parse_json(archive.read("index.json"))
            if index["version"] != PACK_VERSION:
                raise InputError(path, f"is a pack of version {index['version']}, not {PACK_VERSION}", remedy)
            clips = [CachedClip(**clip) for clip in index["clips"]]
            skipped = [SkippedSource(**entry) for entry in index["skipped"]]
            return write_cache(folder, _unpacked(path, archive, clips), skipped, key)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "give a pack or the folder of a cache") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise InputError(path, "is not a pack, or is corrupt", remedy) from error


def _unpacked(path: Path, archive: zipfile.ZipFile, clips: Sequence[CachedClip]) -> Iterator[tuple[CachedClip, Array]]:
    for number, clip in enumerate(clips):
        content = archive.read(_member_name(number, clip.photo))
        frames = _decode_photo(content) if clip.photo else _decode_shot(content)
        if frames is None or frames.shape != clip.shape:
            raise InputError(path, f"{clip.name} in it is corrupt", "pack the cache again")
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
    encoded, content = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)
    assert encoded
    return bytes(content)


def _decode_photo(content: bytes) -> Array | None:
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if bgr is None else np.ascontiguousarray(bgr[None, ..., ::-1])


def _encode_shot(frames: Array, crf: int) -> bytes:
    buffer = io.BytesIO()
    plain = {"fflags": "bitexact"}  # without random numbers and the library's name
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
