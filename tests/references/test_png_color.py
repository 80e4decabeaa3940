"""Stills that say in numbers, not with a profile, what their colors mean."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinemacolor.core.types import Array
from kinemacolor.references.image import Still, read_still
from kinemacolor.references.rgb_space import ADOBE_RGB, RgbSpace
from tests import profiles
from tests.references.test_color_profile import PAINTED, codes_of, png

TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Linear light of BT.709 as that of BT.2020 (ITU-R BT.2087-0, section 2)."""
ADOBE_CHROMATICITIES = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
PRO_PHOTO_CHROMATICITIES = (34567, 35850, 73470, 26530, 15960, 84040, 3660, 10)


def in_bt2020(srgb: Array) -> Array:
    return profiles.linear_to_srgb(profiles.srgb_to_linear(srgb) @ TO_BT2020.T)


def narrow(codes: Array) -> Array:
    unit = 1 << (8 * codes.itemsize - 8)
    return np.rint(16 * unit + codes / np.iinfo(codes.dtype).max * 219 * unit).astype(codes.dtype)


def c_hrm(*values: int) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


def g_ama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def c_icp(*numbers: int) -> tuple[bytes, bytes]:
    return b"cICP", bytes(numbers)


def still(folder: Path, codes: Array, *chunks: tuple[bytes, bytes]) -> Still:
    content = png(codes)
    for chunk in chunks:
        content = profiles.png_with_chunk(content, *chunk)
    (folder / "a.png").write_bytes(content)
    return read_still(folder / "a.png")


def difference(still: Still, expected: Array = PAINTED) -> float:
    return float(np.abs(still.rgb - expected).max() * 255)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("numbers", "chunks"),
    [
        (profiles.in_display_p3(PAINTED), [c_icp(12, 13, 0, 1)]),
        (in_bt2020(PAINTED), [c_icp(9, 13, 0, 1)]),
        (in_bt2020(PAINTED), [c_icp(9, 14, 0, 1)]),  # the curves of films are taken for sRGB's
        (profiles.in_adobe_rgb(PAINTED), [c_hrm(*ADOBE_CHROMATICITIES), g_ama(45471)]),
        (profiles.in_pro_photo(PAINTED), [c_hrm(*PRO_PHOTO_CHROMATICITIES), g_ama(55532)]),
        (profiles.srgb_to_linear(PAINTED) ** (1 / 1.8), [g_ama(55556)]),
        (profiles.srgb_to_linear(PAINTED), [c_icp(1, 8, 0, 1)]),
        (profiles.in_display_p3(PAINTED), [c_hrm(31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)]),
    ],
    ids=["P3", "BT.2020", "BT.2020 as in films", "Adobe RGB", "ProPhoto", "gamma 1.8", "linear", "no gamma"],
)
def test_colors_are_those_that_were_painted(
    tmp_path: Path, numbers: Array, chunks: list[tuple[bytes, bytes]], depth: int
) -> None:
    read = still(tmp_path, codes_of(numbers, depth), *chunks)
    assert difference(read) < (4 if depth == 8 else 0.2)  # 8 bits are few for a large space
    assert not read.remarks
    assert difference(still(tmp_path, codes_of(numbers, depth))) > 5  # it makes a difference


@pytest.mark.parametrize("depth", [8, 16])
def test_the_narrow_range_is_spread(tmp_path: Path, depth: int) -> None:
    codes = narrow(codes_of(PAINTED, depth))
    assert difference(still(tmp_path, codes, c_icp(1, 13, 0, 0))) < (0.7 if depth == 8 else 0.01)
    assert difference(still(tmp_path, codes, c_icp(1, 13, 0, 1))) > 5


