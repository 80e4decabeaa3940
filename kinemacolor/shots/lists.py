"""Lists of shots as files that people and editing programs read: JSON, CSV and EDL (CMX 3600).

In JSON and CSV a shot has its first and last frame, both inclusive, and its times in seconds at the film's nominal
rate; its end is the next shot's start. Frames decide; times may be left out, and must not contradict the frames. The
field ``neutral`` says whether the shot stays gray: yes, no, or nothing, and then that is found.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import InputError, OutputError
from kinemacolor.core.shot import Shot
from kinemacolor.core.structured_text import parse_json
from kinemacolor.shots.cards import ShotMark
from kinemacolor.shots.edl import edl_text, read_events

LIST_SUFFIXES = (".json", ".csv", ".edl")
CSV_COLUMNS = ("shot", "first", "last", "start", "end")
"""Shots count from 1; start and end are seconds. A column ``neutral`` follows where a shot is marked."""
NEUTRAL_WORDS: dict[str, ShotMark] = {
    **dict.fromkeys(("yes", "true", "1", "y", "x"), "neutral"),
    **dict.fromkeys(("no", "false", "0", "n"), "color"),
    **dict.fromkeys(("", "none"), ""),
}
"""What may stand for ``neutral``, in lower case."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A shot as a file lists it.

    Attributes:
        place: line or entry of the file, for messages.
        first, stop: its first frame, and the one after its last.
        start, end: its times in seconds, if the file has them.
        mark: whether it stays gray, if the file says so.
    """

    place: str
    first: int
    stop: int
    start: float | None = None
    end: float | None = None
    mark: ShotMark = ""


@dataclass(frozen=True, slots=True)
class ShotList:
    """The shots of a film as a file lists them.

    Attributes:
        shots: each frame in one of them, in the film's order.
        marks: for each shot, whether the file says that it stays gray.
    """

    shots: tuple[Shot, ...]
    marks: tuple[ShotMark, ...]


def read_shots(path: str | Path, frames: int, rate: Fraction) -> tuple[Shot, ...]:
    """The shots of a film as a file lists them; see ``read_shot_list``."""
    return read_shot_list(path, frames, rate).shots


def read_shot_list(path: str | Path, frames: int, rate: Fraction) -> ShotList:
    """The shots of a film as a file lists them, and which of them stay gray.

    Args:
        path: ``.json``, ``.csv`` or ``.edl``.
        frames: of the film.
        rate: the film's nominal frames a second.

    Raises:
        InputError: the file is missing, unreadable or in another format; shots overlap, leave a gap or lie outside the
            film; times contradict the frames or belong to another rate. The message names the line or the entry.
    """
    path = Path(path)
    text = read_list(path)
    read_entries = {".json": _read_json, ".csv": _read_csv, ".edl": _read_edl}[path.suffix.lower()]
    entries = read_entries(path, text, frames, rate)
    if not entries:
        raise InputError(path, "lists no shot", "write one with: kinemacolor shots FILM --output FILE")
    for number, entry in enumerate(entries):
        _check_frames(path, entry, entries[number - 1] if number else None, frames)
        _check_times(path, entry, rate)
    last = entries[-1]
    if last.stop < frames:
        problem = f"{last.place}: the last shot ends at frame {last.stop - 1}, the film at {frames - 1}"
        raise InputError(path, problem, "list the film to its end")
    return ShotList(tuple(Shot(entry.first, entry.stop) for entry in entries), tuple(entry.mark for entry in entries))


def read_list(path: Path) -> str:
    """The text of a list of shots, which may be checked before the film is read.

    Raises:
        InputError: the file is missing, unreadable or of another kind.
    """
    if path.suffix.lower() not in LIST_SUFFIXES:
        problem = "its extension is not that of a list of shots"
        raise InputError(path, problem, f"give a file that ends in {', '.join(LIST_SUFFIXES)}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(path, "is not text in UTF-8", "save it as UTF-8") from error
    except OSError as error:
        problem = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, f"give a file that ends in {', '.join(LIST_SUFFIXES)}") from error


def write_shots(
    path: str | Path,
    shots: Sequence[Shot],
    rate: Fraction,
    film: str,
    neutral: Collection[int] = (),
    *,
    decided: bool = False,
) -> None:
    """Writes a list of shots; the file gets its name, or replaces an older one, when it is complete.

    Args:
        path: ``.json``, ``.csv`` or ``.edl``.
        shots: with known ends.
        rate: the film's nominal frames a second.
        film: its name, for JSON and EDL.
        neutral: indices of the shots that stay gray; an EDL cannot say that.
        decided: whether the list says of each shot if it stays gray, also where none does.

    Raises:
        OutputError: the extension is unknown, the file cannot be written, or timecode cannot count the film.
        ValueError: a shot has no end.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        text = json.dumps(shot_record(shots, rate, film, neutral, decided=decided), indent=2, ensure_ascii=False) + "\n"
    elif suffix == ".csv":
        text = _as_csv(shot_record(shots, rate, film, neutral, decided=decided)["shots"])
    elif suffix == ".edl":
        text = edl_text(path, _spans(shots), rate, film)
    else:
        raise OutputError(path, "its extension is not that of a list of shots", f"use {', '.join(LIST_SUFFIXES)}")
    try:
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder and its space") from error


# --- checks --------------------


