"""The report as one self-contained HTML page: style, script and pictures are embedded, and nothing is fetched."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path

from kinemacolor.evaluation.methods import TRUTH
from kinemacolor.evaluation.pictures import shown_frames
from kinemacolor.evaluation.plots import Line, interval_plot, line_plot, stroke
from kinemacolor.evaluation.results import COSTS, Column, Results, column_of, interval_text, number, table

INPUT_PICTURE = "input"
"""Name of the black-and-white frame among the pictures."""
PSNR_SHOWN = 50.0
"""Upper end of PSNR plots in dB: the reference's own frame is far above, and would flatten all other values."""
_FOLDER = Path(__file__).parent


def page(results: Results) -> str:
    """The HTML text."""
    protocol = results.run.protocol
    frames = f"first {protocol.frames} frames" if protocol.frames else "all frames"
    head = (
        f"{results.selection}, {frames}, reference: {protocol.reference}; protocol {protocol.name}: "
        f"{protocol.title}. kinemacolor {results.provenance.get('version', '?')}."
    )
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        "<title>Benchmark</title>",
        f"<style>{(_FOLDER / 'page.css').read_text(encoding='utf-8')}</style>",
        f"<h1>Benchmark</h1><p>{escape(head)}</p>",
        f"<pre>{escape(shlex.join(results.provenance.get('command', [])))}</pre>",
        "<h2>Methods</h2>",
        _means(results),
        _legend_of_columns(results),
        "<h2>Two methods on one frame</h2>",
        _compare(results),
        "<h2>Differences</h2>",
        _differences(results),
        "<h2>Clips</h2>",
        _legend(results),
        *(_clip(results, clip, opened=not position) for position, clip in enumerate(results.clips)),
        f"<script>{(_FOLDER / 'page.js').read_text(encoding='utf-8')}</script></html>",
    ]
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], best: Sequence[str | None]) -> str:
    """An HTML table; ``best`` names the row that is bold for each column but the first."""
    lines = ["<div class=scroll><table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        kind = " class=truth" if row[0] == TRUTH else ""
        cells = [f"<td>{escape(row[0])}</td>"]
        for cell, winner in zip(row[1:], best, strict=True):
            cells.append(f"<td{' class=best' if winner == row[0] else ''}>{escape(cell)}</td>")
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</table></div>"])


def _means(results: Results) -> str:
    columns = results.columns()
    rows = table(results, [(name, results.means[name]) for name in (*results.names, TRUTH)])
    return _table(["method", *(c.heading for c in columns)], rows, [results.best(column) for column in columns])


def _legend_of_columns(results: Results) -> str:
    lines = [f"<li>{escape(column.heading)}: {escape(column.summary)}" for column in results.columns()]
    lines += [f"<li>{escape(note)}" for note in results.notes()]
    lines += [f"<li>{escape(method.name)}: {escape(method.summary)}" for method in results.run.methods]
    return "<details><summary>Columns and methods</summary><ul>" + "\n".join(lines) + "</ul></details>"


def _options(names: Sequence[str], chosen: str = "") -> str:
    return "".join(f"<option{' selected' if name == chosen else ''}>{escape(name)}</option>" for name in names)


def _compare(results: Results) -> str:
    ranked = results.ranking()
    names = [*ranked, TRUTH, INPUT_PICTURE]
    second = ranked[1] if len(ranked) > 1 else TRUTH
    return (
        "<div id=compare><div class=controls>"
        f"<label>clip <select>{_options(results.clips)}</select></label><label>frame <select></select></label>"
        f"<label>left <select>{_options(names, ranked[0])}</select></label>"
        f"<label>right <select>{_options(names, second)}</select></label></div>"
        "<div class=slider><img alt='' draggable=false><img alt='' draggable=false><i></i><b></b><b></b></div></div>"
    )


def _differences(results: Results) -> str:
    if not results.differences:
        return "<p>There is one method, and nothing to compare.</p>"
    parts = [
        "<p>Each method against the next in rank, the best against the last: mean over clips with its 95 % interval "
        "(paired bootstrap over clips, 10,000 resamples).</p>"
    ]
    for key, rows in results.differences.items():
        column = column_of(key)
        texts = [f"{interval_text(row, column.digits)}, {row.wins} of {row.clips}" for row in rows]
        plot = interval_plot(column.heading, rows, texts)
        parts.append(plot if key == "psnr" else f"<details><summary>{escape(column.heading)}</summary>{plot}</details>")
    return "\n".join(parts)


def _legend(results: Results) -> str:
    items = [
        f'<span><svg viewBox="0 0 22 10"><line x1=0 x2=22 y1=5 y2=5 stroke-width=3 style="{stroke(position)}"/></svg>'
        f"{escape(name)}</span>"
        for position, name in enumerate(results.names)
    ]
    return f"<div class=legend>{''.join(items)}</div>"


def _clip(results: Results, clip: str, *, opened: bool) -> str:
    truth = results.result(clip, TRUTH)
    facts = truth.facts
    columns = [column for column in results.columns() if column.key != "fid"]
    rows = [
        [name]
        + [
            "–"
            if name == TRUTH and not column.of_truth
            else number(results.figure(clip, name, column.key), column.digits)
            for column in columns
        ]
        for name in (*results.names, TRUTH)
    ]
    size = "×".join(map(str, facts["size"]))
    best = max(results.names, key=lambda name: results.figure(clip, name, "psnr") or 0)
    score = number(results.figure(clip, best, "psnr"), 2)
    summary = f"{escape(clip)} <span>{facts['frames']} frames of {size}; best {escape(best)}, {score} dB</span>"
    return "\n".join(
        [
            f"<details{' open' if opened else ''}><summary>{summary}</summary>",
            _table(
                ["method", *(c.heading for c in columns)],
                rows,
                [_best_of(rows, k, c) for k, c in enumerate(columns, 1)],
            ),
            f"<div class=plots>{_plots(results, clip)}</div>",
            _sheet(results, clip),
            "</details>",
        ]
    )


def _best_of(rows: Sequence[Sequence[str]], position: int, column: Column) -> str | None:
    values = {row[0]: float(row[position]) for row in rows if row[0] != TRUTH and row[position] not in ("n/a", "–")}
    if column.better is None or column.key in COSTS or len(values) < 2:
        return None
    return (max if column.better == "higher" else min)(values, key=lambda name: values[name])


def _plots(results: Results, clip: str) -> str:
    lines, support = [], []
    for position, name in enumerate(results.names):
        result = results.result(clip, name)
        lines.append(Line(name, position, result.measurement.per_frame["psnr"]))
        if result.confidence and any(result.confidence):
            support.append(Line(name, position, result.confidence))
    plots = [line_plot("PSNR over frames, dB", lines, ceiling=PSNR_SHOWN)]
    if support:
        plots.append(line_plot("Confidence over frames: mean similarity to the reference", support))
    return "".join(plots)


def _sheet(results: Results, clip: str) -> str:
    """The contact sheet; the slider uses its pictures, too."""
    truth = results.result(clip, TRUTH)
    ranked = results.ranking()
    titles = ["", "input", "reference", *ranked, TRUTH]
    cells = [f"<div>{escape(title)}</div>" for title in titles]
    for index in shown_frames(truth.facts["frames"]):
        cells.append(f"<div>{index}</div>")
        cells.append(_picture(truth.pictures[f"gray {index}"], clip, INPUT_PICTURE, index))
        cells.append(_picture(truth.pictures["reference"], "", "reference", index))
        cells += [_picture(results.result(clip, name).pictures[str(index)], clip, name, index) for name in ranked]
        cells.append(_picture(truth.pictures[str(index)], clip, TRUTH, index))
    layout = f"grid-template-columns: 40px repeat({len(titles) - 1}, minmax(110px, 1fr))"
    return f'<div class=sheet style="{layout}">{"".join(cells)}</div>'


def _picture(jpeg: bytes, clip: str, method: str, index: int) -> str:
    attributes = f'data-clip="{escape(clip)}" data-method="{escape(method)}" data-frame="{index}"' if clip else ""
    data = base64.b64encode(jpeg).decode()
    return f'<img {attributes} alt="{escape(method)}, frame {index}" src="data:image/jpeg;base64,{data}">'
