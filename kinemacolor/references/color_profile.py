"""Color profiles (ICC) in stills: what their numbers mean, converted to sRGB by the color engine littlecms."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import (
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
    """

    inks: bool = False
    jpeg: bool = False
    profile: bytes | None = None


def color_facts(content: bytes) -> ColorFacts:
    """What an image file says about its colors; a file that Pillow does not know says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                return ColorFacts(image.mode == _INKS, image.format in _JPEGS, image.info.get("icc_profile") or None)
        except Exception as error:  # of a corrupt header: decoding tells what is wrong
            check_memory(error)
            return ColorFacts(profile=_tiff_profile(content))


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
