"""Opening containers and reading their packets, where streams may appear in the middle of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

_PROBED_BYTES, _PROBED_MICROSECONDS = 64 << 20, 600 * 1_000_000


def open_container(path: str, *, thorough: bool = False) -> InputContainer:
    """Opens a file for reading.

    Args:
        path: absolute, so that it cannot be mistaken for a network address.
        thorough: look for streams that begin later in MPEG files, such as sound after a silent title. They are
            numbered after those that are found without it.

    Raises:
        FFmpegError, OSError, ValueError: it cannot be read.
    """
    container = av.open(path, "r", metadata_errors="replace")  # odd bytes in old tags must not stop a film
    if not thorough or not _may_hold_more(container):
        return container
    container.close()
    options = {"probesize": str(_PROBED_BYTES), "analyzeduration": str(_PROBED_MICROSECONDS)}
    return av.open(path, "r", metadata_errors="replace", options=options)


def _may_hold_more(container: InputContainer) -> bool:
    """Whether streams may begin later than FFmpeg looks for them, which tells nothing about them then."""
    if container.format.name == "mpeg":  # has no list of streams
        return True
    unknown = not all(parameters_known(stream) for stream in container.streams)
    return container.format.name == "mpegts" and unknown


def parameters_known(stream: Stream) -> bool:
    """Whether FFmpeg has found how a stream of sound or pictures is coded."""
    context: Any = stream.codec_context
    if context is None or stream.type not in ("audio", "video"):
        return True
    return bool(context.sample_rate if stream.type == "audio" else context.width)


def container_packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[Stream]]:
    """The packets of some streams, or of all that were found when the file was opened, in the order of the file."""
    try:
        yield from container.demux(*streams)
    except IndexError:  # PyAV wants to end a stream that appeared since; those that it knows it has ended before
        return
