"""Encoded pictures in a file of their own: the form in which a finished segment of a film is kept.

A file is ``SEGMENT_HEADER`` (magic, version), the bytes of the packets one after another in decoding order, a
description (JSON: how they were encoded, and for each packet time, duration, keyframe, size and CRC-32), and
``SEGMENT_TRAILER`` (offset, size and CRC-32 of the description, magic). A file without its trailer was not finished.
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
from kinemacolor.core.folder_exchange import sync_folder

SEGMENT_VERSION = 1
"""Version of the format, of image segments as well."""
SEGMENT_HEADER = struct.Struct("<8sI")
SEGMENT_TRAILER = struct.Struct("<QII8s")
_MAGIC, _END_MAGIC = b"\x89KCSEG\r\n", b"KCSEGEND"
_ENCODER_SIDE_DATA = frozenset({"quality_stats", "cpb_properties"})  # no muxer writes it
RESTART_REMEDY = "start over with `restart`"
NOT_A_SEGMENT = ("is not a segment of a film that is being colored", f"move it away, or {RESTART_REMEDY}")
"""Problem and remedy where something else is in a segment's place."""


@dataclass(frozen=True, slots=True)
class SegmentFormat:
    """How the pictures of a segment were encoded; all segments of a film have the same format.

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
        format: how it was encoded.
        index: for each packet, in decoding order: pts, duration, keyframe, size, CRC-32.
    """

    path: Path
    format: SegmentFormat
    index: tuple[tuple[int, int, bool, int, int], ...]

    @property
    def frames(self) -> int:
        """Number of frames: a packet holds one."""
        return len(self.index)

    @property
    def times(self) -> list[int]:
        """Times of the frames in display order, in ticks."""
        return sorted(entry[0] for entry in self.index)

    @property
    def reordering(self) -> int:
        """Places by which a frame is decoded after its place in display order, at most."""
        display_place = {pts: place for place, pts in enumerate(self.times)}
        return max(place - display_place[entry[0]] for place, entry in enumerate(self.index))

    def packets(self) -> Iterator[EncodedPicture]:
        """The packets in decoding order, one in memory at a time.

        Raises:
            InputError: the bytes of one are not those that were written.
        """
        with _reading(self.path) as file:
            file.seek(SEGMENT_HEADER.size)
            for number, (pts, duration, keyframe, size, checksum) in enumerate(self.index):
                data = file.read(size)
                if len(data) != size or zlib.crc32(data) != checksum:
                    raise InputError(self.path, f"frame {number} of this finished segment is damaged", RESTART_REMEDY)
                yield EncodedPicture(data, pts, duration, keyframe)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        reason = f"this finished segment cannot be read ({error.strerror or error})"
        raise InputError(path, reason, f"check its permissions and the disk, or {RESTART_REMEDY}") from error


def read_packets(path: Path) -> EncodedSegment:
    """A segment's description; its packets are read, and checked, on demand.

    Raises:
        InputError: the file is missing, incomplete, damaged, of another version, or no segment.
    """
    with _reading(path) as file:
        header = file.read(SEGMENT_HEADER.size)
        magic, version = (
            SEGMENT_HEADER.unpack(header) if len(header) == SEGMENT_HEADER.size else (header[:8], SEGMENT_VERSION)
        )
        if not _MAGIC.startswith(magic) or not magic:
            raise InputError(path, *NOT_A_SEGMENT)
        if version != SEGMENT_VERSION:
            problem = f"is a segment of version {version}, this program makes version {SEGMENT_VERSION}"
            raise InputError(path, problem, RESTART_REMEDY)
        size = file.seek(0, os.SEEK_END)
        incomplete = InputError(path, "is incomplete: the segment was not finished", RESTART_REMEDY)
        if size < SEGMENT_HEADER.size + SEGMENT_TRAILER.size:
            raise incomplete
        file.seek(size - SEGMENT_TRAILER.size)
        offset, length, checksum, magic = SEGMENT_TRAILER.unpack(file.read(SEGMENT_TRAILER.size))
        if magic != _END_MAGIC or offset + length + SEGMENT_TRAILER.size != size:
            raise incomplete
        file.seek(offset)
        text = file.read(length)
    if zlib.crc32(text) != checksum:
        raise InputError(path, "the description of this finished segment is damaged", RESTART_REMEDY)
    segment = _parse_segment(path, json.loads(text))
    if SEGMENT_HEADER.size + sum(entry[3] for entry in segment.index) != offset:
        raise incomplete
    return segment


def _parse_segment(path: Path, record: dict[str, Any]) -> EncodedSegment:
    segment_format = SegmentFormat(
        codec=record["codec"],
        pixel_format=record["pixel_format"],
        width=record["width"],
        height=record["height"],
        ticks=Fraction(*record["ticks"]),
        options=record["options"],
        extradata=bytes.fromhex(record["extradata"]),
    )
    return EncodedSegment(
        path,
        segment_format,
        tuple((pts, duration, bool(key), size, crc) for pts, duration, key, size, crc in record["packets"]),
    )


class PacketFile:
    """A segment being written, under its name with ``.partial`` until it is complete."""

    def __init__(self, path: Path, segment_format: SegmentFormat) -> None:
        self._path, self._format = path, segment_format
        self._partial = partial_name(path)
        self._index: list[tuple[int, int, int, int, int]] = []
        self._file = self._partial.open("wb")
        self._file.write(SEGMENT_HEADER.pack(_MAGIC, SEGMENT_VERSION))

    def add(self, packet: Any) -> None:
        """Writes a packet as an encoder gave it.

        Raises:
            OutputError: it carries what a segment cannot keep.
            ValueError: it has no time.
        """
        unknown = {entry.data_type for entry in packet.iter_sidedata()} - _ENCODER_SIDE_DATA
        if unknown:
            problem = f"{self._format.codec} packets carry {', '.join(sorted(unknown))}, which a segment does not keep"
            raise OutputError(self._path, problem, "choose another codec")
        if packet.pts is None:
            raise ValueError("packet.pts: expected a time, got None")
        data = bytes(packet)
        self._file.write(data)
        entry = (packet.pts, packet.duration or 0, int(packet.is_keyframe), len(data), zlib.crc32(data))
        self._index.append(entry)

    def finish(self) -> None:
        """Writes the description and the trailer, flushes everything to the disk and gives the file its name."""
        segment_format = self._format
        record = {
            "codec": segment_format.codec,
            "pixel_format": segment_format.pixel_format,
            "width": segment_format.width,
            "height": segment_format.height,
            "ticks": [segment_format.ticks.numerator, segment_format.ticks.denominator],
            "options": dict(segment_format.options),
            "extradata": segment_format.extradata.hex(),
            "packets": self._index,
        }
        text = json.dumps(record).encode()
        offset = self._file.tell()
        self._file.write(text)
        self._file.write(SEGMENT_TRAILER.pack(offset, len(text), zlib.crc32(text), _END_MAGIC))
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
