"""Protocols: at which size a clip is colored and compared, as TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MINIMUM_SIDE
from kinemacolor.references.image import network_size

FOLDER = Path(__file__).parent / "protocols"


class Protocol(BaseModel):
    """How a clip is colored and compared.

    Attributes:
        name: of the file.
        title: one line for the report.
        size: ``area``: the clip's own aspect at the area ``width`` × ``height``; ``stretch``: exactly ``width`` ×
            ``height``; ``full``: colored as with ``area``, compared at the clip's own size after chroma upsampling.
        width, height: pixels, see ``size``.
        frames: at most so many from the start of each clip, or None for all.
        reference: which reference is given, see ``exemplars.Choice``.
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
        """(height, width) at which engines see a clip whose picture has this width / height in square pixels."""
        if self.size == "stretch":
            return self.height, self.width
        return network_size(aspect, 1, area=self.width * self.height)


def protocols() -> list[str]:
    """Names of the protocols that the package brings."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_protocol(name: str | Path, *, frames: int | None = None, reference: str | None = None) -> Protocol:
    """A protocol by its name, or from a file ``*.toml``; ``frames`` and ``reference`` overrule what it says.

    Raises:
        UsageError: there is none of that name, or an overruling value makes no sense.
        InputError: the file cannot be read, or says what a protocol does not know.
    """
    text = str(name)
    path = Path(text) if text.endswith(".toml") else FOLDER / f"{text}.toml"
    if not text.endswith(".toml") and text not in protocols():
        choice = ", ".join(protocols())
        raise UsageError("--protocol", f"there is no protocol {text}", f"choose among {choice}, or give a file *.toml")
    if frames is not None and frames < 2:
        raise UsageError("--frames", f"{frames} frames make no film", "give at least 2")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the name") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"is not TOML ({error})", "mend the file") from error
    given = {"frames": frames, "reference": reference}
    values = {"name": path.stem, **values, **{key: value for key, value in given.items() if value is not None}}
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(path, f"{field}: {first['msg'].lower()}", "mend the file") from error
