"""A mark in images that this program makes for people to look at, by which it never takes them for something else."""

from __future__ import annotations

import struct
import zlib

_MARK = b"kinemacolor contact sheet"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 33  # bytes: the signature and the chunk IHDR
_JPEG_START = b"\xff\xd8"


def mark_sheet(content: bytes) -> bytes:
    """A PNG or JPEG file's content with the mark, as a text chunk or a comment."""
    if content.startswith(_PNG_SIGNATURE):
        chunk = b"tEXtSoftware\0" + _MARK
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return content[:_PNG_HEADER] + chunk + content[_PNG_HEADER:]
    if content.startswith(_JPEG_START):
        return _JPEG_START + b"\xff\xfe" + struct.pack(">H", len(_MARK) + 2) + _MARK + content[2:]
    return content


def is_sheet(content: bytes) -> bool:
    """Whether a file's content has the mark."""
    return _MARK in content[:256]
