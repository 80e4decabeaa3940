"""Draws the rooms of the package and their imports into ``docs/images/architecture.svg``.

    python docs/draw_architecture.py

The arrows come from the import statements, so the drawing cannot go out of date unnoticed: a test compares the file
with what this script draws. Rooms stand in rows, each above all that it imports (longest paths); long arrows get a
place of their own in every row that they cross; the order in a row is that of the mean of the neighbors' places.
"""

from __future__ import annotations

import ast
import textwrap
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "kinemacolor"
IMAGE = PROJECT / "docs" / "images" / "architecture.svg"

FRONT_ENDS = ("cli", "studio", "cluster")
BESIDE = ("model", "export", "baselines", "peers", "consistency", "evaluation", "training")
"""Rooms beside the film path: nothing on that path imports them, but that engines read a network's configuration."""
COLORS = {"front end": "#d9ead3", "film path": "#cfe2f3", "beside": "#eeeeee"}
LEGEND = {"front end": "front end", "film path": "the film path", "beside": "beside the film path"}

BOX, LINE, CHARACTERS = 216, 16, 28
"""Width of a box, height of a line of text, characters in a line."""
PASSAGE = 20
"""Width that a long arrow is given in a row that it crosses."""
COLUMN_GAP, ROW_GAP, MARGIN = 24, 56, 20
SWEEPS = 60

Graph = dict[str, set[str]]


