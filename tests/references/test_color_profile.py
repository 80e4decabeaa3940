"""Stills with an embedded color profile come to the engines as they were painted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from kinemacolor.core.types import Array
from kinemacolor.references.image import GrayStillError, read_still
from tests import profiles
from tests.stills import halves

PAINTED = halves(left=(200, 90, 60), right=(60, 110, 190)) / 255
"""sRGB colors that Adobe RGB, Display P3 and ProPhoto RGB hold, too."""
SPACES = [
    (profiles.in_adobe_rgb, profiles.adobe_rgb),
    (profiles.in_display_p3, profiles.display_p3),
    (profiles.in_pro_photo, profiles.pro_photo),
]
Convert, MakeProfile = Callable[[Array], Array], Callable[[], bytes]


def png(codes: Array) -> bytes:
    encoded, content = cv2.imencode(".png", np.ascontiguousarray(codes[..., ::-1]))
    assert encoded
    return content.tobytes()


def codes_of(values: Array, depth: int) -> Array:
    return np.rint(values * (2**depth - 1)).astype(np.uint8 if depth == 8 else np.uint16)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize(("convert", "profile"), SPACES)
def test_a_profile_is_converted(tmp_path: Path, convert: Convert, profile: MakeProfile, kind: str, depth: int) -> None:
    codes, icc = codes_of(convert(PAINTED), depth), profile()
    content = profiles.png_with_profile(png(codes), icc) if kind == "png" else profiles.tiff(codes, 2, icc)
    (tmp_path / f"a.{kind}").write_bytes(content)
    still = read_still(tmp_path / f"a.{kind}")
    assert np.abs(convert(PAINTED) - PAINTED).max() > 0.05  # so much is at stake
    assert np.abs(still.rgb - PAINTED).max() < 0.016  # 8 bits are few for ProPhoto RGB
    assert np.abs(still.rgb - PAINTED).mean() < 0.003
    assert still.remarks == ()


@pytest.mark.parametrize(("name", "mode"), [("a.jpg", "JPEG"), ("a.webp", "WEBP")])
@pytest.mark.parametrize(("convert", "profile"), SPACES)
def test_compressed_stills_have_profiles_too(
    tmp_path: Path, convert: Convert, profile: MakeProfile, name: str, mode: str
) -> None:
    Image.fromarray(codes_of(convert(PAINTED), 8)).save(tmp_path / name, mode, quality=98, icc_profile=profile())
    assert np.abs(read_still(tmp_path / name).rgb.mean(axis=(0, 1)) - PAINTED.mean(axis=(0, 1))).max() < 0.01


def test_transparency_stays_beside_a_profile(tmp_path: Path) -> None:
    opacity = np.full((*PAINTED.shape[:2], 1), 255, np.uint8)
    opacity[:10] = 0
    codes = codes_of(profiles.in_adobe_rgb(PAINTED), 8)
    encoded, content = cv2.imencode(".png", np.dstack([codes[..., ::-1], opacity]))
    assert encoded
    (tmp_path / "a.png").write_bytes(profiles.png_with_profile(content.tobytes(), profiles.adobe_rgb()))
    still = read_still(tmp_path / "a.png")
    assert (still.mask[10:].all(), still.mask[:10].any()) == (True, False)
    assert np.abs(still.rgb[10:] - PAINTED[10:]).max() < 0.015


def ink_colors(inks: Array) -> Array:
    """L*, a*, b* of inks in a press that is far from the plain 1 − C − K."""
    cyan, magenta, yellow, black = np.moveaxis(inks, -1, 0)
    lightness = (100 - 35 * cyan - 45 * magenta - 8 * yellow) * (1 - 0.9 * black)
    return np.stack(
        [
            np.clip(lightness, 0, 100),
            (-30 * cyan + 60 * magenta - 5 * yellow) * (1 - black),
            (-40 * cyan - 5 * magenta + 70 * yellow) * (1 - black),
        ],
        axis=-1,
    )


@pytest.mark.parametrize(("name", "depth"), [("a.jpg", 8), ("a.tif", 8), ("a.tif", 16)])
def test_inks_are_converted_by_their_profile(tmp_path: Path, name: str, depth: int) -> None:
    inks = np.zeros((48, 64, 4))
    inks[:, :32] = (0.1, 0.5, 0.6, 0.0)
    inks[:, 32:] = (0.5, 0.2, 0.0, 0.1)
    codes, icc = codes_of(inks, depth), profiles.inks(ink_colors)
    content = profiles.jpeg(codes, icc) if name == "a.jpg" else profiles.tiff(codes, 5, icc)
    (tmp_path / name).write_bytes(content)
    assert np.abs(read_still(tmp_path / name).rgb - lab_to_srgb(ink_colors(inks))).mean() < 0.02


def lab_to_srgb(lab: Array) -> Array:
    """sRGB of L*, a*, b* under D50, as the profile connection space has it."""
    f = (lab[..., 0] + 16) / 116
    xyz = np.stack([f + lab[..., 1] / 500, f, f - lab[..., 2] / 200], axis=-1)
    xyz = np.where(xyz > 6 / 29, xyz**3, 3 * (6 / 29) ** 2 * (xyz - 4 / 29)) * profiles.D50
    return profiles.linear_to_srgb(xyz @ np.linalg.inv(profiles.SRGB).T)


def test_without_a_profile_numbers_are_srgb(tmp_path: Path) -> None:
    codes = codes_of(PAINTED, 8)
    (tmp_path / "a.png").write_bytes(png(codes))
    np.testing.assert_array_equal(read_still(tmp_path / "a.png").rgb, codes / np.float32(255))


def test_the_profile_of_srgb_changes_nothing(tmp_path: Path) -> None:
    codes = codes_of(PAINTED, 16)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "a.png").write_bytes(profiles.png_with_profile(png(codes), icc))
    np.testing.assert_allclose(read_still(tmp_path / "a.png").rgb, codes / 65535, atol=1e-6)


@pytest.mark.parametrize("icc", [b"no profile", profiles.inks(ink_colors)[:3000], profiles.inks(ink_colors)])
def test_a_profile_that_cannot_be_used_is_told(tmp_path: Path, icc: bytes) -> None:
    (tmp_path / "a.png").write_bytes(profiles.png_with_profile(png(codes_of(PAINTED, 8)), icc))
    still = read_still(tmp_path / "a.png")
    assert still.remarks == (
        f"{tmp_path / 'a.png'}: its color profile cannot be used, and its colors are read as sRGB",
    )
    np.testing.assert_allclose(still.rgb, PAINTED, atol=0.002)


def test_a_gray_still_with_a_gray_profile_is_told_as_gray(tmp_path: Path) -> None:
    gray = np.tile(np.arange(0, 250, 5, np.uint8), (48, 1))
    Image.fromarray(gray).save(tmp_path / "a.png", icc_profile=profiles.gray())
    with pytest.raises(GrayStillError, match="is gray"):
        read_still(tmp_path / "a.png")


def test_a_gray_profile_in_a_colored_still_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(profiles.png_with_profile(png(codes_of(PAINTED, 8)), profiles.gray()))
    still = read_still(tmp_path / "a.png")
    (remark,) = still.remarks
    assert "its color profile cannot be used" in remark
    np.testing.assert_allclose(still.rgb, PAINTED, atol=0.002)


def test_colors_that_srgb_cannot_show_are_cut_off(tmp_path: Path) -> None:
    codes = np.zeros((40, 60, 3), np.uint8)
    codes[:, :20], codes[:, 20:40], codes[:, 40:] = (0, 255, 0), (255, 255, 255), (128, 128, 128)
    (tmp_path / "a.png").write_bytes(profiles.png_with_profile(png(codes), profiles.pro_photo()))
    rgb = read_still(tmp_path / "a.png").rgb
    np.testing.assert_allclose(rgb[0, 0], [0, 1, 0], atol=0.01)  # the green of ProPhoto lies outside of every film's
    np.testing.assert_allclose(rgb[0, 30], [1, 1, 1], atol=0.01)
    gray = profiles.linear_to_srgb(np.float64((128 / 255) ** profiles.PRO_PHOTO_GAMMA))
    np.testing.assert_allclose(rgb[0, 50], 3 * [gray], atol=0.01)


@pytest.mark.parametrize("left_inks", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.9, 0.9, 0.0), (0.9, 0.9, 0.0, 0.2)])
def test_paper_is_white_and_inks_keep_their_hue(tmp_path: Path, left_inks: tuple[float, ...]) -> None:
    inks = np.zeros((48, 64, 4))
    inks[:, 32:] = (0.6, 0.1, 0.8, 0.1)
    inks[:, :32] = left_inks
    (tmp_path / "a.tif").write_bytes(profiles.tiff(codes_of(inks, 8), 5, profiles.inks(ink_colors)))
    rgb = read_still(tmp_path / "a.tif").rgb
    np.testing.assert_allclose(rgb[5, 5], np.clip(lab_to_srgb(ink_colors(inks))[5, 5], 0, 1), atol=0.04)
