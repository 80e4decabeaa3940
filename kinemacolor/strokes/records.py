"""Strokes as a person has painted them, on a frame as a viewer sees it. JSON in, JSON out."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_POINTS, MOST_STROKES = 5000, 5000
"""Points of a stroke, and strokes of a still, at most."""
MAXIMUM_PLACE = 100_000.0
"""Pixels: what lies further outside is no stroke on a frame."""
_COLOR = re.compile(r"#[0-9a-f]{6}")

StrokeKind = Literal["color", "neutral", "open", "engine"]
"""What a stroke says: this color belongs here; this is gray; the still says nothing here; what was there stays."""


def _color(value: str) -> str:
    if not _COLOR.fullmatch(value):
        raise ValueError(f"expected a color as #rrggbb, got {value!r}")
    return value


Coordinate = Annotated[float, Field(ge=-MAXIMUM_PLACE, le=MAXIMUM_PLACE, allow_inf_nan=False)]


class Stroke(BaseModel):
    """A stroke of the brush, or an area with an outline.

    Raises:
        pydantic.ValidationError: a field is unknown or of the wrong kind or range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    """By which it is removed; no two strokes of a still share one."""
    kind: StrokeKind
    """What it says."""
    color: Annotated[str, AfterValidator(_color)] | None = None
    """R'G'B' as #rrggbb, of which hue and chroma count; for the kind color."""
    points: Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=1, max_length=MOST_POINTS)]
    """x and y in pixels of the frame from its top left corner; pixel (0, 0) covers 0 to 1."""
    width: Annotated[float, Field(gt=0, le=4096, allow_inf_nan=False)] = 8.0
    """Of the brush, in pixels of the frame."""
    area: bool = False
    """Whether the points are the outline of an area that is filled."""
    alike: bool = False
    """Whether it also speaks for regions that look the same to the engine."""

    def model_post_init(self, _context: object) -> None:
        """A stroke of color needs its color."""
        if self.kind == "color" and self.color is None:
            raise ValueError("color: expected a color as #rrggbb, got none")
