"""``external``: results of any other tool, as a film or a folder of frames a clip. No engine: it is there already.

Below the tool's folder a clip *name* is ``name.mp4`` (or .mkv, .mov …) or a folder *name* of numbered images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma, yuv_to_rgb
from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.filters.chroma_upsample import resize
from kinemacolor.video.reader import VideoReader

FILM_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")


@dataclass(frozen=True, slots=True)
class External:
    """What another tool made of the clips.

    Attributes:
        folder: holds a film or a folder of images for each clip.
    """

    folder: Path

    def source(self, clip: str) -> Path:
        """Where the result of a clip lies.

        Raises:
            InputError: the folder or the result is missing.
        """
        if not self.folder.is_dir():
            raise InputError(self.folder, "is no folder", "give the folder with the other tool's results")
        inside = self.folder / clip
        if inside.is_dir():
            return inside
        for suffix in FILM_SUFFIXES:
            film = self.folder / f"{clip}{suffix}"
            if film.is_file():
                return film
        raise InputError(
            self.folder, f"has no result for the clip {clip}", f"add {clip}.mp4, or a folder {clip} of frames"
        )

    def files(self, clip: str) -> list[Path]:
        """The files of a clip's result, sorted by number."""
        source = self.source(clip)
        return [source] if source.is_file() else _numbered(source)

    def frames(self, clip: str, count: int, total: int | None, size: tuple[int, int], own: tuple[int, int]) -> Array:
        """The first ``count`` frames of a clip's result, R'G'B' uint8 (count, H, W, 3).

        Args:
            clip: its name.
            count: frames that are compared.
            total: frames of the whole clip, or None where that is not known.
            size: (H, W) of the comparison.
            own: (height, width) of the clip itself; results of that size are brought to ``size`` as the truth is, by
                area means.

        Raises:
            InputError: frames are missing or too many, of a third size, or cannot be read. Nothing is trimmed: the
                result holds either ``count`` frames or all of the clip's.
        """
        source = self.source(clip)
        lengths = {count} if total is None else {count, total}
        if source.is_dir():
            _check_numbers(source)
            pictures: Iterator[FloatArray] = map(read_image, _numbered(source))
        else:
            pictures = _film_pictures(source)
        film: list[Array] = []
        seen = 0
        for picture in pictures:
            seen += 1
            if seen <= count:
                film.append(_fitted(source, picture, size, own))
        if seen not in lengths:
            expected = " or ".join(map(str, sorted(lengths)))
            raise InputError(source, f"has {seen} frames, expected {expected}", "make a result for every frame")
        return np.stack(film)


def read_image(file: Path) -> FloatArray:
    """R'G'B' (H, W, 3) in [0, 1] of an image of 8 or 16 bits, as it is stored: no detour through Y'CbCr.

    Raises:
        InputError: it cannot be read.
    """
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "check the file") from error
    previous = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if content.size else None
    except cv2.error:
        image = None
    finally:
        cv2.utils.logging.setLogLevel(previous)
    if image is None or image.dtype.kind != "u":
        raise InputError(file, "cannot be read as an image of 8 or 16 bits", "write it again as PNG")
    return np.ascontiguousarray(image[..., ::-1]).astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def _film_pictures(source: Path) -> Iterator[FloatArray]:
    with VideoReader(source) as reader:
        for frame in reader.frames(chroma=True):
            if frame.chroma is None:
                gray = codes_to_luma(frame.luma, frame.coding)
                yield np.repeat(gray[..., None], 3, axis=2)
            else:
                yield yuv_to_rgb(frame.luma, *frame.chroma, frame.coding)
        if reader.damage:
            raise InputError(source, f"is damaged: {reader.damage}", "make it again with the other tool")


def _fitted(source: Path, rgb: FloatArray, size: tuple[int, int], own: tuple[int, int]) -> Array:
    got = (rgb.shape[0], rgb.shape[1])
    if got not in (size, own):
        wanted = " or ".join(f"{width}x{height}" for height, width in dict.fromkeys((size, own)))
        raise InputError(source, f"is {got[1]}x{got[0]}, expected {wanted}", "give results at the clip's size")
    if got != size:
        rgb = resize(rgb, size)
    codes: Array = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    return codes


def _numbers(folder: Path) -> Iterator[tuple[int, Path]]:
    for file in folder.iterdir():
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            match = _LAST_NUMBER.search(file.stem)
            if match is None:
                raise InputError(file, "has no frame number in its name", "name the frames 00000.png, 00001.png …")
            yield int(match[1]), file


def _numbered(folder: Path) -> list[Path]:
    return [file for _, file in sorted(_numbers(folder))]


def _check_numbers(folder: Path) -> None:
    """Raises InputError that names the frames that are missing from a folder, or there twice."""
    numbers = [number for number, _ in sorted(_numbers(folder))]
    if not numbers:
        raise InputError(folder, "is a folder without images", "put the frames of the result there")
    if len(set(numbers)) < len(numbers):
        twice = next(number for number, after in pairwise(numbers) if number == after)
        raise InputError(folder, f"has frame {twice} twice", "keep one image a frame")
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise InputError(folder, f"frames {shown} are missing", "make a result for every frame")
