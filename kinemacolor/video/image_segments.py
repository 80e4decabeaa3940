"""A finished segment of a film that becomes images: a folder of them, with a file that lists their checksums."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.folder_exchange import sync_folder
from kinemacolor.core.orientation import Orientation
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.types import Frame
from kinemacolor.video.image_writer import encode_png
from kinemacolor.video.packets import NOT_A_SEGMENT, RESTART_REMEDY, partial_name

_DESCRIPTION = "segment.json"
_FORMAT = "kinemacolor images"
_VERSION = 2


@dataclass(frozen=True, slots=True)
class ImageSegment:
    """A finished segment of a film that becomes images: a folder of them and ``segment.json``.

    Attributes:
        path: the folder.
        index: size in bytes and CRC-32 of each image.
        times: presentation times of their frames.
    """

    path: Path
    index: tuple[tuple[int, int], ...]
    times: tuple[int, ...]

    @property
    def frames(self) -> int:
        """Number of images."""
        return len(self.index)

    def files(self) -> list[Path]:
        """The images in order."""
        return [self.path / _image_name(number) for number in range(self.frames)]

    def check(self, number: int) -> None:
        """Reads a whole image. Raises InputError where it is not as it was written."""
        file = self.path / _image_name(number)
        if zlib.crc32(file.read_bytes()) != self.index[number][1]:
            raise InputError(file, "this finished image is damaged", RESTART_REMEDY)


class ImageFolder:
    """A segment of images being written, under its name with ``.partial`` until it is complete."""

    def __init__(self, path: Path, orientation: Orientation) -> None:
        self._path, self._partial = path, partial_name(path)
        self._orientation = orientation
        self._index: list[tuple[int, int]] = []
        self._times: list[int] = []
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir()

    def write(self, frame: Frame) -> None:
        """Writes one frame, whose U and V are at full resolution."""
        png = encode_png(frame, self._orientation)
        if png is None:
            raise OutputError(self._path, "an image could not be encoded", "write a film instead")
        (self._partial / _image_name(len(self._index))).write_bytes(png)
        self._index.append((len(png), zlib.crc32(png)))
        self._times.append(frame.pts)

    def finish(self) -> None:
        """Writes the description, flushes everything to the disk and gives the folder its name."""
        record = {"format": _FORMAT, "version": _VERSION, "images": self._index, "times": self._times}
        (self._partial / _DESCRIPTION).write_text(json.dumps(record))
        for file in self._partial.iterdir():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        sync_folder(self._partial)
        if self._path.exists():
            shutil.rmtree(self._path)
        os.replace(self._partial, self._path)
        sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Removes what was written."""
        shutil.rmtree(self._partial, ignore_errors=True)


def read_image_folder(path: Path) -> ImageSegment:
    """A finished segment of images; their bytes are not read.

    Raises:
        InputError: the folder is no segment, of another version, or lacks images.
    """
    not_a_segment = InputError(path, *NOT_A_SEGMENT)
    try:
        record = parse_json((path / _DESCRIPTION).read_bytes())
    except FileNotFoundError:
        raise not_a_segment from None
    except ValueError:
        raise InputError(path, "the description of this finished segment is damaged", RESTART_REMEDY) from None
    except OSError as error:
        raise InputError(path, f"this finished segment cannot be read ({error.strerror})", RESTART_REMEDY) from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise not_a_segment
    if record.get("version") != _VERSION:
        problem = f"is a segment of version {record.get('version')}, this program makes version {_VERSION}"
        raise InputError(path, problem, RESTART_REMEDY)
    segment = ImageSegment(path, tuple((size, crc) for size, crc in record["images"]), tuple(record["times"]))
    for file, (size, _) in zip(segment.files(), segment.index, strict=True):
        if not file.is_file() or file.stat().st_size != size:
            raise InputError(file, "this finished image is missing or incomplete", RESTART_REMEDY)
    return segment


def _image_name(number: int) -> str:
    return f"{number:06d}.png"
