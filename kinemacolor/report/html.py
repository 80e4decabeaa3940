"""The film's report as one HTML page that stands alone: style, script and pictures are inside, nothing is fetched."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinemacolor.references.placement import clock_text
from kinemacolor.report.timeline import LEFT, RIGHT, WIDTH, timeline

if TYPE_CHECKING:
    from kinemacolor.report.model import FilmReport, Thumbnail

FOLDER = Path(__file__).parent
STRIP = 14
"""Pictures over the timeline."""
PICTURES = 2000
"""Shots that have a picture, at most; those of the least confidence come first."""

WORST = 20
"""Stretches of low confidence that are seen at once."""


def page(report: FilmReport) -> str:
    """The whole page."""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(report.film)}: colors</title>",
        f"<style>{(FOLDER / 'report.css').read_text(encoding='utf-8')}</style></head><body>",
        f"<h1>{escape(report.film)}</h1>",
        _facts(report),
        "".join(f"<p class=note>{escape(note)}</p>" for note in report.notes),
        "<h2>The film over time</h2>",
        _film(report),
        "<h2>Paint next</h2>",
        _advice(report),
        "<h2>Where confidence is low</h2>",
        _stretches(report),
        "<h2>Shots</h2>",
        _shots(report),
        f"<script>{(FOLDER / 'report.js').read_text(encoding='utf-8')}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _facts(report: FilmReport) -> str:
    count = len(report.confidence)
    names = {name for one in report.shots for name in one.references} | {name for _, name in report.painted}
    low = float((report.confidence < report.threshold).mean())
    facts = (
        ("frames", f"{count:,}"),
        ("length", clock_text(count / report.rate)),
        ("frames a second", f"{float(report.rate):.5g}"),
        ("shots", f"{len(report.shots):,}"),
        ("references used", f"{len(names):,}"),
        ("mean confidence", f"{float(report.confidence.mean()):.3f}"),
        (f"frames below {report.threshold:g}", f"{100 * low:.1f} %"),
    )
    cells = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in facts)
    about = (
        "Confidence is the mean similarity of a frame to the references that colored it: 1 where they show the same, "
        "about 0.5 where they have nothing in common."
    )
    return f"<div class=facts>{cells}</div><p>{about}</p>"


def _picture(report: FilmReport, one: Thumbnail | None) -> str:
    if one is None:
        return ""
    words = f"frame {report.number(one.frame)}"
    data = base64.b64encode(one.jpeg).decode()
    return f'<img alt="{escape(words)}" title="{escape(words)}" src="data:image/jpeg;base64,{data}">'


class _Strip:
    """The thumbnail nearest to a frame."""

    def __init__(self, strip: tuple[Thumbnail, ...]) -> None:
        self.strip = sorted(strip, key=lambda one: one.frame)
        self.frames = [one.frame for one in self.strip]

    def nearest(self, frame: int, start: int = 0, stop: int | None = None) -> Thumbnail | None:
        """Among those of frames from ``start`` to before ``stop``; None where there is none."""
        place = bisect_left(self.frames, frame)
        near = [one for one in self.strip[max(0, place - 1) : place + 1] if start <= one.frame]
        near = [one for one in near if stop is None or one.frame < stop]
        return min(near, key=lambda one: abs(one.frame - frame), default=None)


def _film(report: FilmReport) -> str:
    """The strip above the timeline, and what a pointer over the timeline asks for."""
    count, strip = len(report.confidence), _Strip(report.strip)
    slots = min(STRIP, len(report.strip))
    centers = [int((k + 0.5) * count / slots) for k in range(slots)]
    pictures = "".join(_picture(report, strip.nearest(frame)) for frame in centers)
    margin = f"margin: 0 {100 * RIGHT / WIDTH:.3f}% 4px {100 * LEFT / WIDTH:.3f}%"
    data = {
        "frames": count,
        "numbers": _numbers(report),
        "rate": float(report.rate),
        "starts": [one.shot.start for one in report.shots],
        "confidence": _thinned(report),
        "plot": [LEFT, RIGHT, WIDTH],
    }
    legend = (
        "<div class=legend><span class=k-line>mean confidence</span><span class=k-range>its range</span>"
        f"<span class=k-threshold>threshold {report.threshold:g}</span><span class=k-low>low for long</span>"
        "<span class=k-painted>▲ painted frame</span><span class=k-next>◆ paint next</span></div>"
    )
    return (
        f'<figure class=film data-film="{escape(json.dumps(data))}">'
        f'<div class=strip style="{margin}">{pictures}</div>{timeline(report)}'
        f"<div class=tip hidden></div>{legend}</figure>"
    )


def _thinned(report: FilmReport) -> list[float]:
    """Confidence for the pointer: as it is, or means over 4,000 parts of the film."""
    values = np.asarray(report.confidence, np.float64)
    if len(values) > 4000:
        edges = np.arange(4000) * len(values) // 4000
        values = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    return [round(float(value), 3) for value in values]


def _numbers(report: FilmReport) -> int | list[int]:
    """That of the first frame where the others follow, else all."""
    first, count = report.number(0), len(report.confidence)
    return first if report.number(count - 1) - first == count - 1 else list(report.numbers)


def _place(report: FilmReport, frame: int) -> str:
    """Frame, time and shot in words."""
    number = report.shot_of(frame)
    shot = f", <a href='#shot-{number}'>shot {number}</a>" if number else ""
    return f"frame {report.number(frame):,} <span>{clock_text(frame / report.rate)}{shot}</span>"


def _advice(report: FilmReport) -> str:
    if not report.advice:
        return "<p>No frame is proposed.</p>"
    strip, ranked = _Strip(report.strip), report.best_first
    most = max(gain for _, gain in ranked)
    cards = []
    for rank, (frame, gain) in enumerate(ranked, 1):
        near = strip.nearest(frame)
        away = f" (picture: frame {report.number(near.frame):,})" if near and near.frame != frame else ""
        share = 100 * max(0.0, gain) / most if most > 0 else 0
        cards.append(
            f"<li><b>{rank}</b>{_picture(report, near)}<div><p>{_place(report, frame)}{away}</p>"
            f"<div class=bar><i style='width:{share:.0f}%'></i></div><p>gain {gain:+.4f}; "
            f"save it as <code>{report.still(frame)}</code></p></div></li>"
        )
    about = (
        "In order of gain: by how much the film's mean support rises when this frame, too, has a colored still. "
        "Paint it, save it under this name, and give it with --reference."
    )
    return f"<p>{about}</p><ol class=cards>{''.join(cards)}</ol>"


def _stretches(report: FilmReport) -> str:
    if not report.stretches:
        return f"<p>Nowhere is it below {report.threshold:g} for long.</p>"
    worst_first = sorted(report.stretches, key=lambda one: (one.mean - report.threshold) * (one.stop - one.start))
    rows = [
        f"<tr><td>{_place(report, one.start)}</td><td>{one.stop - one.start:,}</td>"
        f"<td>{float((one.stop - one.start) / report.rate):.1f} s</td><td>{one.mean:.3f}</td>"
        f"<td>{float(report.confidence[one.lowest]):.3f} at {report.number(one.lowest):,}</td></tr>"
        for one in worst_first
    ]
    head = "<tr><th>from</th><th>frames</th><th>length</th><th>confidence</th><th>lowest</th></tr>"

    def table(lines: list[str]) -> str:
        return f"<div class=scroll><table>{head}{''.join(lines)}</table></div>"

    rest = rows[WORST:]
    more = f"<details><summary>{len(rest):,} more</summary>{table(rest)}</details>" if rest else ""
    return f"<p>By how much is missing, over how many frames.</p>{table(rows[:WORST])}{more}"


def _shots(report: FilmReport) -> str:
    spans = [(one.shot.start, one.shot.stop or one.shot.start) for one in report.shots]
    means = [float(report.confidence[start:stop].mean()) for start, stop in spans]
    shown = set(sorted(range(len(spans)), key=lambda k: means[k])[:PICTURES])
    strip, rows = _Strip(report.strip), []
    for k, ((start, stop), mean) in enumerate(zip(spans, means, strict=True)):
        lowest = start + int(report.confidence[start:stop].argmin())
        picture = _picture(report, strip.nearest((start + stop) // 2, start, stop)) if k in shown else ""
        names = ", ".join(map(escape, report.shots[k].references)) or "–"
        numbers = f"{report.number(start):,} – {report.number(stop - 1):,}"
        kind = " class=low" if mean < report.threshold else ""
        rows.append(
            f"<tr id=shot-{k + 1}{kind}><td>{k + 1}</td><td>{picture}</td><td>{numbers}</td>"
            f"<td>{clock_text(start / report.rate)}</td><td>{float((stop - start) / report.rate):.1f} s</td>"
            f"<td class=names>{names}</td><td>{_meter(mean, report.threshold)}</td>"
            f"<td>{float(report.confidence[lowest]):.3f} at {report.number(lowest):,}</td></tr>"
        )
    head = "".join(
        f"<th>{name}</th>"
        for name in ("shot", "", "frames", "begins", "length", "references", "mean confidence", "lowest")
    )
    return f"<div class=scroll><table class=shots><tr>{head}</tr>{''.join(rows)}</table></div>"


def _meter(value: float, threshold: float) -> str:
    """A value with a bar, and a mark where the threshold is."""
    wide = 100 * min(1.0, max(0.0, value))
    mark = 100 * min(1.0, max(0.0, threshold))
    return f"<div class=meter><i style='width:{wide:.1f}%'></i><s style='left:{mark:.1f}%'></s></div>{value:.3f}"
