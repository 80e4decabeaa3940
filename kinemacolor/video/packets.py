"""Encoded pictures in a file of their own: what a finished segment of a film is kept as.

A file is ``PREFIX`` (magic, version), the bytes of the packets one after another in decoding order, a description
(JSON: how they were encoded, and for each packet time, duration, keyframe, size and CRC-32), and ``TRAILER`` (where the
description lies, its size and CRC-32, magic). A file without its trailer was not finished.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from kinemacolor.core.errors import InputError, OutputError

VERSION = 1
PREFIX = struct.Struct("<8sI")
TRAILER = struct.Struct("<QII8s")
_MAGIC, _END = b"\x89KCSEG\r\n", b"KCSEGEND"
_IDLE_SIDE_DATA = frozenset(
    {"quality_stats", "cpb_properties"}
)  # what an encoder says about itself: no muxer writes it
RESTART = "start the work anew with --restart"
FOREIGN = ("is not a segment of a film that is being colored", f"move it away, or {RESTART}")
"""Problem and remedy where something else stands in a segment's place."""


@dataclass(frozen=True, slots=True)
class SegmentKind:
    """How the pictures of a segment were encoded; one film has one kind.

    Attributes:
        codec, pixel_format, options: as in ``Encoding``.
        width, height: in pixels.
        ticks: seconds in a unit of time.
        extradata: the encoder's parameter sets, as it gave them.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    ticks: Fraction
    options: Mapping[str, str] = field(default_factory=dict)
    extradata: bytes = b""


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A packet: ``pts`` and ``duration`` in ticks of the film, not shifted."""

    data: bytes
    pts: int
    duration: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class EncodedSegment:
    """A finished segment, its packets still in the file.

    Attributes:
        path: the file.
        kind: how it was encoded.
        index: for each packet, in decoding order: pts, duration, keyframe, size, CRC-32.
    """

    path: Path
    kind: SegmentKind
    index: tuple[tuple[int, int, bool, int, int], ...]

    @property
    def frames(self) -> int:
        """How many there are: a packet holds one frame."""
        return len(self.index)

    @property
    def times(self) -> list[int]:
        """In display order, in ticks."""
        return sorted(entry[0] for entry in self.index)

    @property
    def reordering(self) -> int:
        """How many places at most a frame is decoded after its place in display order."""
        rank = {pts: place for place, pts in enumerate(self.times)}
        return max(place - rank[entry[0]] for place, entry in enumerate(self.index))

    def packets(self) -> Iterator[EncodedPicture]:
        """The packets in decoding order, one in memory at a time.

        Raises:
            InputError: the bytes of one are not those that were written.
        """
        with _reading(self.path) as file:
            file.seek(PREFIX.size)
            for number, (pts, duration, keyframe, size, check) in enumerate(self.index):
                data = file.read(size)
                if len(data) != size or zlib.crc32(data) != check:
                    raise InputError(self.path, f"frame {number} of this finished segment is damaged", RESTART)
                yield EncodedPicture(data, pts, duration, keyframe)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        reason = f"this finished segment cannot be read ({error.strerror or error})"
        raise InputError(path, reason, f"see to it that it can, or {RESTART}") from error


def read_packets(path: Path) -> EncodedSegment:
    """A segment's description; its packets are read, and checked, when they are asked for.

    Raises:
        InputError: the file is missing, torn, of another version, or no segment.
    """
    with _reading(path) as file:
        prefix = file.read(PREFIX.size)
        magic, version = PREFIX.unpack(prefix) if len(prefix) == PREFIX.size else (prefix[:8], VERSION)
        if not _MAGIC.startswith(magic) or not magic:
            raise InputError(path, *FOREIGN)
        if version != VERSION:
            raise InputError(path, f"is a segment of version {version}, this program makes {VERSION}", RESTART)
        size = file.seek(0, os.SEEK_END)
        torn = InputError(path, "is torn: the segment was not finished", RESTART)
        if size < PREFIX.size + TRAILER.size:
            raise torn
        file.seek(size - TRAILER.size)
        offset, length, check, end = TRAILER.unpack(file.read(TRAILER.size))
        if end != _END or offset + length + TRAILER.size != size:
            raise torn
        file.seek(offset)
        text = file.read(length)
    if zlib.crc32(text) != check:
        raise InputError(path, "the description of this finished segment is damaged", RESTART)
    segment = _parsed(path, json.loads(text))
    if PREFIX.size + sum(entry[3] for entry in segment.index) != offset:
        raise torn
    return segment


def _parsed(path: Path, record: dict[str, Any]) -> EncodedSegment:
    kind = SegmentKind(
        codec=record["codec"],
        pixel_format=record["pixel_format"],
        width=record["width"],
        height=record["height"],
        ticks=Fraction(*record["ticks"]),
        options=record["options"],
        extradata=bytes.fromhex(record["extradata"]),
    )
    return EncodedSegment(
        path, kind, tuple((pts, lasts, bool(key), size, crc) for pts, lasts, key, size, crc in record["packets"])
    )


class PacketFile:
    """A segment being written, under its name with ``.partial`` until it is complete."""

    def __init__(self, path: Path, kind: SegmentKind) -> None:
        self._path, self._kind = path, kind
        self._partial = partial_name(path)
        self._index: list[tuple[int, int, int, int, int]] = []
        self._file = self._partial.open("wb")
        self._file.write(PREFIX.pack(_MAGIC, VERSION))

    def add(self, packet: Any) -> None:
        """Writes a packet as an encoder gave it.

        Raises:
            OutputError: it carries what a segment cannot keep.
            ValueError: it has no time.
        """
        strange = {entry.data_type for entry in packet.iter_sidedata()} - _IDLE_SIDE_DATA
        if strange:
            reason = f"{self._kind.codec} packets carry {', '.join(sorted(strange))}, which a segment does not keep"
            raise OutputError(self._path, reason, "choose another codec")
        if packet.pts is None:
            raise ValueError("packet.pts: expected a time, got None")
        data = bytes(packet)
        self._file.write(data)
        entry = (packet.pts, packet.duration or 0, int(packet.is_keyframe), len(data), zlib.crc32(data))
        self._index.append(entry)

    def finish(self) -> None:
        """Writes the description and the trailer, sees them to the disk and gives the file its name."""
        kind = self._kind
        record = {
            "codec": kind.codec,
            "pixel_format": kind.pixel_format,
            "width": kind.width,
            "height": kind.height,
            "ticks": [kind.ticks.numerator, kind.ticks.denominator],
            "options": dict(kind.options),
            "extradata": kind.extradata.hex(),
            "packets": self._index,
        }
        text = json.dumps(record).encode()
        offset = self._file.tell()
        self._file.write(text)
        self._file.write(TRAILER.pack(offset, len(text), zlib.crc32(text), _END))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._partial, self._path)
        sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Removes what was written."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._partial.unlink()


def partial_name(path: Path) -> Path:
    """The name of a segment while it is being written."""
    return path.with_name(f"{path.name}.partial")


def sync_folder(folder: Path) -> None:
    """Sees names given in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
