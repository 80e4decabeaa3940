"""What ``fuzz.py`` does to good files: bits flipped, pieces cut, spliced and overwritten, words and names changed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

from fuzz_samples import FILMS

EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\x7f")
ODD_NAMES = (
    "-{}",
    "a\nb{}",
    " {}",
    "%d{}",
    "ä\u202e{}",
    "{}.",
    "x" * 200 + "{}",
    "[1]*?{}",
    "\x1b[31m{}",
    "con\\{}",
    "\udcff{}",
)
WORDS = (
    *("-1", "0", "1e999", "nan", "inf", "-inf", "9" * 400, "1/0", "true", "{}", "[]", '""', "'''", '"\\u0000"'),
    *(
        "[" * 3000,
        "{a=" * 1500,
        "\0",
        "\ufeff",
        "\n",
        "1979-05-27",
        '"../../../etc/passwd"',
        "{preset = []}",
        "2147483648",
    ),
)


def mutate(content: bytes, other: bytes, draw: random.Random, *, text: bool) -> tuple[bytes, list[str]]:
    """A file's content after one to three changes, and their names.

    Args:
        content: of the good file.
        other: of another one of its kind, to be spliced in.
        draw: decides.
        text: whether words and lines may be changed as well; else single letters of words.
    """
    ways: list[Callable[[bytes, bytes, random.Random], bytes]] = [_flip, _flip_head, _cut, _splice, _extreme, _drop]
    if text:
        ways += [_word, _word, _word, _lines, _lines, _insert]
    else:
        ways += [_letters]
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        way = draw.choice(ways)
        content = way(content, other, draw)
        names.append(way.__name__.strip("_"))
    return content, names


def _flip(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return _flipped(content, len(content), draw)


def _flip_head(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return _flipped(content, min(len(content), 400), draw)


def _flipped(content: bytes, reach: int, draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(round(2 ** draw.uniform(0, 7)) if reach else 0):
        data[draw.randrange(reach)] ^= 1 << draw.randrange(8)
    return bytes(data)


def _cut(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _drop(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    start = draw.randint(0, len(content))
    return content[:start] + content[start + round(2 ** draw.uniform(0, 12)) :]


def _splice(content: bytes, other: bytes, draw: random.Random) -> bytes:
    at, start = draw.randint(0, len(content)), draw.randint(0, len(other))
    piece = other[start : start + round(2 ** draw.uniform(0, 13))]
    return content[:at] + piece + content[at + draw.choice((0, len(piece))) :]


def _extreme(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        at = draw.randint(0, max(0, len(data) - 4))
        data[at : at + 4] = draw.choice(EXTREMES)
    return bytes(data)


def _letters(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    """Letters and digits of words within the first or the last few thousand bytes, where names and sizes stand."""
    data, start = bytearray(content), draw.choice((0, max(0, len(content) - 6000)))
    words = [word.span() for word in re.finditer(rb"[\w.]{2,}", content[start : start + 6000])]
    for first, stop in draw.choices(words, k=draw.randint(1, 4)) if words else ():
        data[start + draw.randrange(first, stop)] = draw.choice(b'0123456789abez_-.,"{}')
    return bytes(data)


def _word(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    values = list(re.finditer(rb"[-\w.:\"]+", content))
    if not values:
        return content
    chosen = draw.choice(values)
    return content[: chosen.start()] + draw.choice(WORDS).encode() + content[chosen.end() :]


def _insert(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    at = draw.randint(0, len(content))
    return content[:at] + draw.choice((b"\xff\xfe", *(word.encode() for word in WORDS))) + content[at:]


def _lines(content: bytes, other: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    way = draw.randrange(3)
    if way == 0:
        del lines[at]
    else:
        lines.insert(at, draw.choice(lines if way == 1 else other.split(b"\n")))
    return b"\n".join(lines)


def renamed(name: str, draw: random.Random) -> tuple[str, str]:
    """Another name for a file, and what was done to it."""
    if draw.random() < 0.5:
        suffix = draw.choice(
            (*(Path(film).suffix for film in FILMS), ".png", ".jpg", ".json", ".edl", ".toml", ".txt", "")
        )
        return f"{Path(name).stem}{suffix}", f"renamed to {suffix or 'no suffix'}"
    pattern = draw.choice(ODD_NAMES)
    return pattern.format(name), f"renamed to {pattern!r}"
