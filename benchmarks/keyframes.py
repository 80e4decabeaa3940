"""Which frames to paint: those of ``keyframes.search.propose`` against the first of each shot and equal spacing.

    python benchmarks/keyframes.py CLIPS [--only NAME,NAME] [--references 2,3] [--frames 120] [--longer-than 60]
    python benchmarks/keyframes.py FILM --step 4

CLIPS is a folder of color clips, each of which counts as one shot; FILM is a color film with cuts, of which every
fourth frame is used. Frames of the truth stand for painted ones and are used as ``colorize`` does: backward and forward
in their shot, blended between two; a shot without a reference uses those that ``choose_references`` gives. Figures are
PSNR in dB, mean over frames (each at most 50), then over clips. "from first" means frames 0, T/k, 2T/k …; "centered"
the middles of k equal parts; "ends" equal steps from first to last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinemacolor.core.color import rgb_to_lab
from kinemacolor.core.shot import Shot
from kinemacolor.core.types import FloatArray, Reference
from kinemacolor.engine.features import FrameFeatures, choose_references, extract_features
from kinemacolor.engine.protocol import Engine
from kinemacolor.engine.registry import open_engine
from kinemacolor.evaluation.clips import BenchmarkClip, ClipTruth, find_clips, load_clip
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.evaluation.protocol import Protocol
from kinemacolor.keyframes.search import propose
from kinemacolor.pipeline.bidirectional import FrameColors, PassStates, color_segment
from kinemacolor.pipeline.segment_plan import Segment, plan_segments
from kinemacolor.shots.detection import find_shots

CEILING = 50.0
"""Largest PSNR of a frame, dB: frames that are references themselves must not decide the mean."""


class SparselyPaintedFilm:
    """A clip that is colored from some of its own frames, as ``colorize`` does with stills bound to frames."""

    def __init__(self, truth: ClipTruth, engine: Engine, shots: Sequence[Shot]) -> None:
        self.truth, self.engine, self.shots = truth, engine, shots
        self._features: dict[int, FrameFeatures] = {}
        self._scores: dict[tuple[object, ...], FloatArray] = {}

    def features(self, index: int) -> FrameFeatures:
        """The features of a frame."""
        if index not in self._features:
            self._features[index] = extract_features(self.engine, self.truth.lightness[index])
        return self._features[index]

    def score(self, picks: Sequence[int]) -> float:
        """Mean PSNR with these frames as references."""
        picks = sorted(picks)
        chosen = [() if any(pick in shot for pick in picks) else self._choose(shot, picks) for shot in self.shots]
        bound = {pick: number for number, pick in enumerate(picks)}
        plan = plan_segments(self.shots, bound, chosen, max_segment_frames=len(self.truth))
        return float(np.concatenate([self._colored(segment, picks) for segment in plan.segments]).mean())

    def _choose(self, shot: Shot, picks: Sequence[int]) -> Sequence[int]:
        """Numbers of the references of a shot that has none of its own."""
        assert shot.stop
        frames = range(shot.start, shot.stop)
        queries = [self.features(index) for index in frames[:: max(1, len(frames) // 4)]]
        return choose_references(queries, [self.features(pick) for pick in picks])

    def _colored(self, segment: Segment, picks: Sequence[int]) -> FloatArray:
        """PSNR of each frame of a segment."""
        sources = tuple(picks[number] for number in segment.reference_ids)
        key = (sources, segment.start, segment.stop, segment.forward, segment.backward)
        if key not in self._scores:
            lightness = self.truth.lightness
            passes = PassStates(anchor=lightness[segment.stop] if segment.anchored else None)
            bank = self.engine.start([self._reference(index) for index in sources])
            frames = color_segment(self.engine, bank, lightness[segment.start : segment.stop], segment, passes)
            colored = [self.truth.colored(f.index, f.ab) for f in frames if isinstance(f, FrameColors)]
            self._scores[key] = np.minimum(
                psnr(np.stack(colored), self.truth.rgb[segment.start : segment.stop]), CEILING
            )
        return self._scores[key]

    def _reference(self, index: int) -> Reference:
        ab = np.ascontiguousarray(rgb_to_lab(self.truth.rgb[index].astype(np.float32) / np.float32(255))[..., 1:])
        return Reference(self.truth.lightness[index], ab, np.ones(self.truth.shape, np.bool_), f"frame {index}")


def proposed_frames(film: SparselyPaintedFilm, count: int, every: int) -> list[int]:
    """The frames that ``propose`` gives."""
    frames: list[int] = []
    for shot in film.shots:
        assert shot.stop
        pieces = -(-(shot.stop - shot.start) // every)
        length = shot.stop - shot.start
        frames += [shot.start + (2 * piece + 1) * length // (2 * pieces) for piece in range(pieces)]
    proposal = propose([film.features(index) for index in frames], frames, film.shots, budget=count)
    return [pick.frame for pick in proposal.picks]


def equally_spaced(length: int, count: int) -> dict[str, list[int]]:
    """Three kinds of equal spacing."""
    ends = np.linspace(0, length - 1, count) if count > 1 else np.zeros(1)
    return {
        "from first": [length * k // count for k in range(count)],
        "centered": [length * (2 * k + 1) // (2 * count) for k in range(count)],
        "ends": [int(k) for k in ends.round()],
    }


def print_row(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells) + " |", flush=True)


def compare_clips(
    clips: Sequence[BenchmarkClip], protocol: Protocol, engine: Engine, options: argparse.Namespace
) -> None:
    """Prints a row for each clip and number of references, and the means."""
    counts = [int(part) for part in options.references.split(",")]
    names = ["from first", "centered", "ends", "proposed"]
    means: dict[int, list[list[float]]] = {count: [] for count in counts}
    print_row("clip", "frames", "references", *names, "frames proposed", "seconds")
    print_row("---", "---:", "---:", *["---:"] * len(names), "---", "---:")
    for clip in clips:
        truth = load_clip(clip, protocol)
        if len(truth) <= options.longer_than:
            continue
        film = SparselyPaintedFilm(truth, engine, [Shot(0, len(truth))])
        for count in counts:
            begin = time.perf_counter()
            picks = proposed_frames(film, count, options.every)
            selections = [*equally_spaced(len(truth), count).values(), picks]
            scores = [film.score(selection) for selection in selections]
            means[count].append(scores)
            taken = round(time.perf_counter() - begin)
            print_row(clip.name, len(truth), count, *scores, ", ".join(map(str, sorted(picks))), taken)
    for count, scores_of in means.items():
        print_row(f"mean of {len(scores_of)}", "", count, *(float(m) for m in np.mean(scores_of, axis=0)), "", "")


def compare_film(path: Path, protocol: Protocol, engine: Engine, options: argparse.Namespace) -> None:
    """Compares with as many references as there are shots, and with half as many."""
    truth = load_clip(
        BenchmarkClip(path.stem, path), protocol.model_copy(update={"frames": options.frames * options.step})
    )
    truth.rgb, truth.lightness = truth.rgb[:: options.step], truth.lightness[:: options.step]
    shots = find_shots([(light / np.float32(100)) for light in truth.lightness])
    film = SparselyPaintedFilm(truth, engine, shots)
    print(f"\n{path.name}: {len(truth)} frames (every {options.step}th), {len(shots)} shots\n")
    print_row("references", "first of shot", "middle of shot", "from first", "centered", "proposed", "shots with one")
    print_row(*["---:"] * 7)
    for count in (len(shots), len(shots) // 2):
        every_shot = count == len(shots)
        first = film.score([shot.start for shot in shots]) if every_shot else "–"
        middles = [(shot.start + (shot.stop or 0)) // 2 for shot in shots]
        middle = film.score(middles) if every_shot else "–"
        even = equally_spaced(len(truth), count)
        picks = proposed_frames(film, count, options.every)
        painted = sum(any(pick in shot for pick in picks) for shot in shots)
        print_row(count, first, middle, *(film.score(even[name]) for name in ("from first", "centered")),
            film.score(picks), painted)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--references", default="2,3")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--longer-than", type=int, default=60)
    parser.add_argument("--every", type=int, default=4, help="compare one frame in every N")
    parser.add_argument("--step", type=int, default=4, help="use one frame in every N of a film")
    parser.add_argument("--area", default="192x108", help="network size")
    parser.add_argument("--engine", default="lite")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    width, height = map(int, options.area.split("x"))
    protocol = Protocol(name="keyframes", title="", size="area", width=width, height=height, frames=options.frames)
    engine = open_engine(options.engine, threads=options.threads)
    if options.data.is_dir():
        names = set(filter(None, options.only.split(",")))
        clips = [clip for clip in find_clips(options.data) if not names or clip.name in names]
        compare_clips(clips, protocol, engine, options)
    else:
        compare_film(options.data, protocol, engine, options)


if __name__ == "__main__":
    main()
