"""Frames as numbered PNG images, in a folder that gets its name when all of them are written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.errors import OutputError
from kinemacolor.core.folder_exchange import make_partial_folder, put_in_place
from kinemacolor.core.orientation import Orientation
from kinemacolor.core.types import Frame
from kinemacolor.video.image_names import ImageNames, ImageTarget
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.planes import ycbcr_as_rgb


def encode_png(frame: Frame, orientation: Orientation) -> bytes | None:
    """A frame, whose U and V are at full resolution, as an upright PNG image; None where encoding fails.

    R'G'B' is computed from Y'CbCr in float32 and rounded once; 8 bits a channel for 8 bit films, else 16.
    """
    if frame.chroma is None:
        raise ValueError("frame.chroma: expected U and V, got None")
    rgb = ycbcr_as_rgb(frame.luma, *frame.chroma, frame.coding)
    encoded, png = cv2.imencode(".png", np.ascontiguousarray(orientation.upright(rgb[..., ::-1])))
    return png.tobytes() if encoded else None


class ImageWriter:
    """Writes frames as PNG images into a partial folder, which ``finish`` puts in its place.

    Images get the numbers or names of the film's own images; those of a film that is a file are numbered from 0.
    """

    def __init__(self, target: ImageTarget, info: VideoInfo) -> None:
        self.target, self._orientation = target, info.orientation
        self._names = ImageNames.of(target, info.names)
        self._partial = make_partial_folder(target.folder)
        self._count = 0

    def write(self, frame: Frame) -> None:
        """Writes one frame, whose U and V are at full resolution."""
        png = encode_png(frame, self._orientation)
        if png is None:
            raise OutputError(self.target.folder, "an image could not be encoded", "write a film instead")
        self._next_name(frame.pts).write_bytes(png)

    def adopt(self, file: Path, pts: int) -> None:
        """Takes an existing image, of the frame shown at ``pts``, as the next one: as a hard link where the disk allows
        that, else as a copy."""
        name = self._next_name(pts)
        try:
            os.link(file, name)
        except OSError:
            shutil.copyfile(file, name)

    def _next_name(self, pts: int) -> Path:
        self._count += 1
        return self._partial / self._names.name(self._count - 1, pts)

    def finish(self, overwrite: bool) -> None:
        """Puts the images in their place; old ones of the same pattern are removed, other files stay."""
        folder = self.target.folder.absolute()
        replaced = self._names.existing(folder)
        if replaced and not overwrite:
            raise OutputError(folder, "holds such images by now", "choose another folder, or `overwrite`")
        put_in_place(self._partial, folder, replaced)

    def abandon(self) -> None:
        """Removes everything that was written."""
        shutil.rmtree(self._partial, ignore_errors=True)
