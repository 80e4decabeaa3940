"""The exported network on ONNX Runtime: all that the base install needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from kinemacolor.core.errors import InputError
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.network import Tensors
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.engine.weights import ASSETS, RELEASED
from kinemacolor.model.config import ConfigError, NetworkConfig, parse_config

STAGES = ("encode", "represent", "colorize")
"""Files of an exported network, each with the suffix ``.onnx``."""
REMEDY = "give the folder that kinemacolor export made"


class OnnxRunner:
    """Stages of the network exported to ``folder``.

    Args:
        folder: of the graphs.
        threads: of ONNX Runtime; None lets it take the machine's cores.
        name: of the engine.

    Raises:
        InputError: a file is missing, is no such graph, or is of another network than the others.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, name: str = "onnx") -> None:
        self.name = name
        self._sessions, told = {}, set()
        for stage in STAGES:
            path = Path(folder) / f"{stage}.onnx"
            if not path.is_file():
                raise InputError(folder, f"holds no {path.name}", REMEDY)
            try:
                session = onnxruntime.InferenceSession(
                    str(path), session_options(threads), providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # the runtime's own classes have no public common base
                raise InputError(path, f"is no ONNX graph ({str(error).splitlines()[0][:100]})", REMEDY) from error
            self._sessions[stage] = session
            told.add(session.get_modelmeta().custom_metadata_map.get("kinemacolor", ""))
        if len(told) != 1 or told == {""}:
            raise InputError(folder, "holds graphs that are not of one network", REMEDY)
        try:
            record = json.loads(told.pop())
            self.config: NetworkConfig = parse_config(record["config"], str(folder))
        except (ConfigError, KeyError, ValueError) as error:
            raise InputError(folder, f"was exported by another version ({error})", "export it anew") from error

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """See ``Runner.run``."""
        session = self._sessions[stage]
        wanted = {x.name: np.ascontiguousarray(feeds[x.name]) for x in session.get_inputs()}
        names = [x.name for x in session.get_outputs()]
        return dict(zip(names, session.run(names, wanted), strict=True))


def shipped(engine: str, threads: int | None = None) -> OnnxRunner:
    """The network of that name that comes with the package.

    Raises:
        InputError: a file of it is missing or not the released one.
    """
    for weights in RELEASED:
        if weights.engine == engine and weights.file.endswith(".onnx"):
            weights.load()
    return OnnxRunner(ASSETS / engine, threads, engine)
