"""What a film says about itself: size, time, color tags, the streams beside the picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
from av.stream import Stream
from av.video.stream import VideoStream

from kinemacolor.core.orientation import Orientation, matrix_orientation
from kinemacolor.core.types import Coding, Matrix
from kinemacolor.video.film_clock import film_clock
from kinemacolor.video.planes import FilmChroma, PixelLayout, display_matrix, pixel_layout

RANGE_LIMITED, RANGE_FULL = 1, 2
FieldOrder = Literal["progressive", "top", "bottom"]
"""Which field of an interlaced frame comes first."""
_MATRIX_OF_TAG: dict[int, Matrix] = {
    1: "bt709",
    4: "bt601",  # FCC: within a code of BT.601
    5: "bt601",
    6: "bt601",
    7: "bt709",  # SMPTE 240M: nearest to BT.709
    9: "bt2020",
    10: "bt2020",
}
_TAG_OF_MATRIX: dict[Matrix, int] = {"bt601": 6, "bt709": 1, "bt2020": 9}
_LIMITED_WHEN_UNTAGGED = frozenset(
    {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9", "av1", "libdav1d"}
)
_MOST_ASPECT = Fraction(8)
"""Of a pixel; real films stay below 4."""
_TILT = 0.5  # degrees
_TILTED = "its mark turns the picture by {:+.0f}° more than a quarter turn; images, stills and sheets are not tilted"


@dataclass(frozen=True, slots=True)
class ColorTags:
    """Color tags as H.273 numbers (2 is "unspecified"); ``range``: 0 unspecified, 1 limited, 2 full."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0

    def for_output(self, coding: Coding) -> ColorTags:
        """The same tags, with matrix and range set where the film left them unspecified or named RGB."""
        matrix = self.matrix if self.matrix in _MATRIX_OF_TAG else _TAG_OF_MATRIX[coding.matrix]
        return ColorTags(self.primaries, self.transfer, matrix, RANGE_FULL if coding.full_range else RANGE_LIMITED)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """A stream beside the picture.

    Attributes:
        index: its number in the container.
        type: ``audio``, ``subtitle``, ``data``, ``attachment`` or ``video`` (cover pictures, second angles).
        codec: FFmpeg's name of the codec, or None where it has none.
        language: as tagged (usually ISO 639-2), or None.
        metadata: its tags.
    """

    index: int
    type: str
    codec: str | None
    language: str | None
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a film says about itself.

    Attributes:
        path: the film, folder or pattern that was opened.
        width, height: of a frame as stored, in pixels, before ``sample_aspect_ratio`` and ``rotation``.
        coding: meaning of the code values.
        pixel_format: FFmpeg's name of the decoded format.
        chroma_format: subsampling of the film's own color; ``gray`` where it has none.
        rate: frames a second, as declared or guessed; a variable-rate film has only its frames' times.
        time_base: seconds in one unit of ``Frame.pts``.
        first_time: presentation time of the first frame, in seconds.
        frames: the container's count, or duration x rate, or None.
        duration: of the film in seconds, or None.
        sample_aspect_ratio: width / height of a pixel; 1 if unset.
        rotation: degrees clockwise (0, 90, 180, 270) that a viewer must turn the picture.
        flipped: whether a viewer must mirror the picture before turning it.
        tags: color tags as decoded.
        codec: FFmpeg's name of the film's codec.
        container: FFmpeg's name of the container format.
        other_streams: the streams beside the picture.
        metadata: the container's tags.
        video_metadata: the video stream's tags.
        chapters: as PyAV gives them: id, start, end, time_base, metadata.
        display_matrix: nine numbers in FFmpeg's layout, or None.
        names: of a film of images, their names without extension; else None.
        missing: of a film of images, a line that says which are missing by their numbers; None where none is.
        numbers: of a film of images, the numbers at the ends of their names, if these rise from image to image; else
            None.
        stream: index of the film's pictures among the streams of the container.
        field_order: ``progressive``, or for interlaced films ``top`` or ``bottom``: which field comes first.
        remarks: what the user should know about how the film is read, a line each.
    """

    path: Path
    width: int
    height: int
    coding: Coding
    pixel_format: str
    chroma_format: FilmChroma
    rate: Fraction
    time_base: Fraction
    first_time: Fraction
    frames: int | None
    duration: float | None
    sample_aspect_ratio: Fraction
    rotation: int
    tags: ColorTags
    codec: str
    container: str
    other_streams: tuple[StreamInfo, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)
    chapters: tuple[Any, ...] = ()
    display_matrix: tuple[int, ...] | None = None
    numbers: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    missing: str | None = None
    flipped: bool = False
    stream: int = 0
    field_order: FieldOrder = "progressive"
    remarks: tuple[str, ...] = ()

    @property
    def orientation(self) -> Orientation:
        """What a viewer does with the stored picture."""
        return Orientation(self.rotation, self.flipped)


def picture_tags(picture: av.VideoFrame) -> ColorTags:
    """The color tags of a decoded picture."""
    return ColorTags(
        int(picture.color_primaries), int(picture.color_trc), int(picture.colorspace), int(picture.color_range)
    )


def picture_coding(picture: av.VideoFrame, layout: PixelLayout, codec: str) -> Coding:
    """What the code values of a decoded picture mean.

    An untagged matrix is BT.709 for pictures at least 1280 pixels wide or 577 high, else BT.601, as players assume.
    RGB is read as full-range BT.709. An untagged range is limited for Y'CbCr and for gray in codecs whose standard
    says so (H.264, HEVC, MPEG, VP9, AV1); other gray (PNG, FFV1 …) is full range, as FFmpeg assumes.
    """
    tags = picture_tags(picture)
    if layout.planes == "rgb":
        return Coding(layout.bit_depth, True, "bt709")
    usual: Matrix = "bt709" if picture.width >= 1280 or picture.height > 576 else "bt601"
    matrix = _MATRIX_OF_TAG.get(tags.matrix, "bt709" if tags.matrix == 0 else usual)
    full_when_untagged = layout.always_full or (layout.planes == "gray" and codec not in _LIMITED_WHEN_UNTAGGED)
    full = tags.range == RANGE_FULL or (tags.range != RANGE_LIMITED and full_when_untagged)
    return Coding(layout.bit_depth, full, matrix)


def film_info(
    path: Path, container: av.container.InputContainer, stream: VideoStream, picture: av.VideoFrame, first_pts: int
) -> VideoInfo:
    """What an opened film and its first decoded picture say."""
    layout = pixel_layout(picture.format.name)
    time_base = stream.time_base or Fraction(1, 90000)
    rate = stream.guessed_rate or stream.average_rate or Fraction(25)
    seconds: float | None = None
    if stream.duration is not None:
        seconds = float(stream.duration * time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    clock = film_clock(container)
    if clock.jumps:
        seconds = float(clock.ends[stream.index] - first_pts * time_base)
    count = stream.frames or (round(seconds * rate) if seconds else None)
    matrix = display_matrix(picture)
    orientation, tilt = matrix_orientation(matrix)
    aspect, strange = _pixel_aspect(stream)
    remarks = [f"{path}: {_TILTED.format(tilt)}"] if abs(tilt) >= _TILT else []
    if strange:
        remarks.append(f"{path}: {strange}")
    return VideoInfo(
        path=path,
        width=picture.width,
        height=picture.height,
        coding=picture_coding(picture, layout, stream.codec_context.name),
        pixel_format=picture.format.name,
        chroma_format=layout.chroma,
        rate=rate,
        time_base=time_base,
        first_time=first_pts * time_base,
        frames=count,
        duration=seconds,
        sample_aspect_ratio=aspect,
        rotation=orientation.rotation,
        tags=picture_tags(picture),
        codec=stream.codec_context.name,
        container=container.format.name,
        other_streams=tuple(_stream_info(other) for other in container.streams if other.index != stream.index),
        metadata=dict(container.metadata),
        video_metadata=dict(stream.metadata),
        chapters=tuple(container.chapters()),
        display_matrix=matrix,
        flipped=orientation.flipped,
        stream=stream.index,
        remarks=(*remarks, *clock.remarks(path, stream.index, first_pts * time_base)),
    )


def _pixel_aspect(stream: VideoStream) -> tuple[Fraction, str | None]:
    """Width / height of a pixel, and a remark where the film's mark of it makes no sense."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT:
        return aspect, None
    ratio = f"{aspect.numerator}:{aspect.denominator}"
    return Fraction(1), f"its mark says that a pixel is {ratio} as wide as high; pixels are taken to be square"


def _stream_info(stream: Stream) -> StreamInfo:
    codec = stream.codec_context.name if stream.codec_context is not None else getattr(stream, "name", None)
    return StreamInfo(stream.index, stream.type, codec, stream.metadata.get("language"), dict(stream.metadata))
