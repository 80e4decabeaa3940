"""The figures of a finished benchmark: means, columns of tables, differences, and their JSON record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from kinemacolor.evaluation.benchmark import BenchmarkRun
from kinemacolor.evaluation.measure import WRAPPED_CEILING, mean_of
from kinemacolor.evaluation.methods import TRUTH
from kinemacolor.evaluation.records import RESULTS_SCHEMA, ClipResult
from kinemacolor.evaluation.splits import known_splits, load_split
from kinemacolor.evaluation.statistics import (
    BOOTSTRAP_SEED,
    CONFIDENCE_LEVEL,
    RESAMPLES,
    Difference,
    ranked_differences,
    ranking,
)

DRIFT_FRAMES = 20
"""Number of frames at the end of a clip that show drift."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in tables.

    Attributes:
        key: name of the figure.
        title: heading, without an arrow.
        digits: after the decimal point.
        better: ``higher``, ``lower``, or None if neither is better.
        of_truth: whether the truth has the figure, too.
        summary: one line.
    """

    key: str
    title: str
    digits: int
    better: str | None
    of_truth: bool
    summary: str

    @property
    def heading(self) -> str:
        """The heading, with an arrow in the direction that is better."""
        return self.title + {"higher": "↑", "lower": "↓", None: ""}[self.better]


FIGURE_COLUMNS = (
    Column("fid", "FID", 2, "lower", False, "Fréchet distance of Inception features of all frames"),
    Column("lpips", "LPIPS", 4, "lower", False, "perceptual distance, AlexNet"),
    Column("psnr", "PSNR", 2, "higher", False, "dB over R, G, B; a frame counts as at most 58.9 dB"),
    Column("colorfulness", "COLOR", 2, "higher", True, "Hasler and Süsstrunk's colorfulness"),
    Column("we", "WE", 3, "lower", True, "warping error × 10³; the truth's own is the floor, gray lies below it"),
    Column("psnr_last", f"PSNR, last {DRIFT_FRAMES}", 2, "higher", False, f"mean of the last {DRIFT_FRAMES} frames"),
    Column("colorfulness_ratio", "COLOR / truth", 2, None, True, "1 means as colorful as the truth"),
    Column("cdc", "CDC", 5, "lower", True, "drift of color histograms; the truth's own is the floor"),
    Column("ssim", "SSIM", 4, "higher", False, "structural similarity"),
    Column("delta_e", "ΔE2000", 2, "lower", False, "color difference with the truth's L*"),
    Column("seconds", "s a frame", 4, "lower", False, "time of the engine alone, or of a peer's whole process"),
    Column("memory", "MiB", 0, "lower", False, "peak memory of a peer's own process"),
)
"""The five columns of the paper's Table 1, then the others."""
TABLE_1_COLUMNS = 5
EXTRA_COLUMNS = {
    "colormnet": (
        Column(
            "psnr_colormnet",
            "PSNR by ColorMNet's script",
            2,
            "higher",
            False,
            "NOT a PSNR: differences of uint8 wrap; mean over all frames of all clips, as its public script takes it",
        ),
        Column(
            "psnr_colormnet_other",
            "the same without the references' frames",
            2,
            "higher",
            False,
            "as before, without the references' own frames",
        ),
        Column(
            "psnr_other",
            "PSNR without the references' frames",
            2,
            "higher",
            False,
            "the true PSNR, without the references' own frames",
        ),
    )
}
"""Columns that are shown on request: figures as others define them."""
COSTS = ("seconds", "memory")
"""Columns that are no figures of quality."""
RANKED_FIGURES = ("psnr", "delta_e", "ssim", "lpips", "cdc", "we")
"""Figures by which methods are ranked, with confidence intervals."""