@pytest.mark.parametrize(
    "chunks",
    [
        [g_ama(45455)],
        [g_ama(45455), c_hrm(31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)],
        [g_ama(100000), (b"sRGB", b"\0")],
        [c_icp(1, 13, 0, 1)],
        [c_icp(1, 1, 0, 1), g_ama(100000)],
    ],
    ids=lambda chunks: "+".join(name.decode() for name, _ in chunks),
)
def test_srgb_in_other_words_changes_nothing(tmp_path: Path, chunks: list[tuple[bytes, bytes]]) -> None:
    codes = codes_of(PAINTED, 8)
    np.testing.assert_array_equal(still(tmp_path, codes, *chunks).rgb, still(tmp_path, codes).rgb)


def test_cicp_counts_more_than_a_profile_and_that_more_than_the_rest(tmp_path: Path) -> None:
    def with_profile(numbers: Array, *chunks: tuple[bytes, bytes]) -> Still:
        content = profiles.png_with_profile(png(codes_of(numbers, 16)), profiles.adobe_rgb())
        for chunk in chunks:
            content = profiles.png_with_chunk(content, *chunk)
        (tmp_path / "a.png").write_bytes(content)
        return read_still(tmp_path / "a.png")

    assert difference(with_profile(profiles.in_display_p3(PAINTED), c_icp(12, 13, 0, 1))) < 0.5
    adobe = profiles.in_adobe_rgb(PAINTED)
    for chunks in ([g_ama(100000)], [c_icp(9, 16, 0, 1)], [(b"sRGB", b"\0")], [c_icp(77, 13, 0, 1)]):
        read = with_profile(adobe, *chunks)
        assert difference(read) < 2
        assert not read.remarks


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        (c_icp(9, 16, 0, 1), "its colors have a high dynamic range (PQ)"),
        (c_icp(9, 18, 0, 1), "its colors have a high dynamic range (HLG)"),
        (c_icp(2, 2, 0, 1), "what it says of its colors (cICP 2-2-0-1) is not known here"),
        (c_icp(1, 13, 1, 1), "what it says of its colors (cICP 1-13-1-1) is not known here"),
        (c_icp(1, 13), "what it says of its colors (cICP 1-13) is not known here"),
        (g_ama(0), "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"),
        (g_ama(7), "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"),
        (c_hrm(*8 * [0]), "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"),
        (c_hrm(*8 * [33333]), "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"),
        ((b"cHRM", b"\0\0"), "what it says of its primaries or its gamma (cHRM, gAMA) makes no sense"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].decode(),
)
def test_what_cannot_be_used_is_told(tmp_path: Path, chunk: tuple[bytes, bytes], told: str) -> None:
    read = still(tmp_path, codes_of(PAINTED, 8), chunk)
    assert read.remarks == (f"{tmp_path / 'a.png'}: {told}, and its colors are read as sRGB",)
    assert difference(read) < 0.6


def test_a_camera_says_adobe_rgb_without_a_profile(tmp_path: Path) -> None:
    def photo(index: str) -> Still:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA001] = 0xFFFF
        exif.get_ifd(0x8769)[0xA005] = {1: index}
        image = Image.fromarray(codes_of(profiles.in_adobe_rgb(PAINTED), 8))
        image.save(tmp_path / "a.jpg", "JPEG", quality=98, subsampling=0, exif=exif.tobytes())
        return read_still(tmp_path / "a.jpg")

    def mean_difference(still: Still) -> float:
        return float(np.abs(still.rgb - PAINTED).mean() * 255)

    assert mean_difference(photo("R03")) < 1
    assert mean_difference(photo("R98")) > 4


def test_white_and_black_stay_and_what_srgb_cannot_show_is_cut_off() -> None:
    greens = np.array([[[0, 0, 0], [1, 1, 1], [0, 1, 0]]], np.float32)
    for space in (ADOBE_RGB, RgbSpace(white=(0.34567, 0.3585), exponent=1.8), RgbSpace(exponent=1.0)):
        converted = space.to_srgb(greens)
        np.testing.assert_allclose(converted[0, :2], greens[0, :2], atol=2e-6)
        assert converted.min() >= 0
        assert converted.max() <= 1
    np.testing.assert_allclose(ADOBE_RGB.to_srgb(greens)[0, 2], [0, 1, 0], atol=1e-6)
