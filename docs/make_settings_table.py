"""Writes the tables of ``docs/settings.md`` from the records ``ColorizeSettings`` and ``JobSpec``.

    python docs/make_settings_table.py

What stands between the markers is replaced; a test compares the page with what this script writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from kinemacolor.cli.options import option
from kinemacolor.pipeline.job_spec import JobSpec, job_field
from kinemacolor.pipeline.settings import ColorizeSettings, setting_of

PAGE = Path(__file__).resolve().parent / "settings.md"
MARKERS = "<!-- {name}: written by make_settings_table.py -->\n", "<!-- end -->\n"
KINDS = {"boolean": "yes or no", "integer": "a whole number", "number": "a number", "string": "text"}


def settings_table() -> str:
    """The settings, in the order of the record, a table for each group."""
    properties = ColorizeSettings.model_json_schema()["properties"]
    groups: dict[str, list[list[str]]] = {}
    for name, field in ColorizeSettings.model_fields.items():
        tag, values = setting_of(field), values_text(properties[name])
        flag = f"{option(name)}, {option(f'no_{name}')}" if values == KINDS["boolean"] else option(name)
        default = tag.default_text or default_text(field)
        row = [f"`{name}`", code(flag), values, default, tag.affects, meaning(field)]
        groups.setdefault(tag.group, []).append(row)
    header = ["setting", "option", "values", "default", "affects", "meaning"]
    return "\n".join(f"**{group}**\n\n{table(header, rows)}" for group, rows in groups.items())


def old_names_table() -> str:
    """Names of earlier releases that are still read."""
    rows = []
    for name, old in ColorizeSettings.old_names():
        options = f"{option(old.name)}, {option(f'no_{old.name}')}" if old.flag else option(old.name)
        current = [f"{option(name)} {old.convert(value)}" for value in (True, False)] if old.flag else [option(name)]
        if old.flag and isinstance(old.convert(True), bool):
            current = [option(name), option(f"no_{name}")]
        rows.append([f"`{old.name}`", code(options), f"`{name}`", code(", ".join(current))])
    return table(["old setting", "old option", "setting now", "option now"], rows)


def preview_text() -> str:
    """The settings and fields that a preview uses."""
    used = [name for name, field in ColorizeSettings.model_fields.items() if setting_of(field).preview]
    return f"`--preview` uses {code(', '.join(used))}, and of the job {code(', '.join(_fields_of_preview()))}.\n"


def _fields_of_preview() -> Iterable[str]:
    return (name for name, field in JobSpec.model_fields.items() if name != "settings" and job_field(field).preview)


def job_table() -> str:
    """The fields of a job besides its settings."""
    rows = []
    for name, field in JobSpec.model_fields.items():
        if name == "settings":
            continue
        tag = job_field(field)
        written = name.upper() if tag.argument else ", ".join([option(tag.option or name), *filter(None, [tag.short])])
        default = "needed" if field.is_required() else tag.default_text or default_text(field)
        rows.append([f"`{name}`", code(written), "yes" if tag.in_project else "no", default, meaning(field)])
    return table(["field", "option", "in a project file", "default", "meaning"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings_table,
    "preview": preview_text,
    "job": job_table,
    "old names": old_names_table,
}


def values_text(schema: dict[str, Any]) -> str:
    """The values that a property of a JSON schema may have, in words."""
    schema = next((part for part in schema.get("anyOf", ()) if part.get("type") != "null"), schema)
    if "enum" in schema:
        return code(", ".join(schema["enum"]))
    if isinstance(schema["type"], list):  # its description says what is read
        return str(schema["description"])
    words, low, high = KINDS[schema["type"]], schema.get("minimum"), schema.get("maximum")
    if low is None:
        return words
    return f"{words}, {low:g} or more" if high is None else f"{words}, {low:g} to {high:g}"


def default_text(field: FieldInfo) -> str:
    """The default of a field in words."""
    if isinstance(field.default, bool):
        return "yes" if field.default else "no"
    return "none" if field.default in (None, ()) else str(field.default)


def meaning(field: FieldInfo) -> str:
    """A field's description in one line."""
    return re.sub(r"\*\.\w+", r"`\g<0>`", " ".join((field.description or "").split()))


def code(words: str) -> str:
    """Words with commas between them, each as code."""
    return ", ".join(f"`{word}`" for word in words.split(", "))


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def make_page(page: str) -> str:
    """The page with its tables replaced.

    Raises:
        ValueError: a marker is missing.
    """
    for name, make in TABLES.items():
        begin, end = (marker.format(name=name) for marker in MARKERS)
        pattern = re.compile(f"({re.escape(begin)}).*?({re.escape(end)})", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"{PAGE.name}: the marker {begin.strip()} is missing")
        content = make().replace("\\", r"\\")
        page = pattern.sub(rf"\1\n{content}\n\2", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(make_page(PAGE.read_text("utf-8")), "utf-8")
