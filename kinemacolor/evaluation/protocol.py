"""Protocols: at which size a clip is colored and compared, read from TOML files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.core.structured_text import parse_toml
from kinemacolor.core.validation import fault_lines
from kinemacolor.references.size import network_size

PROTOCOL_FOLDER = Path(__file__).parent / "protocols"


class Protocol(BaseModel):
    """How a clip is colored and compared.

    Attributes:
        name: of the file, without its suffix.
        title: one line for reports.
        size: ``area``: the clip's own aspect at the area ``width`` × ``height``; ``stretch``: exactly ``width`` ×
            ``height``; ``full``: colored as with ``area``, compared at the clip's own size after chroma upsampling.
        width, height: in pixels, see ``size``.
        frames: maximum number of frames from the start of each clip, or None for all.
        reference: which references a clip gets, see ``exemplars.ReferenceChoice``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    size: Literal["area", "stretch", "full"]
    width: int = Field(ge=MINIMUM_SIDE, le=4096)
    height: int = Field(ge=MINIMUM_SIDE, le=4096)
    frames: int | None = Field(default=None, ge=2)
    reference: str = "first"

    def network_shape(self, aspect: float) -> tuple[int, int]:
        """(height, width) of the engines' input for a clip whose picture has this width / height in square pixels."""
        if self.size == "stretch":
            return self.height, self.width
        return network_size(aspect, 1, area=self.width * self.height)


def protocols() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.stem for path in PROTOCOL_FOLDER.glob("*.toml"))


def load_protocol(name: str | Path, *, frames: int | None = None, reference: str | None = None) -> Protocol:
    """A protocol by its name, or from a file ``*.toml``; ``frames`` and ``reference`` override its own.

    Raises:
        UsageError: there is no protocol of that name, or ``frames`` is too small.
        InputError: the file cannot be read, or a field is invalid.
    """
    text = str(name)
    path = Path(text) if text.endswith(".toml") else PROTOCOL_FOLDER / f"{text}.toml"
    if not text.endswith(".toml") and text not in protocols():
        remedy = f"choose among {', '.join(protocols())}, or give a file *.toml"
        raise UsageError("protocol", f"there is no protocol {text}", remedy)
    if frames is not None and frames < 2:
        raise UsageError("frames", f"{frames} is too few for a clip", "give at least 2")
    try:
        values = parse_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the name") from error
    except ValueError as error:
        raise InputError(path, f"is not TOML ({error})", "correct the file") from error
    overrides = {"frames": frames, "reference": reference}
    values = {"name": path.stem, **values, **{key: value for key, value in overrides.items() if value is not None}}
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        lines = fault_lines(error, Protocol)
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        raise InputError(path, lines[0] + more, "correct the file") from error
