"""Decoding films with PyAV: everything that decodes, and a record of what does not."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from kinemacolor.core.errors import InputError
from kinemacolor.core.memory import check_memory
from kinemacolor.video.film_clock import ClockMender, film_clock
from kinemacolor.video.input_container import container_packets, open_container

_CONTAINERS_WITH_DURATION = ("matroska", "mov,mp4", "avi")
_REORDERING = 2  # seconds by which a picture may be decoded before it is shown
ATTACHED_PICTURE = 0x400
"""The disposition bit of a cover picture."""
NAMED_IMAGES = 5
"""Number of damaged images that are named."""
FILM_SUFFIXES = (
    *(".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v"),
    *(".mpg", ".mpeg", ".ts", ".ogv", ".wmv", ".mxf", ".y4m"),
)
"""Extensions by which films in a folder are recognized, the most common first; other films are opened by their name."""


@dataclass(slots=True)
class Damage:
    """What is wrong with a film, as one pass through it shows.

    Attributes:
        index, time: the last frame that decoded, and its time in seconds from the first.
        undecodable: packets that could not be decoded.
        lost_images: names of the files among them, of a film of images.
        concealed: frames that the decoder had to repair.
        interlaced: frames that are marked as interlaced, which is no fault.
        retimed: frames that had no valid time of their own.
        first: where the first fault is, or None.
        broke_off: why the film ends early, or None.
        remarks: other faults, a line each.
        skipped, skipped_time: frames before those of the pass, and their length in seconds; numbers and times of frames
            are given without them.
    """

    index: int = -1
    time: Fraction = Fraction(0)
    undecodable: int = 0
    lost_images: list[str] = field(default_factory=list)
    concealed: int = 0
    interlaced: int = 0
    retimed: int = 0
    first: str | None = None
    broke_off: str | None = None
    remarks: list[str] = field(default_factory=list)
    skipped: int = 0
    skipped_time: Fraction = Fraction(0)

    def count_frame(self, index: int, time: Fraction, corrupt: bool, interlaced: bool = False) -> None:
        """Counts a frame that decoded, at ``time`` seconds from the first."""
        self.interlaced += interlaced
        self.index, self.time = index + self.skipped, time + self.skipped_time
        if corrupt:
            self.concealed += 1
            self._mark_first()

    def count_lost_packet(self) -> None:
        """Counts a packet that could not be decoded, somewhere after the last frame."""
        self.undecodable += 1
        self._mark_first()

    def count_lost_image(self, name: str) -> None:
        """Counts an image that could not be decoded."""
        self.lost_images.append(name)
        self.count_lost_packet()

    def count_repaired_time(self) -> None:
        """Counts a frame that had no time, or one before the last frame's."""
        self.retimed += 1
        self._mark_first()

    def replace_with(self, other: Damage) -> None:
        """Becomes a copy of the record of another pass."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def _mark_first(self) -> None:
        if self.first is None:
            self.first = f"near frame {max(self.index, 0)} ({float(self.time):.3f} s)"

    @property
    def affects_frames(self) -> bool:
        """Whether frames are missing, damaged, or not at their own times."""
        return bool(self.undecodable or self.concealed or self.retimed)

    def summary(self) -> str | None:
        """One line for the user, or None where nothing is wrong."""
        parts = list(self.remarks)
        if self.broke_off:
            parts.append(f"the film breaks off after frame {self.index} ({float(self.time):.3f} s): {self.broke_off}")
        if self.lost_images:
            names = ", ".join(self.lost_images[:NAMED_IMAGES])
            more = f" and {len(self.lost_images) - NAMED_IMAGES} more" if len(self.lost_images) > NAMED_IMAGES else ""
            images = "1 image" if len(self.lost_images) == 1 else f"{len(self.lost_images)} images"
            parts.append(f"{images} could not be decoded: {names}{more}")
        elif self.undecodable:
            parts.append(f"{self.undecodable} packets could not be decoded and were skipped")
        if self.concealed:
            parts.append(f"{self.concealed} frames are damaged")
        if self.retimed:
            parts.append(f"{self.retimed} frames had no valid time and got one from the frame rate")
        if self.first and parts:
            parts.append(f"first {self.first}")
        return "; ".join(parts) or None


def open_film(path: Path, *, thorough: bool = False) -> InputContainer:
    """Opens a film for reading; see ``open_container`` for ``thorough``.

    Raises:
        InputError: the file is missing, a folder, empty, locked, or no film.
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
        container = open_container(str(path.absolute()), thorough=thorough)
    except av.error.PermissionError as error:
        raise InputError(path, "reading it is not permitted", "change its permissions") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        check_memory(error)
        reason = "it cannot be read as a film"
        if path.suffix.lower() in (".mp4", ".mov", ".m4v"):
            reason += " (so does an MP4 or MOV without its index, which a recording that was cut off lacks)"
        raise InputError(path, reason, "check that it plays elsewhere, or fetch it again") from error
    if container.format.name in ("tty", "txt", "rawvideo"):  # FFmpeg draws plain text as pictures
        container.close()
        raise InputError(path, "is a text file, not a film", "give a film")
    return container


