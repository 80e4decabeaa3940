"""Small pictures of colored frames, for people who watch a job."""

from __future__ import annotations

import numpy as np

from kinemacolor.core.types import Frame
from kinemacolor.report.film import small_picture
from kinemacolor.report.model import THUMBNAIL_WIDTH, thumbnail


def frame_thumbnail(frame: Frame, rotation: int) -> bytes:
    """A JPEG of a colored frame, turned upright by ``rotation`` degrees clockwise."""
    picture = np.rot90(small_picture(frame, THUMBNAIL_WIDTH), -rotation // 90)
    return thumbnail(frame.index, np.ascontiguousarray(picture)).jpeg
