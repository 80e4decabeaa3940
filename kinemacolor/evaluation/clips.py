"""The clips of a benchmark: finding them in a folder, and reading them as a protocol demands."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from kinemacolor.baselines.external import read_image
from kinemacolor.core.color import lab_to_rgb, rgb_to_lab, yuv_to_rgb
from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.natural_sort import natural_key
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, FloatArray, Frame
from kinemacolor.evaluation.protocol import Protocol
from kinemacolor.evaluation.splits import half_folders, load_split, locate
from kinemacolor.filters.chroma_upsample import chroma_planes
from kinemacolor.references.size import network_lightness, picture_aspect
from kinemacolor.video.decode import FILM_SUFFIXES
from kinemacolor.video.image_sequence import COMMON_IMAGE_SUFFIXES
from kinemacolor.video.reader import VideoReader

DAVIS_LAYOUT = ("JPEGImages/480p", "JPEGImages/Full-Resolution", "JPEGImages")
"""Folders of DAVIS that hold its frame folders."""


@dataclass(frozen=True, slots=True)
class BenchmarkClip:
    """A clip of a benchmark.

    Attributes:
        name: of the file without its suffix, or of the frame folder.
        path: a film file, or a folder of numbered images.
    """

    name: str
    path: Path

    def files(self) -> list[Path]:
        """The film file, or the images in the order of their names."""
        return images_in(self.path) if self.path.is_dir() else [self.path]


def images_in(folder: Path) -> list[Path]:
    """The images of a folder without its subfolders and hidden files, in natural order (``a2`` before ``a10``)."""
    images = (file for file in folder.iterdir() if file.suffix.lower() in COMMON_IMAGE_SUFFIXES)
    return sorted((file for file in images if not file.name.startswith(".")), key=natural_key)


def find_clips(data: str | Path, split: str | None = None, only: Sequence[str] = ()) -> list[BenchmarkClip]:
    """The film files and frame folders of a folder, sorted by name.

    DAVIS's layout is recognized, and that of Videvo, whose test clips are in ``test``.

    Args:
        data: the folder.
        split: name of a list (``splits``), to find the clips of that list and no others; None for all clips.
        only: names of clips; all if it is empty.

    Raises:
        InputError: there is no such folder, no clip in it, two clips have the same name, or clips of the list are
            missing; all of these are named.
        UsageError: there is no list of that name, or ``only`` names a clip that there is not.
    """
    data = Path(data)
    if not data.is_dir():
        raise InputError(data, "is not a folder", "give a folder of clips: film files, or frame folders as in DAVIS")
    clips = _clips_of_split(data, split, only) if split else _clips_in(_clip_folder(data))
    names = {clip.name for clip in clips}
    for name in only:
        if name not in names:
            raise UsageError("clips", f"there is no clip {name}", f"choose among {', '.join(sorted(names))}")
    return [clip for clip in clips if not only or clip.name in only]


def _clips_of_split(data: Path, split: str, only: Sequence[str]) -> list[BenchmarkClip]:
    """The clips of a list; a mean over some of them would pass for that over all, so none may be missing."""
    paths = locate(split, data)
    wanted = [name for name in load_split(split) if not only or name in only]
    missing = [name for name in wanted if name not in paths]
    if missing:
        problem = f"{len(missing)} of {len(wanted)} clips of {split} are missing: {', '.join(missing)}"
        raise InputError(data, problem, "add them, or name with --clips those to be measured")
    return [BenchmarkClip(name, paths[name]) for name in sorted(paths)]


def _clip_folder(data: Path) -> Path:
    """The folder that holds the clips of a data set: itself, one of DAVIS's, or the test half of others."""
    root = next((data / part for part in DAVIS_LAYOUT if (data / part).is_dir()), None)
    if root is None and not any(_is_clip(path) for path in data.iterdir()):
        root = next(iter(half_folders(data, "test")), None)
    return root or data


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    is_film = path.is_file() and path.suffix.lower() in FILM_SUFFIXES
    return is_film or (path.is_dir() and bool(images_in(path)))


