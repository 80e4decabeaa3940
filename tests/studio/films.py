"""Small films whose colors are known, for tests of the studio."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from kinemacolor.core.types import Array
from tests.stills import BLUE, RED, gray, halves


def moving_halves(index: int, width: int = 96, height: int = 64, shift: int = 1) -> Array:
    """(H, W, 3) uint8: two colors with a texture that moves to the right."""
    return np.ascontiguousarray(
        halves(width + 64, height, RED, BLUE)[:, 40 - shift * index : 40 - shift * index + width]
    )


def write_film(
    path: Path, count: int = 12, *, cut: int | None = None, width: int = 96, height: int = 64
) -> list[Array]:
    """Writes a lossless gray film; returns its frames in color. From ``cut`` on, it shows another scene."""
    truth = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24, width=width, height=height, pix_fmt="gray")
        for index in range(count):
            image = moving_halves(index % 30, width, height)
            if cut is not None and index >= cut:
                image = np.ascontiguousarray(255 - image[::-1])
            truth.append(image)
            picture = av.VideoFrame.from_ndarray(gray(image), "gray")
            picture.pts = index
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return truth
