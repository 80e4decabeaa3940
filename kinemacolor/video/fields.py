"""Interlaced films: which field of a frame comes first, and how an output's marks say so."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

import av
import av.filter

from kinemacolor.video.codecs import CodecRecord
from kinemacolor.video.info import FieldOrder, VideoInfo

_TOP_FIRST, _BOTTOM_FIRST = (2, 4), (3, 5)
"""FFmpeg's numbers: 4 and 5 are what it writes for fields that lie interleaved in a frame."""
_MARKED_FRAMES = frozenset({"h264", "mpeg2video", "mpeg4", "vc1", "wmv3", "dvvideo", "prores", "dnxhd", "ffv1"})
"""Codecs whose frames say whether they are interlaced; of others only the container can."""
_INTERLACED_CODING = {"flags": "+ilme+ildct"}
_REMEDY = "where motion shows combs, deinterlace the film first (ffmpeg -i film -vf bwdif -c:v ffv1 film.mkv)"
_EXAMINED = 24  # frames
_MANY = 0.1  # of all frames
_TICKS = Fraction(1, 1000)
_ORDER_OPTIONS: dict[str, dict[FieldOrder, str]] = {
    "mov": {"top": "tb", "bottom": "bt"},  # in QuickTime 9 and 14: interleaved, top or bottom field first
    "matroska": {"top": "tt", "bottom": "bb"},
}


def film_field_order(
    first: av.VideoFrame, following: Iterator[av.VideoFrame], declared: int, codec: str
) -> tuple[FieldOrder, str | None]:
    """The field order of a film, and what the user should know about how it was found.

    Args:
        first: its first picture.
        following: those after it; read where the picture and the stream disagree.
        declared: what the stream says: FFmpeg's AVFieldOrder.
        codec: of the film.
    """
    if first.interlaced_frame:
        return _first_field(first), None
    if declared not in (*_TOP_FIRST, *_BOTTOM_FIRST):
        return "progressive", None
    of_stream: FieldOrder = "top" if declared in _TOP_FIRST else "bottom"
    if codec not in _MARKED_FRAMES:
        return of_stream, None
    examined = list(islice(following, _EXAMINED))
    interlaced = [picture for picture in examined if picture.interlaced_frame]
    if 2 * len(interlaced) > len(examined):
        return _first_field(interlaced[0]), None
    return "progressive", (
        f"the file says that the film is interlaced ({of_stream} field first), but its frames are marked as "
        f"progressive and taken for that; {_REMEDY}"
    )


def mixed_fields(info: VideoInfo, interlaced: int, frames: int) -> str | None:
    """A line for a film whose first frames are progressive, but many others interlaced; else None."""
    if info.field_order != "progressive" or interlaced < _MANY * frames:
        return None
    return (
        f"{info.path}: {interlaced} of {frames} frames are marked as interlaced, but not the first ones, as whose the "
        f"output is marked; {_REMEDY}"
    )


def _first_field(picture: av.VideoFrame) -> FieldOrder:
    """Of an interlaced picture; PyAV does not tell, but a filter can ask."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=_TICKS)
    steps = graph.add("select", "eq(interlace_type,TOPFIRST)"), graph.add("buffersink")
    source.link_to(steps[0])
    steps[0].link_to(steps[1])
    graph.configure()
    source.push(picture)
    try:
        steps[1].pull()
    except (av.error.BlockingIOError, av.error.EOFError):
        return "bottom"
    return "top"


def field_options(record: CodecRecord, container: str, order: FieldOrder, height: int, chroma: str) -> dict[str, str]:
    """Options with which an encoder keeps the field order in its own marks and those of the container."""
    if order == "progressive":
        return {}
    options = {"field_order": _ORDER_OPTIONS.get(container, _ORDER_OPTIONS["mov"])[order]}
    coded = record.interlaced_coding and height % (4 if chroma == "420" else 2) == 0
    return {**options, **_INTERLACED_CODING} if coded else options


def field_warning(record: CodecRecord | None, container: str, order: FieldOrder, options: dict[str, str]) -> str | None:
    """What the user should know about an interlaced film, or None; ``record`` is None for images."""
    if order == "progressive":
        return None
    kept = "the output is marked so, too"
    if record is None:
        kept = "images bear no mark of it"
    elif "flags" not in options and not record.fields_in_frames and container == "mp4":
        kept = f"{record.name} in MP4 bears no mark of it (h264, or a .mov or .mkv file, does)"
    return (
        f"the film is interlaced ({order} field first): both fields of a frame are colored as one picture, {kept}; "
        f"{_REMEDY}"
    )
