"""Writing a project file: what a page or a program has chosen, as TOML that the command line reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.core.errors import OutputError, UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.pipeline.job_spec import JobSpec, ReferenceEntry, job_field
from kinemacolor.pipeline.project import Project
from kinemacolor.video.film_sink import output_error

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def write_project(path: Path, project: Project) -> None:
    """Writes a project; the file gets its name, or replaces an older one, when it is complete.

    ``read_project`` gives the same project back. Paths inside the file's folder are written relative to it.

    Args:
        path: of the file.
        project: with complete paths.

    Raises:
        OutputError: it cannot be written, or a file's name is no text.
    """
    text = project_text(path, project)
    try:
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
    except UnicodeEncodeError as error:
        raise OutputError(path, "cannot hold a file's name that is no text", "rename that file") from error
    except OSError as error:
        raise output_error(path, error) from error


def project_text(path: Path, project: Project) -> str:
    """The TOML of a project that is to be written to ``path``."""
    folder = path.absolute().parent
    unknown = [name for name in project.fields if not _in_project(name)]
    if unknown:
        raise UsageError(unknown[0], "is no field of a project file", "leave it out")
    blocks = ["\n".join(_job_lines(project.fields, folder))]
    blocks += ["\n".join(_reference_lines(entry, folder)) for entry in project.fields.get("references", ())]
    settings = project.settings.model_dump(mode="json", include=set(project.settings.explicit()))
    if settings.get("weights") is not None:
        settings["weights"] = _path_text(Path(settings["weights"]), folder)
    if settings:
        lines = [f"{name} = {_toml(value)}" for name, value in settings.items() if value is not None]
        blocks.append("\n".join(["[settings]", *lines]))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _in_project(name: str) -> bool:
    field = JobSpec.model_fields.get(name)
    return name != "settings" and field is not None and job_field(field).in_project


def _job_lines(fields: Mapping[str, Any], folder: Path) -> Iterator[str]:
    for name, value in fields.items():
        if name == "references" or value is None:
            continue
        if name == "shots" and isinstance(value, tuple):
            value = [[shot.start, shot.stop] if isinstance(shot, Shot) else list(shot) for shot in value]
        yield f"{name} = {_toml(_path_text(value, folder) if isinstance(value, Path) else value)}"


def _reference_lines(entry: ReferenceEntry, folder: Path) -> Iterator[str]:
    yield "[[references]]"
    for name in ("file", "frame", "time", "shot", "mask"):
        value = getattr(entry, name)
        if isinstance(value, Path):
            value = _path_text(value, folder)
        if value is not None:
            yield f"{name} = {_toml(str(value) if isinstance(value, Fraction) else value)}"


def _path_text(path: Path, folder: Path) -> str:
    """Relative to the project's folder where it lies inside of it; with ``/`` on every system."""
    complete = folder / path
    text = complete.relative_to(folder).as_posix() if complete.is_relative_to(folder) else complete.as_posix()
    return complete.as_posix() if text.startswith("~") else text  # "~" would be read as the home folder


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        escaped = "".join(_ESCAPES.get(letter, letter) for letter in value)
        return '"' + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", escaped) + '"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    raise TypeError(f"a project file holds no {type(value).__name__}")
