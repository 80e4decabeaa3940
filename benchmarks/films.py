"""Films for the benchmarks, of any size and length, made from a clip or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from kinemacolor.core.types import Array


def drawn_frames(width: int, height: int) -> Iterator[Array]:
    """Endless RGB frames: discs that move over a still background, with grain."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    red, green = 90 + 60 * np.sin(6 * x + 4 * y), 120 + 60 * np.sin(9 * y)
    background = np.dstack([red, green, np.full_like(x, 90)]).astype(np.uint8)
    grain = np.random.default_rng(0).integers(-6, 7, (8, height, width, 1), dtype=np.int16)
    colors = ((220, 60, 50), (60, 200, 70), (50, 80, 220), (230, 210, 60))
    time = 0
    while True:
        picture = background.copy()
        for number, color in enumerate(colors):
            angle = time * 0.02 * (number + 1) + number
            center = int(width * (0.5 + 0.4 * np.cos(angle))), int(height * (0.5 + 0.3 * np.sin(angle)))
            cv2.circle(picture, center, height // 8, color, -1, cv2.LINE_AA)
        yield np.clip(picture + grain[time % 8], 0, 255).astype(np.uint8)
        time += 1


def clip_frames(clip: Path, width: int, height: int) -> Iterator[Array]:
    """Endless RGB frames of a clip that is played forward and back, stretched to a size."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 48)]
    while True:
        for frame in [*frames, *reversed(frames)]:
            yield cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)


def make_film(folder: Path, size: tuple[int, int], count: int, clip: Path | None = None) -> tuple[Path, Path]:
    """A black-and-white film with sound, and its first frame in color as a still."""
    width, height = size
    film, still = folder / f"{width}x{height}-{count}.mp4", folder / f"{width}x{height}.png"

    def grays() -> Iterator[Array]:
        frames = clip_frames(clip, width, height) if clip else drawn_frames(width, height)
        for number, rgb in enumerate(islice(frames, count)):
            if number == 0:
                cv2.imwrite(str(still), rgb[..., ::-1])
            yield cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)

    write_film(film, grays(), size)
    return film, still


def write_film(
    path: Path, grays: Iterator[Array], size: tuple[int, int], preset: str = "ultrafast", crf: int = 16
) -> None:
    """A film of gray frames (H, W) uint8, 25 a second, with sound."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"preset": preset, "crf": str(crf)})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound: Any = container.add_stream("aac", rate=48000)
        for number, gray in enumerate(grays):
            picture = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
            picture.pts = number
            container.mux(video.encode(picture))
            wave = np.sin(np.arange(1920 * number, 1920 * (number + 1)) * 0.03)[None].repeat(2, 0).astype(np.float32)
            audio = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
            audio.sample_rate, audio.pts = 48000, 1920 * number
            container.mux(sound.encode(audio))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
