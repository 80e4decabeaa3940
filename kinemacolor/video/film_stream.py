"""Which stream of a container is the film, where several hold pictures: found by length, frames and size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from kinemacolor.core.clock import clock_seconds
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.video.decode import ATTACHED_PICTURE, open_film
from kinemacolor.video.input_container import container_packets

_SCANNED_PACKETS = 2000
_DEFAULT = 1  # the disposition bit of the stream that players show first
_EQUAL = 0.9  # streams of at least this share of the most frames are equally long


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """The stream that is the film.

    Attributes:
        index: in the container.
        remark: a line for the user where there was a choice, or None.
    """

    index: int
    remark: str | None = None


def choose_stream(path: Path, number: int | None = None) -> StreamChoice:
    """The stream of the film's pictures; covers are none.

    Args:
        path: of the film.
        number: index of the stream that the user chose, or None: then the one with the most frames, and of those about
            as long the one with the largest picture.

    Raises:
        InputError: no stream holds pictures, or none of a known codec.
        UsageError: stream ``number`` holds no pictures.
    """
    with open_film(path) as container:
        videos = [stream for stream in container.streams.video if stream.codec_context is not None]
        if number is not None:
            return StreamChoice(_chosen(path, videos, number).index)
        candidates = [stream for stream in videos if not int(stream.disposition) & ATTACHED_PICTURE]
        if not candidates:
            if len(videos) < len(container.streams.video):
                raise InputError(path, "its video codec is unknown", "convert the film to H.264 or FFV1 first")
            raise InputError(path, "has no video stream", "give a film with pictures")
        if len(candidates) == 1:
            return StreamChoice(candidates[0].index)
        frames = _count_frames(container, candidates)
        most = max(frames.values())
        longest = [stream for stream in candidates if frames[stream.index] >= _EQUAL * most]
        film = max(longest, key=lambda stream: (stream.width * stream.height, int(stream.disposition) & _DEFAULT))
        others = ", ".join(_description(stream, frames) for stream in candidates if stream is not film)
        remark = (
            f"{path}: several streams hold pictures: the film is taken to be {_description(film, frames)}, "
            f"not {others}; set `stream` to choose another"
        )
        return StreamChoice(film.index, remark)


def _chosen(path: Path, videos: list[VideoStream], number: int) -> VideoStream:
    for stream in videos:
        if stream.index == number:
            return stream
    indices = ", ".join(str(stream.index) for stream in videos) or "none"
    raise UsageError("stream", f"stream {number} of {path} holds no pictures", f"those with pictures: {indices}")


def _count_frames(container: InputContainer, streams: list[VideoStream]) -> dict[int, int]:
    """About how many frames each stream has: as the container says, else by the beginning of the film."""
    if all(stream.frames for stream in streams):
        return {stream.index: stream.frames for stream in streams}
    counts = Counter({stream.index: 0 for stream in streams})
    begin, end = None, Fraction(0)
    complete = True
    try:
        for packet in container_packets(container, *streams):
            if not packet.size:
                continue
            counts[packet.stream.index] += 1
            if packet.pts is not None and packet.time_base is not None:
                time = packet.pts * packet.time_base
                begin, end = time if begin is None else min(begin, time), max(end, time)
            if counts.total() >= _SCANNED_PACKETS:
                complete = False
                break
    except (av.FFmpegError, OSError):
        pass
    lengths = {stream.index: _declared_seconds(stream) for stream in streams}
    span = float(end - (begin or 0))
    if complete or span <= 0:
        return dict(counts)
    return {index: round(count * max(1.0, (lengths[index] or span) / span)) for index, count in counts.items()}


def _declared_seconds(stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    for key, value in stream.metadata.items():
        if key.upper().split("-")[0] == "DURATION":
            seconds = clock_seconds(value)
            return None if seconds is None else float(seconds)
    return None


def _description(stream: VideoStream, frames: dict[int, int]) -> str:
    count = frames[stream.index]
    size = f"{stream.width}x{stream.height}, " if stream.width else ""
    return f"stream {stream.index} ({stream.codec_context.name}, {size}{count} frame{'s' * (count != 1)})"
