"""Color profiles (ICC version 2) for tests, and colors in their spaces."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from kinemacolor.core.types import Array

D50 = np.array([0.9642, 1.0, 0.8249])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""Linear R, G, B → XYZ under D50; so are the next two."""
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
PRO_PHOTO = np.array([[0.79767, 0.13519, 0.03135], [0.28804, 0.71188, 0.00009], [0.00000, 0.00000, 0.82521]])
ADOBE_GAMMA, PRO_PHOTO_GAMMA = 563 / 256, 461 / 256


def srgb_to_linear(values: Array) -> Array:
    """sRGB's curve."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(values: Array) -> Array:
    """Its inverse."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def in_adobe_rgb(srgb: Array) -> Array:
    """sRGB colors (…, 3) in [0, 1] as numbers of Adobe RGB."""
    linear = srgb_to_linear(srgb) @ SRGB.T @ np.linalg.inv(ADOBE_RGB).T
    return np.clip(linear, 0, 1) ** (1 / ADOBE_GAMMA)


def in_display_p3(srgb: Array) -> Array:
    """sRGB colors (…, 3) in [0, 1] as numbers of Display P3."""
    return linear_to_srgb(srgb_to_linear(srgb) @ SRGB.T @ np.linalg.inv(DISPLAY_P3).T)


def in_pro_photo(srgb: Array) -> Array:
    """sRGB colors (…, 3) in [0, 1] as numbers of ProPhoto RGB."""
    linear = srgb_to_linear(srgb) @ SRGB.T @ np.linalg.inv(PRO_PHOTO).T
    return np.clip(linear, 0, 1) ** (1 / PRO_PHOTO_GAMMA)


def pro_photo() -> bytes:
    """ProPhoto RGB, which holds far more colors than sRGB."""
    return _display(PRO_PHOTO, struct.pack(">4s4xIH2x", b"curv", 1, 461))


def gray() -> bytes:
    """A gray scale whose numbers are light to the power of 1 / 1.8."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": struct.pack(">4s4xIH2x", b"curv", 1, 461)})


def adobe_rgb() -> bytes:
    """Adobe RGB (1998)."""
    return _display(ADOBE_RGB, struct.pack(">4s4xIH2x", b"curv", 1, 563))


def display_p3() -> bytes:
    """Display P3."""
    curve = np.rint(srgb_to_linear(np.linspace(0, 1, 1024)) * 65535).astype(">u2")
    return _display(DISPLAY_P3, struct.pack(">4s4xI", b"curv", 1024) + curve.tobytes())


def inks(to_lab: Callable[[Array], Array], grid: int = 9) -> bytes:
    """A printer's profile: ``to_lab`` maps inks (…, 4) in [0, 1] to L*, a*, b* under D50."""
    axes = np.meshgrid(*4 * [np.linspace(0, 1, grid)], indexing="ij")
    lab = to_lab(np.stack(axes, axis=-1).reshape(-1, 4))
    codes = np.rint(np.stack([lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], -1)).astype(">u2")
    identity = np.array([65536 * (row == column) for row in range(3) for column in range(3)], ">i4")
    line = np.array([0, 65535], ">u2").tobytes()
    table = struct.pack(">4s4xBBBx", b"mft2", 4, 3, grid) + identity.tobytes() + struct.pack(">HH", 2, 2)
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table + 4 * line + codes.tobytes() + 3 * line})


def _display(colorants: Array, curve: bytes) -> bytes:
    tags = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _profile(
        b"mntr", b"RGB ", b"XYZ ", tags | dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(_xyz, colorants.T), strict=True))
    )


def _xyz(values: Array) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    text = struct.pack(">4s4xI", b"desc", 5) + b"test\0" + bytes(12 + 67)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50), **tags}
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(content))
        body += content
    header = struct.pack(">I4x I4s4s4s", offset + len(body), 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def png_with_profile(png: bytes, profile: bytes) -> bytes:
    """A PNG file's content with a profile."""
    return png_with_chunk(png, b"iCCP", b"test\0\0" + zlib.compress(profile))


def png_with_chunk(png: bytes, name: bytes, data: bytes) -> bytes:
    """A PNG file's content with another chunk, before those that it has."""
    checksum = zlib.crc32(name + data)
    return png[:33] + struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum) + png[33:]


def tiff(codes: Array, photometric: int, profile: bytes | None = None) -> bytes:
    """An uncompressed TIFF of uint8, uint16 or float32 (H, W, C); photometric 2 is RGB, 5 inks."""
    height, width, channels = codes.shape
    data = codes.astype(codes.dtype.newbyteorder("<")).tobytes()
    kind = 3 if codes.dtype.kind == "f" else 1
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, None), (259, 3, 1, 1)]
    entries += [(262, 3, 1, photometric), (273, 4, 1, None), (277, 3, 1, channels), (278, 3, 1, height)]
    entries += [(279, 4, 1, len(data)), (339, 3, channels, None)]
    if profile:
        entries.append((34675, 7, len(profile), None))
    offset = 8 + 2 + 12 * len(entries) + 4
    extra = struct.pack(f"<{channels}H", *channels * [8 * codes.itemsize]) + struct.pack(
        f"<{channels}H", *channels * [kind]
    )
    places = {258: offset, 339: offset + 2 * channels, 34675: offset + 4 * channels}
    body = extra + (profile or b"")
    body += bytes(len(body) % 2)
    places[273] = offset + len(body)
    table = b"".join(
        struct.pack("<HHII", tag, type_, count, places[tag] if value is None else value)
        for tag, type_, count, value in entries
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + body + data


def jpeg(codes: Array, profile: bytes | None = None) -> bytes:
    """A JPEG of uint8 RGB or inks."""
    file = io.BytesIO()
    Image.fromarray(codes, "CMYK" if codes.shape[2] == 4 else "RGB").save(
        file, "JPEG", quality=98, subsampling=0, icc_profile=profile
    )
    return file.getvalue()
