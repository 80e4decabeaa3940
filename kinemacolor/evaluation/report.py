"""The report of a benchmark: ``results.json``, ``report.md``, ``report.html`` and contact sheets."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from kinemacolor.evaluation.failures import failure_sheet
from kinemacolor.evaluation.methods import TRUTH
from kinemacolor.evaluation.page import page
from kinemacolor.evaluation.pictures import contact_sheet, shown_frames
from kinemacolor.evaluation.records import file_name, write_file
from kinemacolor.evaluation.results import DRIFT_FRAMES, Results, column_of, interval_text, number, table

SHEET_FOLDER = "sheets"


def write_report(results: Results, output: str | Path) -> list[Path]:
    """Writes all files of a report atomically, and returns their paths.

    Raises:
        OutputError: a file cannot be written.
    """
    output = Path(output)
    files = {
        output / "results.json": json.dumps(results.record(), indent=1, allow_nan=False).encode(),
        output / "report.md": markdown(results).encode(),
        output / "report.html": page(results).encode(),
    }
    for clip in results.clips:
        files[output / SHEET_FOLDER / f"{file_name(clip)}.jpg"] = sheet(results, clip)
        for name in results.names:
            content = candidate_sheet(results, clip, name)
            if content:
                files[output / SHEET_FOLDER / f"{file_name(clip)}-{file_name(name)}-candidates.jpg"] = content
        failures = failure_sheet(results, clip)
        if failures:
            files[output / SHEET_FOLDER / f"{file_name(clip)}-failures.jpg"] = failures
    for path, content in files.items():
        write_file(path, content)
    return list(files)


def sheet(results: Results, clip: str) -> bytes:
    """A JPEG of four frames of a clip: input, reference, every method in order of rank, truth."""
    truth = results.result(clip, TRUTH)
    names = results.ranking()
    rows = []
    for index in shown_frames(truth.facts["frames"]):
        pictures = [truth.pictures[f"gray {index}"], truth.pictures["reference"]]
        pictures += [results.result(clip, name).pictures[str(index)] for name in names]
        rows.append((f"{clip} {index}", [*pictures, truth.pictures[str(index)]]))
    return contact_sheet(["input", "reference", *names, TRUTH], rows)


def candidate_sheet(results: Results, clip: str, method: str) -> bytes | None:
    """A JPEG like figure 7: for frames of a clip, the colors and similarities of what the method chose from, which of
    them it is nearest to where, its result, and the truth; None for methods without candidates."""
    pictures, truth = results.result(clip, method).pictures, results.result(clip, TRUTH)
    rows, titles = [], []
    for index in shown_frames(truth.facts["frames"]):
        names = [name for name in pictures if name.startswith(f"{index} candidate ")]
        if not names:
            continue
        titles = [name.split(" ", 3)[3] for name in names]
        winners = titles[-2]  # its title has the shares of this frame
        titles = ["input", *titles[:-2], "nearest", "result", TRUTH]
        row = [truth.pictures[f"gray {index}"], *(pictures[name] for name in names), truth.pictures[str(index)]]
        rows.append((f"{index}: {winners}", row))
    return contact_sheet(titles, rows) if rows and len({len(row) for _, row in rows}) == 1 else None


def markdown(results: Results) -> str:
    """The report as Markdown."""
    protocol = results.run.protocol
    frames = f"first {protocol.frames} frames" if protocol.frames else "all frames"
    lines = [
        "# Benchmark",
        "",
        f"{results.selection}, {frames}, reference: {protocol.reference}; protocol {protocol.name}: "
        f"{protocol.title}. kinemacolor {results.provenance.get('version', '?')}.",
        "",
        "```",
        shlex.join(results.provenance.get("command", [])),
        "```",
        "",
        "## Methods",
        "",
        *_methods(results),
        "",
        *(f"- {column.heading}: {column.summary}." for column in results.columns()),
        *(f"- {note}." for note in results.notes()),
        "",
        "## Clips",
        "",
        f"PSNR in dB; that of the last {DRIFT_FRAMES} frames in brackets.",
        "",
        *_clips(results),
        "",
        "## Differences",
        "",
        "Each method against the next in rank, the best against the last: mean difference over clips with its 95 %",
        "interval (paired bootstrap over clips, 10,000 resamples), and on how many clips the first is better.",
        "",
        *_differences(results),
    ]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _methods(results: Results) -> list[str]:
    """A table laid out like Table 1: a row for each method, a column for each figure; the truth is the last row."""
    columns = results.columns()
    rows = table(results, [(name, results.means[name]) for name in (*results.names, TRUTH)])
    for position, column in enumerate(columns, 1):
        best = results.best(column)
        for row in rows:
            if row[0] == best:
                row[position] = f"**{row[position]}**"
    head = ["method", *(column.heading for column in columns)]
    return [_row(head), "|---|" + "--:|" * len(columns), *map(_row, rows)]


def _clips(results: Results) -> list[str]:
    names = results.names
    lines = [_row(["clip", "frames", *names]), "|---|--:|" + "--:|" * len(names)]
    for clip in results.clips:
        best = max(names, key=lambda name: results.figure(clip, name, "psnr") or 0)
        cells = []
        for name in names:
            text = number(results.figure(clip, name, "psnr"), 2)
            last = number(results.figure(clip, name, "psnr_last"), 2)
            cells.append(f"{f'**{text}**' if name == best and len(names) > 1 else text} ({last})")
        lines.append(_row([clip, str(results.result(clip, TRUTH).facts["frames"]), *cells]))
    means = [(results.means[name]["psnr"], results.means[name]["psnr_last"]) for name in names]
    lines.append(_row(["**mean**", "", *(f"{number(mean, 2)} ({number(last, 2)})" for mean, last in means)]))
    return lines


def _differences(results: Results) -> list[str]:
    lines = [_row(["figure", "methods", "difference", "better on"]), "|---|---|--:|--:|"]
    for key, rows in results.differences.items():
        column = column_of(key)
        for row in rows:
            text = interval_text(row, column.digits)
            difference = f"**{text}**" if row.certain else text
            lines.append(_row([column.heading, f"{row.a} − {row.b}", difference, f"{row.wins} of {row.clips}"]))
    return lines if len(lines) > 2 else ["There is one method, and nothing to compare."]
