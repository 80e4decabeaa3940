"""Closed captions inside the picture stream (ATSC A/53 part 4, CEA-708), from the film into the colored film.

They come with decoded pictures as a list of three-byte units, and go into H.264 and H.265 as messages in front of the
picture (ITU-T H.264 annex D, H.265 annex D: user data registered by ITU-T T.35).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.sidedata.sidedata import Type

from kinemacolor.video.codecs import CODECS, NalUnits, alternatives
from kinemacolor.video.decode import open_film, video_stream
from kinemacolor.video.input_container import container_packets
from kinemacolor.video.side_data import picture_side_data

_CODECS_WITH_CAPTIONS = ("mpeg1video", "mpeg2video", "h264", "hevc")
_MARKS = (b"GA94\x03", b"\0\0\1\xb2CC\1", b"\0\0\1\xb2\x03\x01", b"\0\0\1\xb2\x03\x81")  # A/53, DVD, SCTE 20
_SEARCHED_PACKETS = 4000
_SEARCHED_BYTES = 512 << 20
_REGISTERED_USER_DATA = 4
_A53_HEADER = b"\xb5\x00\x31GA94\x03"  # USA, ATSC, captions
_UNIT, _MOST_UNITS = 3, 31


def picture_captions(picture: av.VideoFrame) -> bytes | None:
    """The captions of a decoded picture, in units of three bytes; None where it has none."""
    return picture_side_data(picture, Type.A53_CC) or None


def caption_warning(film: Path, index: int, codec: str) -> str | None:
    """A line where the stream ``index`` has captions in its first minutes, and a codec cannot hold them."""
    if CODECS[codec].nal_units is not None or not _has_captions(film, index):
        return None
    holders = alternatives(name for name, record in CODECS.items() if record.nal_units is not None)
    return (
        f"the closed captions inside the picture stream are left out, which {codec} cannot hold; {holders} keeps them"
    )


def _has_captions(film: Path, index: int) -> bool:
    with open_film(film) as container:
        stream = video_stream(film, container, index)
        if stream.codec_context.name not in _CODECS_WITH_CAPTIONS:
            return False
        size = 0
        with contextlib.suppress(av.FFmpegError, OSError):
            for count, packet in enumerate(container_packets(container, stream)):
                data = bytes(packet)
                if any(mark in data for mark in _MARKS):
                    return True
                size += len(data)
                if count > _SEARCHED_PACKETS or size > _SEARCHED_BYTES:
                    break
    return False


class CaptionInserter:
    """Puts the captions of frames into the packets of an encoder, which gives them in another order.

    Args:
        codec: name of the codec; captions are left out where it cannot hold them.
    """

    def __init__(self, codec: str) -> None:
        self._units = CODECS[codec].nal_units
        self._waiting: dict[int, bytes] = {}

    def add(self, pts: int, captions: bytes | None) -> None:
        """Takes the captions of the frame at ``pts``, in the encoder's unit of time."""
        if captions and self._units is not None:
            self._waiting[pts] = captions

    def insert(self, packet: Packet[Any]) -> Packet[Any]:
        """A packet with the captions of its frame; the same one where the frame has none."""
        captions = None if packet.pts is None else self._waiting.pop(packet.pts, None)
        if captions is None or self._units is None:
            return packet
        captioned: Packet[Any] = Packet(insert_captions(bytes(packet), captions, self._units))
        captioned.pts, captioned.dts, captioned.duration = packet.pts, packet.dts, packet.duration
        captioned.time_base, captioned.is_keyframe = packet.time_base, packet.is_keyframe
        return captioned


def insert_captions(picture: bytes, captions: bytes, units: NalUnits) -> bytes:
    """An encoded picture (Annex B) with captions in front of its first slice."""
    place = picture.find(b"\0\0\1")
    while place >= 0 and units.type_of(picture[place + 3 :]) not in units.slices:
        place = picture.find(b"\0\0\1", place + 3)
    if place < 0:
        return picture
    if place and picture[place - 1] == 0:  # a start code of four bytes
        place -= 1
    return picture[:place] + _messages(captions, units) + picture[place:]


def _messages(captions: bytes, units: NalUnits) -> bytes:
    most = _UNIT * _MOST_UNITS
    message = b""
    for start in range(0, len(captions) - len(captions) % _UNIT, most):
        part = captions[start : start + most]
        part = part[: len(part) - len(part) % _UNIT]
        payload = _A53_HEADER + bytes([0x40 | len(part) // _UNIT, 0xFF]) + part + b"\xff"
        content = bytes([_REGISTERED_USER_DATA, len(payload)]) + payload + b"\x80"
        message += b"\0\0\0\1" + units.message_header + _escape(content)
    return message


def _escape(content: bytes) -> bytes:
    """Bytes among which no start code occurs (emulation prevention, H.264 section 7.4.1)."""
    escaped = bytearray()
    zeros = 0
    for value in content:
        if zeros >= 2 and value <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(value)
        zeros = zeros + 1 if value == 0 else 0
    return bytes(escaped)
