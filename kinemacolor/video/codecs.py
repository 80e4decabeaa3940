"""The codecs and containers of a colored film, one record each: a new codec is one record in ``CODECS``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from kinemacolor.core.errors import UsageError

ChromaFormat = Literal["420", "422", "444"]
"""Subsampling of U and V."""
ColorRange = Literal["limited", "full"]
"""Codes of luma: 16 to 235 at 8 bits, or all."""
CHROMA_FORMATS: tuple[ChromaFormat, ...] = get_args(ChromaFormat)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's name of the container for each extension of a film."""
IMAGE_CODEC = "png"
"""What ``Encoding.codec`` says where a film becomes images; not a codec to choose."""
Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NalUnits:
    """How the units of a stream of parameter sets are told apart (H.264 and H.265, Annex B).

    Attributes:
        shift, mask: the type of a unit is ``first byte >> shift & mask``.
        messages: types of units in which an encoder writes about itself (SEI).
        slices: types of units that hold a picture or a part of one.
        message_header: the header of a unit with a message that stands before a picture.
    """

    shift: int
    mask: int
    messages: frozenset[int]
    slices: range
    message_header: bytes

    def type_of(self, unit: bytes) -> int:
        """The type of a unit, given without its start code."""
        return unit[0] >> self.shift & self.mask


@dataclass(frozen=True, slots=True)
class CodecRecord:
    """All that the program knows about a codec.

    Attributes:
        name: what a user calls it.
        summary: one line for a help text.
        encoder: FFmpeg's name of the encoder.
        depths: bit depths it takes, ascending.
        options: of the encoder, the crf aside.
        containers: FFmpeg's names of the containers it may go into.
        crf: the default quality; None for a codec without such a scale.
        crf_maximum: the worst quality of that scale, which begins at 0.
        max_threads: threads of the encoder at most, fixed so that its output does not depend on the machine (see
            ``encoder.encoder_threads``); 0 where the output does not depend on them and FFmpeg may choose.
        chroma_formats: subsamplings it takes.
        chroma_options: further options of the encoder for each of them.
        odd_sizes: whether a side that subsampling divides may be odd.
        interlaced_coding: whether its encoder codes fields, and then marks their order.
        fields_in_frames: whether its frames bear a mark of their field order without that.
        full_range_tagged: whether its files tell players that luma is full range.
        aspect_in_frames: whether the encoder takes the pixel shape from the frames instead of from its settings.
        container_tags: the four letters that stand for it in a container, where FFmpeg's choice is not what players
            want.
        nal_units: how its parameter sets are told apart from what the encoder says about itself and the machine; None
            for a codec whose parameter sets are the same on every machine as they are.
    """

    name: str
    summary: str
    encoder: str
    depths: tuple[int, ...]
    options: Options
    containers: tuple[str, ...]
    crf: int | None = None
    crf_maximum: int = 51
    max_threads: int = 0
    chroma_formats: tuple[ChromaFormat, ...] = CHROMA_FORMATS
    chroma_options: Mapping[ChromaFormat, Options] = field(default_factory=lambda: MappingProxyType({}))
    odd_sizes: bool = False
    interlaced_coding: bool = False
    fields_in_frames: bool = False
    full_range_tagged: bool = True
    aspect_in_frames: bool = False
    container_tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    nal_units: NalUnits | None = None

    @property
    def extensions(self) -> list[str]:
        """Extensions of the films it may go into."""
        return [extension for extension, container in CONTAINERS.items() if container in self.containers]


CODECS: dict[str, CodecRecord] = {
    record.name: record
    for record in (
        CodecRecord(
            name="h264",
            summary="H.264, 8 or 10 bits; plays everywhere",
            encoder="libx264",
            depths=(8, 10),
            # Left alone, x264 takes what is fastest on a processor; with AVX-512 its bits differ between runs.
            options=(("preset", "faster"), ("x264-params", "cpu-independent=1")),
            containers=("mp4", "mov", "matroska"),
            crf=16,
            max_threads=8,
            interlaced_coding=True,
            nal_units=NalUnits(0, 31, frozenset({6}), range(1, 6), b"\x06"),
        ),
        CodecRecord(
            name="h265",
            summary="H.265, 8, 10 or 12 bits; smaller files, slower to encode",
            encoder="libx265",
            depths=(8, 10, 12),
            options=(("preset", "fast"), ("x265-params", "log-level=error")),
            containers=("mp4", "mov", "matroska"),
            crf=18,
            max_threads=3,
            container_tags=MappingProxyType({"mp4": "hvc1", "mov": "hvc1"}),  # what Apple's players want
            nal_units=NalUnits(1, 63, frozenset({39, 40}), range(32), b"\x4e\x01"),
        ),
        CodecRecord(
            name="prores",
            summary="ProRes 422 HQ or 4444, 10 bits; for editing",
            encoder="prores_ks",
            depths=(10,),
            options=(("vendor", "apl0"),),
            containers=("mov", "matroska"),
            chroma_formats=("422", "444"),
            chroma_options=MappingProxyType({"422": (("profile", "hq"),), "444": (("profile", "4444"),)}),
            interlaced_coding=True,
            full_range_tagged=False,
        ),
        CodecRecord(
            name="ffv1",
            summary="FFV1, up to 16 bits, lossless; for archives",
            encoder="ffv1",
            depths=(8, 9, 10, 12, 14, 16),
            options=(("level", "3"), ("g", "1"), ("slicecrc", "1")),
            containers=("matroska",),
            odd_sizes=True,
            fields_in_frames=True,
            aspect_in_frames=True,
        ),
    )
}
DEFAULT_CODEC = "h264"


def find_codec(name: str) -> CodecRecord:
    """The record of a codec.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in CODECS:
        raise UsageError("codec", f"there is no codec {name}", f"choose among {', '.join(CODECS)}")
    return CODECS[name]


def alternatives(names: Iterable[str]) -> str:
    """Names as a choice in a sentence: ``a, b or c``."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
