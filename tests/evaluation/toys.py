"""Tiny clips in color, and a protocol that keeps them tiny."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np

from kinemacolor.core.color import lab_to_rgb
from kinemacolor.core.types import Array
from kinemacolor.evaluation.protocol import Protocol, load_protocol
from tests.engine.conformance import scene


def color_film(frames: int = 6, height: int = 48, width: int = 64, seed: int = 0) -> Array:
    """(T, H, W, 3) uint8: a textured picture drifting to the left, colors in gamut."""
    lightness, ab = scene(height, width, frames, seed=seed)
    lab = np.concatenate([25 + 0.5 * lightness[..., None], 0.4 * ab], axis=3)
    return np.clip(np.rint(lab_to_rgb(lab) * 255), 0, 255).astype(np.uint8)


def write_frames(folder: Path, film: Array, start: int = 0) -> Path:
    """A frame folder as in DAVIS, but PNG."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(film, start):
        assert cv2.imwrite(str(folder / f"{number:05d}.png"), np.ascontiguousarray(frame[..., ::-1]))
    return folder


def write_film(path: Path, film: Array) -> Path:
    """A lossless film of R'G'B'."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=film.shape[2], height=film.shape[1], pix_fmt="bgr0")
        for frame in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="bgr0")))
        container.mux(stream.encode(None))
    return path


def toy_protocol(folder: Path, size: str = "area", width: int = 64, height: int = 48, **more: object) -> Protocol:
    """A protocol of the toys' own size."""
    file = folder / f"toy-{size}.toml"
    file.write_text(f'title = "toy"\nsize = "{size}"\nwidth = {width}\nheight = {height}\n')
    return load_protocol(file, **more)  # type: ignore[arg-type]
