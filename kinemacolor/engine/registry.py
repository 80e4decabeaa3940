"""The registry of engines: everything that lists, describes or opens engines uses these records.

A new engine is one more ``EngineRecord`` in ``ENGINES``. Nothing heavy is imported before an engine is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MAXIMUM_BLOCK, MINIMUM_BLOCK, Propagation

if TYPE_CHECKING:
    from kinemacolor.engine.protocol import Engine

DEFAULT_ENGINE = "lite"
OPTIONAL_SETTINGS = ("weights", "block_size", "device")
"""Settings that only some engines take."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The settings with which an engine is opened.

    Attributes:
        propagation: how colors are propagated along the optical flow.
        color_memory: whether past outputs become entries of the bank; None for the value of its configuration.
        weights: path of a trained network; None for an engine that has its own.
        block_size: number of frames that a trained network colors in one step; None for the value of its configuration.
        device: ``cpu``, ``cuda`` or ``mps``; None for the best that is available.
        threads: of the runtime on a CPU; None for the number of the machine's cores.
    """

    propagation: Propagation = "full"
    color_memory: bool | None = None
    weights: str | Path | None = None
    block_size: int | None = None
    device: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """The description of an engine.

    Attributes:
        name: by which users choose it.
        summary: one line.
        open: creates the engine, and imports its runtime.
        state_types: returns the classes of which the engine's states consist; they are saved so that a run can resume.
        takes: those of ``OPTIONAL_SETTINGS`` that the engine takes.
        needs_weights: whether the user must name the weights.
    """

    name: str
    summary: str
    open: Callable[[EngineOptions], Engine]
    state_types: Callable[[], tuple[type, ...]]
    takes: frozenset[str] = frozenset()
    needs_weights: bool = False


def _open_matching(options: EngineOptions) -> Engine:
    from kinemacolor.engine.matching import MatchingEngine

    return MatchingEngine(
        propagation=options.propagation, color_memory=bool(options.color_memory), threads=options.threads
    )


def _open_lite(options: EngineOptions) -> Engine:
    from kinemacolor.engine.network import NetworkEngine
    from kinemacolor.engine.onnx_runner import shipped

    return NetworkEngine(
        shipped("lite", options.threads),
        propagation=options.propagation,
        color_memory=options.color_memory,
        block_size=options.block_size,
    )


def _open_onnx(options: EngineOptions) -> Engine:
    from kinemacolor.engine.network import NetworkEngine
    from kinemacolor.engine.onnx_runner import OnnxRunner

    assert options.weights is not None
    return NetworkEngine(
        OnnxRunner(options.weights, options.threads),
        propagation=options.propagation,
        color_memory=options.color_memory,
        block_size=options.block_size,
    )


def _open_torch(options: EngineOptions) -> Engine:
    from kinemacolor.engine.network import NetworkEngine

    try:
        from kinemacolor.engine.torch_runner import TorchRunner
    except ModuleNotFoundError as error:
        problem = f"the engine torch needs {error.name}, which is not installed"
        raise InputError("engine", problem, "pip install 'kinemacolor[train]'") from error
    assert options.weights is not None
    runner = TorchRunner(options.weights, device=options.device, threads=options.threads)
    return NetworkEngine(
        runner, propagation=options.propagation, color_memory=options.color_memory, block_size=options.block_size
    )


def _matching_states() -> tuple[type, ...]:
    from kinemacolor.engine.matching import MatchingState

    return (MatchingState, *_propagation_states())


def _network_states() -> tuple[type, ...]:
    from kinemacolor.engine.network import NetworkState

    return (NetworkState, *_propagation_states())


def _propagation_states() -> tuple[type, ...]:
    from kinemacolor.engine.color_memory import ColorMemory
    from kinemacolor.engine.propagator import PropagatorState
    from kinemacolor.propagation.correspondence import ColoredFrame, Correspondence, PropagatedFrame, PropagationState

    return (PropagatorState, ColorMemory, PropagationState, PropagatedFrame, Correspondence, ColoredFrame)


ENGINES: dict[str, EngineRecord] = {
    record.name: record
    for record in (
        EngineRecord(
            "lite",
            "the trained network that comes with the package",
            _open_lite,
            _network_states,
            takes=frozenset({"block_size"}),
        ),
        EngineRecord(
            "matching",
            "ImageNet features, not trained for color, and colors propagated along the optical flow",
            _open_matching,
            _matching_states,
        ),
        EngineRecord(
            "onnx",
            "a trained network on ONNX Runtime; the weights are the folder that it was exported to",
            _open_onnx,
            _network_states,
            takes=frozenset({"weights", "block_size"}),
            needs_weights=True,
        ),
        EngineRecord(
            "torch",
            "a trained network in PyTorch, on a GPU if available; the weights are its .safetensors file",
            _open_torch,
            _network_states,
            takes=frozenset({"weights", "block_size", "device"}),
            needs_weights=True,
        ),
    )
}


def open_engine(
    name: str,
    *,
    propagation: Propagation = "full",
    color_memory: bool | None = None,
    weights: str | Path | None = None,
    block_size: int | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Engine:
    """Opens an engine by its name. The settings are those of ``EngineOptions``.

    Raises:
        UsageError: there is no engine of that name, or it does not take a setting.
        InputError: the weights cannot be read, or the engine's runtime is not installed.
    """
    options = EngineOptions(propagation, color_memory, weights, block_size, device, threads)
    if name not in ENGINES:
        raise UsageError("engine", f"there is no engine {name}", f"choose among {', '.join(ENGINES)}")
    record = ENGINES[name]
    for setting in OPTIONAL_SETTINGS:
        if setting not in record.takes and getattr(options, setting) is not None:
            engines = " or ".join(other.name for other in ENGINES.values() if setting in other.takes)
            remedy = f"leave it out, or choose the engine {engines}" if engines else "leave it out"
            raise UsageError(setting, f"the engine {name} does not take this setting", remedy)
    if record.needs_weights and options.weights is None:
        remedy = f"name its weights, or choose the engine {DEFAULT_ENGINE}"
        raise UsageError("weights", f"the engine {name} needs a trained network", remedy)
    if options.block_size is not None and not MINIMUM_BLOCK <= options.block_size <= MAXIMUM_BLOCK:
        problem = f"{options.block_size} is not a valid number of frames"
        raise UsageError("block_size", problem, f"choose {MINIMUM_BLOCK} to {MAXIMUM_BLOCK}")
    return record.open(options)
