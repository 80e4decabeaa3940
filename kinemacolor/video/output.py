"""What a film can be written as: containers, codecs, pixel formats; and whether a destination will do.

Everything here is decided before any work is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.video.image_sequence import IMAGE_SUFFIXES, is_image_source, pattern_regex
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.planes import ChromaFormat, planar_name

CodecName = Literal["h264", "h265", "prores", "ffv1"]

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_IMAGE_NAMES = "frame_%06d.png"


@dataclass(frozen=True, slots=True)
class CodecPlan:
    """How a codec is driven.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        depths: bit depths it takes, ascending.
        options: of the encoder, ``crf`` aside.
        crf: the default; None for a codec that has no such scale.
        containers: FFmpeg's names of the containers it may go into.
    """

    encoder: str
    depths: tuple[int, ...]
    options: tuple[tuple[str, str], ...]
    crf: int | None
    containers: tuple[str, ...]


CODECS: dict[CodecName, CodecPlan] = {
    "h264": CodecPlan(
        # left alone, x264 takes what is quickest on a processor, with AVX-512 other bits from one run to the next
        "libx264",
        (8, 10),
        (("preset", "faster"), ("x264-params", "cpu-independent=1")),
        16,
        ("mp4", "mov", "matroska"),
    ),
    "h265": CodecPlan(
        "libx265", (8, 10, 12), (("preset", "fast"), ("x265-params", "log-level=error")), 18, ("mp4", "mov", "matroska")
    ),
    "prores": CodecPlan("prores_ks", (10,), (("vendor", "apl0"),), None, ("mov", "matroska")),
    "ffv1": CodecPlan(
        "ffv1", (8, 9, 10, 12, 14, 16), (("level", "3"), ("g", "1"), ("slicecrc", "1")), None, ("matroska",)
    ),
}


@dataclass(frozen=True, slots=True)
class ImageTarget:
    """Images as a destination: ``folder`` / ``pattern`` (with ``%06d`` or kin)."""

    folder: Path
    pattern: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """The decided output.

    Attributes:
        codec: the codec, or ``png`` for images.
        chroma: subsampling of the U and V that the writer takes.
        bit_depth: of the written samples.
        pixel_format: FFmpeg's name.
        options: of the encoder.
        warnings: what the user should know about the choice.
    """

    codec: str
    chroma: ChromaFormat
    bit_depth: int
    pixel_format: str
    options: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def subsampling(self) -> tuple[int, int]:
        """Rows and columns of luma to a sample of U and V."""
        return (2 if self.chroma == "420" else 1, 1 if self.chroma == "444" else 2)


def output_chroma(info: VideoInfo) -> ChromaFormat:
    """Subsampling of the colored film: that of the film itself; 4:2:0 for gray films, 4:4:4 for RGB ones."""
    return "420" if info.chroma_format == "gray" else info.chroma_format


def image_target(destination: Path) -> ImageTarget | None:
    """The folder and pattern a destination means, or None where it means a film."""
    if pattern_regex(destination.name) and destination.suffix.lower() == ".png":
        return ImageTarget(destination.parent, destination.name)
    if not destination.suffix or (destination.is_dir() and destination.suffix.lower() not in CONTAINERS):
        return ImageTarget(destination, _IMAGE_NAMES)
    return None


def check_destination(
    destination: str | Path,
    *,
    source: str | Path | None = None,
    codec: CodecName = "h264",
    overwrite: bool = False,
) -> None:
    """Checks a destination before any work is done; makes nothing.

    Raises:
        OutputError: it exists (without ``overwrite``), is the source, is a folder where a film is meant, lies in a
            folder that is missing or may not be written to, has an unknown extension, or cannot hold the codec.
        UsageError: there is no such codec.
    """
    path = Path(destination)
    if codec not in CODECS:
        raise UsageError("codec", f"there is no codec {codec}", f"choose among {', '.join(CODECS)}")
    target = image_target(path)
    if target is not None:
        _check_images(path, target, Path(source) if source is not None else None, overwrite)
        return
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        raise OutputError(path, "names one image for a whole film", "give a folder, or a pattern like frame_%06d.png")
    if suffix not in CONTAINERS:
        raise OutputError(path, f"the extension {suffix} is not known", f"use {', '.join(CONTAINERS)} or a folder")
    container = CONTAINERS[suffix]
    if container not in CODECS[codec].containers:
        fitting = [ending for ending, name in CONTAINERS.items() if name in CODECS[codec].containers]
        raise OutputError(path, f"{suffix} cannot hold {codec}", f"use {' or '.join(fitting)}, or --codec h264")
    if path.is_dir():
        raise OutputError(path, "is a folder", "give the name of a file")
    _check_folder(path.parent)
    if source is not None and _same_file(path, Path(source)):
        raise OutputError(path, "is the film that is read", "give another name")
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise OutputError(path, "exists already", "give another name, or --overwrite")
        if path.exists() and not path.is_file():
            raise OutputError(path, "is not an ordinary file", "give another name")


def _check_images(path: Path, target: ImageTarget, source: Path | None, overwrite: bool) -> None:
    folder = target.folder
    if folder.exists() and not folder.is_dir():
        raise OutputError(path, f"{folder} is a file", "give the name of a folder")
    if not folder.exists():
        _check_folder(folder.absolute().parent)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "writing into it is not permitted", "choose another folder")
    _check_folder(folder.absolute().parent)
    images = source is not None and is_image_source(source)
    if source is not None and images and _same_file(folder, source if source.is_dir() else source.parent):
        raise OutputError(folder, "is the folder of the film that is read", "choose another folder")
    if not overwrite and existing_images(target):
        raise OutputError(folder, "holds such images already", "choose another folder, or --overwrite")


def existing_images(target: ImageTarget) -> list[Path]:
    """Images in the target's folder that bear names of its pattern."""
    regex = pattern_regex(target.pattern)
    if regex is None or not target.folder.is_dir():
        return []
    return [file for file in target.folder.iterdir() if regex.fullmatch(file.name)]


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(folder, "there is no such folder", "make it first")
    if not folder.is_dir():
        raise OutputError(folder, "is not a folder", "choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "writing into it is not permitted", "choose another folder")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.exists() and other.exists() and os.path.samefile(one, other)
    except OSError:
        return False


def plan_images(info: VideoInfo) -> Encoding:
    """How frames become PNG images: 8 bits a channel for 8 bit films, else 16."""
    depth = info.coding.bit_depth
    return Encoding("png", "444", depth, "rgb24" if depth == 8 else "rgb48be", {})


def plan_encoding(
    path: Path, info: VideoInfo, codec: CodecName, chroma: ChromaFormat | None, crf: int | None
) -> Encoding:
    """How a film is encoded.

    Raises:
        OutputError: the codec cannot hold the film's size or the chosen chroma.
        UsageError: ``chroma`` or ``crf`` make no sense.
    """
    plan = CODECS[codec]
    if chroma is not None and chroma not in ("420", "422", "444"):
        raise UsageError("chroma", f"there is no chroma format {chroma}", "choose among 420, 422 and 444")
    if crf is not None and (plan.crf is None or not 0 <= crf <= 51):
        raise UsageError("crf", f"{codec} takes no crf {crf}", "leave it out, or use h264 or h265 with 0 to 51")
    warnings: list[str] = []
    shape = _chroma_for(path, info, codec, chroma, warnings)
    depth = next((d for d in plan.depths if d >= info.coding.bit_depth), plan.depths[-1])
    if depth < info.coding.bit_depth:
        warnings.append(
            f"{codec} holds {depth} of the film's {info.coding.bit_depth} bits: luma is rounded; ffv1 keeps it"
        )
    options = dict(plan.options)
    if plan.crf is not None:
        options["crf"] = str(plan.crf if crf is None else crf)
    if codec == "prores":
        options["profile"] = "4444" if shape == "444" else "hq"
        if info.coding.full_range:
            warnings.append("ProRes cannot tell players of full-range luma, and contrast will look wrong; h264 can")
    return Encoding(codec, shape, depth, planar_name(shape, depth), options, tuple(warnings))


def _chroma_for(
    path: Path, info: VideoInfo, codec: CodecName, wanted: ChromaFormat | None, warnings: list[str]
) -> ChromaFormat:
    """The chroma format to encode: the wanted one, or one that the codec and the film's size allow."""
    choice = wanted or output_chroma(info)
    if codec == "prores" and choice == "420":
        if wanted is not None:
            raise OutputError(path, "ProRes has no 4:2:0", "use --chroma 422 or 444")
        choice = "422"
    odd = bool(info.width % 2 and choice != "444") or bool(info.height % 2 and choice == "420")
    if odd and codec != "ffv1":
        size = f"{info.width}x{info.height}"
        if wanted is not None:
            raise OutputError(path, f"{codec} cannot hold a film of {size} as {choice}", "use --chroma 444, or ffv1")
        warnings.append(f"{size} is odd, which {codec} holds only as 4:4:4; some players and browsers do not show that")
        choice = "444"
    return choice
