"""Whether a container holds a copy of a stream, tried in memory before any work is done."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path

import av
from av.packet import Packet
from av.stream import Stream

from kinemacolor.video.decode import open_film
from kinemacolor.video.input_container import container_packets

_SAMPLED_PACKETS = 4000
_SAMPLED_BYTES = 512 << 20


def sample_packets(film: Path, picture: int) -> dict[int, Packet[Stream]]:
    """The first packet of each stream beside the picture, where one comes early in the film.

    Args:
        film: the film.
        picture: index of the stream that is colored.
    """
    samples: dict[int, Packet[Stream]] = {}
    with open_film(film, thorough=True) as container:
        expected = set()
        for stream in container.streams:
            if stream.index == picture or stream.type == "attachment":
                # An MP4 file is read only where the other streams lie; the rest pass over the picture as they read.
                if container.format.name.startswith("mov"):
                    stream.discard = av.stream.Discard.all
            else:
                expected.add(stream.index)
        size = 0
        with contextlib.suppress(av.FFmpegError, OSError):
            for count, packet in enumerate(container_packets(container)):
                size += packet.size
                if packet.size and packet.stream.index in expected - samples.keys() and not packet.is_corrupt:
                    samples[packet.stream.index] = packet
                if not expected - samples.keys() or count > _SAMPLED_PACKETS or size > _SAMPLED_BYTES:
                    break
    return samples


def copy_of(packet: Packet[Stream]) -> Packet[Stream]:
    """A packet with the same bytes, at time 0."""
    copy: Packet[Stream] = Packet(bytes(packet))
    copy.time_base, copy.pts, copy.dts = packet.time_base, 0, 0
    copy.duration, copy.is_keyframe = packet.duration, True
    return copy


def container_accepts(container: str, stream: Stream, samples: Mapping[int, Packet[Stream]] | None = None) -> bool:
    """Whether a container can hold a copy of a stream.

    Tried by writing into memory: a header, and where a packet of the stream is among ``samples``, this packet and the
    end of the file, where some containers refuse what they let begin.
    """
    sample = None if samples is None else samples.get(stream.index)
    output = io.BytesIO()
    try:
        trial = av.open(output, "w", format=container)
        target = trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
        if sample is not None:
            packet = copy_of(sample)
            packet.stream = target
            trial.mux_one(packet)
            trial.close()
    except (av.FFmpegError, ValueError, RuntimeError, OSError):
        return False
    finally:
        output.close()  # a container that is not finished writes no trailer into a closed file
    return True
