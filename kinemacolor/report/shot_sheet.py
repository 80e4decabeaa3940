"""A contact sheet of a film's shots: the first, middle and last frame of each, in gray, as a viewer sees them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from kinemacolor.core.color import codes_to_luma
from kinemacolor.core.progress import ProgressCallback
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, Frame
from kinemacolor.report.contact_sheet import contact_sheet
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.reader import VideoReader

SHOT_PICTURES_A_ROW, SHOT_PICTURE_WIDTHS = 6, (240, 160, 120)
"""Pictures in a row of a sheet, and their width, by how many times a row is as long for a film of many shots."""
SHOTS_A_SHEET = 60
"""Shots that a sheet with rows of the shortest length shows well."""


def shot_sheet(reader: VideoReader, shots: Sequence[Shot], progress: ProgressCallback | None = None) -> Array:
    """The sheet, (H, W, 3) uint8, R'G'B', from another pass through the film.

    Args:
        reader: of the film.
        shots: with ends.
        progress: called with the number of frames read and expected, None where unknown.
    """
    factor = max(1, math.ceil(math.sqrt(len(shots) / SHOTS_A_SHEET)))
    width = SHOT_PICTURE_WIDTHS[min(factor, len(SHOT_PICTURE_WIDTHS)) - 1]
    shown = {frame for shot in shots for frame in shown_frames(shot)}
    pictures: dict[int, Array] = {}
    for frame in reader.frames():
        if frame.index in shown:
            pictures[frame.index] = _picture(frame, reader.info, 2 * width)
        if progress:
            progress(frame.index + 1, reader.info.frames)
    captioned = [
        (f"{number}: {index}", pictures[index])
        for number, shot in enumerate(shots, start=1)
        for index in shown_frames(shot)
    ]
    return contact_sheet(captioned, SHOT_PICTURES_A_ROW * factor, width)


def _picture(frame: Frame, info: VideoInfo, width: int) -> Array:
    across = round(frame.luma.shape[1] * info.sample_aspect_ratio)
    size = (width, max(1, round(frame.luma.shape[0] * width / across)))
    small = cv2.resize(codes_to_luma(frame.luma, info.coding), size, interpolation=cv2.INTER_AREA)
    gray = np.rint(small * 255).astype(np.uint8)
    return np.ascontiguousarray(info.orientation.upright(gray))


def shown_frames(shot: Shot) -> tuple[int, int, int]:
    """First, middle and last frame of a shot whose end is known."""
    assert shot.stop is not None
    return shot.start, (shot.start + shot.stop - 1) // 2, shot.stop - 1
