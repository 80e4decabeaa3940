"""Shots of films and folders of frames, and photos, as uint8 R'G'B' at training size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from kinemacolor.core.color import rgb_to_lab, yuv_to_rgb
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.natural_sort import natural_key
from kinemacolor.core.types import Array
from kinemacolor.references.image import GRAY_CHROMA, read_still
from kinemacolor.references.size import network_size
from kinemacolor.training.data.cuts import CutDetector
from kinemacolor.video.image_sequence import COMMON_IMAGE_SUFFIXES
from kinemacolor.video.reader import VideoReader

_STRETCH_FRAMES = 96
"""Frames of one of the stretches that stand for a long film."""


def to_codes(rgb: Array) -> Array:
    """R'G'B' in [0, 1] → uint8."""
    codes: Array = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    return codes


def shrink(rgb: Array, side: int, aspect: float | None = None) -> Array:
    """A picture (H, W, 3) with a short side of at most ``side``, shown at ``aspect`` (width / height) if given."""
    height, width = rgb.shape[:2]
    wide = height * aspect if aspect else width
    rows, columns = network_size(wide, height, side=min(side, height, round(wide)))
    if (rows, columns) == (height, width):
        return rgb
    resized: Array = cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA)
    return resized


def decode_photo(path: Path, side: int) -> Array:
    """A photo (H, W, 3) uint8 with a short side of at most ``side``; transparent parts are white.

    Raises:
        InputError: missing, corrupt, too small, or without color.
    """
    still = read_still(path)
    rgb = still.rgb
    if not still.mask.all():
        rgb = np.where(still.mask[..., None], rgb, np.float32(1))
    return to_codes(shrink(rgb, side))


class FilmShots:
    """The color shots of a film: an iterable of (frames (T, H, W, 3) uint8, number of the first frame).

    Shots without color, and shots that are too short, are left out. A film that is damaged in the middle ends there.

    Args:
        path: a film, or a folder of frames.
        kind: which of the two.
        side: short side of the frames, pixels; smaller films keep their size.
        limit: frames kept of the film; of a longer one, stretches spread over its length.
        shortest: frames that a shot must have.

    Raises:
        InputError: while iterating: the film cannot be read, or has no color.
    """

    def __init__(self, path: Path, kind: Literal["film", "frames"], side: int, limit: int, shortest: int) -> None:
        self.path, self.kind, self.side, self.limit, self.shortest = path, kind, side, limit, shortest

    def __iter__(self) -> Iterator[tuple[Array, int]]:
        frames = self._film() if self.kind == "film" else self._folder()
        detector, shot, first, kept = CutDetector(), list[Array](), 0, 0
        expected = -1
        for (number, rgb), following in _with_next(frames):
            cut = detector(rgb, following)
            jump = bool(shot) and (number != expected or rgb.shape != shot[0].shape)
            if cut or jump or len(shot) >= self.limit:
                yield from self._finish(shot, first)
                shot = []
            if kept >= self.limit:
                break
            if not shot:
                first = number
            shot.append(rgb)
            expected, kept = number + 1, kept + 1
        yield from self._finish(shot, first)

    def _finish(self, shot: list[Array], first: int) -> Iterator[tuple[Array, int]]:
        if len(shot) >= self.shortest and is_colored(shot):
            yield np.stack(shot), first

    def _film(self) -> Iterator[tuple[int, Array]]:
        with VideoReader(self.path) as reader:
            info = reader.info
            if info.chroma_format == "gray":
                raise InputError(self.path, "has no color", "give films in color")
            pixel = float(info.sample_aspect_ratio)
            for start, end in stretches(info.duration, float(info.rate), self.limit):
                try:
                    for frame in reader.frames(start=start, end=end, chroma=True):
                        assert frame.chroma
                        height, width = frame.luma.shape
                        rgb = to_codes(yuv_to_rgb(frame.luma, *frame.chroma, frame.coding))
                        small = shrink(rgb, self.side, width * pixel / height)
                        yield frame.index, np.ascontiguousarray(info.orientation.upright(small))
                except UsageError:
                    continue  # the film is shorter than its header says

    def _folder(self) -> Iterator[tuple[int, Array]]:
        if not self.path.is_dir():
            raise InputError(self.path, "is missing", "complete the data set, or remove the name from its list")
        pictures = [path for path in self.path.iterdir() if path.suffix.lower() in COMMON_IMAGE_SUFFIXES]
        if not pictures:
            raise InputError(self.path, "holds no pictures", "complete the data set, or remove the name from its list")
        previous = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            for number, path in enumerate(sorted(pictures, key=partial(natural_key, letters_first=True))):
                bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if bgr is not None:
                    yield number, shrink(np.ascontiguousarray(bgr[..., ::-1]), self.side)
        finally:
            cv2.utils.logging.setLogLevel(previous)


def _with_next(frames: Iterator[tuple[int, Array]]) -> Iterator[tuple[tuple[int, Array], Array | None]]:
    """Each numbered frame, and the picture after it."""
    previous: tuple[int, Array] | None = None
    for entry in frames:
        if previous is not None:
            yield previous, entry[1]
        previous = entry
    if previous is not None:
        yield previous, None


def stretches(duration: float | None, rate: float, limit: int) -> list[tuple[float | None, float | None]]:
    """Intervals in seconds that together hold about ``limit`` frames, spread evenly; the whole of a film that fits."""
    count = round((duration or 0) * rate)
    if duration is None or count <= limit * 1.2:
        return [(None, None)]
    length = min(_STRETCH_FRAMES, limit)
    number = max(1, limit // length)
    room = duration - length / rate
    starts = [room * (k + 0.5) / number for k in range(number)]
    return [(start, start + length / rate) for start in starts]


def is_colored(shot: list[Array]) -> bool:
    """Whether a shot has color: in some frame one pixel in a hundred has a chroma above that of gray."""
    for rgb in shot[:: max(1, len(shot) // 4)]:
        small = cv2.resize(rgb, (64, 36), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        ab = rgb_to_lab(small)[..., 1:]
        if float(np.quantile(np.hypot(ab[..., 0], ab[..., 1]), 0.99)) > GRAY_CHROMA:
            return True
    return False
