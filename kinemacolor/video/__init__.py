"""Films in and films out: the reader, the writer, and what they say about a film."""

from kinemacolor.video.info import ColorTags, StreamInfo, VideoInfo
from kinemacolor.video.output import CodecName, Encoding, check_destination, output_chroma
from kinemacolor.video.planes import ChromaFormat, FilmChroma
from kinemacolor.video.reader import VideoReader
from kinemacolor.video.segments import SegmentWriter, join_segments, read_segment, segment_frames
from kinemacolor.video.writer import VideoWriter, plan_output

__all__ = [
    "ChromaFormat",
    "CodecName",
    "ColorTags",
    "Encoding",
    "FilmChroma",
    "SegmentWriter",
    "StreamInfo",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "check_destination",
    "join_segments",
    "output_chroma",
    "plan_output",
    "read_segment",
    "segment_frames",
]
