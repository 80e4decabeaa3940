"""Where the decoding of a film can begin in its middle, and which frame that is."""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream
from numpy.typing import NDArray

from kinemacolor.video.decode import open_film, video_stream

_SEEKABLE = ("matroska", "mov,mp4", "mpeg")  # and mpegts
_ONE_FRAME_A_PACKET = frozenset(
    ("h264", "hevc", "vp9", "libdav1d", "av1", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "mjpeg")
) | {"dvvideo", "rawvideo", "v210", "png", "jpeg2000", "cfhd"}
"""Codecs without packets that show nothing (VP8, MPEG-4 Visual) or half a picture (MPEG-2)."""
_BATCH = 512


class EntryPoints:
    """The keyframes of a film and the times of its frames, found by one pass over its packets without decoding.

    The pass goes no further than it was asked for, and goes on from there; it keeps 8 bytes for each frame.

    Args:
        path: the film.
        first: time of the first frame that decodes, in units of the stream's time base, as all times here.

    Attributes:
        trusted: False where not even keyframes can be told; nothing is answered any more.
        counted: whether frames can be counted by packets: each holds one frame, with a time of its own. Where that is
            in doubt it turns False, and frames have no numbers any more.
    """

    def __init__(self, path: Path, first: int) -> None:
        self.trusted = self.counted = True
        self._path, self._first = path, first
        self._lock = threading.Lock()
        self._container: InputContainer | None = None
        self._packets: Iterator[Packet[VideoStream]] | None = None
        self._seen, self._keys = array("q"), array("q")
        self._sorted: NDArray[np.int64] = np.empty(0, np.int64)
        self._settled = 0
        self._horizon: int | None = None
        self._complete = False

    def close(self) -> None:
        """Closes the film; what was found stays, and no more is found."""
        with self._lock:
            self._shut()
            self.trusted = self.trusted and self._complete

    def time_of(self, number: int) -> int | None:
        """The time of frame ``number``; None where the film has none, or frames are not counted."""
        with self._lock:
            while self._settled <= number and self.counted and self._read():
                pass
            return int(self._sorted[number]) if self.counted and number < self._settled else None

    def number_of(self, time: int) -> int | None:
        """The number of the first frame at or after ``time``; None as for ``time_of``."""
        with self._lock:
            while not (self._settled and self._sorted[self._settled - 1] >= time) and self.counted and self._read():
                pass
            found = int(np.searchsorted(self._sorted[: self._settled], time))
            return found if self.counted and found < self._settled else None

    def key_before(self, time: int) -> int | None:
        """The time of the last keyframe at or before ``time``; None where there is none, or it cannot be told."""
        with self._lock:
            while (self._horizon is None or self._horizon <= time) and self._read():
                pass
            keys = np.array(self._keys, np.int64)
            keys = keys[keys <= time]
            return int(keys.max()) if self.trusted and len(keys) else None

    def _read(self) -> bool:
        """Reads on; False where there is no more to read."""
        if self._complete or not self.trusted:
            return False
        try:
            if self._packets is None:
                self._open()
            self._complete = self.trusted and not self._batch()
        except (av.FFmpegError, OSError):
            self.trusted = False
        if not self.trusted or self._complete:
            self._shut()
        self.counted = self.counted and self.trusted
        if self.counted:
            self._settle()
        return self.trusted

    def _open(self) -> None:
        container = open_film(self._path)
        self._container = container
        stream = video_stream(self._path, container)
        self._picture = stream.index
        self._decoding_order = container.format.name == "avi"
        self.trusted = container.format.name.startswith(_SEEKABLE) or self._decoding_order
        self.counted = self.counted and stream.codec_context.name in _ONE_FRAME_A_PACKET
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        self._packets = iter(container.demux(stream))

    def _batch(self) -> bool:
        """Takes in some packets; False at the end of the film."""
        for _ in range(_BATCH):
            packet = next(self._packets, None) if self._packets is not None else None
            if packet is None or not packet.size:
                return False
            if packet.is_discard:  # cut off by an edit list: such a packet yields no frame
                continue
            time = packet.dts if self._decoding_order else packet.pts
            # AVI stores the order of decoding alone, which is that of display where all are keyframes.
            if self._decoding_order and not packet.is_keyframe:
                self.trusted = False
                return False
            if packet.dts is not None:
                self._horizon = packet.dts
            if time is None or packet.is_corrupt:
                self.counted = False
                continue
            self._seen.append(time)
            if packet.is_keyframe:
                self._keys.append(time)
        return True

    def _settle(self) -> None:
        """Puts times in order, and tells which of them no later packet can come before."""
        times = np.sort(np.frombuffer(self._seen, np.int64)) if self._seen else np.empty(0, np.int64)
        self._sorted = times
        if self._complete:
            self._settled = len(times)
        elif self._horizon is not None:
            self._settled = int(np.searchsorted(times, self._horizon))
        checked = times[: self._settled]
        if len(checked) and (checked[0] != self._first or (np.diff(checked) <= 0).any()):
            self.counted = False

    def _shut(self) -> None:
        container, self._container, self._packets = self._container, None, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                container.close()
