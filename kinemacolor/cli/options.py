"""The command line's options, derived from the records of a job and its settings."""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from kinemacolor.core.errors import KinemacolorError
from kinemacolor.pipeline.job_spec import JobSpec, job_field
from kinemacolor.pipeline.settings import ColorizeSettings, OldName, setting_of

JOB_PANEL = "Job"


def job_command(
    function: Callable[..., None],
    *,
    spec_type: type[JobSpec] = JobSpec,
    settings_type: type[ColorizeSettings] = ColorizeSettings,
) -> Callable[..., None]:
    """A command with an option for each field of a job and of its settings.

    Args:
        function: takes the fields that were set, the settings that were set, both by name, and its own options.
        spec_type, settings_type: the records.
    """
    declared = list(inspect.signature(function, eval_str=True).parameters.values())[2:]
    own_parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in declared]
    fields = {name: field for name, field in spec_type.model_fields.items() if name != "settings"}
    settings, schema = settings_type.model_fields, settings_type.model_json_schema()["properties"]
    old = {f"old_{entry.name}": (name, entry) for name, entry in settings_type.old_names()}
    parameters = [
        *(_field_parameter(name, field) for name, field in fields.items()),
        *own_parameters,
        *(parameter for name in settings for parameter in _setting_parameters(name, settings[name], schema[name])),
        *(_old_parameter(key, settings[name], entry) for key, (name, entry) in old.items()),
    ]

    def command(**values: Any) -> None:
        chosen = {name: _plain(value) for name, value in values.items()}
        job = {name: chosen.pop(name) for name in fields}
        current = {name: _setting_value(name, chosen) for name in settings}
        for key, (name, entry) in old.items():
            value = chosen.pop(key)
            if value is not None:
                print(f"kinemacolor: {option(entry.name)} is now {option(name)}; use the new name", file=sys.stderr)
                current[name] = entry.convert(value) if current[name] is None else current[name]
        function(_set_values(job), _set_values(current), **chosen)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def option(name: str) -> str:
    """``--working-size`` for ``working_size``."""
    return f"--{name.replace('_', '-')}"


# --- one option --------------------


def _field_parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    tag, help_text = job_field(field), _help(field)
    if tag.argument:
        return _parameter(name, str, typer.Argument(help=help_text, show_default=False))
    declarations = [option(tag.option or name), *([tag.short] if tag.short else [])]
    kind = list[str] if _is_many(field.annotation) else _kind(name, field.annotation)
    info = typer.Option(
        *declarations, help=help_text, show_default=tag.default_text or False, rich_help_panel=JOB_PANEL
    )
    return _parameter(name, kind, info)


def _setting_parameters(name: str, field: FieldInfo, schema: dict[str, Any]) -> list[inspect.Parameter]:
    """The option of a setting; of one that is yes or no two options, of which help shows the one that changes it."""
    tag, kind, help_text = setting_of(field), _kind(name, field.annotation), _help(field)
    if kind is bool:
        on, off = option(name), option(f"no_{name}")
        shown = f"Turn off: {help_text[0].lower()}{help_text[1:]}" if field.default else help_text
        return [
            _parameter(
                key,
                bool,
                typer.Option(flag, help=shown, show_default=False, rich_help_panel=tag.group, hidden=hidden),
            )
            for key, flag, hidden in ((name, on, bool(field.default)), (f"no_{name}", off, not field.default))
        ]
    names = schema.get("enum") if kind is str else None
    info = typer.Option(
        option(name),
        help=f"{help_text} One of {', '.join(names)}." if names else help_text,
        show_default=tag.default_text or (False if field.default is None else str(field.default)),
        rich_help_panel=tag.group,
    )
    return [_parameter(name, kind, info)]


def _setting_value(name: str, chosen: dict[str, Any]) -> Any:
    value = chosen.pop(name)
    return False if chosen.pop(f"no_{name}", None) else value


def _old_parameter(key: str, field: FieldInfo, old: OldName) -> inspect.Parameter:
    dashed = old.name.replace("_", "-")
    declaration = f"--{dashed}/--no-{dashed}" if old.flag else f"--{dashed}"
    kind = bool if old.flag else _kind(key, field.annotation)
    return _parameter(key, kind, typer.Option(declaration, hidden=True))


def _parameter(name: str, kind: Any, info: Any) -> inspect.Parameter:
    annotation = Annotated[kind | None, info]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _kind(name: str, annotation: Any) -> Any:
    """What typer reads: yes or no, a number, one of several words, or a text that the record reads itself."""
    parts = [part for part in _alternatives(annotation) if part is not type(None)]
    if len(parts) == 1 and parts[0] in (bool, int, float):
        return parts[0]
    if len(parts) == 1 and get_origin(parts[0]) is Literal:
        words = get_args(parts[0])
        return StrEnum("".join(part.title() for part in name.split("_")), {word: word for word in words})
    return str


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    elif get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    else:
        yield annotation


def _is_many(annotation: Any) -> bool:
    return (
        any(get_origin(part) is tuple for part in _alternatives(annotation))
        and len(list(_alternatives(annotation))) == 1
    )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _set_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [])}


# --- errors --------------------


def dashed_message(error: KinemacolorError) -> str:
    """An error's line with the names of settings as options: ``working_size`` and `` `restart` `` get their dashes."""
    return dashed(error.subject, error.problem, error.remedy)


def dashed(subject: str, problem: str, remedy: str) -> str:
    """A line of subject, problem and remedy with the names of settings as options."""
    names = _option_names()
    subject = names.get(subject, subject)

    def replaced(text: str) -> str:
        return re.sub(r"`([a-z_]+)`", lambda match: names.get(match[1], match[1]), text)

    return f"{subject}: {replaced(problem)}; {replaced(remedy)}"


def _option_names() -> dict[str, str]:
    names = {name: option(name) for name in (*ColorizeSettings.model_fields, *OWN_OPTIONS)} | OTHER_OPTIONS
    for name, field in JobSpec.model_fields.items():
        if name != "settings":
            tag = job_field(field)
            names[name] = name.upper() if tag.argument else option(tag.option or name)
    return names


OWN_OPTIONS = (
    *("preview", "every", "budget", "threshold", "project", "events"),
    *(
        "methods",
        "protocol",
        "frames",
        "reference",
        "table",
        "clips",
        "jobs",
        "max_frames",
        "config",
        "flow",
        "size",
        "data",
    ),
)
"""Options that belong to commands, not to a record."""
OTHER_OPTIONS = {"changes": "--set", "rate": "--fps"}
"""Options that are called otherwise than the argument that they set."""
