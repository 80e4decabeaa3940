"""Films in and films out: the reader, the writer, and what they say about a film."""

from kinemacolor.video.info import ColorTags, StreamInfo, VideoInfo
from kinemacolor.video.output import CodecName, check_destination, output_chroma
from kinemacolor.video.planes import ChromaFormat, FilmChroma
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.writer import VideoWriter

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
