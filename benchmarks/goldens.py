"""Hashes of what the film path and the benchmark make, for holding them while code is moved.

    python benchmarks/goldens.py write goldens.json        # before a change
    python benchmarks/goldens.py check goldens.json        # after it, on the same machine

Everything goes through the command line. Processors round differently, so the hashes hold on one machine only and are
not committed. Hashed are Y, U and V planes, frame times and sound packets of the demo, of a film with a cut, sound and
two bound stills (three ways of coloring it), of a preview and of a proposal of key frames, and the figures of a
benchmark of ``matching`` and ``lite``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
DOG = PROJECT / "examples" / "dog"
BENCH = PROJECT.parent / "shared" / "data" / "bench"
HALF = 45
BOUND = (10, HALF + 20)
WAYS: dict[str, tuple[str, ...]] = {
    "lite": ("-o", "lite.mp4"),
    "matching": ("-o", "matching.mkv", "--engine", "matching", "--codec", "ffv1", "--denoise-input", "--color-memory"),
    "alone": (
        "-o",
        "alone",
        "--propagation",
        "off",
        "--no-temporal-smoothing",
        "--chroma-upsampling",
        "best",
        "--saturation",
        "1.2",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("file", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        goldens = make_goldens(Path(folder))
    if chosen.action == "write":
        chosen.file.write_text(json.dumps(goldens, indent=1) + "\n")
        return 0
    known = json.loads(chosen.file.read_text())
    changed = sorted(name for name in {*known, *goldens} if known.get(name) != goldens.get(name))
    print(f"{len(known) - len(changed)} of {len(known)} are as before" + "".join(f"\nchanged: {x}" for x in changed))
    return 1 if changed else 0


def make_goldens(folder: Path) -> dict[str, Any]:
    """Runs everything; returns hashes and figures by name."""
    goldens: dict[str, Any] = {}
    command(folder, str(PROJECT / "examples" / "demo.py"), "--output", "demo")
    goldens["demo"] = film_hashes(folder / "demo" / "demo.mp4")
    stills = make_film(folder)
    references = [part for still in stills for part in ("-r", still)]
    for name, options in WAYS.items():
        command(folder, "-m", "kinemacolor", "colorize", "film.mkv", *references, *options, "--quiet")
        output = folder / options[1]
        goldens[name] = image_hashes(output) if output.is_dir() else film_hashes(output)
    preview = ("--preview", "--every", "20", "-o", "sheet.png", "--quiet")
    command(folder, "-m", "kinemacolor", "colorize", "film.mkv", *references, *preview)
    goldens["preview"] = digest((folder / "sheet.png").read_bytes())
    command(folder, "-m", "kinemacolor", "keyframes", "film.mkv", "-o", "paint", "--budget", "3", "--quiet")
    goldens["keyframes"] = image_hashes(folder / "paint")
    proposal = json.loads((folder / "paint" / "proposal.json").read_text())
    goldens["proposal"] = [[pick["frame"], pick["gain"]] for pick in proposal["picks"]]
    clips = ("--clips", "davis_blackswan,davis_camel") if BENCH.is_dir() else ()
    data = BENCH if BENCH.is_dir() else DOG
    options = ("-m", "matching,lite", "--frames", "10", "-o", "report", "--quiet", *clips)
    command(folder, "-m", "kinemacolor", "benchmark", str(data), *options)
    goldens["benchmark"] = benchmark_figures(folder / "report")
    return goldens


def command(folder: Path, *arguments: str) -> None:
    """Runs this Python in ``folder``."""
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def make_film(folder: Path) -> list[str]:
    """A gray film of two shots with sound, and two stills of its frames; returns the stills' names."""
    with av.open(str(DOG / "truth.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    shots = [frames[:HALF], [frame[::-1] // 2 + 40 for frame in frames[HALF : 2 * HALF]]]
    pictures = [picture for shot in shots for picture in shot]
    height, width = pictures[0].shape[:2]
    with av.open(str(folder / "film.mkv"), "w") as container:
        video: Any = container.add_stream("ffv1", rate=24, width=width, height=height, pix_fmt="yuv420p")
        sound: Any = container.add_stream("aac", rate=48000, layout="mono")
        for number, picture in enumerate(pictures):
            gray = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(video.encode(frame))
        for number in range(len(pictures) * 2000 // 1024):
            tone = np.sin(np.arange(1024) * 0.05 + number).astype(np.float32)[None] / 4
            samples = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, 1024 * number, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    names = []
    for frame_number in BOUND:
        names.append(f"{frame_number:07}.png")
        cv2.imwrite(str(folder / names[-1]), np.ascontiguousarray(pictures[frame_number][..., ::-1]))
    return names


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def film_hashes(path: Path) -> dict[str, str]:
    """Of each plane over all frames, of the frames' times, and of the packets of sound."""
    planes = [hashlib.sha256() for _ in range(3)]
    times, packets = [], hashlib.sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(str(frame.pts * frame.time_base))
            for plane, sha in zip(frame.planes, planes, strict=True):
                sha.update(bytes(plane))
        if container.streams.audio:
            container.seek(0)
            for packet in container.demux(audio=0):
                packets.update(bytes(packet))
    return {
        **{name: sha.hexdigest()[:24] for name, sha in zip("YUV", planes, strict=True)},
        "times": digest(" ".join(times).encode()),
        "sound": packets.hexdigest()[:24],
    }


def image_hashes(folder: Path) -> dict[str, str]:
    return {path.name: digest(path.read_bytes()) for path in sorted(folder.glob("*.png"))}


def benchmark_figures(report: Path) -> list[Any]:
    """Figures of each method on each clip."""
    results = json.loads((report / "results.json").read_text())["results"]
    return [[result["clip"], result["method"], result["figures"]] for result in results]


if __name__ == "__main__":
    raise SystemExit(main())
