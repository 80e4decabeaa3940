"""The clock of MPEG streams, which starts over or jumps where films were joined, and how it is made continuous.

Where it jumps, the part that follows is moved to the end of the part before, all its streams by the same time: sound
and picture stay in step, and no stream overlaps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from kinemacolor.video.input_container import container_packets, open_container

_BACKWARD = Fraction(1, 10)  # seconds by which packets of one recording may overlap
_ROUNDING = Fraction(1, 1000)  # seconds by which times of sound are inexact
_FORWARD = Fraction(10)  # seconds without a packet that may be a pause in one recording
_RETURN = Fraction(1)  # seconds from its own end within which a stream joins a part that another stream began
_LONGEST = Fraction(1, 10)  # seconds of a packet of unknown length, at most
_RECENT_PARTS = 4
_NOTABLE = 0.05  # share of the film's pictures that a part of it has at least
_SORTED_PACKETS = 512  # packets within which those of several streams are brought into the order of the file


@dataclass(slots=True)
class _Part:
    """A part of a film with one clock.

    Attributes:
        offset: seconds that are added to its times.
        starts, ends: for each stream of picture or sound, where it starts and ends on the part's own clock.
        resumed: for each stream of pictures that goes on in the middle of a group of pictures: the part in which it was
            before, and seconds to add to the offset of that part.
        erroneous: whether it was left for an earlier part: a few packets with wrong times.
    """

    offset: Fraction
    starts: dict[int, Fraction] = field(default_factory=dict)
    ends: dict[int, Fraction] = field(default_factory=dict)
    resumed: dict[int, tuple[int, Fraction]] = field(default_factory=dict)
    erroneous: bool = False

    def add(self, stream: int, start: Fraction, end: Fraction) -> None:
        """Takes a packet."""
        self.starts[stream] = min(start, self.starts.get(stream, start))
        self.ends[stream] = max(end, self.ends.get(stream, end))


@dataclass(frozen=True, slots=True)
class FilmClock:
    """How the clock of a film is made continuous.

    Attributes:
        offsets: for each stream, (number of its first packet, seconds to add) of each part in the order of the file.
        jumps: times on the continuous clock, in seconds, at which the film's own clock jumps.
        ends: where each stream of picture or sound ends on the continuous clock, in seconds.
        pictures: for each stream of pictures, how many packets it has, and where the first and the last lie in the
            file, in bytes.
        streams: those that have packets.
    """

    offsets: dict[int, tuple[tuple[int, Fraction], ...]] = field(default_factory=dict)
    jumps: tuple[Fraction, ...] = ()
    ends: dict[int, Fraction] = field(default_factory=dict)
    pictures: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    streams: frozenset[int] = frozenset()

    def remarks(self, path: Path, stream: int, first_time: Fraction) -> tuple[str, ...]:
        """What the user is told, where a stream of pictures is colored whose first frame is at ``first_time``."""
        return (*self._jump_remark(path, first_time), *self._other_pictures_remark(path, stream))

    def _other_pictures_remark(self, path: Path, stream: int) -> tuple[str, ...]:
        count, first, last = self.pictures.get(stream, (0, 0, 0))
        others = [
            str(other)
            for other, (packets, begin, end) in self.pictures.items()
            if (end < first or last < begin) and packets >= count * _NOTABLE
        ]
        if not count or not others:
            return ()
        return (
            f"{path}: the pictures of stream {stream} fill one part of the file, those of stream {', '.join(others)} "
            "another, as in films joined from recordings whose streams bear other numbers; only the first are colored; "
            "join the recordings so that their streams are one (ffmpeg -f concat -i list.txt -c copy film.mkv)",
        )

    def _jump_remark(self, path: Path, first_time: Fraction) -> tuple[str, ...]:
        if not self.jumps:
            return ()
        places = ", ".join(f"{float(jump - first_time):.3f} s" for jump in self.jumps[:5])
        places += " and more" if len(self.jumps) > 5 else ""
        times = "once" if len(self.jumps) == 1 else f"{len(self.jumps)} times"
        return (
            f"{path}: its clock starts over or jumps {times} (at {places}), as in films that were joined; times were "
            "made continuous, and `start` and `end` count these",
        )


class ClockMender:
    """Gives the packets of a film, read from its beginning, their times on the continuous clock."""

    def __init__(self, clock: FilmClock) -> None:
        self._clock = clock
        self._counts: dict[int, int] = {}
        self._places: dict[int, int] = {}

    def mend(self, packet: Packet[Stream]) -> None:
        """Moves a packet's times; packets of a stream must come in the order of the file, none left out."""
        if not self._clock.jumps or not packet.size:
            return
        index = packet.stream.index
        number = self._counts.get(index, 0)
        self._counts[index] = number + 1
        offsets = self._clock.offsets.get(index, ())
        place = self._places.get(index, -1)
        while place + 1 < len(offsets) and offsets[place + 1][0] <= number:
            place += 1
        self._places[index] = place
        if place < 0 or not packet.time_base:
            return
        base = packet.time_base
        shown = place
        if packet.pts is not None and packet.dts is not None and place + 1 < len(offsets):
            shown += _crosses_parts(packet.pts * base, packet.dts * base)
        if packet.pts is not None:
            packet.pts += round(offsets[shown][1] / base)
        if packet.dts is not None:
            packet.dts += round(offsets[place][1] / base)


