"""A finished benchmark as figures: means, tables' columns, differences, and the JSON record of all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from kinemacolor.evaluation.benchmark import Run
from kinemacolor.evaluation.measure import mean_of
from kinemacolor.evaluation.methods import TRUTH
from kinemacolor.evaluation.records import SCHEMA, Unit
from kinemacolor.evaluation.statistics import LEVEL, RESAMPLES, SEED, Difference, ranked_differences, ranking

LAST = 20
"""Frames at the end of a clip, where drift shows."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in tables.

    Attributes:
        key: name of the figure.
        title: heading.
        digits: after the point.
        better: ``higher``, ``lower``, or None where neither is.
        of_truth: whether the truth has the figure, too.
        about: one line on what it is.
    """

    key: str
    title: str
    digits: int
    better: str | None
    of_truth: bool
    about: str

    @property
    def heading(self) -> str:
        """With the arrow that says which way is better."""
        return self.title + {"higher": "↑", "lower": "↓", None: ""}[self.better]


COLUMNS = (
    Column("fid", "FID", 2, "lower", False, "Fréchet distance of Inception features of all frames"),
    Column("lpips", "LPIPS", 4, "lower", False, "perceptual distance, AlexNet"),
    Column("psnr", "PSNR", 2, "higher", False, "dB over R, G, B; a frame counts for at most 58.9 dB"),
    Column("colorfulness", "COLOR", 2, "higher", True, "Hasler and Süsstrunk's colorfulness"),
    Column("we", "WE", 3, "lower", True, "warping error × 10³; the truth's own is the floor, gray lies below it"),
    Column("psnr_last", f"PSNR, last {LAST}", 2, "higher", False, f"mean of the last {LAST} frames"),
    Column("colorfulness_ratio", "COLOR / truth", 2, None, True, "1 is as colorful as the truth"),
    Column("cdc", "CDC", 5, "lower", True, "drift of color histograms; the truth's own is the floor"),
    Column("ssim", "SSIM", 4, "higher", False, "structural similarity"),
    Column("delta_e", "ΔE2000", 2, "lower", False, "color difference with the truth's L*"),
    Column("seconds", "s a frame", 3, "lower", False, "time of the engine alone, one thread"),
)
"""Table 1 of the paper (the first five), and what it does not show."""
RANKED = ("psnr", "delta_e", "ssim", "lpips", "cdc", "we")
"""Figures by which methods are compared with confidence intervals."""


@dataclass
class Results:
    """What reports are made of.

    Attributes:
        run: the benchmark.
        provenance: versions, hardware, command line; JSON-ready.
    """

    run: Run
    provenance: dict[str, Any]

    @property
    def clips(self) -> list[str]:
        """Names, in order."""
        return [clip.name for clip in self.run.clips]

    @property
    def names(self) -> list[str]:
        """Names of the methods, in the order given."""
        return [method.name for method in self.run.methods]

    def unit(self, clip: str, method: str) -> Unit:
        """What a method got on a clip."""
        return self.run.units[clip, method]

    def figure(self, clip: str, method: str, key: str) -> float | None:
        """A figure by its column's key."""
        unit = self.unit(clip, method)
        if key == "seconds":
            return unit.seconds
        if key == "psnr_last":
            return float(np.mean(unit.measurement.per_frame["psnr"][-LAST:]))
        return unit.measurement.figures[key]

    @cached_property
    def means(self) -> dict[str, dict[str, float | None]]:
        """By method (``truth`` included) and column: the mean over clips; None where one clip lacks the figure."""
        return {name: self._mean(name) for name in (TRUTH, *self.names)}

    def _mean(self, method: str) -> dict[str, float | None]:
        means = mean_of([self.unit(clip, method).measurement for clip in self.clips])
        for key in ("psnr_last", "seconds"):
            values = [self.figure(clip, method, key) for clip in self.clips]
            known = [value for value in values if value is not None]
            means[key] = float(np.mean(known)) if len(known) == len(values) else None
        return means

    def columns(self) -> list[Column]:
        """All of Table 1's, and those of the others that any method has."""
        return [
            column
            for number, column in enumerate(COLUMNS)
            if number < 5 or any(self.means[name][column.key] is not None for name in self.names)
        ]

    def best(self, column: Column) -> str | None:
        """The method whose mean is best, or None where that is no question."""
        values = {name: self.means[name][column.key] for name in self.names}
        known = {name: value for name, value in values.items() if value is not None}
        if column.better is None or column.key == "seconds" or len(known) < 2:
            return None
        return (max if column.better == "higher" else min)(known, key=lambda name: known[name])

    def values(self, key: str) -> dict[str, list[float]]:
        """By method, a figure of every clip; methods that lack one are left out."""
        rows = {name: [self.figure(clip, name, key) for clip in self.clips] for name in self.names}
        return {name: [v for v in row if v is not None] for name, row in rows.items() if None not in row}

    def ranking(self) -> list[str]:
        """The methods by mean PSNR, best first."""
        return ranking(self.values("psnr"), higher_is_better=True)

    @cached_property
    def differences(self) -> dict[str, list[Difference]]:
        """By figure: each method against the next in rank, and the best against the last."""
        found = {}
        for column in COLUMNS:
            values = self.values(column.key) if column.key in RANKED else {}
            if len(values) > 1:
                found[column.key] = ranked_differences(values, higher_is_better=column.better == "higher")
        return found

    def notes(self) -> list[str]:
        """Why figures are missing, and which networks made the others; each once."""
        found: dict[str, None] = {}
        for unit in self.run.units.values():
            for key, text in unit.measurement.notes.items():
                title = next((column.title for column in COLUMNS if column.key == key), None)
                if title and key != "psnr":
                    found[f"{title}: {text}"] = None
        return list(found)

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        run = self.run
        return {
            "schema": SCHEMA,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            **self.provenance,
            "protocol": run.protocol.model_dump(),
            "measuring": run.tools,
            "clips": [
                {"name": clip.name, "path": str(clip.path), "sha256": sha, **self.unit(clip.name, TRUTH).facts}
                for clip, sha in run.clips.items()
            ],
            "methods": [
                {"name": method.name, "about": method.about, "weights": method.weights()} for method in run.methods
            ],
            "means": self.means,
            "results": [_unit_record(self.unit(clip, name)) for clip in self.clips for name in (TRUTH, *self.names)],
            "differences": {
                "resamples": RESAMPLES,
                "seed": SEED,
                "level": LEVEL,
                "by_figure": {key: [asdict(one) for one in rows] for key, rows in self.differences.items()},
            },
        }


