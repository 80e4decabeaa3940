"""A project file: a film, its colored stills with their places, and the settings to color it with, in TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError, create_model

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.structured_text import parse_toml
from kinemacolor.core.validation import fault_lines
from kinemacolor.pipeline.job_spec import JobSpec, ReferenceEntry, job_field
from kinemacolor.pipeline.settings import SEE_HELP, ColorizeSettings, StrictRecord

CORRECT_PROJECT = "correct the project"


def _optional_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, info in JobSpec.model_fields.items():
        if name != "settings" and job_field(info).in_project:
            fields[name] = (Annotated[info.annotation, *info.metadata], None)
    return fields


_ProjectFile: Any = create_model(
    "_ProjectFile", __base__=StrictRecord, **_optional_fields(), settings=(dict[str, Any], {})
)
"""A project file as it is written: every field of a job may be left out."""


@dataclass(frozen=True, slots=True)
class Project:
    """What a project file says; paths are complete.

    Attributes:
        fields: of ``JobSpec``, by name, those that the file sets.
        settings: those that the file sets are in ``settings.model_fields_set``.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: ColorizeSettings = field(default_factory=ColorizeSettings)


def read_project(
    path: str | Path, settings_type: type[ColorizeSettings] = ColorizeSettings, *, open_folders: bool = True
) -> Project:
    """A project from its TOML file; paths in it are relative to the file, ``~`` is the home folder.

    A frame or time given in the file takes the place of what a still's name says; where neither is given, the name
    counts. ``file`` may be a folder; then all its images are meant, and their names count.

    Args:
        path: of the file.
        settings_type: the record of settings.
        open_folders: whether a folder of stills becomes the stills that are in it now; otherwise the job opens it.

    Raises:
        InputError: no such file, no TOML; or, in one line, each field at fault with what was expected and what came.
    """
    path = Path(path)
    content = _read_toml(path)
    faults: list[str] = []
    file = _checked({**content, "settings": {}}, faults)
    table = content.get("settings", {})
    settings = settings_type()
    if not isinstance(table, Mapping):
        faults.append(f"settings: expected a table, got {table!r}")
    else:
        try:
            settings = settings_type(**table)
        except UsageError as error:
            cause = error.__cause__
            lines = fault_lines(cause, settings_type) if isinstance(cause, ValidationError) else [error.problem]
            faults += [f"settings.{line}" for line in lines]
    if faults or file is None:
        raise InputError(path, "; ".join(faults), CORRECT_PROJECT)
    return _with_paths(path, file, settings, open_folders)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_text("utf-8"))
    except OSError as error:
        problem = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, "give a project file in TOML") from error
    except ValueError as error:
        raise InputError(path, f"is no TOML ({error})", CORRECT_PROJECT) from error


def _checked(content: Mapping[str, Any], faults: list[str]) -> StrictRecord | None:
    try:
        record: StrictRecord = _ProjectFile.model_validate(content)
    except ValidationError as error:
        faults += fault_lines(error, _ProjectFile)
        return None
    return record


def _with_paths(path: Path, file: StrictRecord, settings: ColorizeSettings, open_folders: bool) -> Project:
    """The project with complete paths; everything it reads has to be there."""
    folder = _ProjectFolder(path.absolute().parent)
    fields: dict[str, Any] = {}
    for name in file.model_fields_set - {"settings"}:
        value, reads = getattr(file, name), job_field(JobSpec.model_fields[name]).reads
        if name == "references":
            value = tuple(
                entry
                for number, reference in enumerate(value, 1)
                for entry in folder.entries(number, reference, open_folders)
            )
        elif isinstance(value, Path):
            value = folder.existing(name, value) if reads else folder.complete(value)
        fields[name] = value
    if settings.weights is not None:
        settings = settings.changed(weights=str(folder.existing("settings.weights", Path(settings.weights))))
    if folder.faults:
        raise InputError(path, "; ".join(folder.faults), CORRECT_PROJECT)
    return Project(fields, settings)


class _ProjectFolder:
    """The folder that paths are relative to, and what is missing there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []

    def complete(self, path: Path) -> Path:
        return self.folder / path.expanduser()

    def existing(self, name: str, path: Path) -> Path:
        """The complete path, a fault where nothing is there; of a pattern, its folder has to be there."""
        complete = self.complete(path)
        try:
            exists = (complete.parent if "%" in complete.name else complete).exists()
        except OSError as error:
            self.faults.append(
                f"{name}: expected the name of a file, got one that cannot be reached ({error.strerror})"
            )
            return complete
        if not exists:
            self.faults.append(f"{name}: expected the name of a file, got {str(path)!r}, and there is no {complete}")
        return complete

    def entries(self, number: int, reference: ReferenceEntry, opened: bool) -> list[ReferenceEntry]:
        """The stills of a ``[[references]]``; they are numbered from 1."""
        name = f"references.{number}"
        before = len(self.faults)
        file = self.existing(f"{name}.file", reference.file)
        mask = None if reference.mask is None else self.existing(f"{name}.mask", reference.mask)
        if len(self.faults) > before:
            return []
        if file.is_dir():
            for part in ("frame", "time", "mask"):
                if getattr(reference, part) is not None:
                    self.faults.append(f"{name}.{part}: expected none for a folder ({reference.file}), got one")
            if len(self.faults) > before:
                return []
        entry = ReferenceEntry(file=file, frame=reference.frame, time=reference.time, shot=reference.shot, mask=mask)
        return [ReferenceEntry.of(still) for still in entry.files()] if opened else [entry]


def job_spec(
    project: Project,
    fields: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    spec_type: type[JobSpec] = JobSpec,
    settings_type: type[ColorizeSettings] = ColorizeSettings,
) -> JobSpec:
    """The job that a project and the command line together ask for; the command line wins.

    Args:
        project: from ``read_project``, or ``Project()`` where there is no file.
        fields: of the job, as the command line sets them. ``references`` replace all of the project's.
        settings: as the command line sets them.
        spec_type, settings_type: the records.

    Raises:
        UsageError: the film or the output is missing, or a setting is unknown or of the wrong kind or range.
    """
    values = {**project.fields, **fields}
    for name, words in (("film", "the film"), ("output", "where to write it")):
        if name not in values:
            raise UsageError(name, f"{words} is missing", SEE_HELP)
    chosen = settings_type(**{**project.settings.explicit(), **settings})
    return spec_type(**values, settings=chosen)
