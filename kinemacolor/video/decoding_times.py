"""Times at which copied packets are decoded, such as every container takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor
from typing import Any

from av.packet import Packet
from av.stream import Stream

from kinemacolor.video.decode import ATTACHED_PICTURE

_CONTAINERS_WITH_EQUAL_TIMES = ("matroska",)
_WAITING_PACKETS = 64


def with_decoding_times(packets: Iterator[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """The packets, those that begin a stream of pictures with decoding times.

    Matroska stores only when a picture is shown. FFmpeg counts back from that to when it is decoded, which it cannot
    do for the first pictures, where later ones are decoded before earlier ones are shown.
    """
    waiting: dict[int, list[Packet[Stream]]] = {}
    begun: set[int] = set()
    for packet in packets:
        index = packet.stream.index
        if index in begun or packet.stream.type != "video" or int(packet.stream.disposition) & ATTACHED_PICTURE:
            yield packet
            continue
        first = waiting.setdefault(index, [])
        if packet.dts is None and len(first) < _WAITING_PACKETS:
            first.append(packet)
            continue
        begun.add(index)
        yield from _count_back(waiting.pop(index), packet.dts)
        yield packet
    for first in waiting.values():
        yield from _count_back(first, None)


def _count_back(packets: Sequence[Packet[Stream]], following: int | None) -> Iterator[Packet[Stream]]:
    """The packets with decoding times before ``following``, each not after its picture is shown."""
    shown = [packet.pts for packet in packets if packet.pts is not None]
    if not shown:
        yield from packets
        return
    step = max(1, *(packet.duration or 0 for packet in packets))
    end = min(shown) + step * len(packets) if following is None else following
    times = [end - step * (len(packets) - number) for number in range(len(packets))]
    late = max(time - packet.pts for time, packet in zip(times, packets, strict=True) if packet.pts is not None)
    for time, packet in zip(times, packets, strict=True):
        packet.dts = time - max(0, late)
        yield packet


class DecodingOrder:
    """Checks the times of the packets that are written, and sets apart those that are decoded at once.

    Args:
        container: FFmpeg's name of the container.
    """

    def __init__(self, container: str) -> None:
        self._equal_times = container in _CONTAINERS_WITH_EQUAL_TIMES
        self._times: dict[int, Fraction] = {}
        self._ticks: dict[int, int] = {}

    def accept(self, packet: Packet[Any]) -> bool:
        """Whether a packet, whose stream is that of the output, has a valid time: not before that of the last one, and
        not after its picture is shown. Times of sound and pictures that are equal by rounding are set apart."""
        if packet.dts is None or not packet.time_base or (packet.pts is not None and packet.pts < packet.dts):
            return False
        index, time = packet.stream.index, packet.dts * packet.time_base
        if time < self._times.get(index, time):
            return False
        self._times[index] = time
        if not self._equal_times and packet.stream.type in ("audio", "video"):
            self._set_apart(packet, packet.dts)
        return True

    def _set_apart(self, packet: Packet[Any], time: int) -> None:
        index, base, ticks = packet.stream.index, packet.time_base, packet.stream.time_base
        last, tick = self._ticks.get(index), _rescale(time, base, ticks)
        if last is not None and tick <= last:
            shift = last + 1 - tick
            packet.pts = None if packet.pts is None else _rescale(packet.pts, base, ticks) + shift
            packet.dts = tick = last + 1
            packet.duration, packet.time_base = _rescale(packet.duration or 0, base, ticks), ticks
        self._ticks[index] = tick


def _rescale(time: int, base: Fraction, ticks: Fraction) -> int:
    return floor(time * base / ticks + Fraction(1, 2))