def _crosses_parts(shown: Fraction, decoded: Fraction) -> bool:
    """Whether a picture's time of display is on the clock of the next part.

    Where a picture has no such time, FFmpeg takes it from the next picture's time of decoding.
    """
    return abs(shown - decoded) > _FORWARD


def film_clock(container: InputContainer) -> FilmClock:
    """How an opened film's clock is made continuous; its file is read through once, and the answer is kept."""
    path = Path(container.name)
    if not container.format.name.startswith("mpeg"):
        return FilmClock()
    with contextlib.suppress(OSError):
        status = path.stat()
        return _read_clock(path, status.st_size, status.st_mtime_ns)
    return FilmClock()


@lru_cache(maxsize=64)
def _read_clock(path: Path, _size: int, _modified: int) -> FilmClock:
    scan = _Scan()
    with contextlib.suppress(av.FFmpegError, OSError), open_container(str(path), thorough=True) as container:
        for stamp in _in_file_order(container_packets(container)):
            scan.add(stamp)
    return scan.clock()


class _Stamp(NamedTuple):
    """The times of a packet, in seconds; its place is in bytes of the file, and its number among all packets."""

    place: int
    number: int
    stream: int
    kind: str
    shown: Fraction | None
    decoded: Fraction | None
    length: Fraction
    keyframe: bool


def _in_file_order(packets: Iterator[Packet[Stream]]) -> Iterator[_Stamp]:
    """The packets' stamps in the order of the file: FFmpeg gives pictures later, when it has seen where they end."""
    places: dict[int, int] = {}
    waiting: list[_Stamp] = []
    for number, packet in enumerate(packets):
        index, base = packet.stream.index, packet.time_base
        if not packet.size or not base:
            continue
        places[index] = max(places.get(index, 0), packet.pos or 0)
        shown = None if packet.pts is None else packet.pts * base
        decoded = None if packet.dts is None else packet.dts * base
        length = (packet.duration or 0) * base
        kind, keyframe = packet.stream.type, bool(packet.is_keyframe)
        heappush(waiting, _Stamp(places[index], number, index, kind, shown, decoded, length, keyframe))
        if len(waiting) > _SORTED_PACKETS:
            yield heappop(waiting)
    while waiting:
        yield heappop(waiting)


