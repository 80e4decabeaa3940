"""Small pictures of colored frames, for people who watch a job."""

from __future__ import annotations

import numpy as np

from kinemacolor.core.orientation import Orientation
from kinemacolor.core.types import Frame
from kinemacolor.report.film import small_picture
from kinemacolor.report.model import THUMBNAIL_WIDTH, thumbnail


def frame_thumbnail(frame: Frame, orientation: Orientation) -> bytes:
    """A JPEG of a colored frame, as a viewer sees it."""
    picture = orientation.upright(small_picture(frame, THUMBNAIL_WIDTH))
    return thumbnail(frame.index, np.ascontiguousarray(picture)).jpeg
