"""The one record of what a user may choose.

The command line's options and help, the project file, the Python API, the page's form, the docs' table and the
fingerprint that decides whether a run may be resumed are derived from ``ColorizeSettings``. A new setting is one field
here, and the code that uses it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.fields import FieldInfo

from kinemacolor.core.clock import clock_seconds
from kinemacolor.core.errors import UsageError
from kinemacolor.core.limits import (
    FASTEST_FPS,
    MAXIMUM_BLOCK,
    MAXIMUM_SATURATION,
    MAXIMUM_SIDE,
    MINIMUM_BLOCK,
    MINIMUM_SIDE,
    SLOWEST_FPS,
    Propagation,
    UpsamplingQuality,
)
from kinemacolor.core.validation import fault_lines, path_text
from kinemacolor.engine.registry import DEFAULT_ENGINE, ENGINES
from kinemacolor.references.neutral_choice import neutral_choice
from kinemacolor.video.codecs import CODECS, DEFAULT_CODEC, ChromaFormat, ColorRange

TIMES = "seconds or a time such as 00:12:07.200, not before 0"
SEE_HELP = "see kinemacolor colorize --help"
Group = Literal["Engine", "Color", "Output", "Range", "Work"]
Affects = Literal["frames", "container", "nothing"]
"""What a setting decides: the frames that the work folder keeps (their colors, codes or times), so that a run is not
resumed with another value; the finished file alone; or neither."""


@dataclass(frozen=True, slots=True)
class OldName:
    """A name that a setting had in an earlier release; it is still read.

    Attributes:
        name: of the setting then.
        convert: its value then to the value now.
        flag: whether it was one of yes and no.
    """

    name: str
    convert: Callable[[Any], Any] = lambda value: value
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What is derived from a field besides its type, limits and description.

    Attributes:
        affects: what it decides.
        group: heading in help and forms.
        preview: whether ``--preview`` uses it.
        default_text: words for the default where that is None.
        old_names: of earlier releases.
    """

    affects: Affects
    group: Group
    preview: bool = False
    default_text: str | None = None
    old_names: tuple[OldName, ...] = ()


def setting_of(field: FieldInfo) -> Setting:
    """The tag of a field.

    Raises:
        TypeError: it has none.
    """
    for entry in field.metadata:
        if isinstance(entry, Setting):
            return entry
    raise TypeError("every setting carries a Setting(affects, group) in its annotation")


# --- kinds of values --------------------


def _known_engine(name: str) -> str:
    if name not in ENGINES:
        raise ValueError(f"expected {', '.join(ENGINES)}, got {name!r}")
    return name


def _known_codec(name: str) -> str:
    if name not in CODECS:
        raise ValueError(f"expected {', '.join(CODECS)}, got {name!r}")
    return name


def _seconds(value: object) -> Fraction:
    """Seconds of a number, of ``hh:mm:ss.sss``, or of TOML's own local time (the same without quotes)."""
    seconds: Fraction | None = None
    if isinstance(value, datetime.time):
        seconds = 3600 * value.hour + 60 * value.minute + value.second + Fraction(value.microsecond, 10**6)
    elif isinstance(value, str):
        seconds = clock_seconds(value)
        if seconds is None:
            seconds = _number(value)
    elif isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        seconds = _number(str(value))
    if seconds is None or seconds < 0:
        raise ValueError(f"expected {TIMES}, got {value!r}")
    return seconds


def _frames_a_second(value: object) -> Fraction:
    rate = Fraction(0)
    if isinstance(value, (str, int, float, Fraction)) and not isinstance(value, bool):
        rate = (_number(str(value)) or Fraction(0)).limit_denominator(100_000)
    if not SLOWEST_FPS <= rate <= FASTEST_FPS:
        raise ValueError(f'expected frames a second, as 18 or "24000/1001", got {value!r}')
    return rate


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _neutral_shots(text: str) -> str:
    neutral_choice(text)
    return text


def _as_text(value: object) -> object:
    """TOML writes 420 for a name that looks like a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Seconds = Annotated[
    Fraction,
    BeforeValidator(_seconds),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["number", "string"], "description": TIMES}),
]
FramesPerSecond = Annotated[
    Fraction,
    BeforeValidator(_frames_a_second),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": ["number", "string"], "description": "as 18 or 24000/1001"}),
]
EngineName = Annotated[
    str, AfterValidator(_known_engine), Field(json_schema_extra=lambda schema: schema.update(enum=list(ENGINES)))
]
PathText = Annotated[str, BeforeValidator(path_text)]
CodecName = Annotated[
    str, AfterValidator(_known_codec), Field(json_schema_extra=lambda schema: schema.update(enum=list(CODECS)))
]


class StrictRecord(BaseModel):
    """Base of records that users write: nothing unknown, nothing converted silently, nothing changed afterward."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


# --- the record --------------------


