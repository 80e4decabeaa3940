"""Small films, photos and caches to learn from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from kinemacolor.core.types import Array
from kinemacolor.training.data.cache import Cache, CachedClip, write_cache
from tests.media import Film, make_film

COLORS = ((200, 60, 50), (50, 80, 210), (40, 170, 60), (210, 180, 40), (150, 60, 190))


def picture(height: int, width: int, seed: int = 0, shift: float = 0.0) -> Array:
    """(H, W, 3) uint8: colored fields with soft texture, displaced to the right by ``shift`` pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x = x - shift
    index = (np.floor(x / 19) + np.floor(y / 17) + seed).astype(int) % len(COLORS)
    texture = 0.75 + 0.15 * np.sin(x * 0.41 + seed) * np.cos(y * 0.33) + 0.1 * np.sin((x + 2 * y) * 0.13 + seed)
    color = np.array(COLORS, np.float32)[index] * texture[..., None]
    return np.clip(np.rint(cv2.GaussianBlur(color, (0, 0), 0.7)), 0, 255).astype(np.uint8)


def moving(frames: int, height: int, width: int, seed: int = 0, speed: float = 1.0) -> Array:
    """(T, H, W, 3) uint8: ``picture`` panning."""
    return np.stack([picture(height, width, seed, speed * t) for t in range(frames)])


def write_frames(folder: Path, frames: Array, start: int = 0) -> Path:
    """A folder of numbered pictures."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{start + number:05d}.png"), np.ascontiguousarray(frame[..., ::-1]))
    return folder


def write_photo(path: Path, seed: int = 0, height: int = 64, width: int = 96) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(picture(height, width, seed)[..., ::-1]))
    return path


def write_film(path: Path, count: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    make_film(path, Film(count=count))
    return path


def toy_cache(folder: Path, films: int = 2, photos: int = 2, frames: int = 9) -> Cache:
    """A cache of panning films (60 × 94) and photos (71 × 97)."""
    entries = []
    for number in range(films):
        shot = moving(frames + number, 60, 94, number)
        entries.append((CachedClip(f"films/f{number}#0", f"films/f{number}", False, *shot.shape[:3]), shot))
    for number in range(photos):
        photo = picture(71, 97, 10 + number)[None]
        entries.append((CachedClip(f"photos/p{number}", f"photos/p{number}", True, *photo.shape[:3]), photo))
    return write_cache(folder, entries, [], "toy")