@dataclass
class Results:
    """The results that reports show.

    Attributes:
        run: the benchmark.
        provenance: versions, hardware and command line as JSON-ready values.
        extra: names of ``EXTRA_COLUMNS`` that are shown.
    """

    run: BenchmarkRun
    provenance: dict[str, Any]
    extra: tuple[str, ...] = ()

    @property
    def clips(self) -> list[str]:
        """Names of the clips, in order."""
        return [clip.name for clip in self.run.clips]

    @property
    def names(self) -> list[str]:
        """Names of the methods, in order."""
        return [method.name for method in self.run.methods]

    def result(self, clip: str, method: str) -> ClipResult:
        """The result of a method on a clip."""
        return self.run.results[clip, method]

    def figure(self, clip: str, method: str, key: str) -> float | None:
        """A figure of a method on a clip, by the key of its column."""
        result = self.result(clip, method)
        if key == "seconds":
            return result.seconds
        if key == "memory":
            return None if result.memory is None else result.memory / 2**20
        if key.startswith("psnr_colormnet") or key == "psnr_other":
            values = self._frame_values(clip, method, key)
            return float(np.mean(values)) if len(values) and max(values) < WRAPPED_CEILING else None
        if key == "psnr_last":
            return float(np.mean(result.measurement.per_frame["psnr"][-DRIFT_FRAMES:]))
        return result.measurement.figures[key]

    def _frame_values(self, clip: str, method: str, key: str) -> list[float]:
        """Values of the frames of a clip that a column of ``EXTRA_COLUMNS`` counts."""
        values = self.result(clip, method).measurement.per_frame[key.removesuffix("_other")]
        references = self.result(clip, TRUTH).facts["references"]
        own = set(references) if key.endswith("_other") and isinstance(references, list) else set()
        return [value for index, value in enumerate(values) if index not in own]

    @cached_property
    def means(self) -> dict[str, dict[str, float | None]]:
        """Means over clips by method (including ``truth``) and column; None if the figure is missing for one clip."""
        return {name: self._mean(name) for name in (TRUTH, *self.names)}

    def _mean(self, method: str) -> dict[str, float | None]:
        means = mean_of([self.result(clip, method).measurement for clip in self.clips])
        for key in ("psnr_last", "seconds", "memory"):
            values = [self.figure(clip, method, key) for clip in self.clips]
            present = [value for value in values if value is not None]
            means[key] = float(np.mean(present)) if len(present) == len(values) else None
        for key in [column.key for name in self.extra for column in EXTRA_COLUMNS[name]]:
            figures = [self.figure(clip, method, key) for clip in self.clips]
            pooled = [value for clip in self.clips for value in self._frame_values(clip, method, key)]
            present = [value for value in figures if value is not None]
            mean_of_clips = float(np.mean(present)) if present else None
            mean = mean_of_clips if key == "psnr_other" else (float(np.mean(pooled)) if pooled else None)
            means[key] = mean if len(present) == len(figures) else None
        return means

    def columns(self) -> list[Column]:
        """The columns of Table 1, and those of the others that any method has."""
        return [
            column
            for number, column in enumerate(FIGURE_COLUMNS)
            if number < TABLE_1_COLUMNS or any(self.means[name][column.key] is not None for name in self.names)
        ] + [column for name in self.extra for column in EXTRA_COLUMNS[name]]

    def best(self, column: Column) -> str | None:
        """The method with the best mean; None if there is nothing to compare."""
        values = {name: self.means[name][column.key] for name in self.names}
        present = {name: value for name, value in values.items() if value is not None}
        if column.better is None or column.key in COSTS or len(present) < 2:
            return None
        return (max if column.better == "higher" else min)(present, key=lambda name: present[name])

    def values(self, key: str) -> dict[str, list[float]]:
        """A figure of every clip by method; methods for which one is missing are left out."""
        rows = {name: [self.figure(clip, name, key) for clip in self.clips] for name in self.names}
        return {name: [v for v in row if v is not None] for name, row in rows.items() if None not in row}

    def ranking(self) -> list[str]:
        """The methods by mean PSNR, best first."""
        return ranking(self.values("psnr"), higher_is_better=True)

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """Differences by figure: each method against the next in rank, and the best against the last."""
        differences = {}
        for column in FIGURE_COLUMNS:
            values = self.values(column.key) if column.key in RANKED_FIGURES else {}
            if len(values) > 1:
                differences[column.key] = ranked_differences(values, higher_is_better=column.better == "higher")
        return differences

    @property
    def selection(self) -> str:
        """How many clips there are, and of which list."""
        run = self.run
        if run.split:
            count = len(load_split(run.split))
            return f"{len(self.clips)} clips" + (f" of {count}" if count != len(self.clips) else "") + f", {run.split}"
        known = [f"{count} of them in {split}" for split, count in known_splits(self.clips).items()]
        return f"{len(self.clips)} clips" + (f" ({', '.join(known)})" if known else "")

    def notes(self) -> list[str]:
        """Why figures are missing, and which networks computed the others; each remark once."""
        notes: dict[str, None] = {}
        for result in self.run.results.values():
            for key, text in result.measurement.notes.items():
                title = next((column.title for column in FIGURE_COLUMNS if column.key == key), None)
                if title and key != "psnr":
                    notes[f"{title}: {text}"] = None
        return list(notes)

    def record(self) -> dict[str, Any]:
        """The benchmark as JSON-ready values."""
        run = self.run
        return {
            "schema": RESULTS_SCHEMA,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.provenance,
            "protocol": run.protocol.model_dump(),
            "split": run.split,
            "measuring": run.measuring,
            "clips": [
                {"name": clip.name, "path": str(clip.path), "sha256": sha, **self.result(clip.name, TRUTH).facts}
                for clip, sha in run.clips.items()
            ],
            "methods": [
                {"name": method.name, "about": method.summary, "weights": method.weights()} for method in run.methods
            ],
            "means": self.means,
            "results": [
                _result_record(self.result(clip, name)) for clip in self.clips for name in (TRUTH, *self.names)
            ],
            "differences": {
                "resamples": RESAMPLES,
                "seed": BOOTSTRAP_SEED,
                "level": CONFIDENCE_LEVEL,
                "by_figure": {key: [asdict(row) for row in rows] for key, rows in self.differences.items()},
            },
        }


def _result_record(result: ClipResult) -> dict[str, Any]:
    measurement = result.measurement
    return {
        "clip": result.clip,
        "method": result.method,
        "figures": measurement.figures,
        "notes": measurement.notes,
        "seconds_a_frame": result.seconds,
        "memory": result.memory,
        "per_frame": measurement.per_frame,
        "confidence": result.confidence,
    }


def number(value: float | None, digits: int) -> str:
    """The text of a figure in a table; "n/a" if it is missing."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def interval_text(difference: Difference, digits: int) -> str:
    """A difference with its interval: ``+1.23 [+0.45, +2.01]``."""
    mean = f"{difference.mean:+.{digits}f}"
    if difference.low is None or difference.high is None:
        return mean
    return f"{mean} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}]"


def column_of(key: str) -> Column:
    """The column of a figure."""
    return next(column for column in FIGURE_COLUMNS if column.key == key)


def table(results: Results, rows: Sequence[tuple[str, dict[str, float | None]]]) -> list[list[str]]:
    """Cells of a table: a row for each method (its name first), a column for each figure; the truth has few figures."""
    return [
        [name]
        + [
            "–" if name == TRUTH and not column.of_truth else number(figures[column.key], column.digits)
            for column in results.columns()
        ]
        for name, figures in rows
    ]
