"""Edit decision lists (CMX 3600) of one film's shots.

A shot is a video event whose out point is the next one's in point. Lists are written in non-drop timecode at
the rate rounded to whole frames (24 for 24000/1001), from 00:00:00:00, so that timecode counts frames. Drop-frame
timecode (``FCM: DROP FRAME`` or ``;`` before the frames) of 30000/1001 and 60000/1001 frames a second is read as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from kinemacolor.core.errors import InputError, OutputError

DROPPED_NUMBERS = {Fraction(30000, 1001): 2, Fraction(60000, 1001): 4}
"""Rates that have drop-frame timecode → frame numbers that it skips at the start of a minute (SMPTE ST 12-1)."""
TIMECODE_HOURS = 100
"""Hours at which timecode ends."""

_TIMECODE = r"\d\d[:;.]\d\d[:;.]\d\d[:;.]\d\d"
_CODES = r"\s+".join(4 * [rf"({_TIMECODE})"])
_EVENT = re.compile(rf"(\d+)\s+\S+\s+(\S+)\s+\S+(?:\s+\d+)?\s+{_CODES}")


@dataclass(frozen=True, slots=True)
class EdlEvent:
    """A shot of the film.

    Attributes:
        place: its line, for messages.
        first, stop: its first frame, and the one after its last.
    """

    place: str
    first: int
    stop: int


def edl_text(path: Path, rows: Sequence[tuple[int, int]], rate: Fraction, film: str) -> str:
    """A list whose events are stretches of a film.

    Args:
        path: of the list, for messages.
        rows: first frame of each stretch, and the one after its last.
        rate: the film's nominal frames a second.
        film: its name.

    Raises:
        OutputError: timecode cannot count the film.
    """
    base = round(rate)
    if not 1 <= base <= 99 or (rows and rows[-1][1] >= TIMECODE_HOURS * 3600 * base):
        problem = f"timecode cannot count {rows[-1][1] if rows else 0} frames at {float(rate):g} a second"
        raise OutputError(path, problem, "use .csv or .json")

    def code(frame: int) -> str:
        seconds, rest = divmod(frame, base)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{rest:02}"

    name = " ".join(film.split())
    lines = [f"TITLE: {name}", "FCM: NON-DROP FRAME", ""]
    for number, (first, stop) in enumerate(rows, start=1):
        span = f"{code(first)} {code(stop)}"
        lines += [f"{number:03}  AX       V     C        {span} {span}", f"* FROM CLIP NAME: {name}"]
    return "\n".join(lines) + "\n"


def read_events(path: Path, text: str, rate: Fraction) -> list[EdlEvent]:
    """The video events of a list in the film's own order.

    Args:
        path: of the list, for messages.
        text: of the list.
        rate: the film's nominal frames a second.

    Raises:
        InputError: a line is no event, a timecode does not exist, or events do not show the film at its own speed.
    """
    events: list[EdlEvent] = []
    origin, shift, dropping = 0, 0, False
    for number, line in enumerate(text.splitlines(), start=1):
        line, place = line.strip(), f"line {number}"
        if line.upper().startswith("FCM:"):
            dropping = "NON" not in line.upper()
        if not line[:1].isdigit():
            continue
        event = _EVENT.fullmatch(line)
        if event is None:
            raise InputError(path, f"{place}: is not an event of a CMX 3600 list", "export it as CMX 3600")
        if not event[2].upper().startswith(("V", "B")):
            continue  # sound
        source, source_stop, first, stop = (
            _timecode_frame(path, place, code, rate, dropping) for code in event.groups()[2:]
        )
        if source_stop - source != stop - first:
            problem = f"{place}: takes {source_stop - source} frames of the source for {stop - first} of the record"
            raise InputError(path, problem, "export it without speed changes")
        if stop == first:
            continue  # where a transition begins
        if not events:  # many programs begin a film at one hour
            hour = event[5][:2] + re.sub(r"\d\d", "00", event[5][2:])
            origin = _timecode_frame(path, place, hour, rate, dropping)
            shift = source - first
        if source - first != shift:
            raise InputError(path, f"{place}: source and record timecodes drift apart", "keep the film's own order")
        events.append(EdlEvent(place, first - origin, stop - origin))
    return events


def _timecode_frame(path: Path, place: str, timecode: str, rate: Fraction, dropping: bool) -> int:
    """The frame that a timecode counts to."""
    base = round(rate)
    hours, minutes, seconds, rest = (int(part) for part in re.split("[:;.]", timecode))
    if minutes > 59 or seconds > 59 or rest >= base:
        problem = f"{place}: {timecode} is not a timecode at {base} frames a second"
        raise InputError(path, problem, f"export it at the film's rate, {rate}")
    minutes += 60 * hours
    count = (60 * minutes + seconds) * base + rest
    if not dropping and ";" not in timecode:
        return count
    dropped = DROPPED_NUMBERS.get(rate)
    if dropped is None:
        problem = f"{place}: drop-frame timecode does not exist at {rate} frames a second"
        raise InputError(path, problem, "export it as non-drop frame, at the film's rate")
    if minutes % 10 and not seconds and rest < dropped:
        problem = f"{place}: drop-frame timecode has no {timecode}"
        raise InputError(path, problem, "export it again, or as non-drop frame")
    return count - dropped * (minutes - minutes // 10)
