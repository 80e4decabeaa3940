"""What pydantic finds wrong with a record, in lines for the user: the field, what was expected, what was given."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def fault_lines(error: ValidationError, record: type[BaseModel]) -> list[str]:
    """A line for each field at fault: ``references.2.frame: expected …, got …``; items of lists are numbered from 1."""
    lines = []
    for fault in error.errors():
        location, message = fault["loc"], _expectation(fault)
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = unknown_name(str(location[-1]), _fields_at(record, location[:-1]))
        field, named, rest = message.partition(": expected")  # a validator of a whole record names the field itself
        path = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
        if named:
            path, message = ".".join(filter(None, (path, field))), f"expected{rest}"
        lines.append(f"{path}: {message}" if path else message)
    return lines


def unknown_name(name: str, known: Iterable[str]) -> str:
    """That there is no such name, with the nearest known one, or all where none is near."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1, 0.6)
    return f"unknown name; did you mean {near[0]}?" if near else f"unknown name; known are {', '.join(known)}"


def _expectation(fault: Any) -> str:
    kind, given = fault["type"], fault["input"]
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "expected a value, got none"
    if kind == "value_error":
        return str(message)
    if kind == "string_too_short":
        return f"expected some text, got {given!r}"
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"expected a table, got {given!r}"
    message = message.removeprefix("Input should be ").removeprefix("a valid ")
    number = "a number " if message.startswith(("greater", "less")) else ""
    return f"expected {number}{message}, got {given!r}"


def _fields_at(record: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the record that a location inside ``record`` leads to."""
    for part in location:
        if isinstance(part, str) and part in record.model_fields:
            record = _record_in(record.model_fields[part].annotation) or record
    return list(record.model_fields)


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _record_in(part))), None)
