"""A project file: a film, its colored stills with their places, and the settings to color it with, in TOML."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (  # fmt: skip
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.engine.registry import ENGINES
from kinemacolor.filters.chroma_upsample import UpsamplingQuality
from kinemacolor.references.placement import ReferenceFile, clock_seconds, reference_files
from kinemacolor.video.output import CodecName
from kinemacolor.video.planes import ChromaFormat

REMEDY = "correct the project"
SLOWEST, FASTEST = Fraction(1, 1000), 1000
"""Limits of ``fps``."""
TIMES = "seconds or a time such as 00:12:07.200, not before 0"


def _known(value: str) -> str:
    if value not in ENGINES:
        raise ValueError(f"expected {', '.join(ENGINES)}, got {value!r}")
    return value


def _time(value: object) -> Fraction:
    """Seconds of a number, of ``hh:mm:ss.sss``, or of TOML's own local time (the same without quotes)."""
    seconds: Fraction | None = None
    if isinstance(value, datetime.time):
        seconds = 3600 * value.hour + 60 * value.minute + value.second + Fraction(value.microsecond, 10**6)
    elif isinstance(value, str):
        seconds = clock_seconds(value)
    elif isinstance(value, (int, float, Fraction)) and not isinstance(value, bool) and value - value == 0:
        seconds = Fraction(str(value))
    if seconds is None or seconds < 0:
        raise ValueError(f"expected {TIMES}, got {value!r}")
    return seconds


def _rate(value: object) -> Fraction:
    """Frames a second of a number or of a text such as ``24000/1001``."""
    rate = Fraction(0)
    try:
        if isinstance(value, (str, int, float, Fraction)) and not isinstance(value, bool):
            rate = Fraction(str(value)).limit_denominator(100_000)
    except (ValueError, ZeroDivisionError):
        pass
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError(f'expected frames a second, as 18 or "24000/1001", got {value!r}')
    return rate


def _subsampling(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Time = Annotated[Fraction, BeforeValidator(_time)]


class Record(BaseModel):
    """Base of the parts of a project file."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Settings(Record):
    """Options of ``kinemacolor colorize``, by the same names; None is "not said"."""

    size: Annotated[int, Field(ge=MINIMUM_SIDE, le=2160)] | None = None
    """Short side in pixels at which the network works."""
    engine: Annotated[str, AfterValidator(_known)] | None = None
    """Colorization engine."""
    weights: str | None = None
    """Of a trained network: a file or a folder. Read as a path relative to the project file."""
    block_size: Annotated[int, Field(ge=1, le=6)] | None = None
    """Frames a trained network colors together."""
    device: Annotated[str, Field(min_length=1)] | None = None
    """cpu, cuda or mps, for the engine torch."""
    propagate: bool | None = None
    """Whether colors are carried along the optical flow too."""
    color_memory: bool | None = None
    """Whether past frames are matched with, too."""
    codec: CodecName | None = None
    """Encoder of the picture."""
    crf: Annotated[int, Field(ge=0, le=51)] | None = None
    """Quality of h264 and h265, lower is better."""
    chroma: Annotated[ChromaFormat, BeforeValidator(_subsampling)] | None = None
    """Chroma subsampling: 420, 422 or 444."""
    upsample: UpsamplingQuality | None = None
    """Of chroma upsampling."""
    saturation: Annotated[float, Field(ge=0, le=4)] | None = None
    """Factor on the colors; 1 leaves them as they are."""
    steady: bool | None = None
    """Whether colors are held still where the picture is."""
    denoise_guide: bool | None = None
    """Whether the network sees the picture with less noise. The written luma is never touched."""
    start: Time | None = None
    """Begin here: seconds, or ``hh:mm:ss.sss``."""
    end: Time | None = None
    """Stop before here."""
    fps: Annotated[Fraction, BeforeValidator(_rate)] | None = None
    """Rate of a film kept as images, frames a second."""
    strict: bool | None = None
    """Whether to fail where a stream cannot be kept."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0):
            start, end = float(self.start or 0), float(self.end)
            raise ValueError(f"end: expected a time after start ({start:g} s), got {end:g} s")
        return self

    def said(self) -> dict[str, Any]:
        """The options that are not None, by name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


class ReferenceEntry(Record):
    """A ``[[references]]`` of a project file."""

    file: Annotated[str, Field(min_length=1)]
    """A still, or a folder of stills."""
    frame: NonNegativeInt | None = None
    """The film's frame that it shows, from 0."""
    time: Time | None = None
    """The same as a time: seconds, or ``hh:mm:ss.sss``."""
    shot: PositiveInt | None = None
    """Number in the shot list, from 1."""
    mask: Annotated[str, Field(min_length=1)] | None = None
    """A gray image, white where the still gives color."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.frame is not None and self.time is not None:
            raise ValueError("expected one of frame and time, got both")
        return self


class _File(Record):
    """A project file as it is written."""

    film: Annotated[str, Field(min_length=1)] | None = None
    output: Annotated[str, Field(min_length=1)] | None = None
    shots: Annotated[str, Field(min_length=1)] | None = None
    references: Annotated[tuple[ReferenceEntry, ...], Field(strict=False)] = ()
    settings: Settings = Settings()


@dataclass(frozen=True, slots=True)
class Project:
    """What is to be done with a film. None stands for what was not said.

    Attributes:
        film: a film file, a folder of images or a pattern such as ``frame_%06d.png``.
        output: the colored film.
        references: the colored stills, with their places as far as these are said.
        shots: a shot list.
        settings: options; ``settings.said()`` gives those that were said.
    """

    film: Path | None = None
    output: Path | None = None
    references: tuple[ReferenceFile, ...] = ()
    shots: Path | None = None
    settings: Settings = field(default_factory=Settings)


def read_project(path: str | Path) -> Project:
    """A project from its TOML file; paths in it are relative to the file, ``~`` is the home folder.

    A frame or time given in the file takes the place of what a still's name says; where neither is given, the name
    counts. ``file`` may be a folder; then all its images are meant, and their names count.

    Raises:
        InputError: no such file, no TOML; or, in one line, each field at fault with what was expected and what came.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problem = "is a folder" if path.is_dir() else f"cannot be read ({error.strerror})"
        raise InputError(path, problem, "give a project file in TOML") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"is no TOML ({error})", REMEDY) from error
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        raise InputError(path, "; ".join(_faults(error, _File)), REMEDY) from None
    place = _Place(path.absolute().parent)
    references = [one for number, entry in enumerate(file.references, 1) for one in _references(place, number, entry)]
    weights = place.existing("settings.weights", file.settings.weights)
    settings = file.settings.model_copy(update={"weights": None if weights is None else str(weights)})
    project = Project(
        film=place.existing("film", file.film),
        output=place.path(file.output),
        references=tuple(references),
        shots=place.existing("shots", file.shots),
        settings=settings,
    )
    if place.missing:
        raise InputError(path, "; ".join(place.missing), REMEDY)
    return project


