"""Colors films of sixty combinations of container, codec, pixel format and sound, and compares them with their sources.

    python benchmarks/containers.py [--limit 60]

Sources are made, and both films are decoded, by an independent ffmpeg (of the package imageio-ffmpeg). The output is
FFV1 in Matroska, which is lossless: each sample of Y must be the source's, and each packet of sound must have the bytes
of the source's, where Matroska can hold the sound. Exit status 1 if a film failed or differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from forks import fork_command, load_libraries, read_log
from fuzz_samples import run_ffmpeg

FRAMES = 8
CONTAINERS = {
    "mp4": (("libx264", "libx265", "mpeg4"), ("aac", "libmp3lame", "")),
    "mov": (("prores_ks", "libx264", "mjpeg"), ("pcm_s16le", "pcm_s24le", "aac")),
    "mkv": (("ffv1", "libx264", "libx265", "mpeg2video"), ("flac", "pcm_s16le", "ac3", "libopus")),
    "avi": (("mpeg4", "mjpeg", "ffv1"), ("libmp3lame", "pcm_s16le", "ac3")),
    "webm": (("libvpx", "libvpx-vp9"), ("libvorbis", "libopus")),
    "ts": (("mpeg2video", "libx264"), ("mp2", "ac3", "aac")),
    "mpg": (("mpeg2video", "mpeg1video"), ("mp2",)),
    "mxf": (("mpeg2video",), ("pcm_s16le",)),
    "ogv": (("libtheora",), ("libvorbis", "flac")),
    "wmv": (("wmv2",), ("wmav2",)),
    "flv": (("flv", "libx264"), ("libmp3lame",)),
}
"""Encoders of picture and of sound by container; no sound where the name is empty."""
PIXEL_FORMATS = {
    "libx264": ("yuv420p", "yuv422p10le", "gray"),
    "libx265": ("yuv420p", "yuv420p10le"),
    "prores_ks": ("yuv422p10le", "yuv444p10le"),
    "mjpeg": ("yuvj420p", "yuvj422p"),
    "ffv1": ("yuv420p", "gray", "gray16le", "yuv444p12le"),
    "mpeg2video": ("yuv420p", "yuv422p"),
    "libvpx-vp9": ("yuv420p", "yuv444p"),
}
"""Pixel formats by encoder of the picture; yuv420p for all others."""


@dataclass(frozen=True, slots=True)
class Combination:
    """A film: extension of the container, encoders, pixel format."""

    container: str
    picture: str
    pixel_format: str
    sound: str

    @property
    def name(self) -> str:
        """Words for a table."""
        return " ".join((self.container, self.picture, self.pixel_format, self.sound or "silent"))


def combinations() -> Iterator[Combination]:
    """All of them, containers in turn."""
    lists = [
        [
            Combination(container, picture, pixel_format, sounds[(number + at) % len(sounds)])
            for at, picture in enumerate(pictures)
            for number, pixel_format in enumerate(_pixel_formats(container, picture))
            for number in range(number, number + 2)
        ]
        for container, (pictures, sounds) in CONTAINERS.items()
    ]
    seen = set()
    for place in range(max(map(len, lists))):
        for films in lists:
            if place < len(films) and films[place] not in seen:
                seen.add(films[place])
                yield films[place]


def _pixel_formats(container: str, picture: str) -> tuple[str, ...]:
    formats = PIXEL_FORMATS.get(picture, ("yuv420p",))
    return formats if container in ("mov", "mkv", "avi", "webm") else formats[:1]


def make_source(film: Combination, path: Path) -> None:
    """Writes the film."""
    seconds = str(FRAMES / 25)
    picture = ["-f", "lavfi", "-t", seconds, "-i", "testsrc2=size=96x64:rate=25"]
    sound = ["-f", "lavfi", "-t", seconds, "-i", "sine=frequency=440:sample_rate=48000"] if film.sound else []
    encoders = ["-c:v", film.picture, "-pix_fmt", film.pixel_format, *(["-c:a", film.sound] if film.sound else [])]
    rate = ["-ar", "44100"] if film.container == "flv" and film.sound else []
    run_ffmpeg(*picture, *sound, *encoders, *rate, "-strict", "-2", "-threads", "1", str(path))


def luma(path: Path, bits: int) -> bytes:
    """All samples of Y as ffmpeg decodes them."""
    options = ["-map", "0:v:0", "-vf", "extractplanes=y", "-fps_mode", "passthrough"]
    return _ffmpeg_output(path, *options, "-pix_fmt", "gray" if bits == 8 else f"gray{bits}le", "-f", "rawvideo")


def sound_packets(path: Path, *, with_headers: bool = False) -> list[str]:
    """Size and hash of each packet of sound, without its times; ADTS headers (``with_headers``) are taken off."""
    strip = ["-bsf:a", "aac_adtstoasc"] if with_headers else []
    text = _ffmpeg_output(path, "-map", "0:a", "-c", "copy", *strip, "-f", "framehash").decode()
    return [",".join(line.split(",")[4:6]).strip() for line in text.splitlines() if not line.startswith("#")]


def _ffmpeg_output(path: Path, *options: str) -> bytes:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-i", str(path), *options, "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def compare(film: Combination, folder: Path) -> tuple[str, bool]:
    """What came of a film, in words, and whether it is as it should be."""
    source, output = folder / f"film.{film.container}", folder / "out.mkv"
    make_source(film, source)
    options = ["--engine", "matching", "--working-size", "32", "--codec", "ffv1", "--quiet"]
    process = fork_command(["colorize", source.name, "-r", "still.png", "-o", "out.mkv", *options], folder, folder)
    code = _wait(process)
    said = read_log(folder, "stderr").strip()
    if code:
        return f"exit code {code}: {said}", False
    bits = next((bits for bits in (10, 12, 16) if f"{bits}le" in film.pixel_format), 8)
    before, after = luma(source, bits), luma(output, bits)
    if before != after:
        return f"Y differs ({len(before)} and {len(after)} bytes)", False
    if not film.sound:
        return "Y equal", True
    if "sound" in said or "audio" in said:
        return f"Y equal; {said.splitlines()[-1]}", True
    with_headers = (film.container, film.sound) == ("ts", "aac")
    same = sound_packets(source, with_headers=with_headers) == sound_packets(output)
    return ("Y and packets equal" if same else "Y equal, packets differ"), same


def _wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=60, help="number of combinations")
    options = parser.parse_args()
    load_libraries(training=False)
    rng = np.random.default_rng(0)
    still = cv2.resize(rng.integers(0, 256, (8, 12, 3), np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    done = good = 0
    for film in islice(combinations(), options.limit):
        with tempfile.TemporaryDirectory(prefix="kinemacolor-containers-") as temporary:
            assert cv2.imwrite(f"{temporary}/still.png", still)
            result, fits = compare(film, Path(temporary))
        done, good = done + 1, good + fits
        print(f"| {film.name} | {result} |", flush=True)
    print(f"{good} of {done} as they should be")
    return int(good < done)


if __name__ == "__main__":
    sys.exit(main())