def _unit_record(unit: Unit) -> dict[str, Any]:
    one = unit.measurement
    return {
        "clip": unit.clip,
        "method": unit.method,
        "figures": one.figures,
        "notes": one.notes,
        "seconds_a_frame": unit.seconds,
        "per_frame": one.per_frame,
        "confidence": unit.confidence,
    }


def number(value: float | None, digits: int) -> str:
    """A figure in a table; one that cannot be had is "n/a"."""
    return "n/a" if value is None else f"{value:.{digits}f}"


def interval_text(one: Difference, digits: int) -> str:
    """``+1.23 [0.45, 2.01]``."""
    mean = f"{one.mean:+.{digits}f}"
    if one.low is None or one.high is None:
        return mean
    return f"{mean} [{one.low:+.{digits}f}, {one.high:+.{digits}f}]"


def column_of(key: str) -> Column:
    """The column of a figure."""
    return next(column for column in COLUMNS if column.key == key)


def table(results: Results, rows: Sequence[tuple[str, dict[str, float | None]]]) -> list[list[str]]:
    """Cells of a table of methods: a row a method (its name first), a column a figure; the truth has few."""
    return [
        [name]
        + [
            "–" if name == TRUTH and not column.of_truth else number(figures[column.key], column.digits)
            for column in results.columns()
        ]
        for name, figures in rows
    ]
