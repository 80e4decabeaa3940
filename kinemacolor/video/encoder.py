"""How frames become pictures for an encoder, and how an encoder is set: one place for films and segments of films."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import av.filter

from kinemacolor.core.types import Frame
from kinemacolor.video.captions import CaptionInserter
from kinemacolor.video.codecs import CODECS, ChromaFormat
from kinemacolor.video.info import VideoInfo
from kinemacolor.video.output import Encoding
from kinemacolor.video.planes import convert_codes, picture_from_planes

_FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION
_ROWS_PER_THREAD = 128


def film_ticks(info: VideoInfo) -> Fraction:
    """Seconds in a unit of time of the output: times of the film are whole numbers of it."""
    return 1 / Fraction(info.time_base.denominator)


def set_encoder(context: Any, info: VideoInfo, encoding: Encoding) -> None:
    """Sets a codec context that is not open yet to write a film of ``info``; its options and frame rate stay."""
    context.width, context.height, context.pix_fmt = info.width, info.height, encoding.pixel_format
    context.time_base = film_ticks(info)
    context.sample_aspect_ratio = info.sample_aspect_ratio
    tags = info.tags.for_output(encoding.coding(info.coding))
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    context.colorspace, context.color_range = tags.matrix, tags.range
    context.flags |= _FRAME_DURATION
    context.thread_count = encoder_threads(encoding.codec, info.height)


def encoder_threads(codec: str, height: int) -> int:
    """Threads of an encoder; 0 leaves the number to FFmpeg.

    x264 and x265 write other bytes with another number of threads, and take it from the machine if it is not set: a
    film that is started on one computer and finished on another would not be the same.
    """
    most = CODECS[codec].max_threads
    return max(1, min(most, height // _ROWS_PER_THREAD)) if most else 0


def aspect_in_frames(info: VideoInfo, encoding: Encoding) -> bool:
    """Whether the pixel shape must be set on the frames themselves."""
    return info.sample_aspect_ratio != 1 and CODECS[encoding.codec].aspect_in_frames


class PictureConverter:
    """Turns a film's frames into pictures for its encoder."""

    def __init__(self, info: VideoInfo, encoding: Encoding) -> None:
        self._info, self._encoding = info, encoding
        self._ticks = film_ticks(info)
        self._marks = self._open_marks_filter()

    def picture(self, frame: Frame, shift: Fraction = Fraction(0)) -> av.VideoFrame:
        """The picture of a frame with U and V, ``shift`` seconds earlier than the frame."""
        if frame.chroma is None:
            raise ValueError("frame.chroma: expected U and V, got None")
        coding, target = frame.coding, self._encoding.coding(frame.coding)
        u, v = frame.chroma
        planes = (
            convert_codes(frame.luma, coding, target, chroma=False),
            convert_codes(u, coding, target, chroma=True),
            convert_codes(v, coding, target, chroma=True),
        )
        picture = picture_from_planes(planes, self._encoding.pixel_format)
        picture.pts = round(frame.time / self._ticks) - round(shift / self._ticks)
        picture.time_base = self._ticks
        picture.duration = round(frame.duration * frame.time_base / self._ticks)
        tags = self._info.tags.for_output(target)
        picture.color_primaries, picture.color_trc = tags.primaries, tags.transfer
        picture.colorspace, picture.color_range = tags.matrix, tags.range
        if self._marks is None:
            return picture
        self._marks.push(picture)
        filtered: Any = self._marks.pull()
        result: av.VideoFrame = filtered
        return result

    def _open_marks_filter(self) -> av.filter.Graph | None:
        """Sets marks on frames that PyAV cannot set: the field order, and the pixel shape, which the FFV1 encoder takes
        from there; None where there are none."""
        info, aspect = self._info, self._info.sample_aspect_ratio
        marks: list[tuple[str, str]] = []
        if aspect_in_frames(info, self._encoding):
            marks.append(("setsar", f"{aspect.numerator}/{aspect.denominator}"))
        if self._encoding.field_order != "progressive":
            marks.append(("setfield", "tff" if self._encoding.field_order == "top" else "bff"))
        if not marks:
            return None
        pixels = av.VideoFormat(self._encoding.pixel_format, info.width, info.height)
        graph = av.filter.Graph()
        source = graph.add_buffer(width=info.width, height=info.height, format=pixels, time_base=self._ticks)
        steps = [source, *(graph.add(name, value) for name, value in marks), graph.add("buffersink")]
        for step, following in pairwise(steps):
            step.link_to(following)
        graph.configure()
        return graph


class SegmentEncoder:
    """An encoder by itself, set as that of a whole film.

    Attributes:
        extradata: what the encoder says once for all frames (parameter sets), known from the start.
    """

    def __init__(self, info: VideoInfo, encoding: Encoding) -> None:
        context: Any = av.CodecContext.create(CODECS[encoding.codec].encoder, "w")
        set_encoder(context, info, encoding)
        context.framerate = info.rate
        context.bit_rate = 0
        context.options = dict(encoding.options)
        context.flags |= av.codec.context.Flags.global_header
        context.open()
        self._context, self._converter = context, PictureConverter(info, encoding)
        self._captions = CaptionInserter(encoding.codec)
        self.extradata = bytes(context.extradata or b"")

    def encode(self, frame: Frame | None) -> list[Any]:
        """The packets that are ready after a frame, or after the last one (None)."""
        picture = None if frame is None else self._converter.picture(frame)
        if frame is not None and picture is not None and picture.pts is not None:
            self._captions.add(picture.pts, frame.captions)
        return [self._captions.insert(packet) for packet in self._context.encode(picture)]


class FrameCheck:
    """Refuses frames that do not fit a film or do not follow one another.

    Attributes:
        last: time of the last frame in seconds, or None before the first one.
    """

    def __init__(self, info: VideoInfo, chroma_format: ChromaFormat) -> None:
        self._info, self._chroma_format = info, chroma_format
        self.last: Fraction | None = None

    def __call__(self, frame: Frame) -> None:
        """Raises ValueError where the frame's size, coding, U and V or time are wrong."""
        height, width = self._info.height, self._info.width
        if frame.luma.shape != (height, width) or frame.coding != self._info.coding:
            raise ValueError(f"frame {frame.index}: expected {width}x{height} in {self._info.coding}")
        step_y, step_x = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}[self._chroma_format]
        shape = (-(-height // step_y), -(-width // step_x))
        if frame.chroma is None or frame.chroma[0].shape != shape:
            got = None if frame.chroma is None else frame.chroma[0].shape
            raise ValueError(f"frame {frame.index}: expected U and V of {shape} ({self._chroma_format}), got {got}")
        if self.last is not None and frame.time <= self.last:
            raise ValueError(f"frame {frame.index}: expected a time after {self.last} s, got {frame.time} s")
        self.last = frame.time
