"""Line plots and interval plots as SVG, for self-contained pages. Colors are CSS variables of the page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from kinemacolor.evaluation.statistics import Difference

LINE_COLORS = 8
"""Number of line colors in the page, ``--c0`` and so on; further lines use them again, dashed."""
PLOT_WIDTH, PLOT_HEIGHT = 560, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 26  # margins of a line plot
_ROW_HEIGHT = 24  # of an interval plot


class Line(NamedTuple):
    """A line: the name of the method, the number of its color, and a value for each frame."""

    name: str
    color: int
    values: Sequence[float]


def stroke(color: int) -> str:
    """Style of a line by its number."""
    dash = ";stroke-dasharray:5 3" if color >= LINE_COLORS else ""
    return f"stroke:var(--c{color % LINE_COLORS}){dash}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers that span [low, high]."""
    span = max(high - low, 1e-9)
    unit = 10.0 ** math.floor(math.log10(span / count))
    step = next(factor * unit for factor in (1, 2, 5, 10) if span / (factor * unit) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 10) for k in range(first, max(last, first + 1) + 1)]


def _label(value: float) -> str:
    return f"{value:g}"


def line_plot(title: str, lines: Sequence[Line], *, ceiling: float | None = None) -> str:
    """A plot of lines over frame numbers; values above ``ceiling`` are drawn at the upper edge."""
    values = [v for line in lines for v in line.values]
    top = min(max(values), ceiling) if ceiling is not None else max(values)
    marks = ticks(min(min(values), top), top)
    low, high = marks[0], marks[-1]
    length = max(len(line.values) for line in lines)

    def x(frame: float) -> float:
        return _LEFT + (PLOT_WIDTH - _LEFT - _RIGHT) * frame / max(length - 1, 1)

    def y(value: float) -> float:
        return _TOP + (PLOT_HEIGHT - _TOP - _BOTTOM) * (high - min(value, high)) / (high - low)

    parts = [f'<svg viewBox="0 0 {PLOT_WIDTH} {PLOT_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for mark in marks:
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{PLOT_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{_label(mark)}</text>'
        )
    for mark in ticks(0, length - 1):
        if mark <= length - 1:
            at = f'x="{x(mark):.1f}" y="{PLOT_HEIGHT - 8}"'
            parts.append(f'<text class="tick" {at} text-anchor="middle">{_label(mark)}</text>')
    for line in lines:
        points = " ".join(f"{x(frame):.1f},{y(value):.1f}" for frame, value in enumerate(line.values))
        parts.append(f'<polyline class="line" style="{stroke(line.color)}" points="{points}"/>')
    parts.append(f'<line class="cursor" y1="{_TOP}" y2="{PLOT_HEIGHT - _BOTTOM}"/></svg>')
    data = {"names": [line.name for line in lines], "values": [[round(v, 3) for v in line.values] for line in lines]}
    return (
        f'<figure class="plot" data-lines="{escape(json.dumps(data))}"><figcaption>{escape(title)}</figcaption>'
        f'{"".join(parts)}<div class="tip" hidden></div></figure>'
    )


def interval_plot(title: str, rows: Sequence[Difference], texts: Sequence[str]) -> str:
    """Mean differences as dots with their intervals, one row each, and their texts at the right."""
    ends = [v for row in rows for v in (0.0, row.mean, row.low, row.high) if v is not None]
    marks = ticks(min(ends), max(ends), 6)
    left, right, width = 230, 210, 820
    height = _ROW_HEIGHT * len(rows) + 30

    def x(value: float) -> float:
        return left + (width - left - right) * (value - marks[0]) / (marks[-1] - marks[0])

    parts = [f'<svg class="wide" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">']
    for mark in marks:
        kind = "zero" if mark == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="4" y2="{height - 24}"/>')
        at = f'x="{x(mark):.1f}" y="{height - 8}"'
        parts.append(f'<text class="tick" {at} text-anchor="middle">{_label(mark)}</text>')
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        middle = 4 + _ROW_HEIGHT * (number + 0.5)
        name = escape(f"{row.a} − {row.b}")
        parts.append(f'<text class="name" x="{left - 12}" y="{middle + 4:.1f}" text-anchor="end">{name}</text>')
        if row.low is not None and row.high is not None:
            span = f'x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
            parts.append(f'<line class="span" {span}/>')
        parts.append(f'<circle class="dot" cx="{x(row.mean):.1f}" cy="{middle:.1f}" r="4.5"/>')
        parts.append(f'<text class="tick" x="{width - right + 14}" y="{middle + 4:.1f}">{escape(text)}</text>')
    return f"<figure><figcaption>{escape(title)}</figcaption>{''.join(parts)}</svg></figure>"
