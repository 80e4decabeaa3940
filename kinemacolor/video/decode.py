"""Decoding films with PyAV: everything that decodes, and notes on what does not."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from kinemacolor.core.errors import InputError

_DECLARES_DURATION = ("matroska", "mov,mp4", "avi")
_REORDERING = 2  # seconds a picture may be decoded before it is shown
ATTACHED_PICTURE = 0x400
"""The disposition bit of a cover picture."""


@dataclass(slots=True)
class Damage:
    """What one pass through a film met with that was not as it should be.

    ``skipped`` and ``skipped_time`` are added to the numbers and times it is told: frames before those of the pass.
    """

    index: int = -1
    time: Fraction = Fraction(0)
    undecodable: int = 0
    concealed: int = 0
    disordered: int = 0
    first: str | None = None
    broke_off: str | None = None
    remarks: list[str] = field(default_factory=list)
    skipped: int = 0
    skipped_time: Fraction = Fraction(0)

    def frame(self, index: int, time: Fraction, corrupt: bool) -> None:
        """A frame came out of the decoder, at ``time`` seconds from the first."""
        self.index, self.time = index + self.skipped, time + self.skipped_time
        if corrupt:
            self.concealed += 1
            self._first()

    def packet_lost(self) -> None:
        """A packet could not be decoded, somewhere after the last frame."""
        self.undecodable += 1
        self._first()

    def time_repaired(self) -> None:
        """A frame had no time, or one before the last frame's."""
        self.disordered += 1
        self._first()

    def take(self, other: Damage) -> None:
        """Takes over all that another pass met with."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def _first(self) -> None:
        if self.first is None:
            self.first = f"near frame {max(self.index, 0)} ({float(self.time):.3f} s)"

    @property
    def hurt(self) -> bool:
        """Whether frames are missing, damaged, or not at their own times."""
        return bool(self.undecodable or self.concealed or self.disordered)

    def text(self) -> str | None:
        """One line for the user, or None."""
        parts = list(self.remarks)
        if self.broke_off:
            parts.append(f"the film breaks off after frame {self.index} ({float(self.time):.3f} s): {self.broke_off}")
        if self.undecodable:
            parts.append(f"{self.undecodable} packets could not be decoded and were skipped")
        if self.concealed:
            parts.append(f"{self.concealed} frames are damaged")
        if self.disordered:
            parts.append(f"{self.disordered} frames had no valid time and got one from the frame rate")
        if self.first and parts:
            parts.append(f"first {self.first}")
        return "; ".join(parts) or None


def open_film(path: Path) -> InputContainer:
    """Opens a film for reading.

    Raises:
        InputError: it is missing, a folder, empty, not permitted, or no film.
    """
    if not path.exists():
        raise InputError(path, "there is no such file", "check the name")
    if path.is_dir():
        raise InputError(path, "is a folder without images", "give a film, or a folder of PNG, TIFF or JPEG images")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(path, "the file is empty", "fetch the film again")
    if not os.access(path, os.R_OK):
        raise InputError(path, "reading it is not permitted", "change its permissions")
    try:
        # An absolute path cannot be taken for a network address; odd bytes in old tags must not stop a film.
        container = av.open(str(path.absolute()), "r", metadata_errors="replace")
    except av.error.PermissionError as error:
        raise InputError(path, "reading it is not permitted", "change its permissions") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = "it cannot be read as a film"
        if path.suffix.lower() in (".mp4", ".mov", ".m4v"):
            reason += " (an MP4 or MOV without its index, as when a recording was cut off, looks like this)"
        raise InputError(path, reason, "check that it plays elsewhere, or fetch it again") from error
    if container.format.name in ("tty", "txt", "rawvideo"):  # FFmpeg draws plain text as pictures
        container.close()
        raise InputError(path, "is a text file, not a film", "give a film")
    return container


def video_stream(path: Path, container: InputContainer) -> VideoStream:
    """The film's picture: its first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if stream.codec_context is not None and not int(stream.disposition) & ATTACHED_PICTURE:
            return stream
    if container.streams.video and container.streams.video[0].codec_context is None:
        raise InputError(path, "its video codec is not known here", "convert the film to H.264 or FFV1 first")
    raise InputError(path, "has no video stream", "give a film with pictures")


def film_pictures(path: Path, notes: Damage, start: int | None = None) -> Generator[av.VideoFrame, None, None]:
    """Decoded pictures of a film, everything that decodes; ``notes`` learns what did not.

    With ``start``, only pictures at or after that time; it must be a keyframe's.
    """
    with open_film(path) as container:
        stream = video_stream(path, container)
        if start is not None:
            # These are searched by decoding times, which lie before the pictures' own.
            early = container.format.name.startswith("mpeg")
            container.seek(start - (round(_REORDERING / (stream.time_base or 1)) if early else 0), stream=stream)
        for picture in _decoded(container, stream, notes):
            if start is None or (picture.pts is not None and picture.pts >= start):
                yield picture


def _decoded(container: InputContainer, stream: VideoStream, notes: Damage) -> Iterator[av.VideoFrame]:
    # Decoders that work on several frames at once mend damage now so, now otherwise, and drop frames behind it. That of
    # H.264 neither mends it nor tells of it when it works on several slices at once.
    stream.codec_context.thread_type = "SLICE"
    if stream.codec_context.name == "h264":
        stream.codec_context.thread_count = 1
    reached = Fraction(0)
    suspect = False
    packets = container.demux()
    flushed = False
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            notes.broke_off = f"reading on fails ({getattr(error, 'strerror', None) or error})"
            packet = None
        if packet is None:
            break
        reached = max(reached, _packet_end(packet))
        if packet.stream is not stream:  # a flush packet names its stream, but bears number 0
            continue
        suspect = bool(packet.is_corrupt) if packet.size else suspect
        flushed = flushed or not packet.size
        yield from _packet_pictures(container, stream, packet, notes)
    if not flushed:
        yield from _packet_pictures(container, stream, None, notes)
    if notes.broke_off is None:
        declared = _declared_end(container)
        slack = Fraction(1, 5) + 2 / (stream.guessed_rate or Fraction(25))
        if suspect or _torn_transport_stream(container):
            notes.broke_off = "its last packet is incomplete"
        elif declared is not None and reached + slack < declared:
            notes.broke_off = f"{float(declared):.3f} s are declared, {float(reached):.3f} s are there"


def _packet_pictures(
    container: InputContainer, stream: VideoStream, packet: Packet[Stream] | None, notes: Damage
) -> list[av.VideoFrame]:
    try:
        pictures = stream.decode(packet)
    except av.error.EOFError:
        return []
    except (av.FFmpegError, OSError, ValueError):
        notes.packet_lost()
        return []
    if container.format.name == "avi":  # it stores no presentation times: what stands there is a guess of FFmpeg's
        for picture in pictures:
            picture.pts = picture.dts
    return pictures


def _packet_end(packet: Packet[Stream]) -> Fraction:
    if not packet.size or packet.pts is None or packet.time_base is None:
        return Fraction(0)
    return (packet.pts + (packet.duration or 0)) * packet.time_base


def _torn_transport_stream(container: InputContainer) -> bool:
    """Whether an MPEG transport stream ends within one of its packets of 188 (or 192, or 204) bytes."""
    return container.format.name == "mpegts" and all(container.size % size for size in (188, 192, 204))


def _declared_end(container: InputContainer) -> Fraction | None:
    """Seconds at which the container's header says the film ends; None where it only guesses."""
    if container.duration is None or not container.format.name.startswith(_DECLARES_DURATION):
        return None
    return Fraction(container.duration, av.time_base)
