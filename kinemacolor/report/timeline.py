"""The film's timeline as SVG: its shots, confidence, low stretches, painted frames and those to paint next."""

from __future__ import annotations

import math
from fractions import Fraction
from html import escape

import numpy as np

from kinemacolor.core.types import FloatArray
from kinemacolor.report.model import FilmReport

TIMELINE_WIDTH, TIMELINE_LEFT, TIMELINE_RIGHT = 1200, 46, 14
"""Width of the figure, and of the margins beside the plot, in pixels."""
TICK_SECONDS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
"""Steps between times on the axis, in seconds."""

_SHOT_HEIGHT, _PLOT_HEIGHT, _MARK_HEIGHT, _AXIS_HEIGHT = 16, 190, 22, 24
_TOP = _SHOT_HEIGHT + 6
_BOTTOM = _TOP + _PLOT_HEIGHT
_CURVE_POINTS = 1140  # at most: one a pixel


class _Scales:
    """Frames and confidences → pixels of the figure."""

    def __init__(self, report: FilmReport) -> None:
        self.frames = len(report.confidence)
        floor = math.floor(10 * min(float(report.confidence.min()), report.threshold) - 0.01) / 10
        self.floor = max(-1.0, min(floor, 0.9))

    def x(self, frame: float) -> float:
        return round(TIMELINE_LEFT + (TIMELINE_WIDTH - TIMELINE_LEFT - TIMELINE_RIGHT) * frame / self.frames, 2)

    def y(self, confidence: float) -> float:
        return round(_TOP + _PLOT_HEIGHT * (1 - min(1.0, confidence)) / (1 - self.floor), 2)


def timeline(report: FilmReport) -> str:
    """The figure as an SVG element."""
    scales = _Scales(report)
    height = _BOTTOM + _MARK_HEIGHT + _AXIS_HEIGHT
    parts = [
        f'<svg viewBox="0 0 {TIMELINE_WIDTH} {height}" role="img" aria-label="Confidence over the film">',
        *_shots(report, scales),
        *_low_stretches(report, scales),
        *_grid(scales),
        *_curve(report, scales),
        _horizontal_line("threshold", scales.y(report.threshold)),
        *_marks(report, scales),
        *_time_axis(report, scales, height),
        f'<line class="cursor" y1="0" y2="{_BOTTOM}"/></svg>',
    ]
    return "".join(parts)


def _shots(report: FilmReport, scales: _Scales) -> list[str]:
    parts = []
    for number, entry in enumerate(report.shots, 1):
        start, stop = entry.shot.start, entry.shot.stop or scales.frames
        left, right = scales.x(start), scales.x(stop)
        parity = "even" if number % 2 else "odd"
        title = f"shot {number}: frames {report.number(start)} to {report.number(stop - 1)}"
        parts.append(
            f'<a href="#shot-{number}"><rect class="{parity}" x="{left}" y="0" width="{right - left:.2f}" '
            f'height="{_SHOT_HEIGHT}"><title>{title}</title></rect></a>'
        )
    return parts


def _low_stretches(report: FilmReport, scales: _Scales) -> list[str]:
    parts = []
    for stretch in report.stretches:
        left = scales.x(stretch.start)
        width = max(1.5, scales.x(stretch.stop) - left)
        parts.append(f'<rect class="low" x="{left}" y="{_TOP}" width="{width:.2f}" height="{_PLOT_HEIGHT}"/>')
    return parts


def _grid(scales: _Scales) -> list[str]:
    parts = []
    for tenth in range(round(10 * scales.floor), 11, 1 if scales.floor >= 0.5 else 2):
        y = scales.y(tenth / 10)
        parts.append(_horizontal_line("grid", y))
        parts.append(f'<text x="{TIMELINE_LEFT - 6}" y="{y + 4:.2f}" text-anchor="end">{tenth / 10:.1f}</text>')
    return parts


