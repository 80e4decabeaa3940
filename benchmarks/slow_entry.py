"""What it costs to color a long span between two stills in films that cannot be entered in their middle.

    python benchmarks/slow_entry.py [--frames 240] [--size 640x480] [--working-size 32] [FORMAT …]

For each format (avi, ogv, flv, wmv, mkv), colors films of N, 2N and 4N frames that are one shot with a still at either
end, from the work folder that the command line would use. Prints the frames decoded, how many passes through the film
these are, the seconds, and the most bytes that copies of frames took on the disk, also for each frame of the film.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fuzz_samples import run_ffmpeg
from throughput import print_row

import kinemacolor.video.reader as reader_module
from kinemacolor.pipeline import segment_frames
from kinemacolor.pipeline.job import colorize
from kinemacolor.video.decode import film_pictures

CODECS = {
    "avi": ("-c:v", "mpeg4", "-bf", "2"),
    "ogv": ("-c:v", "libtheora"),
    "flv": ("-c:v", "flv"),
    "wmv": ("-c:v", "wmv2"),
    "mkv": ("-c:v", "libx264", "-g", "48"),
}
GRAIN = "noise=c0s=8:c0f=t"


class Meter:
    """Counts in a ``with`` block.

    Attributes:
        decoded: frames.
        copied: the most bytes of copies that lay on the disk.
    """

    def __init__(self) -> None:
        self.decoded = self.copied = 0
        self._write = segment_frames.write_frame_cache

    def __enter__(self) -> Meter:
        reader_module.film_pictures = self.pictures  # type: ignore[assignment]
        segment_frames.write_frame_cache = self.write
        return self

    def __exit__(self, *_: object) -> None:
        reader_module.film_pictures = film_pictures
        segment_frames.write_frame_cache = self._write

    def pictures(self, *arguments: Any) -> Iterator[Any]:
        """In place of ``film_pictures``."""
        for picture in film_pictures(*arguments):
            self.decoded += 1
            yield picture

    def write(self, path: Path, frames: Any) -> None:
        """In place of ``write_frame_cache``."""
        self._write(path, frames)
        self.copied = max(self.copied, sum(copy.stat().st_size for copy in path.parent.glob("*.frames")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", default=[*CODECS], help="formats of the films")
    parser.add_argument("--frames", type=int, default=240, help="length of the shortest film")
    parser.add_argument("--size", default="640x480", help="of the films")
    parser.add_argument("--working-size", type=int, default=32, help="short side for the network")
    parser.add_argument("--max-segment-frames", type=int, default=24, help="length of a segment")
    options = parser.parse_args()
    print_row("format", "frames", "decoded", "passes", "seconds", "copies, MB", "KB a frame")
    print_row("---", "---:", "---:", "---:", "---:", "---:", "---:")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in options.formats:
            for frames in (options.frames, 2 * options.frames, 4 * options.frames):
                _measure(folder, suffix, frames, options)


def _measure(folder: Path, suffix: str, frames: int, options: argparse.Namespace) -> None:
    film = folder / f"film.{suffix}"
    source = ("-f", "lavfi", "-i", f"testsrc2=s={options.size}:r=24:d={frames / 24},hue=s=0,{GRAIN}")
    run_ffmpeg("-y", *source, "-pix_fmt", "yuv420p", *CODECS[suffix], "-q:v", "4", str(film))
    stills = [folder / f"frame_{index:06d}.png" for index in (0, frames - 1)]
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    for still in stills:
        cv2.imwrite(str(still), cv2.resize(small, (160, 120), interpolation=cv2.INTER_CUBIC))
    settings = {"working_size": options.working_size, "max_segment_frames": options.max_segment_frames}
    begin = time.perf_counter()
    with Meter() as meter:
        colorize(film, stills, folder / "out.mp4", engine="matching", shots="none", overwrite=True, **settings)
    seconds = time.perf_counter() - begin
    passes, kilobytes = meter.decoded / frames, meter.copied / frames / 1e3
    print_row(
        suffix,
        frames,
        meter.decoded,
        f"{passes:.1f}",
        f"{seconds:.0f}",
        f"{meter.copied / 1e6:.1f}",
        f"{kilobytes:.0f}",
    )
    for still in stills:
        still.unlink()


if __name__ == "__main__":
    main()
