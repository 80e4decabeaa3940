"""What stills say about their colors; those of a profile (ICC) are converted to sRGB by the color engine littlecms."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from kinemacolor.core.memory import check_memory
from kinemacolor.core.types import FloatArray
from kinemacolor.references.png_color import PngColors, png_colors
from kinemacolor.references.rgb_space import ADOBE_RGB, RgbSpace

_READERS = (PngImagePlugin, JpegImagePlugin, TiffImagePlugin, WebPImagePlugin, Jpeg2KImagePlugin)  # known to Pillow now
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "JPEG2000")
_JPEGS = ("JPEG", "MPO")  # the latter is several in one file
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ICC_TAG = 34675
_INKS = "CMYK"
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.HIGHRESPRECALC


class ColorProfileError(Exception):
    """A color profile cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class ColorFacts:
    """What an image file says about its colors.

    Attributes:
        inks: whether it holds inks (CMYK) instead of lights.
        jpeg: whether it is a JPEG.
        profile: its color profile, or None.
        space: the space of its colors where that is told in another way, and counts more than a profile; or None.
        problem: a part of a sentence on what it says that cannot be used, or None.
    """

    inks: bool = False
    jpeg: bool = False
    profile: bytes | None = None
    space: RgbSpace | None = None
    problem: str | None = None


def color_facts(content: bytes) -> ColorFacts:
    """What an image file says about its colors; a file that Pillow does not know says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                profile = image.info.get("icc_profile") or None
                facts = ColorFacts(image.mode == _INKS, image.format in _JPEGS, profile)
                facts = _with_png_colors(facts, png_colors(content))
                if facts.profile is None and facts.space is None and _camera_says_adobe_rgb(image):
                    facts = replace(facts, space=ADOBE_RGB)
                return facts
        except Exception as error:  # of a corrupt header: decoding tells what is wrong
            check_memory(error)
            return _with_png_colors(ColorFacts(profile=_tiff_profile(content)), png_colors(content))


def _with_png_colors(facts: ColorFacts, colors: PngColors) -> ColorFacts:
    if colors.space is not None and (colors.over_profile or facts.profile is None):
        return replace(facts, profile=None, space=colors.space, problem=colors.problem)
    return facts if facts.profile is not None else replace(facts, problem=colors.problem)


def _camera_says_adobe_rgb(image: Image.Image) -> bool:
    """Whether EXIF says so, in the way of cameras, which embed no profile (DCF 2.0, option files: ``R03``)."""
    if image.format not in (*_JPEGS, "TIFF"):  # Pillow decodes a whole PNG to look for it
        return False
    exif = image.getexif()
    return str(exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex, ""))[:3] == "R03"


def _tiff_profile(content: bytes) -> bytes | None:
    """The profile in a TIFF of a kind that Pillow does not decode (of floats, or planar with 16 bits)."""
    if not content.startswith(_TIFF_STARTS):
        return None
    try:
        file = io.BytesIO(content)
        header = file.read(16 if content[2:3] == b"+" or content[3:4] == b"+" else 8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        profile = directory.get(_ICC_TAG)
    except Exception as error:  # a corrupt header, see above
        check_memory(error)
        return None
    return profile if isinstance(profile, bytes) and profile else None


def to_srgb(rgb: FloatArray, profile: bytes) -> FloatArray:
    """Colors of a profile's space as sRGB, relative colorimetric with black point compensation.

    littlecms works on 8 bits here: what lies between two codes is carried over unchanged.

    Args:
        rgb: (H, W, 3) float32 in [0, 1].
        profile: an ICC profile.

    Raises:
        ColorProfileError: the profile cannot be used for RGB.
    """
    codes = np.rint(rgb * np.float32(255)).astype(np.uint8)
    converted = np.asarray(_converted(Image.fromarray(codes), profile))
    if int(np.abs(converted.astype(np.int16) - codes).max()) <= 1:  # sRGB in another profile's words
        return rgb
    between = rgb - codes / np.float32(255)
    result: FloatArray = np.clip(converted / np.float32(255) + between, 0, 1)
    return result


def inks_to_srgb(content: bytes, profile: bytes | None) -> tuple[FloatArray, bool]:
    """An image of inks (CMYK) as sRGB, upright, (H, W, 3) float32 in [0, 1]; and whether its profile could be used.

    Without a usable profile each light is what two inks leave of it.

    Raises:
        OSError, ValueError, SyntaxError: the image is corrupt.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            upright = ImageOps.exif_transpose(image)
    usable = True
    try:
        converted = _converted(upright, profile) if profile else upright.convert("RGB")
    except ColorProfileError:
        converted, usable = upright.convert("RGB"), False
    return np.asarray(converted).astype(np.float32) / np.float32(255), usable


def _converted(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=_FLAGS,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise ColorProfileError(str(error)) from error
    if converted is None:
        raise ColorProfileError("nothing was converted")
    return converted
