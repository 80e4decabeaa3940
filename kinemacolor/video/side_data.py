"""What decoded pictures carry beside their samples."""

from __future__ import annotations

from typing import Any

import av
from av.sidedata.sidedata import SideDataContainer, Type


def picture_side_data(picture: av.VideoFrame, kind: Type) -> bytes | None:
    """The side data of one kind, or None. Where a kind is among it that PyAV does not know, all count as missing."""
    make_container: Any = SideDataContainer  # PyAV declares no types for it
    try:
        # Not ``picture.side_data``: a picture and what that returns refer to each other, and stay in memory until the
        # garbage collector comes by.
        entries = make_container(picture)
    except ValueError:
        return None
    return next((bytes(entry) for entry in entries if entry.type is kind), None)
