"""What a job is to do: a film, its references, where the result goes, and the settings. JSON in, JSON out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PositiveInt,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from kinemacolor.core.errors import UsageError
from kinemacolor.core.shot import Shot
from kinemacolor.core.validation import fault_lines, path_text
from kinemacolor.pipeline.settings import SEE_HELP, ColorizeSettings, Seconds, StrictRecord
from kinemacolor.references.placement import ReferenceFile, reference_files


@dataclass(frozen=True, slots=True)
class JobField:
    """What is derived from a field of ``JobSpec`` besides its type and description.

    Attributes:
        short: short option of the command line, such as ``-o``.
        argument: whether it stands on the command line without an option.
        option: its option, where that is not the field's name.
        in_project: whether a project file may hold it.
        reads: whether it names a file or folder that has to exist.
        preview: whether ``--preview`` uses it.
        default_text: words for the default.
    """

    short: str | None = None
    argument: bool = False
    option: str | None = None
    in_project: bool = True
    reads: bool = False
    preview: bool = False
    default_text: str | None = None


def job_field(field: FieldInfo) -> JobField:
    """The tag of a field of ``JobSpec``.

    Raises:
        TypeError: it has none.
    """
    for entry in field.metadata:
        if isinstance(entry, JobField):
            return entry
    raise TypeError("every field of a job carries a JobField in its annotation")


def _as_path(value: object) -> Path:
    return Path(path_text(value))


FilePath = Annotated[
    Path, BeforeValidator(_as_path), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]


class ReferenceEntry(StrictRecord):
    """A colored still, or a folder of them, and the place it belongs to. What is not given here, file names may say."""

    file: FilePath
    """A still, or a folder of stills."""
    frame: NonNegativeInt | None = None
    """The film's frame that it shows, from 0."""
    time: Seconds | None = None
    """The same as a time: seconds, or ``hh:mm:ss.sss``."""
    shot: PositiveInt | None = None
    """Number of the shot it belongs to, from 1."""
    mask: FilePath | None = None
    """A gray image, white where the still gives color."""

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        if self.frame is not None and self.time is not None:
            raise ValueError("expected one of frame and time, got both")
        return self

    @classmethod
    def of(cls, file: ReferenceFile) -> Self:
        """The entry of a reference's file."""
        return cls(file=file.path, frame=file.frame, time=file.time, shot=file.shot, mask=file.mask)

    def files(self) -> tuple[ReferenceFile, ...]:
        """The stills that it means.

        Raises:
            InputError: there is no such file, or a folder holds no image.
            UsageError: a folder is given a frame, a time or a mask.
        """
        if self.frame is not None or self.time is not None:
            if self.file.is_dir():
                raise UsageError(self.file, "is a folder, and has no frame or time", "leave these out")
            return (ReferenceFile(self.file, self.frame, self.time, self.shot, self.mask),)
        if self.mask is not None and self.file.is_dir():
            raise UsageError(self.file, "is a folder, and takes no mask", "leave the mask out")
        return tuple(
            replace(file, shot=self.shot or file.shot, mask=self.mask) for file in reference_files([self.file])
        )


def _read_shots(value: object) -> object:
    """``auto`` and ``none``, a list's path, or shots as records or pairs."""
    if isinstance(value, str) and value in ("auto", "none"):
        return value
    if isinstance(value, (str, PathLike)) and value:
        return _as_path(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)) and value:
        return tuple(map(_read_shot, value))
    raise ValueError(f"expected a shot list, auto or none, got {value!r}")


def _read_shot(value: Any) -> Shot:
    if isinstance(value, Shot):
        return value
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    numbers = [type(frame) is int for frame in pair]
    if numbers == [True, True] or (numbers == [True, False] and pair[1] is None):
        return Shot(*pair)
    raise ValueError(f"expected a shot's first frame and the one after its last, got {value!r}")


def _write_shots(value: object) -> object:
    return [[shot.start, shot.stop] for shot in value] if isinstance(value, tuple) else str(value)


def _read_references(value: object) -> object:
    """Paths, files and entries, one or several."""
    if isinstance(value, (str, PathLike, ReferenceFile, ReferenceEntry)):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes, bytearray)):
        raise ValueError(f"expected a table [[references]] for each still, got {value!r}")
    if isinstance(value, Set):
        value = sorted(value, key=str)  # in the same order in every run
    entries: list[object] = []
    for reference in value:
        if isinstance(reference, (str, PathLike)):
            entries.append(ReferenceEntry(file=_as_path(reference)))
        else:
            entries.append(ReferenceEntry.of(reference) if isinstance(reference, ReferenceFile) else reference)
    return tuple(entries)


Shots = Annotated[
    Literal["auto", "none"] | Path | tuple[Shot, ...],
    BeforeValidator(_read_shots),
    PlainSerializer(_write_shots),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}]}
    ),
]
References = Annotated[tuple[ReferenceEntry, ...], BeforeValidator(_read_references)]


class JobSpec(StrictRecord):
    """A job.

    Raises:
        UsageError: a name is unknown, or a value is of the wrong kind; one line.
    """

    film: Annotated[FilePath, JobField(argument=True, reads=True, preview=True)]
    """Film file, folder of images, or a pattern such as frame_%06d.png."""
    output: Annotated[FilePath, JobField(short="-o", preview=True)]
    """Where the result goes: *.mp4, *.mkv, *.mov, a folder or a pattern."""
    references: Annotated[References, JobField(short="-r", option="reference", reads=True, preview=True)] = ()
    """Colored still, or a folder of them; may be repeated."""
    shots: Annotated[Shots, JobField(reads=True, preview=True, default_text="auto")] = "auto"
    """Shot list (json, csv, edl), auto to find cuts, or none for one shot."""
    report: Annotated[FilePath | None, JobField()] = None
    """Write an HTML page (*.html) that tells where references helped and where more would."""
    overlay: Annotated[FilePath | None, JobField()] = None
    """Write a small film (*.mp4) of the confidence."""
    overwrite: Annotated[bool, JobField(in_project=False, preview=True)] = False
    """Replace an existing output."""
    restart: Annotated[bool, JobField(in_project=False)] = False
    """Start over where an earlier run was interrupted."""
    settings: SerializeAsAny[ColorizeSettings] = Field(default_factory=ColorizeSettings)
    """How the film is colored."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            name, separator, problem = fault_lines(error, type(self))[0].partition(": ")
            raise UsageError(name, problem if separator else "is not valid", SEE_HELP) from error

    def reference_files(self) -> tuple[ReferenceFile, ...]:
        """The stills, folders opened.

        Raises:
            UsageError: there is none.
            InputError: a file is missing, or a folder holds no image.
        """
        files = tuple(file for entry in self.references for file in entry.files())
        if not files:
            raise UsageError("references", "no colored still was given", "give at least one image")
        return files
