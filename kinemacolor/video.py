"""Films in and films out: the reader, the writer, and what they say about a film."""

from kinemacolor.video_info import ColorTags, StreamInfo, VideoInfo
from kinemacolor.video_output import CodecName, check_destination, output_chroma
from kinemacolor.video_planes import ChromaFormat, FilmChroma
from kinemacolor.video_reader import VideoReader
from kinemacolor.video_writer import VideoWriter

__all__ = [
    "ChromaFormat",
    "CodecName",
    "ColorTags",
    "FilmChroma",
    "StreamInfo",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_destination",
    "output_chroma",
]
