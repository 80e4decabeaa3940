"""The film's timeline as SVG: its shots, confidence, low stretches, painted frames and those to paint next."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from kinemacolor.core.types import FloatArray

if TYPE_CHECKING:
    from kinemacolor.report.model import FilmReport

WIDTH, LEFT, RIGHT = 1200, 46, 14
BAND, PLOT, MARKS, AXIS = 16, 190, 22, 24
"""Heights of the shots, of the plot, of the marks below it and of the times."""
COLUMNS = 1140
"""Most points of a curve: one a pixel."""
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""Seconds between times on the axis."""


def timeline(report: FilmReport) -> str:
    """The figure's SVG."""
    count = len(report.confidence)
    inner = WIDTH - LEFT - RIGHT
    top, bottom = BAND + 6, BAND + 6 + PLOT
    floor = math.floor(10 * min(float(report.confidence.min()), report.threshold) - 0.01) / 10
    floor = max(-1.0, min(floor, 0.9))

    def x(frame: float) -> float:
        return round(LEFT + inner * frame / count, 2)

    def y(value: float) -> float:
        return round(top + PLOT * (1 - min(1.0, value)) / (1 - floor), 2)

    height = bottom + MARKS + AXIS
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Confidence over the film">']
    for number, one in enumerate(report.shots, 1):
        start, stop = one.shot.start, one.shot.stop or count
        kind = "even" if number % 2 else "odd"
        words = f"shot {number}: frames {report.number(start)} to {report.number(stop - 1)}"
        parts.append(
            f'<a href="#shot-{number}"><rect class="{kind}" x="{x(start)}" y="0" width="{x(stop) - x(start):.2f}" '
            f'height="{BAND}"><title>{words}</title></rect></a>'
        )
    for stretch in report.stretches:
        wide = max(1.5, x(stretch.stop) - x(stretch.start))
        parts.append(f'<rect class="low" x="{x(stretch.start)}" y="{top}" width="{wide:.2f}" height="{PLOT}"/>')
    for tenth in range(round(10 * floor), 11, 1 if floor >= 0.5 else 2):
        at = y(tenth / 10)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.2f}" text-anchor="end">{tenth / 10:.1f}</text>')
    centers, least, mean, most = envelope(report.confidence, COLUMNS)
    upper = [f"{x(c)},{y(v)}" for c, v in zip(centers, most, strict=True)]
    lower = [f"{x(c)},{y(v)}" for c, v in zip(centers, least, strict=True)]
    if len(centers) < count:
        parts.append(f'<polygon class="range" points="{" ".join([*upper, *lower[::-1]])}"/>')
    middle = " ".join(f"{x(c)},{y(v)}" for c, v in zip(centers, mean, strict=True))
    parts.append(f'<polyline class="line" points="{middle}"/>')
    at = y(report.threshold)
    parts.append(f'<line class="threshold" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
    parts += _marks(report, x, bottom)
    for seconds, words in time_ticks(count / report.rate):
        place = x(seconds * float(report.rate))
        parts.append(f'<text x="{place}" y="{height - 6}" text-anchor="middle">{words}</text>')
        parts.append(f'<line class="grid" x1="{place}" x2="{place}" y1="{bottom}" y2="{bottom + 4}"/>')
    parts.append(f'<line class="cursor" y1="0" y2="{bottom}"/></svg>')
    return "".join(parts)


def _marks(report: FilmReport, x: Callable[[float], float], bottom: int) -> list[str]:
    """Painted frames, and those to paint next with their rank."""
    parts = []
    for frame, name in report.painted:
        at = x(frame + 0.5)
        title = _title(f"frame {report.number(frame)}: {name}")
        points = f"{at},{bottom + 2} {at - 5},{bottom + 11} {at + 5},{bottom + 11}"
        parts.append(f'<polygon class="painted" points="{points}">{title}</polygon>')
    for rank, (frame, gain) in reversed(list(enumerate(report.best_first, 1))):  # the best on top
        at, middle = x(frame + 0.5), bottom + 13
        title = _title(f"paint next, {rank}: frame {report.number(frame)}, gain {gain:.4f}")
        points = f"{at},{middle - 8} {at + 8},{middle} {at},{middle + 8} {at - 8},{middle}"
        parts.append(f'<polygon class="next" points="{points}">{title}</polygon>')
        parts.append(f'<text class="rank" x="{at}" y="{middle + 3.5}" text-anchor="middle">{rank}</text>')
    return parts


def _title(words: str) -> str:
    return f"<title>{escape(words)}</title>"


def envelope(values: FloatArray, columns: int) -> tuple[list[float], list[float], list[float], list[float]]:
    """Centers (in frames), and least, mean and greatest value, of at most ``columns`` equal parts of (F,) values."""
    count = len(values)
    parts = min(count, columns)
    edges = np.arange(parts + 1) * count // parts
    exact = np.asarray(values, np.float64)
    sums, sizes = np.add.reduceat(exact, edges[:-1]), np.diff(edges)
    least, most = np.minimum.reduceat(exact, edges[:-1]), np.maximum.reduceat(exact, edges[:-1])
    centers = (edges[:-1] + edges[1:]) / 2
    return centers.tolist(), least.tolist(), (sums / sizes).tolist(), most.tolist()


def time_ticks(seconds: Fraction | float, wanted: int = 12) -> list[tuple[float, str]]:
    """Round times within a film's length, at most about ``wanted``, with their text."""
    length = float(seconds)
    step = next((step for step in STEPS if length / step <= wanted), math.ceil(length / wanted / 3600) * 3600)
    marks = []
    for k in range(int(length / step + 1e-9) + 1):
        at = round(k * step, 1)
        minutes, rest = divmod(at, 60)
        part = f"{rest:04.1f}" if step < 1 else f"{rest:02.0f}"
        marks.append((at, f"{int(minutes) // 60}:{int(minutes) % 60:02}:{part}"))
    return marks