def read_rooms(package: Path = PACKAGE) -> tuple[Graph, dict[str, str]]:
    """The rooms that each room imports, and each room's line of description."""
    rooms = sorted(path.parent.name for path in package.glob("*/__init__.py"))
    imports: Graph = {room: set() for room in rooms}
    for room in rooms:
        for file in (package / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                parts = [name.split(".") for name in names]
                imports[room] |= {part[1] for part in parts if part[0] == "kinemacolor" and part[1] in rooms}
        imports[room].discard(room)
    return imports, {room: _description(package / room / "__init__.py") for room in rooms}


def _description(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return text.splitlines()[0].replace("`", "") if text else ""


def kind_of(room: str) -> str:
    """``front end``, ``film path`` or ``beside``."""
    if room in FRONT_ENDS:
        return "front end"
    return "beside" if room in BESIDE else "film path"


def drawn_imports(imports: Graph) -> Graph:
    """The imports without those that follow from others by way of the film path: each room imports what is below."""

    def reachable(room: str) -> set[str]:
        found: set[str] = set()
        waiting = [room]
        while waiting:
            new = imports[waiting.pop()] - found
            found |= new
            waiting += [target for target in new if kind_of(target) == "film path"]
        return found

    def follows(room: str, target: str) -> bool:
        others = (other for other in imports[room] if other != target and kind_of(other) == "film path")
        return any(target in reachable(other) for other in others)

    return {room: {target for target in targets if not follows(room, target)} for room, targets in imports.items()}


# --- layout --------------------


@dataclass
class Node:
    """A room, or the passage of a long arrow through a row.

    Attributes:
        row: from the bottom, 0.
        width: in pixels.
        text: lines of description; none for a passage.
        below, above: its neighbors.
        x: of its middle.
    """

    name: str
    row: int
    width: int
    text: list[str] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)
    above: list[Node] = field(default_factory=list)
    x: float = 0.0


def layout(arrows: Graph, descriptions: dict[str, str]) -> tuple[dict[str, Node], list[list[Node]], list[list[Node]]]:
    """The rooms' nodes by name, the rows of nodes from the bottom, and each arrow as the nodes it goes through."""
    depths: dict[str, int] = {}

    def depth(room: str) -> int:
        if room not in depths:
            depths[room] = 1 + max((depth(target) for target in arrows[room]), default=-1)
        return depths[room]

    boxes = {
        room: Node(room, depth(room), BOX, textwrap.wrap(descriptions[room], CHARACTERS)) for room in sorted(arrows)
    }
    rows: list[list[Node]] = [[] for _ in range(max(depths.values()) + 1)]
    for node in boxes.values():
        rows[node.row].append(node)
    paths = []
    for room in sorted(arrows):
        for target in sorted(arrows[room]):
            path = [boxes[room]]
            for row in range(boxes[room].row - 1, boxes[target].row, -1):
                passage = Node(f"{room} → {target}", row, PASSAGE)
                rows[row].append(passage)
                path.append(passage)
            path.append(boxes[target])
            for upper, lower in pairwise(path):
                upper.below.append(lower)
                lower.above.append(upper)
            paths.append(path)
    _place(rows)
    return boxes, rows, paths


def _place(rows: list[list[Node]]) -> None:
    """Orders each row and gives every node its x."""
    for row in rows:
        _spread(row, [0.0] * len(row))
    best, fewest = [list(row) for row in rows], _crossings(rows)
    for sweep in range(SWEEPS):
        upward = sweep % 2 == 0
        for row in rows if upward else reversed(rows):
            wanted = {id(node): _mean(node.below if upward else node.above, node.x) for node in row}
            row.sort(key=lambda node: (wanted[id(node)], node.name))
            _spread(row, [wanted[id(node)] for node in row])
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best
    for row in rows:
        _spread(row, [0.0] * len(row))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            _spread(row, [_mean([*node.below, *node.above], node.x) for node in row])


def _mean(nodes: list[Node], otherwise: float) -> float:
    return sum(node.x for node in nodes) / len(nodes) if nodes else otherwise


def _crossings(rows: list[list[Node]]) -> int:
    """Pairs of arrows that cross between neighboring rows."""
    count = 0
    for lower, upper in pairwise(rows):
        places = {id(node): place for place, node in enumerate(lower)}
        ends = [(place, places[id(other)]) for place, node in enumerate(upper) for other in node.below]
        count += sum((a - c) * (b - d) < 0 for n, (a, b) in enumerate(ends) for c, d in ends[:n])
    return count


def _spread(row: list[Node], wanted: list[float]) -> None:
    """Places the nodes of a row in their order as near as possible to where they want to be, without overlaps."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + COLUMN_GAP)
    groups: list[list[float]] = []  # sum of wanted places less offsets, and number of nodes
    for place, offset in zip(wanted, offsets, strict=True):
        groups.append([place - offset, 1])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] >= groups[-1][0] / groups[-1][1]:
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    starts = [total / count for total, count in groups for _ in range(int(count))]
    for node, start, offset in zip(row, starts, offsets, strict=True):
        node.x = start + offset


# --- drawing --------------------


def draw(package: Path = PACKAGE) -> str:
    """The drawing as SVG."""
    imports, descriptions = read_rooms(package)
    boxes, rows, paths = layout(drawn_imports(imports), descriptions)
    left = min(node.x - node.width / 2 for row in rows for node in row) - MARGIN
    for row in rows:
        for node in row:
            node.x -= left
    width = round(max(node.x + node.width / 2 for row in rows for node in row) + MARGIN)
    heights = [LINE * (1 + max((len(node.text) for node in row), default=0)) + 18 for row in rows]
    tops, top = [0] * len(rows), MARGIN + 2 * LINE
    for number in reversed(range(len(rows))):
        tops[number] = top
        top += heights[number] + ROW_GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top - ROW_GAP + MARGIN}" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="12">',
        "<title>The rooms of kinemacolor and their imports</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{top - ROW_GAP + MARGIN}" fill="#ffffff"/>',
        *_legend(),
        *(_arrow(path, tops, heights) for path in paths),
        *(_box(node, tops[node.row], heights[node.row]) for node in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    parts, x = [], MARGIN
    for kind, words in LEGEND.items():
        parts.append(
            f'<rect x="{x}" y="{MARGIN - 4}" width="16" height="16" rx="3" fill="{COLORS[kind]}" stroke="#777"/>'
        )
        parts.append(f'<text x="{x + 22}" y="{MARGIN + 9}">{words}</text>')
        x += 40 + 7 * len(words)
    return parts


def _box(node: Node, top: int, height: int) -> str:
    x = round(node.x - node.width / 2)
    lines = [f'<tspan x="{x + 10}" dy="{LINE}">{escape(line)}</tspan>' for line in node.text]
    return (
        f'<rect x="{x}" y="{top}" width="{node.width}" height="{height}" rx="6" fill="{COLORS[kind_of(node.name)]}" '
        f'stroke="#777"/>\n<text x="{x + 10}" y="{top + 20}"><tspan font-weight="bold" font-size="15">{node.name}'
        f"</tspan>{''.join(lines)}</text>"
    )


def _arrow(path: list[Node], tops: list[int], heights: list[int]) -> str:
    """A curve from the bottom of the first box to the top of the last, straight through the rows between."""
    start, end = path[0], path[-1]
    x, y = _port(start, path[1], start.below), tops[start.row] + heights[start.row]
    commands = [f"M{x} {y}"]
    for node in path[1:]:
        to_x = _port(end, path[-2], end.above) if node is end else round(node.x)
        to_y = tops[node.row]
        middle = (y + to_y) // 2
        commands.append(f"C{x} {middle} {to_x} {middle} {to_x} {to_y}")
        x, y = to_x, to_y
        if node is not end:
            y += heights[node.row]
            commands.append(f"L{x} {y}")
    return f'<path d="{" ".join(commands)}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _port(node: Node, neighbor: Node, neighbors: list[Node]) -> int:
    """x at which an arrow leaves or enters a box, in the order of what is at the arrows' other ends."""
    ordered = sorted(neighbors, key=lambda other: (other.x, other.name))
    place = next(number for number, other in enumerate(ordered) if other is neighbor)
    return round(node.x + node.width * ((place + 1) / (len(ordered) + 1) - 0.5))


if __name__ == "__main__":
    IMAGE.write_text(draw(), "utf-8")
