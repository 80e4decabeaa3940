"""A copy of a part of a film on the disk, without loss, from which frames are read much faster than from the film.

Each picture is coded by itself (FFmpeg's variant of HuffYUV, gray): 0.3 to 0.6 bytes a pixel of 8 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet

from kinemacolor.core.errors import InputError
from kinemacolor.core.memory import check_memory
from kinemacolor.core.types import Array, Coding, Frame
from kinemacolor.video.film_sink import output_error
from kinemacolor.video.packets import EncodedSegment, PacketFile, SegmentFormat, read_packets

CODEC = "ffvhuff"
_OPTIONS = {"pred": "median"}
_CAPTIONS_SIZE = struct.Struct("<I")  # before each picture, with its captions


def write_frame_cache(path: Path, frames: Iterable[Frame]) -> None:
    """Keeps frames in a file, without their chroma; it gets its name when it is complete.

    Args:
        path: in an existing folder.
        frames: at least one, all of one size and coding.

    Raises:
        OutputError: the disk is full, or writing fails in another way.
    """
    file: PacketFile | None = None
    encoder: Any = None
    try:
        for frame in frames:
            if file is None:
                encoder = _open_encoder(frame)
                file = PacketFile(path, _cache_format(frame, encoder))
            (packet,) = encoder.encode(_gray_picture(frame))
            file.add(_with_captions(packet, frame))
        if file is None:
            raise ValueError("frames: expected at least one, got none")
        file.finish()
    except BaseException as error:
        if file is not None:
            file.abandon()
        if isinstance(error, av.FFmpegError | OSError):
            raise output_error(path, error) from error
        raise


def read_frame_cache(path: Path, first: int, coding: Coding) -> Iterator[Frame]:
    """The frames of a file that ``write_frame_cache`` made, one at a time.

    Args:
        path: the file.
        first: index of its first frame in the film.
        coding: of the film.

    Raises:
        InputError: it is missing or damaged.
    """
    remedy = "remove it, and give the same command again"
    try:
        segment = read_packets(path)
        decoder = _open_decoder(segment.format)
        for index, picture in enumerate(segment.packets(), first):
            (size,) = _CAPTIONS_SIZE.unpack_from(picture.data)
            begin = _CAPTIONS_SIZE.size + size
            luma = _decoded_luma(decoder, picture.data[begin:], segment, coding)
            captions = picture.data[_CAPTIONS_SIZE.size : begin] or None
            yield Frame(index, picture.pts, segment.format.ticks, luma, coding, picture.duration, None, captions)
    except (InputError, av.FFmpegError, ValueError) as error:
        check_memory(error)
        raise InputError(path, "this copy of a part of the film is damaged", remedy) from error


def _open_encoder(frame: Frame) -> Any:
    height, width = frame.luma.shape
    encoder: Any = av.CodecContext.create(CODEC, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, _pixel_format(frame.coding)
    encoder.time_base, encoder.framerate = frame.time_base, 24  # the rate is asked for, and changes nothing
    encoder.options = dict(_OPTIONS)
    encoder.thread_count = 1  # several threads give packets only after later frames, here and below
    encoder.open()
    return encoder


def _open_decoder(cache_format: SegmentFormat) -> Any:
    decoder: Any = av.CodecContext.create(cache_format.codec, "r")
    decoder.width, decoder.height, decoder.pix_fmt = cache_format.width, cache_format.height, cache_format.pixel_format
    decoder.extradata = cache_format.extradata
    decoder.thread_count = 1
    return decoder


def _cache_format(frame: Frame, encoder: Any) -> SegmentFormat:
    height, width = frame.luma.shape
    extradata = bytes(encoder.extradata or b"")
    return SegmentFormat(CODEC, encoder.pix_fmt, width, height, frame.time_base, _OPTIONS, extradata)


def _pixel_format(coding: Coding) -> str:
    return "gray" if coding.bit_depth == 8 else "gray16le"


def _gray_picture(frame: Frame) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.luma), format=_pixel_format(frame.coding))
    picture.pts, picture.time_base = frame.pts, frame.time_base
    return picture


def _with_captions(packet: Packet[Any], frame: Frame) -> Packet[Any]:
    captions = frame.captions or b""
    kept: Packet[Any] = Packet(_CAPTIONS_SIZE.pack(len(captions)) + captions + bytes(packet))
    kept.pts, kept.duration, kept.is_keyframe = frame.pts, frame.duration, True
    return kept


def _decoded_luma(decoder: Any, data: bytes, segment: EncodedSegment, coding: Coding) -> Array:
    (picture,) = decoder.decode(Packet(data))
    luma: Array = picture.to_ndarray().astype(coding.dtype, copy=False)
    if luma.shape != (segment.format.height, segment.format.width):
        raise ValueError(f"picture: expected {segment.format.width}x{segment.format.height}, got {luma.shape}")
    return luma
