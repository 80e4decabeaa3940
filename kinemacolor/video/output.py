"""How a film is written: its codec, pixel format and options, and whether its destination will do.

Everything here is decided before any work is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.folder_exchange import complete_exchange
from kinemacolor.core.types import Coding
from kinemacolor.video.codecs import (
    CHROMA_FORMATS,
    CODECS,
    CONTAINERS,
    DEFAULT_CODEC,
    IMAGE_CODEC,
    ChromaFormat,
    CodecRecord,
    ColorRange,
    alternatives,
    find_codec,
)
from kinemacolor.video.fields import field_options, field_warning
from kinemacolor.video.image_names import ImageTarget, existing_images
from kinemacolor.video.image_sequence import IMAGE_SUFFIXES, is_image_source, pattern_regex
from kinemacolor.video.info import FieldOrder, VideoInfo
from kinemacolor.video.planes import planar_name


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a film is encoded.

    Attributes:
        codec: name of the codec, or ``IMAGE_CODEC`` for images.
        chroma_format: subsampling of the U and V that the writer takes.
        bit_depth: of the written samples.
        pixel_format: FFmpeg's name.
        options: of the encoder.
        warnings: what the user should know about the choice.
        full_range: whether the written codes span all values; None for the range of the film.
        field_order: that frames are marked with.
    """

    codec: str
    chroma_format: ChromaFormat
    bit_depth: int
    pixel_format: str
    options: dict[str, str]
    warnings: tuple[str, ...] = ()
    full_range: bool | None = None
    field_order: FieldOrder = "progressive"

    def coding(self, film: Coding) -> Coding:
        """What the written codes mean, for a film's."""
        full = film.full_range if self.full_range is None else self.full_range
        return Coding(self.bit_depth, full, film.matrix)

    @property
    def as_images(self) -> bool:
        """Whether the film becomes images."""
        return self.codec == IMAGE_CODEC

    @property
    def subsampling(self) -> tuple[int, int]:
        """Rows and columns of luma to a sample of U and V."""
        return (2 if self.chroma_format == "420" else 1, 1 if self.chroma_format == "444" else 2)


def output_chroma(info: VideoInfo) -> ChromaFormat:
    """Subsampling of the colored film: that of the film itself; 4:2:0 for gray films, 4:4:4 for RGB ones."""
    return "420" if info.chroma_format == "gray" else info.chroma_format


def image_target(destination: Path) -> ImageTarget | None:
    """The folder and pattern that a destination means, or None where it means a film."""
    if pattern_regex(destination.name) and destination.suffix.lower() == ".png":
        return ImageTarget(destination.parent, destination.name)
    if not destination.suffix or (destination.is_dir() and destination.suffix.lower() not in CONTAINERS):
        return ImageTarget(destination, None)
    return None


# --- the destination --------------------


def check_destination(
    destination: str | Path,
    *,
    source: str | Path | None = None,
    codec: str = DEFAULT_CODEC,
    overwrite: bool = False,
    new_folders: bool = False,
) -> None:
    """Checks a destination before any work is done; completes an exchange of images that was interrupted there.

    Args:
        destination: a film, a folder of images, or a pattern of their names.
        source: the film that is read.
        codec: of the film.
        overwrite: whether what is there is replaced.
        new_folders: whether several folders of images, one in another, are going to be made where they are missing.

    Raises:
        OutputError: it exists (without ``overwrite``), is the source, is a folder where a film is meant, lies in a
            folder that is missing or may not be written to, has an unknown extension, or cannot hold the codec.
        UsageError: there is no such codec.
    """
    path = Path(destination)
    record = find_codec(codec)
    target = image_target(path)
    if target is not None:
        _check_images(path, target, Path(source) if source is not None else None, overwrite, new_folders)
        return
    _check_extension(path, record)
    if path.is_dir():
        raise OutputError(path, "is a folder", "give the name of a file")
    _check_folder(path.parent)
    if source is not None and _same_file(path, Path(source)):
        raise OutputError(path, "is the film that is read", "give another name")
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise OutputError(path, "exists already", "give another name, or `overwrite`")
        if path.exists() and not path.is_file():
            raise OutputError(path, "is not an ordinary file", "give another name")


