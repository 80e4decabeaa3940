"""Sound that a container cannot hold as it is, converted to PCM or FLAC with every sample kept."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from kinemacolor.core.memory import check_memory
from kinemacolor.video.stream_converter import StreamConverter

_PCM_OF_FORMAT = {
    "u8": "pcm_u8",
    "s16": "pcm_s16le",
    "s32": "pcm_s32le",
    "s64": "pcm_s64le",
    "flt": "pcm_f32le",
    "dbl": "pcm_f64le",
}
_DEPTH_24 = frozenset(
    {"pcm_dvd", "pcm_bluray", "pcm_s24daud", "pcm_s24le", "pcm_s24be", "truehd", "mlp"}
)  # decoded to 32 bits, 24 of them used
_FLAC_CHANNELS = 8
_USUAL_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")  # of one channel and more
_SILENT_SAMPLES = 1024


class SoundConverter(StreamConverter):
    """Decodes the packets of a stream of sound and encodes the samples without loss.

    Args:
        stream: of the film.
        output: takes the new stream; its header must not be written yet.

    Raises:
        ValueError: the stream cannot be decoded, or the container holds neither PCM nor FLAC of this kind.
    """

    allowed_when_strict = False
    units = "packets of audio"

    def __init__(self, stream: Stream, output: OutputContainer) -> None:
        source: Any = stream.codec_context
        if source is None or stream.type != "audio" or source.format is None or not source.sample_rate:
            raise ValueError(f"stream {stream.index}: expected sound that can be decoded")
        self._source: Any = source
        self._end: int | None = None
        self._tick = Fraction(1, source.sample_rate)
        self._layout = _named_layout(source.layout)
        super().__init__(stream, *self._add_target(output))

    def _add_target(self, output: OutputContainer) -> tuple[str, Any]:
        source = self._source
        sample_format = source.format.packed.name
        for codec in _lossless_codecs(source.name, sample_format, source.layout.nb_channels, output.format.name):
            try:
                target: Any = output.add_stream(codec, rate=source.sample_rate)
            except ValueError:
                continue
            context = target.codec_context
            context.layout, context.time_base = self._layout, self._tick
            if codec == "flac" or codec.endswith(("s24le", "s32le")):
                context.format = sample_format
            target.time_base = self._tick
            return codec, target
        raise ValueError(f"{output.format.name}: holds no lossless copy of {source.name}")

    def rehearsal_packets(self, sample: Packet[Stream] | None) -> list[Packet[Any]]:
        """Those of a short silence: the first packet of many codecs gives no samples by itself."""
        frame = av.AudioFrame(self._source.format.packed.name, self._layout, _SILENT_SAMPLES)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate = self._source.sample_rate
        frame.pts, frame.time_base = 0, self._tick
        packets = [*self.target.codec_context.encode(frame), *self.target.codec_context.encode(None)]
        for encoded in packets:
            encoded.time_base = self._tick
        return packets

    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Any]]:
        """See ``StreamConverter.convert``; times are in samples."""
        try:
            frames = self._source.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            check_memory(error)
            self.lost += packet is not None
            frames = []
        packets: list[Packet[Any]] = []
        for frame in frames:
            self._place(frame)
            packets.extend(self.target.codec_context.encode(frame))
        if packet is None:
            packets.extend(self.target.codec_context.encode(None))
        for encoded in packets:
            encoded.time_base = self._tick
        return packets

    def conversion_warning(self, container: str) -> str:
        """See ``StreamConverter.conversion_warning``."""
        return (
            f"audio stream {self._index} ({self._source_name}), which {container} output cannot hold as it is, was "
            f"converted to {self.codec} without loss"
        )

    def _place(self, frame: Any) -> None:
        """Gives a frame its time in samples: that of the film, unless it follows the last one but for rounding."""
        time = None
        if frame.pts is not None and frame.time_base:
            time = round(frame.pts * frame.time_base / self._tick)
        rounding = 0 if not frame.time_base else round(2 * frame.time_base / self._tick) + 1
        if self._end is not None and (time is None or abs(time - self._end) <= rounding):
            time = self._end
        frame.pts, frame.time_base = time or 0, self._tick
        self._end = frame.pts + frame.samples


def _named_layout(layout: Any) -> Any:
    """A layout with names for its channels, which MP4 requires; films such as WMV tell only their number."""
    if layout.name.endswith("channels") and layout.nb_channels <= len(_USUAL_LAYOUTS):
        return av.AudioLayout(_USUAL_LAYOUTS[layout.nb_channels - 1])
    return layout


def _lossless_codecs(codec: str, sample_format: str, channels: int, container: str) -> list[str]:
    """Codecs that keep every sample, the best for a container first."""
    pcm = _PCM_OF_FORMAT.get(sample_format)
    if pcm is None:
        return []
    deep = sample_format == "s32" and codec in _DEPTH_24
    choices = ["pcm_s24le"] if deep else [pcm]
    if sample_format == "u8":
        choices.append("pcm_s16le")
    # Few players read PCM in MP4.
    if container == "mp4" and channels <= _FLAC_CHANNELS and (sample_format == "s16" or deep):
        choices.insert(0, "flac")
    return choices
