"""Small synthetic films for tests, made with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from kinemacolor.core.types import Array

SUBTITLES = ((0.1, 0.2, "Where is the <i>train</i>?"), (0.35, 0.1, "Gone.\nLong gone."))


@dataclass(frozen=True)
class Film:
    """Describes a film to be written; times are in units of ``time_base``, or in seconds where the name says so."""

    width: int = 64
    height: int = 48
    count: int = 12
    pixel_format: str = "yuv420p"
    codec: str = "ffv1"
    options: dict[str, str] = field(default_factory=dict)
    rate: Fraction = Fraction(24)
    time_base: Fraction = Fraction(1, 1000)
    pts: Sequence[int] | None = None
    tags: tuple[int, int, int, int] = (2, 2, 2, 0)
    sar: Fraction = Fraction(1)
    display_matrix: tuple[int, ...] | None = None
    audio: str | None = None
    audio_seconds: float = 0.5
    audio_start: float = 0.0
    subtitles: Sequence[tuple[float, float, str]] = ()
    chapters: Sequence[tuple[float, float, str]] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    attachment: bytes | None = None
    container_options: dict[str, str] = field(default_factory=dict)

    @property
    def stamps(self) -> list[int]:
        """The frames' times, in units of ``time_base``."""
        if self.pts is not None:
            return list(self.pts)
        return [round(k / self.rate / self.time_base) for k in range(self.count)]


def plane(width: int, height: int, depth: int, seed: int) -> Array:
    """A gradient with a moving square and grain: no two seeds, rows or columns are equal."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = (x * 3 + y * 5 + seed * 7) % 200 + 20.0
    image[seed % height : seed % height + 8, seed % width : seed % width + 8] = 230
    image += rng.uniform(-2, 2, image.shape)
    codes: Array = (image * (1 << (depth - 8))).astype(np.uint8 if depth == 8 else np.uint16)
    return codes


def fill(picture: av.VideoFrame, depth: int, seed: int) -> list[Array]:
    """Fills each plane of a planar picture; returns the planes."""
    planes = []
    sample_bytes = 1 if depth == 8 else 2
    for number, target in enumerate(picture.planes):
        width = target.width * (2 if picture.format.name.startswith("nv") and number else 1)
        values = plane(width, target.height, depth, seed + 100 * number)
        rows = np.frombuffer(target, np.uint8).reshape(target.height, target.line_size)
        rows[:, : width * sample_bytes] = values.view(np.uint8).reshape(target.height, width * sample_bytes)
        planes.append(values)
    return planes


def make_film(path: Path, film: Film | None = None) -> list[list[Array]]:
    """Writes a film; returns the planes of its frames, which are exact if the codec is lossless."""
    film = film or Film()
    planes: list[list[Array]] = []
    with av.open(str(path), "w", container_options=dict(film.container_options)) as container:
        container.metadata.update(film.metadata)
        options = dict(film.options)
        if film.codec == "libx264":  # the same bytes on every processor: some tests cut and damage them
            options["x264-params"] = ":".join([*options.get("x264-params", "").split(), "cpu-independent=1"])
        video: Any = container.add_stream(film.codec, rate=film.rate, options=options)
        context = video.codec_context
        context.width, context.height, context.pix_fmt = film.width, film.height, film.pixel_format
        context.time_base = video.time_base = film.time_base
        context.sample_aspect_ratio = film.sar
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = film.tags
        if film.display_matrix:
            video.set_display_matrix(film.display_matrix)
        audio: Any = container.add_stream(film.audio, rate=48000) if film.audio else None
        if audio is not None:
            audio.metadata["language"] = "deu"
        subtitles: Any = container.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if film.subtitles else None
        if subtitles is not None:
            subtitles.metadata["language"] = "fra"
        if film.attachment is not None:
            container.add_attachment("font.ttf", "application/x-truetype-font", film.attachment)
        container.set_chapters(
            [
                {
                    "id": k + 1,
                    "start": round(a * 1000),
                    "end": round(b * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for k, (a, b, title) in enumerate(film.chapters)
            ]
        )
        container.start_encoding()
        _write_subtitles(container, subtitles, film)
        if audio is not None:
            _write_audio(container, audio, film)
        depth = max(component.bits for component in av.VideoFormat(film.pixel_format, 16, 16).components)
        for seed, pts in enumerate(film.stamps):
            picture = av.VideoFrame(film.width, film.height, film.pixel_format)
            planes.append(fill(picture, depth, seed))
            picture.pts, picture.time_base = pts, film.time_base
            picture.color_primaries, picture.color_trc, picture.colorspace, picture.color_range = film.tags
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return planes


def _write_subtitles(container: Any, stream: Any, film: Film) -> None:
    for start, seconds, text in film.subtitles:
        packet = av.Packet(text.encode())
        packet.stream, packet.time_base = stream, Fraction(1, 1000)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round(seconds * 1000)
        container.mux(packet)


def _write_audio(container: Any, stream: Any, film: Film) -> None:
    total, block = round(film.audio_seconds * 48000), 1024
    sample_format = stream.codec_context.format.name
    for start in range(0, total, block):
        samples = np.sin(np.arange(start, start + block) * 0.05)[None].repeat(2, axis=0)
        samples = (samples * 20000).astype(np.int16) if sample_format.startswith("s16") else samples.astype(np.float32)
        samples = samples if sample_format.endswith("p") else np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="stereo")
        frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
        frame.pts = start + round(film.audio_start * 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction, Fraction]]:
    """Bytes, time and duration (seconds) of the packets of the first stream of a kind."""
    records = []
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        for packet in container.demux(stream):
            if packet.size:
                base = packet.time_base
                records.append((bytes(packet), (packet.pts or 0) * base, (packet.duration or 0) * base))
    return records
