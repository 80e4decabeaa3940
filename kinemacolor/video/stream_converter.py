"""What converters of streams that a container cannot hold have in common: those of sound and of subtitles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from av.packet import Packet
from av.stream import Stream


class StreamConverter(ABC):
    """Decodes the packets of a stream of the film and encodes them with another codec.

    Args:
        stream: of the film.
        codec: FFmpeg's name of the new codec.
        target: the new stream, in an output whose header is not written yet.

    Attributes:
        allowed_when_strict: whether the result still counts as the stream itself where nothing may be changed.
        units: what the packets of such a stream are called in a warning.
        codec, target: the arguments.
        lost: packets that could not be decoded.
    """

    allowed_when_strict: ClassVar[bool]
    units: ClassVar[str]

    def __init__(self, stream: Stream, codec: str, target: Any) -> None:
        self.codec, self.target, self.lost = codec, target, 0
        self._index, self._source_name = stream.index, stream.codec_context.name

    @abstractmethod
    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Any]]:
        """The packets that are ready after a packet of the film, or after the last one (None); times are the film's."""

    def rehearsal_packets(self, sample: Packet[Stream] | None) -> list[Packet[Any]]:
        """Packets such as it makes, for a trial of the output; nothing can be converted afterwards.

        Args:
            sample: a packet of the stream, where one is at hand.
        """
        return [*(self.convert(sample) if sample is not None else []), *self.convert(None)]

    @abstractmethod
    def conversion_warning(self, container: str) -> str:
        """What the user is told of the conversion for a container."""

    def loss_warning(self) -> str | None:
        """What the user is told of packets that were lost; None where none was."""
        if not self.lost:
            return None
        return f"{self.lost} {self.units} stream {self._index} could not be decoded and were left out"
