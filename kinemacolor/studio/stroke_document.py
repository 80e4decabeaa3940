"""The strokes of a still as they are kept, and as pages change them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from kinemacolor.strokes.records import MOST_STROKES, Stroke

Ground = Literal["gray", "film", "picture"]
"""What lies below the strokes: nothing, what the film's other stills give there, or a finished picture."""


class StrokeDocument(BaseModel):
    """The strokes of a still as they are kept."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    revision: int = 0
    ground: Ground = "gray"
    kept: bool = False
    strokes: list[Stroke] = Field(default_factory=list)
    baked: int = -1
    """Revision of which the picture was written last."""
    written: list[int] | None = None
    """Bytes and time of change of the picture that was written last; another program may have changed it since."""


class StrokeChange(BaseModel):
    """What a page asks for.

    Raises:
        pydantic.ValidationError: a field is unknown or of the wrong kind.
    """

    model_config = ConfigDict(extra="forbid")

    base: int
    """Revision of which the page knows."""
    add: list[Stroke] = Field(default_factory=list, max_length=MOST_STROKES)
    remove: list[str] = Field(default_factory=list, max_length=MOST_STROKES)
