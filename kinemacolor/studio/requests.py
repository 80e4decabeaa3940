"""What pages send: records that are checked, and contents that are limited in size."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from kinemacolor.core.errors import UsageError
from kinemacolor.core.structured_text import parse_json
from kinemacolor.core.validation import fault_lines
from kinemacolor.pipeline.shot_trial import DEFAULT_RADIUS, MOST_RADIUS
from kinemacolor.studio.stroke_document import Ground

MOST_JSON = 8 << 20
"""Bytes of a request's JSON, at most."""
AskedRecord = TypeVar("AskedRecord", bound=BaseModel)


class RequestRecord(BaseModel):
    """Base of what pages send."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenRequest(RequestRecord):
    """A film or a project to open."""

    path: Annotated[str, Field(min_length=1, max_length=4096)]


class ShotsRequest(RequestRecord):
    """Cuts, and the shots that stay gray."""

    starts: Annotated[list[int], Field(min_length=1, max_length=1_000_000)]
    gray: list[int] = []


class GroundRequest(RequestRecord):
    """What lies below a still's strokes."""

    ground: Ground


class KeepRequest(RequestRecord):
    """Whether a still counts although nothing is painted on it."""

    kept: bool


class TrialRequest(RequestRecord):
    """A place to try."""

    frame: Annotated[int, Field(ge=0)]
    radius: Annotated[int, Field(ge=0, le=MOST_RADIUS)] = DEFAULT_RADIUS


class RunRequest(RequestRecord):
    """How a film runs."""

    overwrite: bool = False
    restart: bool = False


class Palette(RequestRecord):
    """Named colors."""

    name: Annotated[str, Field(max_length=80)]
    colors: Annotated[list[Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]], Field(max_length=200)]


class PalettesRequest(RequestRecord):
    """All palettes of a film."""

    palettes: Annotated[list[Palette], Field(max_length=100)]


async def read_body(request: Request, most: int, name: str) -> bytes:
    """A request's content.

    Raises:
        InputError: it is larger than ``most`` bytes.
    """
    declared = request.headers.get("content-length", "0")
    parts: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    if size <= most:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > most:
                break
            parts.append(part)
    if size > most:
        raise HTTPException(413, f"{name}: is larger than {most >> 20} MiB; send less")
    return b"".join(parts)


async def read_json(request: Request) -> Any:
    """A request's JSON. Raises UsageError where it is none."""
    content = await read_body(request, MOST_JSON, "request")
    try:
        return parse_json(content)
    except ValueError as error:
        raise UsageError("request", f"is not JSON ({error})", "read the page anew") from error


async def read_record(request: Request, kind: type[AskedRecord]) -> AskedRecord:
    """A request's JSON as a record."""
    value = await read_json(request)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        name, _, problem = fault_lines(error, kind)[0].partition(": ")
        raise UsageError(name or "request", problem or "is not valid", "read the page anew") from error


def number_in(request: Request, name: str, least: int, most: int) -> int | None:
    """A number of the address's query, or None where it is left out."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most or len(text) > 9:
        raise UsageError(name, f"expected {least} to {most}, got {text!r}", "read the page anew")
    return int(text)
