"""Errors of pydantic as lines for the user: the field, the expected value and the actual one."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError


def fault_lines(error: ValidationError, record: type[BaseModel]) -> list[str]:
    """A line for each invalid field: ``references.2.frame: expected …, got …``; items of lists are numbered from 1."""
    lines = []
    for fault in error.errors():
        location, message = fault["loc"], _expectation(fault)
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            message = unknown_name(str(location[-1]), _fields_at(record, location[:-1]))
        field, named, rest = message.partition(": expected")  # the validator of a record names the field itself
        path = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
        if named:
            path, message = ".".join(filter(None, (path, field))), f"expected{rest}"
        lines.append(f"{path}: {message}" if path else message)
    return lines


def unknown_name(name: str, names: Iterable[str]) -> str:
    """Says that ``name`` is not among ``names``, and suggests the most similar one, or all where none is similar."""
    names = list(names)
    similar = difflib.get_close_matches(name, names, 1, 0.6)
    if similar:
        return f"unknown name; did you mean {similar[0]}?"
    return f"unknown name; known names are {', '.join(names)}"


def path_text(value: object) -> str:
    """A path as text, from text or anything that stands for a path (``os.PathLike``).

    Raises:
        ValueError: it is something else, or empty.
    """
    text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(text, str):
        raise ValueError(f"expected string, got {value!r}")
    if not text:
        raise ValueError(f"expected some text, got {value!r}")
    return text


def _expectation(fault: Any) -> str:
    kind, value = fault["type"], fault["input"]
    message = fault["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return "expected a value, got none"
    if kind == "value_error":
        return str(message)
    if kind == "string_too_short":
        return f"expected some text, got {value!r}"
    if kind in ("model_type", "model_attributes_type", "dataclass_type"):
        return f"expected a table, got {value!r}"
    message = message.removeprefix("Input should be ").removeprefix("a valid ")
    number = "a number " if message.startswith(("greater", "less")) else ""
    return f"expected {number}{message}, got {value!r}"


def _fields_at(record: type, location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the record at a location inside ``record``."""
    for part in location:
        if isinstance(part, str) and part in _field_types(record):
            record = _record_in(_field_types(record)[part]) or record
    return list(_field_types(record))


def _field_types(record: type) -> dict[str, Any]:
    """Names and types of the fields of a model or a dataclass."""
    if issubclass(record, BaseModel):
        return {name: field.annotation for name, field in record.model_fields.items()}
    return get_type_hints(record)


def _record_in(annotation: Any) -> type | None:
    """The record among the types of a field: the model or dataclass of ``list[Model]`` or ``Model | None``."""
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        return annotation
    return next((record for part in get_args(annotation) if (record := _record_in(part))), None)
