"""The clips of a benchmark: found in a folder, read, and held in the form that a protocol asks for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from kinemacolor.baselines.external import read_image
from kinemacolor.core.color import lab_to_rgb, rgb_to_lab, yuv_to_rgb
from kinemacolor.core.errors import InputError
from kinemacolor.core.types import Array, FloatArray, Frame
from kinemacolor.evaluation.protocol import Protocol
from kinemacolor.filters.chroma_upsample import chroma_planes, resize
from kinemacolor.pipeline.segment_runner import network_lightness
from kinemacolor.video.reader import VideoReader

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".y4m"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
DAVIS_LAYOUT = ("JPEGImages/480p", "JPEGImages/Full-Resolution", "JPEGImages")
"""Where DAVIS keeps its frame folders, below the folder that is given."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of the benchmark.

    Attributes:
        name: of the file without its ending, or of the frame folder.
        path: a film file, or a folder of numbered images.
    """

    name: str
    path: Path

    def files(self) -> list[Path]:
        """The film file, or the images in the order of their names."""
        return images_in(self.path) if self.path.is_dir() else [self.path]


def images_in(folder: Path) -> list[Path]:
    """The images right in a folder, in natural order (``a2`` before ``a10``); hidden files are none."""
    found = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted((file for file in found if not file.name.startswith(".")), key=_natural)


def _natural(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", file.name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def find_clips(data: str | Path) -> list[Clip]:
    """The film files and frame folders of a folder, DAVIS's layout included, sorted by name.

    Raises:
        InputError: no such folder, no clip in it, or two of one name.
    """
    data = Path(data)
    if not data.is_dir():
        raise InputError(data, "is no folder", "give a folder of clips: film files, or frame folders as in DAVIS")
    root = next((data / part for part in DAVIS_LAYOUT if (data / part).is_dir()), data)
    clips: dict[str, Clip] = {}
    for path in sorted(root.iterdir()):
        if path.name.startswith("."):
            continue
        is_film = path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
        if not is_film and not (path.is_dir() and images_in(path)):
            continue
        clip = Clip(path.stem if is_film else path.name, path)
        if clip.name in clips:
            other = clips[clip.name].path.name
            raise InputError(path, f"has the same name as {other}", "rename one of them: clips are told by name")
        clips[clip.name] = clip
    if not clips:
        raise InputError(root, "holds no clip", "give a folder of film files, or of frame folders as in DAVIS")
    return list(clips.values())


def digest(files: list[Path]) -> str:
    """SHA-256 over names and contents, in hexadecimal."""
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def to_codes(rgb: Array) -> Array:
    """R'G'B' in [0, 1] as uint8, rounded and clipped."""
    codes: Array = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    return codes


@dataclass(eq=False)
class Truth:
    """A clip in its true colors, and what the engines see of it.

    Attributes:
        clip: where it comes from.
        protocol: under which it was read.
        rgb: (T, H, W, 3) uint8 at the size of comparison.
        lightness: (T, h, w) float32, L* at network size: all that an engine is shown.
        frames: the film's frames in code values, for protocols at full size; else empty.
        own_size: (height, width) of the film.
        aspect: width / height of its picture in square pixels.
        rate: frames a second; 24 for images.
        length: frames of the whole clip as far as the container tells, else None.
    """

    clip: Clip
    protocol: Protocol
    rgb: Array
    lightness: FloatArray
    frames: list[Frame]
    own_size: tuple[int, int]
    aspect: float
    rate: Fraction
    length: int | None

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) at network size."""
        return self.lightness.shape[1], self.lightness.shape[2]

    def colored(self, index: int, ab: FloatArray) -> Array:
        """Frame ``index`` (H, W, 3) uint8 with an engine's colors ab (h, w, 2)."""
        if not self.frames:
            return to_codes(lab_to_rgb(np.concatenate([self.lightness[index][..., None], ab], axis=2)))
        frame = self.frames[index]
        assert frame.chroma is not None
        sampling = _subsampling(frame)
        planes = chroma_planes(ab, frame.luma, frame.coding, sampling)
        return to_codes(yuv_to_rgb(frame.luma, *planes, frame.coding))

    def small(self, index: int) -> FloatArray:
        """Frame ``index`` in true colors at network size, R'G'B' (h, w, 3) in [0, 1]."""
        return resize(self.rgb[index].astype(np.float32) / np.float32(255), self.shape)


