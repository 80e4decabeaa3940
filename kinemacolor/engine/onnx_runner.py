"""Runs an exported network on ONNX Runtime, which the base install has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from kinemacolor.core.errors import InputError
from kinemacolor.core.memory import check_memory
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.network import Tensors
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.engine.weights import ASSETS, RELEASED
from kinemacolor.model.config import ConfigError, NetworkConfig, parse_config_record

STAGES = ("encode", "represent", "colorize")
"""Names of an exported network's files, without the suffix ``.onnx``."""
EXPORT_REMEDY = "give a folder that kinemacolor export wrote"


class OnnxRunner:
    """Stages of the network exported to ``folder``.

    Args:
        folder: of the graphs.
        threads: of ONNX Runtime; None lets it take the machine's cores.
        name: of the engine.

    Raises:
        InputError: a file is missing, is no ONNX graph, or belongs to another network than the others.
    """

    def __init__(self, folder: str | Path, threads: int | None = None, name: str = "onnx") -> None:
        self.name, self._folder = name, folder
        self._sessions, metadata = {}, set()
        for stage in STAGES:
            path = Path(folder) / f"{stage}.onnx"
            if not path.is_file():
                raise InputError(folder, f"holds no {path.name}", EXPORT_REMEDY)
            try:
                session = onnxruntime.InferenceSession(
                    str(path), session_options(threads), providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # the runtime's own classes have no public common base
                check_memory(error)
                raise InputError(
                    path, f"is no ONNX graph ({str(error).splitlines()[0][:100]})", EXPORT_REMEDY
                ) from error
            self._sessions[stage] = session
            metadata.add(session.get_modelmeta().custom_metadata_map.get("kinemacolor", ""))
        if len(metadata) != 1 or metadata == {""}:
            raise InputError(folder, "holds graphs that are not of one network", EXPORT_REMEDY)
        try:
            self.config: NetworkConfig = parse_config_record(metadata.pop(), str(folder))
        except ConfigError as error:
            problem = f"was exported by another version ({str(error).splitlines()[0]})"
            raise InputError(folder, problem, "export the network again") from error

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """See ``Runner.run``."""
        session = self._sessions[stage]
        try:
            inputs = {node.name: np.ascontiguousarray(feeds[node.name]) for node in session.get_inputs()}
            names = [node.name for node in session.get_outputs()]
            return dict(zip(names, session.run(names, inputs), strict=True))
        except Exception as error:  # the runtime's own classes have no public common base
            check_memory(error)
            problem = f"{stage}.onnx cannot be run ({str(error).splitlines()[0][:100]})"
            raise InputError(self._folder, problem, EXPORT_REMEDY) from error


def shipped(engine: str, threads: int | None = None) -> OnnxRunner:
    """The network of that name that comes with the package.

    Raises:
        InputError: one of its files is missing or differs from the released one.
    """
    for weights in RELEASED:
        if weights.engine == engine and weights.file.endswith(".onnx"):
            weights.load()
    return OnnxRunner(ASSETS / engine, threads, engine)