class _Scan:
    """Divides the packets of a film into parts with one clock each."""

    def __init__(self) -> None:
        self._parts = [_Part(Fraction(0))]
        self._counts: dict[int, int] = {}
        self._part_of: dict[int, int] = {}
        self._ends: dict[int, Fraction] = {}  # of each stream's last packet, on its part's own clock
        self._decoded: dict[int, Fraction] = {}  # when each stream's last packet is decoded, on that clock
        self._steps: dict[int, Fraction] = {}  # seconds between each stream's last packets
        self._reordering: dict[int, Fraction] = {}  # seconds from decoding to display, at most
        self._changes: dict[int, list[tuple[int, int]]] = {}
        self._pictures: dict[int, tuple[int, int, int]] = {}
        self._position = Fraction(0)  # of the last packet of picture or sound, on the continuous clock

    def add(self, stamp: _Stamp) -> None:
        """Takes the next packet of the film."""
        index = stamp.stream
        number = self._counts.get(index, 0)
        self._counts[index] = number + 1
        if stamp.kind == "video":
            self._pictures[index] = (number + 1, self._pictures.get(index, (0, stamp.place, 0))[1], stamp.place)
        time = stamp.decoded if stamp.decoded is not None else stamp.shown
        if time is None:
            return
        timed = stamp.kind in ("video", "audio")
        part = self._find_part(index, time, timed, self._starts_again(stamp))
        before = self._part_of.get(index)
        if before != part:
            if before is not None:
                for left in range(part + 1, before + 1):
                    self._parts[left].erroneous = True
                if stamp.kind == "video" and not stamp.keyframe:
                    self._parts[part].resumed.setdefault(index, (before, self._ends[index] - time))
            self._part_of[index] = part
            self._changes.setdefault(index, []).append((number, part))
        if before == part and stamp.decoded is not None and time > self._decoded.get(index, time):
            self._steps[index] = time - self._decoded[index]
        length = stamp.length or min(_LONGEST, self._steps.get(index, _LONGEST))
        self._ends[index] = time + length
        if stamp.decoded is not None:
            self._decoded[index] = time
        if timed:
            shown = self._shown(stamp, time)
            self._parts[part].add(index, shown, shown + length)
            self._position = time + self._parts[part].offset

    def _shown(self, stamp: _Stamp, time: Fraction) -> Fraction:
        """When a packet is shown, on its part's own clock."""
        reordering = self._reordering.get(stamp.stream, Fraction(0))
        if stamp.shown is None or (stamp.decoded is not None and _crosses_parts(stamp.shown, stamp.decoded)):
            return time + reordering
        self._reordering[stamp.stream] = max(stamp.shown - time, reordering)
        return stamp.shown

    def _starts_again(self, stamp: _Stamp) -> bool:
        """Whether a packet starts a part that overlaps the one before by less than recordings do within themselves.

        FFmpeg guesses when some pictures of a recording are decoded, and may be wrong by one.
        """
        last = self._decoded.get(stamp.stream)
        if last is None or stamp.decoded is None:
            return False
        if stamp.kind != "video":
            return stamp.decoded < last - _ROUNDING
        part = self._part_of[stamp.stream]
        end = self._parts[part].ends[stamp.stream]
        goes_back = stamp.decoded <= last and stamp.shown is not None and stamp.shown < end
        return goes_back and (stamp.keyframe or part + 1 < len(self._parts))

    def _find_part(self, index: int, time: Fraction, timed: bool, again: bool) -> int:
        """The part to which a packet belongs; a new one where it fits none.

        Args:
            index: of its stream.
            time: of the packet, on its own clock.
            timed: whether it is of picture or sound.
            again: whether it starts another part however little its time goes back.
        """
        newest = len(self._parts) - 1
        if index not in self._ends:
            return newest  # the first packet of a stream
        part, end = self._part_of[index], self._ends[index]
        step = time - end
        if not timed:  # subtitles pause for any time: they belong where picture and sound are
            parts = range(part, newest + 1)
            distances: dict[int, Fraction] = {
                other: abs(time + self._parts[other].offset - self._position) for other in parts
            }
            return min(distances, key=lambda other: distances[other])
        overlaps = step >= -_BACKWARD
        if overlaps and not again and (step <= _FORWARD or self._reaches(part, time)):
            return part
        place = end + self._parts[part].offset
        earlier = () if overlaps else range(max(0, newest - _RECENT_PARTS), part)
        later = [other for other in range(part + 1, newest + 1) if self._reaches(other, time)]
        gaps: dict[int, Fraction] = {
            other: abs(time + self._parts[other].offset - place) for other in (*earlier, *later)
        }
        nearest = min(gaps, key=lambda other: gaps[other], default=None)
        if nearest is not None and gaps[nearest] <= _RETURN:
            return nearest
        if newest in later:
            return newest  # the stream was not in all parts between
        self._parts.append(_Part(place - time))
        return newest + 1

    def _reaches(self, part: int, time: Fraction) -> bool:
        """Whether a stream is in a part, and near a time of its clock."""
        streams = (stream for stream, other in self._part_of.items() if other == part)
        return any(abs(time - self._ends[stream]) <= _FORWARD for stream in streams)

    def clock(self) -> FilmClock:
        """The continuous clock of all packets that were taken."""
        reached: dict[int, Fraction] = {}
        jumps: list[Fraction] = []
        for number, part in enumerate(self._parts):
            if number:
                starts = {stream: start for stream, start in part.starts.items() if stream in reached}
                gaps = [reached[stream] - start for stream, start in starts.items() if stream not in part.resumed]
                gaps += [self._parts[before].offset + offset for before, offset in part.resumed.values()]
                if gaps and not part.erroneous:
                    part.offset = max(gaps)
                jumps.append(min(part.starts.values(), default=Fraction(0)) + part.offset)
            if not part.erroneous:
                reached.update({stream: end + part.offset for stream, end in part.ends.items()})
        offsets = {
            index: tuple((number, self._parts[part].offset) for number, part in changes)
            for index, changes in self._changes.items()
        }
        return FilmClock(offsets, tuple(jumps), reached, self._pictures, frozenset(self._counts))
