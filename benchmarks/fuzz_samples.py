"""Small good files of every kind for ``fuzz.py``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "kinemacolor" / "assets"
FRAMES, WIDTH, HEIGHT = 6, 64, 48
FILMS = {
    "h264.mp4": "-c:v libx264 -g 3 -c:a aac",
    "h264.mkv": "-c:v libx264 -bf 2 -c:a libmp3lame",
    "ffv1.mkv": "-c:v ffv1 -pix_fmt yuv422p10le -c:a flac",
    "hevc.mkv": "-c:v libx265 -x265-params log-level=error:pools=1 -c:a ac3",
    "mpeg4.avi": "-c:v mpeg4 -c:a libmp3lame",
    "mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le",
    "prores.mov": "-c:v prores_ks -c:a pcm_s24le -timecode 01:00:00:00",
    "mpeg2.ts": "-c:v mpeg2video -c:a mp2",
    "mpeg2.mpg": "-c:v mpeg2video -c:a mp2",
    "mpeg2.mxf": "-c:v mpeg2video -ar 48000 -c:a pcm_s16le",
    "vp8.webm": "-c:v libvpx -c:a libvorbis",
    "theora.ogv": "-c:v libtheora -c:a libvorbis",
    "wmv2.wmv": "-c:v wmv2 -c:a wmav2",
    "flv1.flv": "-c:v flv -ar 44100 -c:a libmp3lame",
    "raw.y4m": "-pix_fmt gray -an",
}
"""Films by name: options of ffmpeg."""
STILLS = ("rgb.png", "rgba.png", "deep.png", "photo.jpg", "scan.tiff", "web.webp")
SHOT_LISTS = {
    "shots.json": json.dumps(
        {"frames": FRAMES, "rate": "24", "shots": [{"first": 0, "last": 2}, {"first": 3, "last": 5}]}
    ),
    "shots.csv": "shot,first,last,start,end\n1,0,2,0.0,0.125\n2,3,5,0.125,0.25\n",
    "shots.edl": "TITLE: film\nFCM: NON-DROP FRAME\n\n"
    "001  AX       V     C        00:00:00:00 00:00:00:03 00:00:00:00 00:00:00:03\n"
    "002  AX       V     C        00:00:00:03 00:00:00:06 00:00:00:03 00:00:00:06\n",
}
PROJECT = """film = "film.mp4"
output = "out.mkv"
shots = "none"

[[references]]
file = "still.png"
frame = 2

[[references]]
file = "still.png"
time = "00:00:00.17"

[settings]
engine = "matching"
working_size = 32
codec = "ffv1"
saturation = 1.2
start = 0.0
end = "0.2"
max_segment_frames = 3
"""
MEASURED_RECIPE = "tiny.toml"
"""The recipe whose steps are measured."""
RECIPE = """name = "tiny"

[network]
config = "lite-full"
pretrained = false
key_init = false
freeze_statistics = 0.5

[network.changes]
blocks = 1
feature_channels = 22
token_channels = 24
ffn_channels = 18
encoder_channels = [4, 4, 8]

[data]
exclude = []
size = [32, 48]
length = 3
block = 2
batch = 1
flow = "dis"
side = 48

[data.augmentation]
preset = "paper"
far = 0.3

[losses]
l1 = 1.0
candidates = 0.5
smooth = { weight = 0.05, every = 2 }

[optimizer]
learning_rate = 1e-3
schedule = "cosine"

[evaluation]
every = 100
frames = 3
side = 32

[run]
steps = 4
log_every = 1
"""


def make_samples(folder: Path) -> None:
    """Writes the good files into ``folder``/KIND/NAME."""
    for kind in ("film", "still", "shots", "project", "recipe", "onnx", "safetensors"):
        (folder / kind).mkdir(parents=True)
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=24:duration={FRAMES / 24}"
    sound = f"sine=frequency=440:sample_rate=48000:duration={FRAMES / 24}"
    inputs = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", sound]
    exact = ["-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact"]
    for name, options in FILMS.items():
        run_ffmpeg(*inputs, "-pix_fmt", "yuv420p", *options.split(), *exact, str(folder / "film" / name))
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pictures = {"rgba.png": np.dstack([noise, np.full((HEIGHT, WIDTH), 255, np.uint8)])}
    pictures["deep.png"] = noise.astype(np.uint16) * 257
    for name in STILLS:
        assert cv2.imwrite(str(folder / "still" / name), pictures.get(name, noise))
    for name, text in SHOT_LISTS.items():
        (folder / "shots" / name).write_text(text, "utf-8")
    (folder / "project" / "project.toml").write_text(PROJECT, "utf-8")
    for recipe in sorted((ROOT / "recipes").glob("*.toml")):
        shutil.copy(recipe, folder / "recipe")
    (folder / "recipe" / MEASURED_RECIPE).write_text(RECIPE, "utf-8")
    for graph in sorted((ASSETS / "lite").glob("*.onnx")):
        shutil.copy(graph, folder / "onnx")
    shutil.copy(ASSETS / "lite.safetensors", folder / "safetensors")


def run_ffmpeg(*arguments: str) -> None:
    """Runs the independent ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y", *arguments]
    subprocess.run(command, check=True)
