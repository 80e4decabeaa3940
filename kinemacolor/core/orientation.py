"""How a viewer turns and flips a stored picture, and the marks that say so: display matrices and EXIF."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from kinemacolor.core.types import Array


@dataclass(frozen=True, slots=True)
class Orientation:
    """What a viewer does with a stored picture: it is mirrored where ``flipped``, then turned clockwise.

    Attributes:
        rotation: degrees clockwise: 0, 90, 180 or 270.
        flipped: whether left and right are exchanged before the picture is turned.
    """

    rotation: int = 0
    flipped: bool = False

    def upright(self, stored: Array) -> Array:
        """The picture (H, W, ...) as a viewer sees it; a view."""
        return np.rot90(stored[:, ::-1] if self.flipped else stored, -(self.rotation // 90))

    def stored(self, upright: Array) -> Array:
        """The picture (H, W, ...) as it is stored, from the upright one; a view."""
        turned = np.rot90(upright, self.rotation // 90)
        return turned[:, ::-1] if self.flipped else turned

    def __str__(self) -> str:
        turn = f"turned {self.rotation}° clockwise" if self.rotation else ""
        flip = "mirrored" if self.flipped else ""
        return " and ".join(part for part in (flip, turn) if part) or "upright as stored"


AS_STORED: Final = Orientation()
_OF_EXIF = {
    2: Orientation(0, True),
    3: Orientation(180),
    4: Orientation(180, True),
    5: Orientation(270, True),
    6: Orientation(90),
    7: Orientation(90, True),
    8: Orientation(270),
}
_OF_DPX = {
    1: Orientation(0, True),
    2: Orientation(180, True),
    3: Orientation(180),
    4: Orientation(270, True),
    5: Orientation(90),
    6: Orientation(270),
    7: Orientation(90, True),
}
"""By the order of a DPX image's lines and samples; 4 to 7 name columns."""
_TAG_ORIENTATION = 274


def matrix_orientation(matrix: tuple[int, ...] | None) -> tuple[Orientation, float]:
    """The orientation nearest to a display matrix (FFmpeg's layout), and the degrees by which it falls short of it."""
    if matrix is None:
        return AS_STORED, 0.0
    across, down = np.hypot(matrix[0], matrix[3]) or 1.0, np.hypot(matrix[1], matrix[4]) or 1.0
    flipped = matrix[0] * matrix[4] - matrix[1] * matrix[3] < 0
    sign = -1 if flipped else 1
    angle = float(np.degrees(np.arctan2(sign * matrix[1] / down, sign * matrix[0] / across)))
    nearest = round(angle / 90) * 90
    return Orientation(nearest % 360, flipped), angle - nearest


def image_orientation(content: bytes) -> Orientation:
    """The orientation that an image file's content marks: EXIF of JPEG, PNG and WebP, TIFF, DPX; else as stored."""
    try:
        if content[:4] in (b"SDPX", b"XPDS"):
            (code,) = struct.unpack_from(">H" if content[:1] == b"S" else "<H", content, 768)
            return _OF_DPX.get(code, AS_STORED)
        exif = content if content[:4] in (b"II*\0", b"MM\0*") else _exif_of(content)
        return _OF_EXIF.get(_orientation_tag(exif), AS_STORED) if exif else AS_STORED
    except (struct.error, IndexError):  # cut off, or no such structure
        return AS_STORED


def _exif_of(content: bytes) -> bytes | None:
    """The EXIF block of a JPEG, PNG or WebP file, which is itself a small TIFF file."""
    if content[:2] == b"\xff\xd8":
        return _exif_of_jpeg(content)
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunk(content, 8, b"eXIf", order=">", name_first=False)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        exif = _chunk(content, 12, b"EXIF", order="<", name_first=True)
        return exif[6:] if exif and exif[:6] == b"Exif\0\0" else exif
    return None


def _exif_of_jpeg(content: bytes) -> bytes | None:
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in (0xD9, 0xDA):
            return None
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 1:  # filling, and markers without a length
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", content, place + 2)
        block = content[place + 4 : place + 2 + length]
        if marker == 0xE1 and block[:6] == b"Exif\0\0":
            return block[6:]
        place += 2 + length
    return None


def _chunk(content: bytes, place: int, name: bytes, *, order: str, name_first: bool) -> bytes | None:
    """A chunk of a PNG (length, name, data, CRC) or RIFF file (name, length, data to an even size)."""
    while place + 8 <= len(content):
        (length,) = struct.unpack_from(order + "I", content, place + 4 * name_first)
        this = content[place : place + 4] if name_first else content[place + 4 : place + 8]
        if this == name:
            return content[place + 8 : place + 8 + length]
        place += 8 + length + (length % 2 if name_first else 4)
    return None


def _orientation_tag(tiff: bytes) -> int:
    """The orientation in the first directory of a TIFF file; 1 where there is none."""
    order = "<" if tiff[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, directory)
    for number in range(entries):
        tag, kind = struct.unpack_from(order + "HH", tiff, directory + 2 + 12 * number)
        if tag == _TAG_ORIENTATION:
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), tiff, directory + 10 + 12 * number)
            return int(value)
    return 1
