"""The film's report as one HTML page, with its style, script and pictures inside; nothing is fetched."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from html import escape
from pathlib import Path

import numpy as np

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.clock import clock_text
from kinemacolor.core.errors import OutputError
from kinemacolor.report.model import FilmReport, Thumbnail
from kinemacolor.report.timeline import TIMELINE_LEFT, TIMELINE_RIGHT, TIMELINE_WIDTH, timeline

TIMELINE_PICTURES = 14
"""Pictures above the timeline."""
SHOT_PICTURES = 2000
"""Shots that get a picture, at most; those with the lowest confidence come first."""
LISTED_STRETCHES = 20
"""Stretches of low confidence that are listed at once; the rest is folded."""

_ASSETS = Path(__file__).parent


def write_report(path: str | Path, report: FilmReport) -> None:
    """Writes the report as a page; the file gets its name, or replaces an older one, when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    path = Path(path)
    try:
        with atomic_write(path) as partial:
            partial.write_text(render_page(report), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(path, f"cannot be written ({error.strerror})", "check the folder and its space") from error


def render_page(report: FilmReport) -> str:
    """The whole page as HTML."""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(report.film)}: colors</title>",
        f"<style>{(_ASSETS / 'report.css').read_text(encoding='utf-8')}</style></head><body>",
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
        f"<script>{(_ASSETS / 'report.js').read_text(encoding='utf-8')}</script></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _facts(report: FilmReport) -> str:
    count = len(report.confidence)
    names = {name for entry in report.shots for name in entry.references} | {name for _, name in report.painted}
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


def _picture(report: FilmReport, thumbnail: Thumbnail | None) -> str:
    if thumbnail is None:
        return ""
    title = f"frame {report.number(thumbnail.frame)}"
    data = base64.b64encode(thumbnail.jpeg).decode()
    return f'<img alt="{escape(title)}" title="{escape(title)}" src="data:image/jpeg;base64,{data}">'


class _Strip:
    """Thumbnails, of which the nearest to a frame is looked up."""

    def __init__(self, thumbnails: tuple[Thumbnail, ...]) -> None:
        self.thumbnails = sorted(thumbnails, key=lambda thumbnail: thumbnail.frame)
        self.frames = [thumbnail.frame for thumbnail in self.thumbnails]

    def nearest(self, frame: int, start: int = 0, stop: int | None = None) -> Thumbnail | None:
        """The nearest thumbnail of a frame in ``start`` … ``stop`` − 1; None where there is none."""
        place = bisect_left(self.frames, frame)
        neighbors = self.thumbnails[max(0, place - 1) : place + 1]
        inside = [near for near in neighbors if start <= near.frame and (stop is None or near.frame < stop)]
        return min(inside, key=lambda near: abs(near.frame - frame), default=None)


def _film(report: FilmReport) -> str:
    """The strip of pictures, the timeline, and the data that a pointer over the timeline shows."""
    count, strip = len(report.confidence), _Strip(report.strip)
    pictures = min(TIMELINE_PICTURES, len(report.strip))
    centers = [int((k + 0.5) * count / pictures) for k in range(pictures)]
    images = "".join(_picture(report, strip.nearest(frame)) for frame in centers)
    margin = f"margin: 0 {100 * TIMELINE_RIGHT / TIMELINE_WIDTH:.3f}% 4px {100 * TIMELINE_LEFT / TIMELINE_WIDTH:.3f}%"
    data = {
        "frames": count,
        "numbers": _frame_numbers(report),
        "rate": float(report.rate),
        "starts": [entry.shot.start for entry in report.shots],
        "confidence": _thinned_confidence(report),
        "plot": [TIMELINE_LEFT, TIMELINE_RIGHT, TIMELINE_WIDTH],
    }
    legend = (
        "<div class=legend><span class=k-line>mean confidence</span><span class=k-range>its range</span>"
        f"<span class=k-threshold>threshold {report.threshold:g}</span><span class=k-low>low for long</span>"
        "<span class=k-painted>▲ painted frame</span><span class=k-next>◆ paint next</span></div>"
    )
    return (
        f'<figure class=film data-film="{escape(json.dumps(data))}">'
        f'<div class=strip style="{margin}">{images}</div>{timeline(report)}'
        f"<div class=tip hidden></div>{legend}</figure>"
    )


