"""The tables of the paper: under its protocol, on the test clips of its data sets, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kinemacolor.core.errors import UsageError
from kinemacolor.evaluation.results import FIGURE_COLUMNS, TABLE_1_COLUMNS, Column, Results, column_of, number
from kinemacolor.evaluation.splits import load_split, locate

TABLE_PROTOCOL = "paper"
"""Protocol of all tables."""
TEST_SPLITS = ("davis2017-val", "videvo-test")
"""Lists of the clips on which the tables are measured."""
TABLE_TITLES = {
    1: "Table 1: comparison",
    2: "Table 2: without individual components",
    3: "Table 3: frames N of a block",
}
TIMED_TABLE = 3
"""The table whose DUR is taken in one process, warmed up."""


def table_columns(table: int) -> list[Column]:
    """FID, LPIPS, PSNR, COLOR and WE; for Table 3 also DUR, seconds a frame."""
    columns = list(FIGURE_COLUMNS[:TABLE_1_COLUMNS])
    return [*columns, column_of("seconds")] if table == TIMED_TABLE else columns


def recognized_split(folder: str | Path) -> str | None:
    """The list of test clips that a folder holds clips of, the most complete one; None if it holds none."""
    if not Path(folder).is_dir():
        return None
    shares = {split: len(locate(split, folder)) / len(load_split(split)) for split in TEST_SPLITS}
    best = max(shares, key=lambda split: shares[split])
    return best if shares[best] else None


def chosen_splits(data: Sequence[str], text: str | None, table: int | None) -> list[str | None]:
    """The list of clips of each data set: as told, separated by commas; for a table otherwise as recognized.

    Raises:
        UsageError: as many lists as data sets are needed.
    """
    if text is not None:
        names = [name.strip() for name in text.split(",")]
        if len(names) != len(data):
            problem = f"{len(names)} lists for {len(data)} data sets"
            raise UsageError("split", problem, "give a list for each, separated by commas")
        return list(names)
    return [recognized_split(folder) if table is not None else None for folder in data]


def side_by_side(table: int, results: Mapping[str, Results]) -> str:
    """A table of the paper as Markdown, with the columns of each data set beside those of the others.

    Args:
        table: 1, 2 or 3.
        results: by name of the data set; all with the same methods.
    """
    columns = table_columns(table)
    titles = {column.key: "DUR↓" if column.key == "seconds" else column.heading for column in columns}
    names = next(iter(results.values())).names
    head = ["method", *(f"{data} {titles[column.key]}" for data in results for column in columns)]
    rows = []
    for name in names:
        cells = [name]
        for of_data in results.values():
            for column in columns:
                text = number(of_data.means[name][column.key], column.digits)
                best = of_data.best(column) if column.key != "seconds" else _fastest(of_data)
                cells.append(f"**{text}**" if best == name else text)
        rows.append(cells)
    lines = [f"# {TABLE_TITLES[table]}", ""]
    for data, of_data in results.items():
        protocol = of_data.run.protocol
        frames = f"first {protocol.frames} frames" if protocol.frames else "all frames"
        lines.append(f"- {data}: {of_data.selection}, {frames}, reference: {protocol.reference}, {protocol.title}.")
        lines += [f"- {data}: {note}." for note in of_data.notes()]
    if table == TIMED_TABLE:
        lines.append("- DUR: seconds a frame.")
    lines += ["", _row(head), "|---|" + "--:|" * (len(head) - 1), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _fastest(results: Results) -> str | None:
    times = {name: value for name in results.names if (value := results.means[name]["seconds"]) is not None}
    return min(times, key=lambda name: times[name]) if len(times) > 1 else None


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