class _Place:
    """The folder that paths are relative to, and what was missed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: list[str] = []

    def path(self, text: str | None) -> Path | None:
        return None if text is None else self.folder / Path(text).expanduser()

    def existing(self, field: str, text: str | None) -> Path | None:
        """The path, noted where nothing is there; of a pattern, its folder has to be there."""
        path = self.path(text)
        if path is not None and not (path.parent if "%" in path.name else path).exists():
            self.missing.append(f"{field}: expected the name of a file, got {text!r}, and there is no {path}")
        return path


def _references(place: _Place, number: int, entry: ReferenceEntry) -> list[ReferenceFile]:
    """The stills of an entry; entries are numbered from 1."""
    field = f"references.{number}"
    before = len(place.missing)
    path, mask = place.existing(f"{field}.file", entry.file), place.existing(f"{field}.mask", entry.mask)
    if path is None or len(place.missing) > before:
        return []
    if path.is_dir():
        for name in ("frame", "time", "mask"):
            if getattr(entry, name) is not None:
                place.missing.append(f"{field}.{name}: expected none for a folder ({entry.file}), got one")
        return [replace(one, shot=entry.shot or one.shot) for one in reference_files([path])]
    if entry.frame is not None or entry.time is not None:
        return [ReferenceFile(path, entry.frame, entry.time, entry.shot, mask)]
    return [replace(one, shot=entry.shot, mask=mask) for one in reference_files([path])]


def merge(project: Project, overrides: Mapping[str, Any]) -> Project:
    """The project with what the command line says in its place.

    Args:
        project: from ``read_project``, or ``Project()`` where there is no file.
        overrides: by the names of the project's and its settings' fields; None means "not said". Paths are taken as
            they are. ``references`` (files and folders) replace all of the project's.

    Raises:
        UsageError: there is no such option, or its value is of the wrong kind or range.
        InputError: a reference is not there, or says both a frame and a time.
    """
    said = {name: value for name, value in overrides.items() if value is not None}
    changes: dict[str, Any] = {}
    for one in fields(Project):
        if one.name in said and one.name != "settings":
            value = said.pop(one.name)
            changes[one.name] = reference_files(value) if one.name == "references" else Path(value)
    try:
        settings = Settings.model_validate({**project.settings.said(), **said})
    except ValidationError as error:
        fault = _faults(error, Settings)[0]
        name, _, problem = fault.partition(": ")
        raise UsageError(f"--{name.replace('_', '-')}", problem, "see kinemacolor colorize --help") from None
    return replace(project, **changes, settings=settings)


def _faults(error: ValidationError, record: type[Record]) -> list[str]:
    """A line a field at fault: its name, what was expected, what came. References are numbered from 1."""
    lines = []
    for fault in error.errors():
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in fault["loc"])
        message, kind, got = fault["msg"].removeprefix("Value error, "), fault["type"], fault["input"]
        if kind == "missing":
            message = "expected a value, got none"
        elif kind == "extra_forbidden":
            message = f"expected one of the fields {_names(record, fault['loc'])}, got this name"
        elif fault["loc"] == ("references",):
            message = f"expected a table [[references]] for each still, got {got!r}"
        elif kind == "string_too_short":
            message = f"expected some text, got {got!r}"
        elif kind == "model_type":
            message = f"expected a table, got {got!r}"
        elif kind != "value_error":
            message = message.removeprefix("Input should be ").removeprefix("a valid ")
            message = f"expected {'a number ' * message.startswith(('greater', 'less'))}{message}, got {got!r}"
        elif ": expected" in message:  # names a field of the table
            where = ".".join(filter(None, (where, message.partition(": ")[0])))
            message = message.partition(": ")[2]
        lines.append(f"{where}: {message}" if where else message)
    return lines


def _names(record: type[Record], place: tuple[int | str, ...]) -> str:
    """The fields there are beside an unknown one."""
    if len(place) > 1:
        record = ReferenceEntry if place[0] == "references" else Settings
    return ", ".join(record.model_fields)
