"""Films kept as numbered images: a folder or a pattern."""

from __future__ import annotations

import io
import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from kinemacolor.core.errors import InputError
from kinemacolor.core.folder_exchange import complete_exchange
from kinemacolor.core.memory import check_memory
from kinemacolor.core.natural_sort import natural_key
from kinemacolor.core.orientation import AS_STORED, Orientation, image_orientation
from kinemacolor.core.types import Array, Coding, Frame
from kinemacolor.video.frame_series import frames_of_folder
from kinemacolor.video.image_numbers import missing_images, rising_numbers
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

COMMON_IMAGE_SUFFIXES = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Extensions of images that FFmpeg and OpenCV read: those of data sets, benchmarks and other tools' results."""
IMAGE_SUFFIXES = COMMON_IMAGE_SUFFIXES | {".dpx", ".exr", ".pgm", ".ppm"}
"""Extensions of images that a film may be kept as."""
_PATTERN = re.compile(r"%(?:0(\d+))?d")


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


class ImageSequence:
    """Numbered images as a film of constant rate.

    Args:
        path: a folder (its images in natural order, ``a2`` before ``a10``), a pattern, or one image.
        rate: frames a second.

    Attributes:
        files: the images in order.
        info: what the images say about the film.

    Raises:
        InputError: there are no images, or the first cannot be decoded.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        complete_exchange(path if path.is_dir() else path.parent, InputError)
        self.files, remark = image_files(path), None
        if path.is_dir():
            self.files, remark = frames_of_folder(self.files, _size)
        stems = tuple(file.stem for file in self.files)
        first, orientation = _decode(self.files[0])
        layout = pixel_layout(first.format.name)
        width, height = _upright_size(first, orientation)
        self.info = VideoInfo(
            path=path,
            width=width,
            height=height,
            coding=picture_coding(first, layout, "image"),
            pixel_format=first.format.name,
            chroma_format="444" if layout.chroma == "422" and orientation.rotation % 180 else layout.chroma,
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
            numbers=rising_numbers(stems),
            names=stems,
            missing=missing_images(stems),
            remarks=(f"{path}: {remark}",) if remark else (),
        )

    def frames(self, damage: Damage, chroma: bool) -> Generator[Frame, None, None]:
        """The images in order; one that cannot be decoded is skipped and counted, and its time stays empty."""
        info = self.info
        if info.missing and not info.path.is_dir():  # a pattern asks for numbers; a folder may lack some
            damage.remarks.append(info.missing)
        index = 0
        for position, file in enumerate(self.files):
            try:
                picture, orientation = _decode(file)
            except InputError:
                damage.count_lost_image(file.name)
                continue
            layout = pixel_layout(picture.format.name)
            this = _format_text(_upright_size(picture, orientation), picture_coding(picture, layout, "image"))
            first = _format_text((info.width, info.height), info.coding)
            if this != first:
                raise InputError(file, f"is {this}, the first image is {first}", "convert the images to one format")
            damage.count_frame(index, position * info.time_base, False)
            luma, planes = self._planes(picture, layout, orientation, chroma)
            yield Frame(index, position, info.time_base, luma, info.coding, 1, planes)
            index += 1

    def _planes(
        self, picture: av.VideoFrame, layout: PixelLayout, orientation: Orientation, chroma: bool
    ) -> tuple[Array, tuple[Array, Array] | None]:
        luma, color = self._stored_planes(picture, layout, chroma)
        if orientation == AS_STORED:
            return luma, color
        if color is not None and layout.chroma == "422":
            u, v = (plane.repeat(2, axis=1)[:, : luma.shape[1]] for plane in color)
            color = (u, v)
        step = 2 if layout.chroma == self.info.chroma_format == "422" else 1
        if color is not None:
            u, v = (np.ascontiguousarray(orientation.upright(plane)[:, ::step]) for plane in color)
            color = (u, v)
        return np.ascontiguousarray(orientation.upright(luma)), color

    def _stored_planes(
        self, picture: av.VideoFrame, layout: PixelLayout, chroma: bool
    ) -> tuple[Array, tuple[Array, Array] | None]:
        readable = readable_picture(picture, layout)
        if layout.planes == "rgb":
            luma, u, v = rgb_as_ycbcr(readable, layout, self.info.coding)
            return luma, (u, v) if chroma else None
        color = chroma_planes(readable, layout) if chroma and layout.chroma != "gray" else None
        return luma_plane(readable, layout), color


def image_files(path: Path) -> list[Path]:
    """The images of a film in order.

    Raises:
        InputError: there are none.
    """
    if path.is_dir():
        images = (file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        files = sorted(images, key=lambda file: natural_key(file, letters_first=True))
        files = [file for file in files if not file.name.startswith(".")]
        if not files:
            raise InputError(path, "is a folder without images", "give a folder of PNG, TIFF or JPEG images, or a film")
        return files
    regex = pattern_regex(path.name)
    if path.is_file() or regex is None:
        if not path.is_file():
            raise InputError(path, "there is no such file", "check the name")
        return [path]
    if not path.parent.is_dir():
        raise InputError(path.parent, "there is no such folder", "check the name")
    matches = ((regex.fullmatch(file.name), file) for file in path.parent.iterdir())
    numbered = sorted((int(match[1]), file) for match, file in matches if match)
    if not numbered:
        raise InputError(
            path, "no image has a name that fits this pattern", "check the folder and the number of digits"
        )
    return [file for _, file in numbered]


def _format_text(size: tuple[int, int], coding: Coding) -> str:
    """What all images of a film have in common. The matrix does not matter to gray, as which images are read."""
    return f"{size[0]}x{size[1]} at {coding.bit_depth} bits" + ("" if coding.full_range else " of limited range")


def _size(file: Path) -> tuple[int, int] | None:
    try:
        return _upright_size(*_decode(file))
    except InputError:
        return None


def _upright_size(picture: av.VideoFrame, orientation: Orientation) -> tuple[int, int]:
    size = (picture.width, picture.height)
    return size[::-1] if orientation.rotation % 180 else size


def _decode(file: Path) -> tuple[av.VideoFrame, Orientation]:
    """The picture of an image file as stored, and how a viewer turns it."""
    try:
        content = file.read_bytes()
        # Opened by content, so that no character of the name is taken for a pattern.
        with av.open(io.BytesIO(content), "r", buffer_size=1 << 20, metadata_errors="replace") as container:
            if _may_be_cut(content):
                container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            for picture in container.decode(video=0):
                return picture, image_orientation(content)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        check_memory(error)
        raise InputError(file, "cannot be read as an image", "replace it") from error
    raise InputError(file, "holds no picture", "replace it")


def _may_be_cut(content: bytes) -> bool:
    """Whether a JPEG may end before its picture does. FFmpeg fills the rest with gray, unless told to be strict."""
    return content.startswith(b"\xff\xd8") and content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda")
