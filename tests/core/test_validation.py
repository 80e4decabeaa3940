"""Errors of pydantic become lines for the user."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kinemacolor.core.validation import fault_lines, unknown_name


class Still(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file: Annotated[str, Field(min_length=1)]
    frame: Annotated[int, Field(ge=0)] | None = None


class Film(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stills: list[Still] = []
    cover: Still | None = None
    saturation: Annotated[float, Field(gt=0)] = 1.0
    start: int = 0
    end: int = 1

    @field_validator("saturation")
    @classmethod
    def _whole(cls, value: float) -> float:
        if value == 3:
            raise ValueError("expected anything but 3, got 3")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Film:
        if self.end <= self.start:
            raise ValueError(f"end: expected more than start ({self.start}), got {self.end}")
        return self


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({"saturation": 0}, ["saturation: expected a number greater than 0, got 0"]),
        ({"saturation": 3}, ["saturation: expected anything but 3, got 3"]),
        ({"saturation": "much"}, ["saturation: expected number, unable to parse string as a number, got 'much'"]),
        ({"stills": [{"file": "a.png"}, {"frame": 3}]}, ["stills.2.file: expected a value, got none"]),
        ({"stills": [{"file": ""}]}, ["stills.1.file: expected some text, got ''"]),
        ({"stills": ["a.png"]}, ["stills.1: expected a table, got 'a.png'"]),
        ({"stills": [{"file": "a", "framee": 3}]}, ["stills.1.framee: unknown name; did you mean frame?"]),
        ({"cover": {"file": "a", "x": 3}}, ["cover.x: unknown name; known names are file, frame"]),
        ({"satuartion": 2.0}, ["satuartion: unknown name; did you mean saturation?"]),
        ({"start": 5, "end": 2}, ["end: expected more than start (5), got 2"]),
        (
            {"saturation": -1, "stills": [{"file": "a", "frame": -2}]},
            [
                "stills.1.frame: expected a number greater than or equal to 0, got -2",
                "saturation: expected a number greater than 0, got -1",
            ],
        ),
    ],
)
def test_each_invalid_field_gets_a_line(values: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Film(**values)
    assert fault_lines(caught.value, Film) == lines


def test_an_unknown_name_suggests_a_similar_one() -> None:
    assert unknown_name("blockk_size", ["weights", "block_size"]) == "unknown name; did you mean block_size?"
    assert unknown_name("zzz", iter(["weights", "device"])) == "unknown name; known names are weights, device"