def _check_extension(path: Path, record: CodecRecord) -> None:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        raise OutputError(path, "names one image for a whole film", "give a folder, or a pattern like frame_%06d.png")
    if suffix not in CONTAINERS:
        raise OutputError(path, f"the extension {suffix} is not known", f"use {', '.join(CONTAINERS)} or a folder")
    container = CONTAINERS[suffix]
    if container not in record.containers:
        fitting = alternatives(name for name, other in CODECS.items() if container in other.containers)
        remedy = f"use {alternatives(record.extensions)}, or set `codec` to {fitting}"
        raise OutputError(path, f"{suffix} cannot hold {record.name}", remedy)


def _check_images(path: Path, target: ImageTarget, source: Path | None, overwrite: bool, new_folders: bool) -> None:
    folder = target.folder
    if folder.exists() and not folder.is_dir():
        raise OutputError(path, f"{folder} is a file", "give the name of a folder")
    if not folder.exists():
        if folder.is_symlink():
            raise OutputError(folder, "is a link to a folder that is missing", "remove the link, or make that folder")
        parents = folder.absolute().parents
        _check_folder(next(parent for parent in parents if parent.exists()) if new_folders else parents[0])
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "writing into it is not permitted", "choose another folder")
    complete_exchange(folder, OutputError)
    _check_folder(folder.absolute().parent)
    images = source is not None and is_image_source(source)
    if source is not None and images and _same_file(folder, source if source.is_dir() else source.parent):
        raise OutputError(folder, "is the folder of the film that is read", "choose another folder")
    if not overwrite and existing_images(target, source):
        raise OutputError(folder, "holds such images already", "choose another folder, or `overwrite`")


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(folder, "there is no such folder", "make it first")
    if not folder.is_dir():
        raise OutputError(folder, "is not a folder", "choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(folder, "writing into it is not permitted", "choose another folder")


def _same_file(path: Path, other: Path) -> bool:
    try:
        return path.exists() and other.exists() and os.path.samefile(path, other)
    except OSError:
        return False


# --- the encoding --------------------


def plan_images(info: VideoInfo, color_range: ColorRange | None = None) -> Encoding:
    """How frames become PNG images: 8 bits a channel for 8 bit films, else 16.

    Raises:
        UsageError: limited range was chosen.
    """
    if color_range == "limited":
        raise UsageError("range", "images are written as R'G'B', which is full range", "leave it out")
    depth = info.coding.bit_depth
    warning = field_warning(None, "png", info.field_order, {})
    pixels = "rgb24" if depth == 8 else "rgb48be"
    return Encoding(IMAGE_CODEC, "444", depth, pixels, {}, (warning,) if warning else ())


def plan_encoding(
    path: Path,
    info: VideoInfo,
    codec: str,
    chroma_format: ChromaFormat | None,
    crf: int | None,
    color_range: ColorRange | None = None,
) -> Encoding:
    """How a film is encoded.

    Args:
        path: of the film that is written, for messages.
        info: of the film that is colored.
        codec: name of a codec.
        chroma_format: subsampling of the output; None for the film's own, or the nearest that the codec takes.
        crf: quality, lower is better; None for the codec's default.
        color_range: of the written codes; None for the film's own, but limited where the codec's files cannot tell.

    Raises:
        OutputError: the codec cannot hold the film's size or the chosen chroma format.
        UsageError: there is no such codec, or it takes no such ``chroma_format`` or ``crf``.
    """
    record = find_codec(codec)
    if chroma_format is not None and chroma_format not in CHROMA_FORMATS:
        problem = f"there is no chroma format {chroma_format}"
        raise UsageError("chroma_format", problem, f"choose among {', '.join(CHROMA_FORMATS)}")
    options = dict(record.options)
    options.update(_crf_option(record, crf))
    warnings: list[str] = []
    chroma_format = _fitting_chroma(path, info, record, chroma_format, warnings)
    depth = next((depth for depth in record.depths if depth >= info.coding.bit_depth), record.depths[-1])
    if depth < info.coding.bit_depth:
        deeper = [name for name, other in CODECS.items() if other.depths[-1] >= info.coding.bit_depth]
        remedy = f"; {alternatives(deeper)} keeps it" if deeper else ""
        warnings.append(f"{codec} holds {depth} of the film's {info.coding.bit_depth} bits: luma is rounded{remedy}")
    options.update(record.chroma_options.get(chroma_format, ()))
    full_range = _fitting_range(info.coding, record, depth, color_range, warnings)
    container = CONTAINERS.get(path.suffix.lower(), "matroska")
    fields = field_options(record, container, info.field_order, info.height, chroma_format)
    options.update(fields)
    warning = field_warning(record, container, info.field_order, fields)
    return Encoding(
        codec,
        chroma_format,
        depth,
        planar_name(chroma_format, depth),
        options,
        (*warnings, warning) if warning else tuple(warnings),
        full_range=None if full_range == info.coding.full_range else full_range,
        field_order=info.field_order,
    )


def _fitting_range(
    coding: Coding, record: CodecRecord, depth: int, requested: ColorRange | None, warnings: list[str]
) -> bool:
    """Whether the written codes span all values."""
    untold = not record.full_range_tagged
    full = coding.full_range and not untold if requested is None else requested == "full"
    tagged = alternatives(name for name, other in CODECS.items() if other.full_range_tagged)
    if full and untold:
        warnings.append(
            f"{record.name} files cannot tell players that luma is full range, and contrast will look wrong; "
            f"those of {tagged} can"
        )
    if full and not coding.full_range:
        warnings.append(
            "the film's limited range is stretched to full range: codes below black and above white are cut"
        )
    if coding.full_range and not full:
        reason = f", as readers of {record.name} expect" if untold else ""
        loss = "" if depth > coding.bit_depth else f", in which {depth} bits hold fewer levels"
        keeps = f"; {tagged} keep its codes" if untold else ""
        warnings.append(f"the film is full range and is written in limited range{reason}{loss}{keeps}")
    return full


def _crf_option(record: CodecRecord, crf: int | None) -> dict[str, str]:
    if crf is not None and (record.crf is None or not 0 <= crf <= record.crf_maximum):
        ranges = (f"{name} (0 to {other.crf_maximum})" for name, other in CODECS.items() if other.crf is not None)
        remedy = f"leave it out, or choose a codec that takes it: {alternatives(ranges)}"
        raise UsageError("crf", f"{record.name} takes no crf {crf}", remedy)
    return {} if record.crf is None else {"crf": str(record.crf if crf is None else crf)}


def _fitting_chroma(
    path: Path, info: VideoInfo, record: CodecRecord, requested: ChromaFormat | None, warnings: list[str]
) -> ChromaFormat:
    """The chroma format to encode: the requested one, or the nearest that the codec and the film's size allow."""
    choice = requested or output_chroma(info)
    if choice not in record.chroma_formats:
        if requested is not None:
            remedy = f"set `chroma_format` to {alternatives(record.chroma_formats)}"
            raise OutputError(path, f"{record.name} has no chroma format {choice}", remedy)
        richer = [other for other in record.chroma_formats if other > choice]
        choice = richer[0] if richer else record.chroma_formats[-1]
    odd = bool(info.width % 2 and choice != "444") or bool(info.height % 2 and choice == "420")
    if odd and not record.odd_sizes:
        size = f"{info.width}x{info.height}"
        if requested is not None or "444" not in record.chroma_formats:
            remedies = ["set `chroma_format` to 444"] if "444" in record.chroma_formats else []
            others = [name for name, other in CODECS.items() if other.odd_sizes and choice in other.chroma_formats]
            remedies += [f"set `codec` to {alternatives(others)}"] if others else []
            problem = f"{record.name} cannot hold a film of {size} as {choice}"
            raise OutputError(path, problem, ", or ".join(remedies) or "crop the film to even sides")
        warnings.append(
            f"{size} is odd, which {record.name} holds only as 4:4:4; some players and browsers do not show that"
        )
        choice = "444"
    return choice
