"""Films kept as numbered images: reading a folder or a pattern."""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array, Frame
from kinemacolor.video.info import VideoInfo, picture_coding, picture_tags
from kinemacolor.video.planes import (
    PixelLayout,
    chroma_planes,
    luma_plane,
    pixel_layout,
    readable_picture,
    rgb_as_ycbcr,
)

if TYPE_CHECKING:
    from kinemacolor.video.decode import Damage

IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".dpx", ".exr", ".webp", ".pgm", ".ppm"})
_PATTERN = re.compile(r"%(?:0(\d+))?d")
_NUMBER = re.compile(r"[0-9]+$")


def is_image_source(path: Path) -> bool:
    """Whether a path names images: a folder, an image, or a pattern such as ``frame_%06d.png``."""
    return path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES


def pattern_regex(name: str) -> re.Pattern[str] | None:
    """A regular expression for file names made from a ``%06d`` pattern (group 1 is the number), or None."""
    match = _PATTERN.search(name)
    if match is None:
        return None
    digits = rf"\d{{{int(match[1])},}}" if match[1] else r"0|[1-9]\d*"
    return re.compile(f"{re.escape(name[: match.start()])}({digits}){re.escape(name[match.end() :])}")


def _rising(found: Sequence[re.Match[str] | None]) -> tuple[int, ...] | None:
    """The numbers, where each is larger than the one before it."""
    numbers = tuple(int(match[0]) for match in found if match)
    rise = len(numbers) == len(found) and all(a < b for a, b in pairwise(numbers))
    return numbers if rise else None


def _natural(path: Path) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


class ImageSequence:
    """Numbered images as a film of constant rate.

    Args:
        path: a folder (its images in natural order, ``a2`` before ``a10``), a pattern, or one image.
        rate: frames a second.

    Raises:
        InputError: there are no images, or the first cannot be decoded.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self.files, self.gap = _image_files(path)
        first = _decode(self.files[0])
        layout = pixel_layout(first.format.name)
        self.info = VideoInfo(
            path=path,
            width=first.width,
            height=first.height,
            coding=picture_coding(first, layout, "image"),
            pixel_format=first.format.name,
            chroma_format=layout.chroma,
            rate=rate,
            time_base=1 / rate,
            first_time=Fraction(0),
            frames=len(self.files),
            duration=float(len(self.files) / rate),
            sample_aspect_ratio=Fraction(1),
            rotation=0,
            tags=picture_tags(first),
            codec="image",
            container="image2",
            numbers=_rising([_NUMBER.search(file.stem) for file in self.files]),
        )

    def frames(self, notes: Damage, chroma: bool) -> Generator[Frame, None, None]:
        """The images in order; one that cannot be decoded is skipped and noted, and its time stays empty."""
        info = self.info
        if self.gap:
            notes.remarks.append(self.gap)
        index = 0
        for position, file in enumerate(self.files):
            try:
                picture = _decode(file)
            except InputError:
                notes.packet_lost()
                continue
            layout = pixel_layout(picture.format.name)
            coding = picture_coding(picture, layout, "image")
            same = (picture.width, picture.height, coding) == (info.width, info.height, info.coding)
            if not same:
                got = f"{picture.width}x{picture.height} at {coding.bit_depth} bits"
                want = f"{info.width}x{info.height} at {info.coding.bit_depth} bits"
                raise InputError(file, f"is {got}, the first image is {want}", "convert the images to one kind")
            notes.frame(index, position * info.time_base, False)
            luma, planes = self._planes(picture, layout, chroma)
            yield Frame(index, position, info.time_base, luma, info.coding, 1, planes)
            index += 1

    def _planes(
        self, picture: av.VideoFrame, layout: PixelLayout, chroma: bool
    ) -> tuple[Array, tuple[Array, Array] | None]:
        ready = readable_picture(picture, layout)
        if layout.planes == "rgb":
            luma, u, v = rgb_as_ycbcr(ready, layout, self.info.coding)
            return luma, (u, v) if chroma else None
        color = chroma_planes(ready, layout) if chroma and layout.chroma != "gray" else None
        return luma_plane(ready, layout), color


def _image_files(path: Path) -> tuple[list[Path], str | None]:
    """The images in order, and a remark where numbers are missing."""
    if path.is_dir():
        files = sorted((f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES), key=_natural)
        files = [f for f in files if not f.name.startswith(".")]
        if not files:
            raise InputError(path, "is a folder without images", "give a folder of PNG, TIFF or JPEG images, or a film")
        return files, None
    regex = pattern_regex(path.name)
    if path.is_file() or regex is None:
        if not path.is_file():
            raise InputError(path, "there is no such file", "check the name")
        return [path], None
    if not path.parent.is_dir():
        raise InputError(path.parent, "there is no such folder", "check the name")
    found = ((regex.fullmatch(f.name), f) for f in path.parent.iterdir())
    numbered = sorted((int(match[1]), f) for match, f in found if match)
    if not numbered:
        raise InputError(path, "no image has a name of this pattern", "check the folder and the number of digits")
    missing = numbered[-1][0] - numbered[0][0] + 1 - len(numbered)
    remark = f"{missing} numbers between {numbered[0][0]} and {numbered[-1][0]} have no image" if missing else None
    return [file for _, file in numbered], remark


def _decode(file: Path) -> av.VideoFrame:
    """The picture of an image file."""
    try:
        # Opened by content, so that no character of the name is taken for a pattern.
        with av.open(io.BytesIO(file.read_bytes()), "r", buffer_size=1 << 20, metadata_errors="replace") as container:
            for picture in container.decode(video=0):
                return picture
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(file, "cannot be read as an image", "replace it") from error
    raise InputError(file, "holds no picture", "replace it")
