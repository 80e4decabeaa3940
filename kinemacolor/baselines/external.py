"""``external``: results of another tool, which are read and not computed.

In the tool's folder, the result of a clip *name* is ``name.mp4`` (or .mkv, .mov …) or a folder *name* of numbered
images.
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
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.video.decode import FILM_SUFFIXES
from kinemacolor.video.image_sequence import COMMON_IMAGE_SUFFIXES
from kinemacolor.video.reader import VideoReader

_LAST_NUMBER = re.compile(r"(\d+)(?!.*\d)")


@dataclass(frozen=True, slots=True)
class ExternalResults:
    """Results of another tool for the clips.

    Attributes:
        folder: with a film or a folder of images for each clip.
    """

    folder: Path

    def source(self, clip: str) -> Path:
        """The path of a clip's result.

        Raises:
            InputError: the folder or the result is missing.
        """
        if not self.folder.is_dir():
            raise InputError(self.folder, "is not a folder", "give the folder with the other tool's results")
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

    def frames(
        self, clip: str, count: int, total: int | None, size: tuple[int, int], clip_size: tuple[int, int]
    ) -> Array:
        """The first ``count`` frames of a clip's result, R'G'B' uint8 (count, H, W, 3).

        Args:
            clip: its name.
            count: number of frames that are compared.
            total: number of frames of the whole clip, or None where that is not known.
            size: (H, W) of the comparison.
            clip_size: (height, width) of the clip; results of that size are resized to ``size`` as the truth is, by
                area means.

        Raises:
            InputError: frames are missing, superfluous or of another size, or cannot be read. Results are never
                trimmed: they must have either ``count`` frames or all of the clip's.
        """
        source = self.source(clip)
        lengths = {count} if total is None else {count, total}
        if source.is_dir():
            _check_numbers(source)
            pictures: Iterator[FloatArray] = map(read_image, _numbered(source))
        else:
            pictures = _film_pictures(source)
        film: list[Array] = []
        length = 0
        for picture in pictures:
            length += 1
            if length <= count:
                film.append(_at_size(source, picture, size, clip_size))
        if length not in lengths:
            expected = " or ".join(map(str, sorted(lengths)))
            raise InputError(source, f"has {length} frames, expected {expected}", "make a result for every frame")
        return np.stack(film)


@dataclass(frozen=True, slots=True)
class PublishedResults:
    """Results that authors publish, of a size of their own: a folder of frames for each clip.

    Attributes:
        folder: with them.
    """

    folder: Path

    def files(self, clip: str) -> list[Path]:
        """The frames of a clip's result, sorted by number.

        Raises:
            InputError: there is no result for the clip.
        """
        return ExternalResults(self.folder).files(clip)

    def frames(self, clip: str, count: int, total: int | None, size: tuple[int, int]) -> Array:
        """The first ``count`` frames of a clip's result at a size (H, W), uint8 (count, H, W, 3).

        Raises:
            InputError: frames are missing or superfluous, differ in size from each other, or cannot be read.
        """
        files = self.files(clip)
        lengths = {count} if total is None else {count, total}
        if len(files) not in lengths:
            expected = " or ".join(map(str, sorted(lengths)))
            raise InputError(self.folder / clip, f"has {len(files)} frames, expected {expected}", "get them again")
        film: list[Array] = []
        own: tuple[int, ...] | None = None
        for file in files[:count]:
            picture = read_image(file)
            own = own or picture.shape
            if picture.shape != own:
                raise InputError(file, f"is {picture.shape[1]}x{picture.shape[0]}, unlike the first", "get it again")
            resized = picture if picture.shape[:2] == size else resize(picture, size)
            film.append(np.clip(np.rint(resized * 255), 0, 255).astype(np.uint8))
        return np.stack(film)


def read_image(file: Path) -> FloatArray:
    """R'G'B' (H, W, 3) in [0, 1] of an image of 8 or 16 bits, as stored, without a conversion to Y'CbCr.

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
        raise InputError(file, "cannot be read as an image of 8 or 16 bits", "save it again as PNG")
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


def _at_size(source: Path, rgb: FloatArray, size: tuple[int, int], clip_size: tuple[int, int]) -> Array:
    height, width = rgb.shape[:2]
    if (height, width) not in (size, clip_size):
        expected = " or ".join(f"{columns}x{rows}" for rows, columns in dict.fromkeys((size, clip_size)))
        raise InputError(source, f"is {width}x{height}, expected {expected}", "give results at the clip's size")
    if (height, width) != size:
        rgb = resize(rgb, size)
    codes: Array = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    return codes


def _numbers(folder: Path) -> Iterator[tuple[int, Path]]:
    for file in folder.iterdir():
        if file.suffix.lower() in COMMON_IMAGE_SUFFIXES and not file.name.startswith("."):
            match = _LAST_NUMBER.search(file.stem)
            if match is None:
                raise InputError(
                    file, "has no frame number in its name", "name the frames 00000.png, 00001.png, and so on"
                )
            yield int(match[1]), file


def _numbered(folder: Path) -> list[Path]:
    return [file for _, file in sorted(_numbers(folder))]


def _check_numbers(folder: Path) -> None:
    """Raises InputError, which names the frames, if some are missing from a folder or present twice."""
    numbers = [number for number, _ in sorted(_numbers(folder))]
    if not numbers:
        raise InputError(folder, "is a folder without images", "put the frames of the result into it")
    if len(set(numbers)) < len(numbers):
        repeated = next(number for number, after in pairwise(numbers) if number == after)
        raise InputError(folder, f"has frame {repeated} twice", "keep one image per frame")
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (" …" if len(missing) > 5 else "")
        raise InputError(folder, f"frames {shown} are missing", "make a result for every frame")