def _subsampling(frame: Frame) -> tuple[int, int]:
    assert frame.chroma is not None
    (height, width), (rows, columns) = frame.luma.shape, frame.chroma[0].shape
    return -(-height // rows), -(-width // columns)


def load_clip(clip: Clip, protocol: Protocol) -> Truth:
    """Reads a clip as a protocol asks.

    At network size, R'G'B' is that of the decoded frame in area means, rounded to uint8; L* is that of these R'G'B'.
    At full size, R'G'B' is that of the decoded frame, and the engines see L* of its luma, as of a gray film.

    Raises:
        InputError: unreadable, damaged, a single frame, or without color to compare with.
    """
    if clip.path.is_dir() and protocol.size != "full":
        return _load_images(clip, protocol)
    with VideoReader(clip.path) as reader:
        info = reader.info
        aspect = float(info.width * info.sample_aspect_ratio) / info.height
        shape = protocol.network_shape(aspect)
        rgb: list[Array] = []
        lightness: list[FloatArray] = []
        frames: list[Frame] = []
        for frame in _in_color(clip, reader):
            assert frame.chroma is not None
            full = yuv_to_rgb(frame.luma, *frame.chroma, frame.coding)
            if protocol.size == "full":
                rgb.append(to_codes(full))
                lightness.append(network_lightness(frame, shape))
                frames.append(frame)
            else:
                rgb.append(to_codes(resize(full, shape)))
                lightness.append(lightness_of(rgb[-1]))
            if len(rgb) == protocol.frames:
                break
    if reader.damage:
        raise InputError(clip.path, f"is damaged: {reader.damage}", "fetch it again; a truth must be whole")
    _check_length(clip, rgb)
    own = (info.height, info.width)
    return Truth(clip, protocol, np.stack(rgb), np.stack(lightness), frames, own, aspect, info.rate, info.frames)


def lightness_of(rgb: Array) -> FloatArray:
    """L* (H, W) in [0, 100] of a frame (H, W, 3) uint8."""
    lightness: FloatArray = np.clip(rgb_to_lab(rgb.astype(np.float32) / 255)[..., 0], 0, 100)
    return np.ascontiguousarray(lightness)


def _load_images(clip: Clip, protocol: Protocol) -> Truth:
    """A frame folder at network size; images are taken as stored, without the detour through Y'CbCr of a film."""
    files = clip.files()
    rgb: list[Array] = []
    own: tuple[int, int] | None = None
    for file in files[: protocol.frames]:
        image = read_image(file)
        got = (image.shape[0], image.shape[1])
        own = own or got
        if got != own:
            raise InputError(file, f"is {got[1]}x{got[0]}, the first is {own[1]}x{own[0]}", "give frames of one size")
        rgb.append(to_codes(resize(image, protocol.network_shape(own[1] / own[0]))))
    _check_length(clip, rgb)
    assert own
    lightness = np.stack([lightness_of(frame) for frame in rgb])
    return Truth(clip, protocol, np.stack(rgb), lightness, [], own, own[1] / own[0], Fraction(24), len(files))


def _check_length(clip: Clip, rgb: list[Array]) -> None:
    if len(rgb) < 2:
        raise InputError(clip.path, "has a single frame", "give clips of at least two frames")
    if all((frame == frame[..., :1]).all() for frame in rgb):
        raise InputError(clip.path, "is gray: it has no colors to compare with", "give clips in color")


def _in_color(clip: Clip, reader: VideoReader) -> Iterator[Frame]:
    for frame in reader.frames(chroma=True):
        if frame.chroma is None:
            raise InputError(clip.path, "is gray: it has no colors to compare with", "give clips in color")
        yield frame