def _clips_in(root: Path) -> list[BenchmarkClip]:
    clips: dict[str, BenchmarkClip] = {}
    for path in filter(_is_clip, sorted(root.iterdir())):
        clip = BenchmarkClip(path.stem if path.is_file() else path.name, path)
        if clip.name in clips:
            other = clips[clip.name].path.name
            raise InputError(path, f"has the same name as {other}", "rename one of them: names identify clips")
        clips[clip.name] = clip
    if not clips:
        raise InputError(root, "contains no clip", "give a folder of film files, or of frame folders as in DAVIS")
    return list(clips.values())


def digest_of_files(files: list[Path]) -> str:
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
class ClipTruth:
    """A clip in its true colors, with the lightness that the engines are given.

    Attributes:
        clip: that was read.
        protocol: under which it was read.
        rgb: (T, H, W, 3) uint8 at the size of comparison.
        lightness: (T, h, w) float32, L* at network size: the only input of an engine.
        frames: the film's frames in code values, for protocols at full size; else empty.
        clip_size: (height, width) of the clip's own frames.
        aspect: width / height of the picture in square pixels.
        rate: frames per second; 24 for images.
        length: number of frames of the whole clip; None if the container does not tell.
    """

    clip: BenchmarkClip
    protocol: Protocol
    rgb: Array
    lightness: FloatArray
    frames: list[Frame]
    clip_size: tuple[int, int]
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
        """Frame ``index`` (H, W, 3) uint8 with the colors ab (h, w, 2) of an engine."""
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


def load_clip(clip: BenchmarkClip, protocol: Protocol) -> ClipTruth:
    """Reads a clip as a protocol demands.

    At network size, R'G'B' is the area mean of the decoded frame, rounded to uint8, and L* is computed from it. At full
    size, R'G'B' is that of the decoded frame, and the engines are given L* of its luma, as of a gray film.

    Raises:
        InputError: the clip is unreadable, damaged, gray, or a single frame.
    """
    if clip.path.is_dir() and protocol.size != "full":
        return _load_images(clip, protocol)
    with VideoReader(clip.path) as reader:
        info = reader.info
        aspect = picture_aspect(info)
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
        raise InputError(clip.path, f"is damaged: {reader.damage}", "download it again; a clip must be complete")
    _check_length(clip, rgb)
    size = (info.height, info.width)
    return ClipTruth(clip, protocol, np.stack(rgb), np.stack(lightness), frames, size, aspect, info.rate, info.frames)


def lightness_of(rgb: Array) -> FloatArray:
    """L* (H, W) in [0, 100] of a frame (H, W, 3) uint8."""
    lightness: FloatArray = np.clip(rgb_to_lab(rgb.astype(np.float32) / 255)[..., 0], 0, 100)
    return np.ascontiguousarray(lightness)


def _load_images(clip: BenchmarkClip, protocol: Protocol) -> ClipTruth:
    """A frame folder at network size; images are used as stored, without the conversion to Y'CbCr of a film."""
    files = clip.files()
    rgb: list[Array] = []
    size: tuple[int, int] | None = None
    for file in files[: protocol.frames]:
        image = read_image(file)
        height, width = image.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            problem = f"is {width}x{height}, the first frame is {size[1]}x{size[0]}"
            raise InputError(file, problem, "give frames of one size")
        rgb.append(to_codes(resize(image, protocol.network_shape(width / height))))
    _check_length(clip, rgb)
    assert size
    lightness = np.stack([lightness_of(frame) for frame in rgb])
    return ClipTruth(clip, protocol, np.stack(rgb), lightness, [], size, size[1] / size[0], Fraction(24), len(files))


def _check_length(clip: BenchmarkClip, rgb: list[Array]) -> None:
    if len(rgb) < 2:
        raise InputError(clip.path, "has a single frame", "give clips of at least two frames")
    if all((frame == frame[..., :1]).all() for frame in rgb):
        raise InputError(clip.path, "is gray: it has no colors to compare with", "give clips in color")


def _in_color(clip: BenchmarkClip, reader: VideoReader) -> Iterator[Frame]:
    for frame in reader.frames(chroma=True):
        if frame.chroma is None:
            raise InputError(clip.path, "is gray: it has no colors to compare with", "give clips in color")
        yield frame