def _check_frames(path: Path, entry: _Entry, before: _Entry | None, frames: int) -> None:
    if entry.stop <= entry.first:
        problem = f"{entry.place}: a shot from frame {entry.first} to {entry.stop - 1} holds no frame"
        raise InputError(path, problem, "make its last frame its first or a later one")
    expected = before.stop if before else 0
    if entry.first < expected:
        problem = f"{entry.place}: begins at frame {entry.first}, but {expected - 1} belongs to the shot before"
        problem = problem if before else f"{entry.place}: begins at frame {entry.first}, before the film"
        raise InputError(path, problem, f"begin it at {expected}")
    if entry.stop > frames:
        problem = f"{entry.place}: ends at frame {entry.stop - 1}, but the film ends at {frames - 1}"
        raise InputError(path, problem, "check that the list belongs to this film")
    if entry.first > expected:
        problem = f"{entry.place}: begins at frame {entry.first}, and no shot holds frame {expected}"
        raise InputError(path, problem, f"begin it at {expected}, or list the shot that is missing")


def _check_times(path: Path, entry: _Entry, rate: Fraction) -> None:
    for name, seconds, frame in (("start", entry.start, entry.first), ("end", entry.end, entry.stop)):
        if seconds is not None and not abs(seconds * rate - frame) < 0.5:
            by_frames = f"{float(frame / rate):.3f} s"
            problem = f"{entry.place}: {name} {seconds:g} s contradicts the frames, which say {by_frames}"
            raise InputError(path, problem, "correct the one that is wrong, or leave the times out")


def _frame_number(value: Any) -> int | None:
    """A frame number, or None where the value is none."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d+\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _entry(path: Path, place: str, row: dict[str, Any]) -> _Entry:
    """The shot in a row with the fields ``first`` and ``last``, perhaps ``start`` and ``end``."""
    first, last = _frame_number(row.get("first")), _frame_number(row.get("last"))
    if first is None or last is None:
        name = "first" if first is None else "last"
        raise InputError(path, f"{place}: {name} is not a frame number: {row.get(name)!r}", "give whole numbers from 0")
    times: list[float | None] = []
    for name in ("start", "end"):
        value = row.get(name)
        try:
            times.append(None if value in (None, "") else float(value))
        except (TypeError, ValueError) as error:
            problem = f"{place}: {name} is not a time: {value!r}"
            raise InputError(path, problem, "give seconds, or leave the times out") from error
    neutral = row.get("neutral")
    mark = NEUTRAL_WORDS.get("" if neutral is None else str(neutral).strip().lower())
    if mark is None:
        raise InputError(path, f"{place}: neutral is not yes or no: {neutral!r}", "give yes, no, or nothing")
    return _Entry(place, first, last + 1, times[0], times[1], mark)


# --- JSON and CSV --------------------


def shot_record(
    shots: Sequence[Shot], rate: Fraction, film: str, neutral: Collection[int] = (), *, decided: bool = False
) -> dict[str, Any]:
    """A list of shots as JSON-ready values; where any stays gray, or that is ``decided``, each says whether it does.

    Raises:
        ValueError: a shot has no end.
    """
    rows: list[dict[str, Any]] = []
    for number, (first, stop) in enumerate(_spans(shots), start=1):
        start, end = (round(float(frame / rate), 6) for frame in (first, stop))
        rows.append({"shot": number, "first": first, "last": stop - 1, "start": start, "end": end})
        if neutral or decided:
            rows[-1]["neutral"] = number - 1 in neutral
    return {"film": film, "frames": int(rows[-1]["last"]) + 1 if rows else 0, "rate": str(rate), "shots": rows}


def _spans(shots: Sequence[Shot]) -> list[tuple[int, int]]:
    spans = [(shot.start, shot.stop) for shot in shots if shot.stop is not None]
    if len(spans) < len(shots):
        raise ValueError("shots: expected known ends, got stop = None")
    return spans


def _read_json(path: Path, text: str, frames: int, rate: Fraction) -> list[_Entry]:
    try:
        record = parse_json(text)
    except ValueError as error:
        raise InputError(path, f"is not JSON ({error})", "correct it, or write it again") from error
    shots = record.get("shots") if isinstance(record, dict) else None
    if not isinstance(shots, list):
        raise InputError(path, 'has no list "shots"', "write one with: kinemacolor shots FILM --output FILE.json")
    for name, expected in (("frames", Fraction(frames)), ("rate", rate)):
        value = record.get(name, expected)
        if not _is_number(value, expected):
            problem = f"{name} is {value}, but the film's is {expected}"
            raise InputError(path, problem, f"check that the list belongs to this film, or leave {name} out")
    entries = []
    for number, row in enumerate(shots, start=1):
        if not isinstance(row, dict):
            raise InputError(path, f"entry {number}: is not an object", 'give {"first": …, "last": …}')
        entries.append(_entry(path, f"entry {number}", row))
    return entries


def _read_edl(path: Path, text: str, frames: int, rate: Fraction) -> list[_Entry]:
    return [_Entry(event.place, event.first, event.stop) for event in read_events(path, text, rate)]


def _is_number(value: Any, expected: Fraction) -> bool:
    """Whether a value is the expected number, to within the rounding of a rate such as 23.976."""
    try:
        return abs(Fraction(str(value)) - expected) <= expected / 100_000
    except (ValueError, ZeroDivisionError):
        return False


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    columns = (*CSV_COLUMNS, *(["neutral"] if any("neutral" in row for row in rows) else []))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "neutral": "yes" if row["neutral"] else "no"} if "neutral" in row else row for row in rows)
    return text.getvalue()


def _read_csv(path: Path, text: str, frames: int, rate: Fraction) -> list[_Entry]:
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    entries = []
    try:
        names = {name.strip().lower() for name in reader.fieldnames or ()}
        if not {"first", "last"} <= names:
            raise InputError(path, "line 1: has no columns first and last", f"begin it with {','.join(CSV_COLUMNS)}")
        for row in reader:
            cells = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
            entries.append(_entry(path, f"line {reader.line_num}", cells))
    except csv.Error as error:
        raise InputError(path, f"line {reader.line_num + 1}: {error}", "correct it, or write it again") from error
    return entries