def _thinned_confidence(report: FilmReport) -> list[float]:
    """Confidence that the pointer shows: of each frame, or means over 4,000 parts of a long film."""
    values = np.asarray(report.confidence, np.float64)
    if len(values) > 4000:
        edges = np.arange(4000) * len(values) // 4000
        values = np.add.reduceat(values, edges) / np.diff([*edges, len(values)])
    return [round(float(value), 3) for value in values]


def _frame_numbers(report: FilmReport) -> int | list[int]:
    """The number of the first frame if those of the others follow it one by one, else the numbers of all."""
    first, count = report.number(0), len(report.confidence)
    return first if report.number(count - 1) - first == count - 1 else list(report.numbers)


def _place(report: FilmReport, frame: int) -> str:
    """Number, time and shot of a frame as text."""
    number = report.shot_of(frame)
    shot = f", <a href='#shot-{number}'>shot {number}</a>" if number else ""
    return f"frame {report.number(frame):,} <span>{clock_text(frame / report.rate)}{shot}</span>"


def _advice(report: FilmReport) -> str:
    if not report.advice:
        return "<p>No frame is proposed.</p>"
    strip, ranked = _Strip(report.strip), report.best_first
    highest = max(gain for _, gain in ranked)
    cards = []
    for rank, (frame, gain) in enumerate(ranked, 1):
        near = strip.nearest(frame)
        remark = f" (picture: frame {report.number(near.frame):,})" if near and near.frame != frame else ""
        share = 100 * max(0.0, gain) / highest if highest > 0 else 0
        cards.append(
            f"<li><b>{rank}</b>{_picture(report, near)}<div><p>{_place(report, frame)}{remark}</p>"
            f"<div class=bar><i style='width:{share:.0f}%'></i></div><p>gain {gain:+.4f}; "
            f"save it as <code>{report.still(frame)}</code></p></div></li>"
        )
    about = (
        "The gain is the expected rise of the film's mean confidence if this frame gets a colored still as well. "
        "Paint the frame, save it under this name, and add it to the references."
    )
    return f"<p>{about}</p><ol class=cards>{''.join(cards)}</ol>"


def _stretches(report: FilmReport) -> str:
    if not report.stretches:
        return f"<p>Confidence is nowhere below {report.threshold:g} for long.</p>"
    worst_first = sorted(report.stretches, key=lambda low: (low.mean - report.threshold) * (low.stop - low.start))
    rows = [
        f"<tr><td>{_place(report, low.start)}</td><td>{low.stop - low.start:,}</td>"
        f"<td>{float((low.stop - low.start) / report.rate):.1f} s</td><td>{low.mean:.3f}</td>"
        f"<td>{float(report.confidence[low.lowest]):.3f} at {report.number(low.lowest):,}</td></tr>"
        for low in worst_first
    ]
    head = "<tr><th>from</th><th>frames</th><th>length</th><th>confidence</th><th>lowest</th></tr>"

    def table(lines: list[str]) -> str:
        return f"<div class=scroll><table>{head}{''.join(lines)}</table></div>"

    rest = rows[LISTED_STRETCHES:]
    more = f"<details><summary>{len(rest):,} more</summary>{table(rest)}</details>" if rest else ""
    about = "Sorted by the confidence that is missing, times the number of frames."
    return f"<p>{about}</p>{table(rows[:LISTED_STRETCHES])}{more}"


def _shots(report: FilmReport) -> str:
    spans = [(entry.shot.start, entry.shot.stop or entry.shot.start) for entry in report.shots]
    means = [float(report.confidence[start:stop].mean()) for start, stop in spans]
    pictured = set(sorted(range(len(spans)), key=lambda k: means[k])[:SHOT_PICTURES])
    strip, rows = _Strip(report.strip), []
    for k, ((start, stop), mean) in enumerate(zip(spans, means, strict=True)):
        lowest = start + int(report.confidence[start:stop].argmin())
        picture = _picture(report, strip.nearest((start + stop) // 2, start, stop)) if k in pictured else ""
        names = ", ".join(map(escape, report.shots[k].references)) or ("stays gray" if report.shots[k].neutral else "–")
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
    """A value with a bar, and a mark at the threshold."""
    width = 100 * min(1.0, max(0.0, value))
    mark = 100 * min(1.0, max(0.0, threshold))
    return f"<div class=meter><i style='width:{width:.1f}%'></i><s style='left:{mark:.1f}%'></s></div>{value:.3f}"
