"""Where the decoding of a film can start in its middle, and at which frame that is."""

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
from av.stream import Discard, Stream
from numpy.typing import NDArray

from kinemacolor.video.decode import open_film, video_stream
from kinemacolor.video.film_clock import film_clock
from kinemacolor.video.input_container import container_packets

_SEEKABLE = ("matroska", "mov,mp4", "mpegts")  # beginnings of names
_PROGRAM_STREAM = "mpeg"  # "mpegvideo" is a stream without any container, and cannot be entered
_ONE_FRAME_PER_PACKET = frozenset(
    ("h264", "hevc", "vp9", "libdav1d", "av1", "prores", "dnxhd", "ffv1", "huffyuv", "ffvhuff", "utvideo", "mjpeg")
) | {"dvvideo", "rawvideo", "v210", "png", "jpeg2000", "cfhd"}
"""Codecs without packets that show nothing (VP8, MPEG-4 Visual) or half a picture (MPEG-2)."""
_BATCH = 512  # packets


class EntryPoints:
    """The keyframes of a film and the times of its frames, from one pass over its packets without decoding.

    The pass goes only as far as the questions require, and continues from there; it keeps 8 bytes for each frame.

    Args:
        path: the film.
        first: time of the first frame that decodes, in units of the stream's time base, as all times here.
        index: of the stream.

    Attributes:
        reliable: False where not even keyframes can be recognized; then every answer is None.
        countable: whether frames can be counted by packets: each holds one frame, with a time of its own. It turns
            False as soon as that is in doubt, and frames have no numbers any more.
    """

    def __init__(self, path: Path, first: int, index: int) -> None:
        self.reliable = self.countable = True
        self._path, self._first, self._index = path, first, index
        self._lock = threading.Lock()
        self._container: InputContainer | None = None
        self._packets: Iterator[Packet[Stream]] | None = None
        self._times, self._keyframes = array("q"), array("q")
        self._sorted_times: NDArray[np.int64] = np.empty(0, np.int64)
        self._final_count = 0
        self._decoded_until: int | None = None
        self._complete = False

    def close(self) -> None:
        """Closes the film; what was read stays known, and no more is read."""
        with self._lock:
            self._close_container()
            self.reliable = self.reliable and self._complete

    def time_of(self, number: int) -> int | None:
        """The time of frame ``number``; None where the film has no such frame, or frames cannot be counted."""
        with self._lock:
            while self._final_count <= number and self.countable and self._read_more():
                pass
            return int(self._sorted_times[number]) if self.countable and number < self._final_count else None

    def number_of(self, time: int) -> int | None:
        """The number of the first frame at or after ``time``; None as for ``time_of``."""
        with self._lock:
            while (
                not (self._final_count and self._sorted_times[self._final_count - 1] >= time)
                and self.countable
                and self._read_more()
            ):
                pass
            number = int(np.searchsorted(self._sorted_times[: self._final_count], time))
            return number if self.countable and number < self._final_count else None

    def keyframe_before(self, time: int) -> int | None:
        """The time of the last keyframe at or before ``time``; None where there is none, or none is recognized."""
        with self._lock:
            while (self._decoded_until is None or self._decoded_until <= time) and self._read_more():
                pass
            keyframes = np.array(self._keyframes, np.int64)
            keyframes = keyframes[keyframes <= time]
            return int(keyframes.max()) if self.reliable and len(keyframes) else None

    def _read_more(self) -> bool:
        """Reads some packets; False where there is no more to read."""
        if self._complete or not self.reliable:
            return False
        try:
            if self._packets is None:
                self._open()
            self._complete = self.reliable and not self._read_batch()
        except (av.FFmpegError, OSError):
            self.reliable = False
        if not self.reliable or self._complete:
            self._close_container()
        self.countable = self.countable and self.reliable
        if self.countable:
            self._sort_times()
        return self.reliable

    def _open(self) -> None:
        container = open_film(self._path)
        self._container = container
        stream = video_stream(self._path, container, self._index)
        self._picture = stream.index
        self._decoding_order = container.format.name == "avi"
        seekable = container.format.name.startswith(_SEEKABLE) or container.format.name == _PROGRAM_STREAM
        self.reliable = seekable or self._decoding_order
        if film_clock(container).jumps:  # seeking by time would lead anywhere
            self.reliable = False
        self.countable = self.countable and stream.codec_context.name in _ONE_FRAME_PER_PACKET
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        self._packets = container_packets(container, stream)

    def _read_batch(self) -> bool:
        """Reads up to ``_BATCH`` packets; False at the end of the film."""
        for _ in range(_BATCH):
            packet = next(self._packets, None) if self._packets is not None else None
            if packet is None:
                return False
            if packet.is_discard or not packet.size:  # cut off by an edit list, or empty: it yields no frame
                continue
            time = packet.dts if self._decoding_order else packet.pts
            # AVI stores only the decoding order, which is the display order where all frames are keyframes.
            if self._decoding_order and not packet.is_keyframe:
                self.reliable = False
                return False
            if packet.dts is not None:
                self._decoded_until = packet.dts
            if time is None or packet.is_corrupt:
                self.countable = False
                continue
            self._times.append(time)
            if packet.is_keyframe:
                self._keyframes.append(time)
        return True

    def _sort_times(self) -> None:
        """Sorts the times, and counts those that no later packet can precede."""
        times = np.sort(np.frombuffer(self._times, np.int64)) if self._times else np.empty(0, np.int64)
        self._sorted_times = times
        if self._complete:
            self._final_count = len(times)
        elif self._decoded_until is not None:
            self._final_count = int(np.searchsorted(times, self._decoded_until))
        checked = times[: self._final_count]
        if len(checked) and (checked[0] != self._first or (np.diff(checked) <= 0).any()):
            self.countable = False

    def _close_container(self) -> None:
        container, self._container, self._packets = self._container, None, None
        if container is not None:
            with contextlib.suppress(av.FFmpegError, OSError):
                container.close()
