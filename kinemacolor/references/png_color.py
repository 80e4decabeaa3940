"""What a PNG says about its colors beside a profile: the chunks cICP, sRGB, gAMA and cHRM.

The specification (PNG, third edition, section 4.3) lets cICP decide, then a profile (iCCP), then sRGB, then the others.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from kinemacolor.references.rgb_space import D65, SRGB_PRIMARIES, Chromaticity, RgbSpace

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER, _PIXELS = b"IHDR", b"IDAT"
_SPOKEN = frozenset({_HEADER, b"cICP", b"sRGB", b"gAMA", b"cHRM"})
_C: Chromaticity = (0.310, 0.316)
_SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_PRIMARIES: dict[int, tuple[tuple[Chromaticity, Chromaticity, Chromaticity], Chromaticity]] = {
    1: (SRGB_PRIMARIES, D65),
    4: (((0.67, 0.33), (0.21, 0.71), (0.14, 0.08)), _C),
    5: (((0.64, 0.33), (0.29, 0.60), (0.15, 0.06)), D65),
    6: (_SMPTE_C, D65),
    7: (_SMPTE_C, D65),
    8: (((0.681, 0.319), (0.243, 0.692), (0.145, 0.049)), _C),
    9: (((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), D65),
    11: (_P3, (0.314, 0.351)),
    12: (_P3, D65),
    22: (((0.630, 0.340), (0.295, 0.605), (0.155, 0.077)), D65),
}
"""Primaries and white by number (ITU-T H.273, table 2)."""
# The curves of BT.601, BT.709 and BT.2020 are taken for sRGB's, as those of films are.
_EXPONENTS: dict[int, float | None] = {
    **dict.fromkeys((1, 6, 14, 15, 13), None),
    4: 2.2,
    5: 2.8,
    8: 1.0,
}
"""Exponent of ``RgbSpace`` by number (ITU-T H.273, table 3)."""
_SENSELESS = "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"
_HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}


@dataclass(frozen=True, slots=True)
class PngColors:
    """What a PNG says.

    Attributes:
        space: its colors' space, or None where it names none that can be used.
        over_profile: whether ``space`` counts more than a profile in the file.
        problem: a part of a sentence on what it says that cannot be used, or None.
    """

    space: RgbSpace | None = None
    over_profile: bool = False
    problem: str | None = None


def png_colors(content: bytes) -> PngColors:
    """What a PNG's content says about its colors; nothing where it is no PNG, or breaks off."""
    chunks = dict(_chunks(content))
    space, problem = _coded_space(chunks)
    if space is not None:
        return PngColors(space, over_profile=True)
    if b"sRGB" in chunks:
        return PngColors(RgbSpace(), problem=problem)
    try:
        space = _measured_space(chunks)
    except (struct.error, ZeroDivisionError):
        return PngColors(problem=_SENSELESS)
    if space is None:
        return PngColors(problem=problem)
    return PngColors(space) if space.usable else PngColors(problem=_SENSELESS)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The intact chunks before the pixels that may say something of colors."""
    offset = len(_SIGNATURE) if content.startswith(_SIGNATURE) else len(content)
    while offset + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, offset)
        name = content[offset + 4 : offset + 8]
        if name == _PIXELS:
            return
        data, checksum = content[offset + 8 : offset + 8 + size], content[offset + 8 + size : offset + 12 + size]
        if name in _SPOKEN and checksum == struct.pack(">I", zlib.crc32(name + data)):
            yield name, data
        offset += 12 + size


def _coded_space(chunks: dict[bytes, bytes]) -> tuple[RgbSpace | None, str | None]:
    """The space of cICP, or what is wrong with it; neither where there is none."""
    if b"cICP" not in chunks:
        return None, None
    numbers = tuple(chunks[b"cICP"])
    unknown = f"what it says of its colors (cICP {'-'.join(map(str, numbers))}) is not known here"
    if len(numbers) != 4:
        return None, unknown
    primaries, transfer, matrix, full = numbers
    if transfer in _HIGH_DYNAMIC_RANGE:
        return None, f"its colors have a high dynamic range ({_HIGH_DYNAMIC_RANGE[transfer]})"
    if primaries not in _PRIMARIES or transfer not in _EXPONENTS or matrix != 0 or full > 1:
        return None, unknown
    colors, white = _PRIMARIES[primaries]
    levels = (0.0, 1.0) if full else _narrow_levels(chunks.get(_HEADER, b""))
    return RgbSpace(colors, white, _EXPONENTS[transfer], *levels), None


def _narrow_levels(header: bytes) -> tuple[float, float]:
    """Black and white of the narrow range (ITU-T H.273), as parts of the largest number."""
    depth = header[8] if len(header) > 8 else 8
    unit, largest = 2.0 ** (depth - 8), 2**depth - 1
    return 16 * unit / largest, 235 * unit / largest


def _measured_space(chunks: dict[bytes, bytes]) -> RgbSpace | None:
    """The space of cHRM and gAMA; where one of them lacks, sRGB's primaries or sRGB's curve. None without both.

    Raises:
        struct.error, ZeroDivisionError: they are of a wrong size, or zero.
    """
    if not chunks.keys() & {b"cHRM", b"gAMA"}:
        return None
    primaries, white, exponent = SRGB_PRIMARIES, D65, None
    if b"cHRM" in chunks:
        values = [value / 100000 for value in struct.unpack(">8I", chunks[b"cHRM"])]
        white, *others = zip(values[0::2], values[1::2], strict=True)
        primaries = (others[0], others[1], others[2])
    if b"gAMA" in chunks:
        (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
        exponent = 100000 / gamma
    return RgbSpace(primaries, white, exponent)