def _horizontal_line(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="{TIMELINE_LEFT}" x2="{TIMELINE_WIDTH - TIMELINE_RIGHT}" y1="{y}" y2="{y}"/>'


def _curve(report: FilmReport, scales: _Scales) -> list[str]:
    """The confidence: a line through its means, and where a point stands for several frames, their range."""
    centers, lowest, mean, highest = envelope(report.confidence, _CURVE_POINTS)

    def points(values: list[float]) -> list[str]:
        return [f"{scales.x(center)},{scales.y(value)}" for center, value in zip(centers, values, strict=True)]

    parts = []
    if len(centers) < scales.frames:
        outline = [*points(highest), *points(lowest)[::-1]]
        parts.append(f'<polygon class="range" points="{" ".join(outline)}"/>')
    parts.append(f'<polyline class="line" points="{" ".join(points(mean))}"/>')
    return parts


def _marks(report: FilmReport, scales: _Scales) -> list[str]:
    """Painted frames, and those to paint next with their rank."""
    parts = []
    for frame, name in report.painted:
        x = scales.x(frame + 0.5)
        title = _title(f"frame {report.number(frame)}: {name}")
        points = f"{x},{_BOTTOM + 2} {x - 5},{_BOTTOM + 11} {x + 5},{_BOTTOM + 11}"
        parts.append(f'<polygon class="painted" points="{points}">{title}</polygon>')
    for rank, (frame, gain) in reversed(list(enumerate(report.best_first, 1))):  # the best on top
        x, y = scales.x(frame + 0.5), _BOTTOM + 13
        title = _title(f"paint next, {rank}: frame {report.number(frame)}, gain {gain:.4f}")
        points = f"{x},{y - 8} {x + 8},{y} {x},{y + 8} {x - 8},{y}"
        parts.append(f'<polygon class="next" points="{points}">{title}</polygon>')
        parts.append(f'<text class="rank" x="{x}" y="{y + 3.5}" text-anchor="middle">{rank}</text>')
    return parts


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _time_axis(report: FilmReport, scales: _Scales, height: int) -> list[str]:
    parts = []
    for seconds, label in time_ticks(scales.frames / report.rate):
        x = scales.x(seconds * float(report.rate))
        parts.append(f'<text x="{x}" y="{height - 6}" text-anchor="middle">{label}</text>')
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{_BOTTOM}" y2="{_BOTTOM + 4}"/>')
    return parts


def envelope(values: FloatArray, count: int) -> tuple[list[float], list[float], list[float], list[float]]:
    """Centers (in frames), and lowest, mean and highest value, of at most ``count`` equal parts of (F,) values."""
    frames = len(values)
    parts = min(frames, count)
    edges = np.arange(parts + 1) * frames // parts
    exact = np.asarray(values, np.float64)
    sums, sizes = np.add.reduceat(exact, edges[:-1]), np.diff(edges)
    lowest, highest = np.minimum.reduceat(exact, edges[:-1]), np.maximum.reduceat(exact, edges[:-1])
    centers = (edges[:-1] + edges[1:]) / 2
    return centers.tolist(), lowest.tolist(), (sums / sizes).tolist(), highest.tolist()


def time_ticks(seconds: Fraction | float, count: int = 12) -> list[tuple[float, str]]:
    """Round times within a film's length of ``seconds``, about ``count`` at most, each with its label."""
    length = float(seconds)
    step = next((step for step in TICK_SECONDS if length / step <= count), math.ceil(length / count / 3600) * 3600)
    ticks = []
    for k in range(int(length / step + 1e-9) + 1):
        time = round(k * step, 1)
        minutes, rest = divmod(time, 60)
        seconds_text = f"{rest:04.1f}" if step < 1 else f"{rest:02.0f}"
        ticks.append((time, f"{int(minutes) // 60}:{int(minutes) % 60:02}:{seconds_text}"))
    return ticks