def video_stream(path: Path, container: InputContainer, index: int) -> VideoStream:
    """The stream of the film's pictures, by its index in the container."""
    for stream in container.streams.video:
        if stream.index == index and stream.codec_context is not None:
            return stream
    raise InputError(path, "has other streams than when it was opened", "check the disk it is on")


def film_pictures(
    path: Path, damage: Damage, index: int, start: int | None = None
) -> Generator[av.VideoFrame, None, None]:
    """Decoded pictures of a film, everything that decodes; what does not is counted in ``damage``.

    Args:
        path: of the film.
        damage: takes the faults.
        index: of the stream.
        start: only pictures at or after this time, which must be that of a keyframe; the film's clock must not jump.
            None are given where the container cannot be searched.
    """
    given = 0
    try:
        for picture in _film_pictures(path, damage, index, start):
            given += 1
            yield picture
    except _SlicesDamaged:
        yield from islice(_film_pictures(path, damage, index, start, one_thread=True), given, None)


class _SlicesDamaged(Exception):
    """Slices of a picture are damaged, in a film whose slices are decoded at once."""


def _film_pictures(
    path: Path, damage: Damage, index: int, start: int | None, *, one_thread: bool = False
) -> Iterator[av.VideoFrame]:
    with open_film(path) as container:
        stream = video_stream(path, container, index)
        if start is not None:
            # MPEG containers are searched by decoding times, which lie before the pictures' own.
            early = container.format.name.startswith("mpeg")
            try:
                container.seek(start - (round(_REORDERING / (stream.time_base or 1)) if early else 0), stream=stream)
            except (av.FFmpegError, OSError):
                return
        for picture in _decoded(container, stream, damage, one_thread=one_thread):
            if start is None or (picture.pts is not None and picture.pts >= start):
                yield picture


def _decoded(
    container: InputContainer, stream: VideoStream, damage: Damage, *, one_thread: bool
) -> Iterator[av.VideoFrame]:
    # Decoders that work on several frames at once repair damage differently from run to run, and drop frames behind it.
    # That of H.264 neither repairs nor reports it when it works on several slices at once; that of FFV1 lets damaged
    # slices write over others, in any order.
    stream.codec_context.thread_type = "SLICE"
    if one_thread or stream.codec_context.name == "h264":
        stream.codec_context.thread_count = 1
    decode: Callable[[Packet[Stream] | None], list[av.VideoFrame]]
    decode = partial(_packet_pictures, container, stream, damage)
    if not one_thread and stream.codec_context.name == "ffv1":
        decode = partial(_undamaged_pictures, container, stream)
    reached = Fraction(0)
    suspect = False
    mender = ClockMender(film_clock(container))
    packets = container_packets(container)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            check_memory(error)
            damage.broke_off = f"reading fails there ({getattr(error, 'strerror', None) or error})"
            packet = None
        if packet is None:
            break
        mender.mend(packet)
        reached = max(reached, _packet_end(packet))
        # Theora stores a frame that repeats the one before as an empty packet: that one is shown longer.
        if packet.stream is not stream or not packet.size:
            continue
        suspect = bool(packet.is_corrupt)
        yield from decode(packet)
    yield from decode(None)
    if damage.broke_off is None:
        declared = _declared_end(container)
        slack = Fraction(1, 5) + 2 / (stream.guessed_rate or Fraction(25))
        if suspect or _incomplete_transport_stream(container):
            damage.broke_off = "its last packet is incomplete"
        elif declared is not None and reached + slack < declared:
            damage.broke_off = f"its header declares {float(declared):.3f} s, but it holds {float(reached):.3f} s"


def _undamaged_pictures(
    container: InputContainer, stream: VideoStream, packet: Packet[Stream] | None
) -> list[av.VideoFrame]:
    found = Damage()
    pictures = _packet_pictures(container, stream, found, packet)
    if found.undecodable or any(picture.is_corrupt for picture in pictures):
        raise _SlicesDamaged
    return pictures


def _packet_pictures(
    container: InputContainer, stream: VideoStream, damage: Damage, packet: Packet[Stream] | None
) -> list[av.VideoFrame]:
    try:
        pictures = stream.decode(packet)
    except av.error.EOFError:
        return []
    except (av.FFmpegError, OSError, ValueError) as error:
        check_memory(error)
        damage.count_lost_packet()
        return []
    if container.format.name == "avi":  # AVI stores no presentation times: FFmpeg guesses them
        for picture in pictures:
            picture.pts = picture.dts
    return pictures


def _packet_end(packet: Packet[Stream]) -> Fraction:
    if not packet.size or packet.pts is None or packet.time_base is None:
        return Fraction(0)
    return (packet.pts + (packet.duration or 0)) * packet.time_base


def _incomplete_transport_stream(container: InputContainer) -> bool:
    """Whether an MPEG transport stream ends within one of its packets of 188 (or 192, or 204) bytes."""
    return container.format.name == "mpegts" and all(container.size % size for size in (188, 192, 204))


def _declared_end(container: InputContainer) -> Fraction | None:
    """Seconds at which the container's header says the film ends; None where it only guesses."""
    if container.duration is None or not container.format.name.startswith(_CONTAINERS_WITH_DURATION):
        return None
    return Fraction(container.duration, av.time_base)