class ColorizeSettings(StrictRecord):
    """How a film is colored.

    Raises:
        UsageError: a name is unknown, or a value is of the wrong kind or range; one line.
    """

    engine: Annotated[EngineName, Setting("frames", "Engine", preview=True)] = DEFAULT_ENGINE
    """Engine that colors; see `kinemacolor info`."""
    weights: Annotated[PathText | None, Setting("frames", "Engine", preview=True)] = None
    """Weights of a trained network: a file for torch, a folder for onnx."""
    block_size: Annotated[
        int | None,
        Field(ge=MINIMUM_BLOCK, le=MAXIMUM_BLOCK),
        Setting("frames", "Engine", preview=True, default_text="the network's"),
    ] = None
    """Number of frames that a trained network colors together."""
    device: Annotated[
        str | None, Field(min_length=1), Setting("frames", "Engine", preview=True, default_text="the best there is")
    ] = None
    """Device of the engine torch: cpu, cuda or mps."""
    propagation: Annotated[
        Propagation,
        Setting(
            "frames",
            "Engine",
            preview=True,
            old_names=(OldName("propagate", lambda value: "full" if value else "off", flag=True),),
        ),
    ] = "full"
    """How colors follow the optical flow: over many hops, from the frame before alone, or not at all."""
    color_memory: Annotated[bool | None, Setting("frames", "Engine", preview=True, default_text="the network's")] = None
    """Match with past frames, too."""
    working_size: Annotated[
        int | None,
        Field(ge=MINIMUM_SIDE, le=MAXIMUM_SIDE),
        Setting("frames", "Engine", preview=True, default_text="about 384×216 in area", old_names=(OldName("size"),)),
    ] = None
    """Short side in pixels at which the network works."""

    chroma_upsampling: Annotated[UpsamplingQuality, Setting("frames", "Color", old_names=(OldName("upsample"),))] = (
        "fast"
    )
    """Quality of chroma upsampling."""
    saturation: Annotated[float, Field(ge=0, le=MAXIMUM_SATURATION), Setting("frames", "Color", preview=True)] = 1.0
    """Factor on the colors; 1 leaves them as they are."""
    temporal_smoothing: Annotated[bool, Setting("frames", "Color", old_names=(OldName("steady", flag=True),))] = True
    """Hold colors still where the picture is still, against the shimmer of grain."""
    denoise_input: Annotated[
        bool, Setting("frames", "Color", preview=True, old_names=(OldName("denoise_guide", flag=True),))
    ] = False
    """Show the network the film with less grain and flicker. The written luma stays untouched."""

    neutral_shots: Annotated[
        str, BeforeValidator(_as_text), AfterValidator(_neutral_shots), Setting("frames", "Color", preview=True)
    ] = "auto"
    """Shots that stay gray: `auto` for title cards and blank leader, or none; numbers as 3,7-9 join those found."""

    codec: Annotated[CodecName, Setting("frames", "Output")] = DEFAULT_CODEC
    """Encoder of the picture; see `kinemacolor info`."""
    crf: Annotated[int | None, Field(ge=0, le=51), Setting("frames", "Output", default_text="visually lossless")] = None
    """Quality of h264 and h265; lower is better."""
    chroma_format: Annotated[
        ChromaFormat | None,
        BeforeValidator(_as_text),
        Setting("frames", "Output", default_text="the film's; 420 for gray films", old_names=(OldName("chroma"),)),
    ] = None
    """Chroma subsampling of the output."""
    range: Annotated[ColorRange | None, Setting("frames", "Output", default_text="the film's; limited for prores")] = (
        None
    )
    """Range of the written codes: limited (16 to 235 at 8 bits) or full."""
    strict: Annotated[bool, Setting("container", "Output")] = False
    """Fail where a stream of the film cannot be kept or one of its images is missing, instead of warning."""

    start: Annotated[Seconds | None, Setting("frames", "Range", preview=True, default_text="the film's")] = None
    """Begin at this time: seconds, or hh:mm:ss.sss."""
    end: Annotated[Seconds | None, Setting("frames", "Range", preview=True, default_text="the film's")] = None
    """Stop before this time."""
    fps: Annotated[FramesPerSecond | None, Setting("frames", "Range", preview=True, default_text="24")] = None
    """Frames a second of a film kept as images, as 18 or 24000/1001."""
    stream: Annotated[
        int | None, Field(ge=0), Setting("frames", "Range", preview=True, default_text="that with the most frames")
    ] = None
    """Stream of the film's pictures, from 0, where a file holds several."""

    max_segment_frames: Annotated[int, Field(ge=1), Setting("frames", "Work", old_names=(OldName("longest"),))] = 240
    """Longest piece in frames that is colored at a time; that much work is lost where a run is killed."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _usage_error(error, type(self)) from error

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        current = dict(values)
        for name, old in cls.old_names():
            if old.name in current:
                value = current.pop(old.name)
                current.setdefault(name, old.convert(value))
        return current

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.end is not None and self.end <= (self.start or 0):
            start, end = float(self.start or 0), float(self.end)
            raise ValueError(f"end: expected a time after start ({start:g} s), got {end:g} s")
        return self

    @classmethod
    def old_names(cls) -> Iterator[tuple[str, OldName]]:
        """Each name of an earlier release, behind the setting's name now."""
        for name, field in cls.model_fields.items():
            for old in setting_of(field).old_names:
                yield name, old

    @classmethod
    def affecting(cls, *kinds: Affects) -> tuple[str, ...]:
        """Names of the settings that decide one of these."""
        return tuple(name for name, field in cls.model_fields.items() if setting_of(field).affects in kinds)

    def explicit(self) -> dict[str, Any]:
        """The settings that were set, by name; the others have their defaults."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    def changed(self, **changes: Any) -> Self:
        """The same with other values, validated again; what was set stays set."""
        return type(self)(**{**self.explicit(), **changes})


def _usage_error(error: ValidationError, record: type[BaseModel]) -> UsageError:
    """The first fault, in a line that names the setting."""
    name, separator, problem = fault_lines(error, record)[0].partition(": ")
    return UsageError(name, problem, SEE_HELP) if separator else UsageError("settings", name, SEE_HELP)
