"""The documents name what exists, and what is written by scripts is what the scripts write now."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from kinemacolor.cli import app
from kinemacolor.cli.drawing import STAGE_TITLES
from kinemacolor.cli.options import option
from kinemacolor.core.events import AnyEvent
from kinemacolor.pipeline.settings import ColorizeSettings
from tests.test_imports import BESIDE, FILM_PATH, FRONT_ENDS, PACKAGE, PROJECT

DOCS = PROJECT / "docs"
DOCUMENTS = sorted(
    [*DOCS.glob("*.md"), *(PROJECT / name for name in ("README.md", "MODEL_CARD.md", "examples/README.md"))]
)
ROOMS = (*FILM_PATH, *FRONT_ENDS, *BESIDE)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec
    assert spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # records look for their module there
    spec.loader.exec_module(module)
    return module


def document_name(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


# --- what scripts write --------------------


def test_the_drawing_of_the_rooms_is_the_one_that_the_imports_give() -> None:
    drawing = script("draw_architecture")
    assert drawing.IMAGE.read_text("utf-8") == drawing.draw(), "run: python docs/draw_architecture.py"


def test_the_drawing_tells_front_ends_and_rooms_beside_the_film_path_apart() -> None:
    drawing = script("draw_architecture")
    assert set(drawing.BESIDE) == set(BESIDE)
    assert drawing.FRONT_ENDS == FRONT_ENDS


def test_the_drawing_leaves_out_what_follows_by_way_of_the_film_path_alone() -> None:
    drawing = script("draw_architecture")
    imports = {"cli": {"pipeline", "training", "core"}, "training": {"pipeline"}, "pipeline": {"core"}, "core": set()}
    expected = {"cli": {"pipeline", "training"}, "training": {"pipeline"}, "pipeline": {"core"}, "core": set()}
    assert drawing.drawn_imports(imports) == expected


def test_boxes_of_the_drawing_do_not_overlap() -> None:
    drawing = script("draw_architecture")
    imports, descriptions = drawing.read_rooms()
    boxes, rows, paths = drawing.layout(drawing.drawn_imports(imports), descriptions)
    assert set(boxes) == set(imports)
    for row in rows:
        edges = [(node.x - node.width / 2, node.x + node.width / 2) for node in row]
        assert all(right <= left for (_, right), (left, _) in pairwise(edges))
    for path in paths:
        assert [node.row for node in path] == list(range(path[0].row, path[-1].row - 1, -1))
    assert all(len(line) <= drawing.CHARACTERS for node in boxes.values() for line in node.text)


def test_the_tables_of_settings_are_those_of_the_records() -> None:
    tables = script("make_settings_table")
    page = tables.PAGE.read_text("utf-8")
    assert tables.make_page(page) == page, "run: python docs/make_settings_table.py"


def test_a_page_without_a_marker_is_refused() -> None:
    tables = script("make_settings_table")
    with pytest.raises(ValueError, match=r"settings\.md: the marker <!-- settings: .* is missing"):
        tables.make_page("# Settings\n")


def test_values_of_settings_are_told_in_words() -> None:
    tables = script("make_settings_table")
    assert tables.values_text({"enum": ["420", "444"], "type": "string"}) == "`420`, `444`"
    assert tables.values_text({"type": "number", "minimum": 0, "maximum": 4.0}) == "a number, 0 to 4"
    number = {"type": "integer", "minimum": 1}
    assert tables.values_text({"anyOf": [number, {"type": "null"}]}) == "a whole number, 1 or more"


# --- what people write --------------------


def rows_of_table(page: str) -> dict[str, str]:
    """Each row of the tables of a page by what its first cell holds as code."""
    return {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` \|.*$", page, re.MULTILINE)}


def test_every_event_and_each_of_its_fields_is_described() -> None:
    rows = rows_of_table((DOCS / "events.md").read_text("utf-8"))
    events: tuple[type[BaseModel], ...] = get_args(AnyEvent)
    assert set(rows) == {event.model_fields["kind"].default for event in events}
    for event in events:
        row = rows[event.model_fields["kind"].default]
        for field in event.model_fields.keys() - {"kind", "time"}:
            assert f"`{field}`" in row, f"{event.__name__}.{field} is not described"


def test_every_stage_of_progress_is_named() -> None:
    page = (DOCS / "events.md").read_text("utf-8")
    assert not [stage for stage in STAGE_TITLES if f"`{stage}`" not in page]


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_name)
def test_links_and_modules_that_a_document_names_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (document.parent / target).exists(), f"there is no {target}"
    for path in re.findall(r"\b(?:kinemacolor|docs|benchmarks|examples|recipes|tests)/[\w/-]+\.\w+", text):
        if not path.startswith("docs/images/architecture"):
            assert (PROJECT / path).exists(), f"there is no {path}"
    for path in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w/]*(?:\.py)?)`", text):
        assert (PACKAGE / path).exists(), f"there is no {path}"
    for name in re.findall(r"\bkinemacolor(?:\.\w+)+", text):
        assert resolves(name), f"there is no {name}"


def test_names_that_the_architecture_gives_with_their_modules_are_defined_there() -> None:
    text = (DOCS / "architecture.md").read_text("utf-8")
    pairs = re.findall(r"`(\w+)` \(`([\w/]+)\.py`\)", text)
    assert len(pairs) > 5
    for name, module in pairs:
        assert resolves(f"kinemacolor.{module.replace('/', '.')}.{name}"), f"{module} has no {name}"


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one; a recipe's field or a file's suffix is neither."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part, None)
        return value is not None
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_name)
def test_python_that_a_document_shows_imports_what_exists(document: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert all(resolves(f"{node.module}.{alias.name}") for alias in node.names), ast.unparse(node)


def command_lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """Commands of kinemacolor that a document gives, each with its options."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in re.findall(r"kinemacolor ((?:[a-z]+)\b[^`\n|#]*)", joined):
        command, *rest = line.split(maxsplit=1)
        yield command, re.findall(r"(?<!\S)--?[a-zA-Z][\w-]*", rest[0] if rest else "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_name)
def test_options_that_a_document_gives_exist_and_are_not_the_old_ones(document: Path) -> None:
    for name, options in command_lines(document.read_text("utf-8")):
        command = COMMANDS.get(name)
        if command is None:  # a sentence
            continue
        known = {"--help"}
        for parameter in command.params:
            if not getattr(parameter, "hidden", False):
                known |= {*parameter.opts, *parameter.secondary_opts}
        assert set(options) <= known, f"kinemacolor {name} has no {', '.join(set(options) - known)}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=document_name)
def test_options_of_earlier_releases_are_named_beside_the_new_ones_alone(document: Path) -> None:
    if document.name == "settings.md":
        return
    old = {flag for _, name in ColorizeSettings.old_names() for flag in (option(name.name), option(f"no_{name.name}"))}
    shown = set(re.findall(r"`(--[a-z-]+)", document.read_text("utf-8")))
    assert not shown & (old - {"--size"})  # a benchmark may have a size


def test_commands_and_options_are_found_in_a_text() -> None:
    text = "run `kinemacolor colorize a.mp4 -r b.png --crf 3`, or\n"
    text += "    kinemacolor shots a.mp4 \\\n      --sheet s.png  # --no\n"
    assert list(command_lines(text)) == [("colorize", ["-r", "--crf"]), ("shots", ["--sheet"])]


def test_names_are_resolved() -> None:
    assert resolves("kinemacolor.pipeline.job.Job.run")
    assert resolves("kinemacolor.colorize")
    assert not resolves("kinemacolor.pipeline.job.Work")
    assert not resolves("kinemacolor.steady")
