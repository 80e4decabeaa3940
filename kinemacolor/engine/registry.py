"""The engines there are, a record each; everything that lists, describes or opens engines is derived from it.

A new engine is one more ``EngineRecord`` in ``ENGINES``. Nothing heavy is imported before an engine is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.core.limits import MAXIMUM_BLOCK, MINIMUM_BLOCK

if TYPE_CHECKING:
    from kinemacolor.engine.protocol import Engine

Propagation = Literal["full", "chained", "off"]
"""How colors are propagated along the optical flow: over short and long hops and directly from the reference; from
the frame before alone; not at all."""
DEFAULT_ENGINE = "lite"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine is opened.

    Attributes:
        propagation: of colors along the optical flow.
        color_memory: whether past outputs join the bank; None for what the network's configuration says.
        weights: of a trained network; None where the engine brings its own.
        block_size: frames that a trained network colors together; None for what its configuration says.
        device: ``cpu``, ``cuda`` or ``mps``; None for the best there is.
        threads: of the runtime on a CPU; None lets it take the machine's cores.
    """

    propagation: Propagation = "full"
    color_memory: bool | None = None
    weights: str | Path | None = None
    block_size: int | None = None
    device: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """What the package knows of an engine.

    Attributes:
        name: as users choose it.
        summary: one line.
        open: makes the engine; imports what it runs on.
        state_types: the records of which the engine's states are made, so that a run can be resumed.
        takes: those of ``weights``, ``block_size`` and ``device`` that the engine takes.
        needs_weights: whether the user names the weights.
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
            "the network trained for color that comes with the package",
            _open_lite,
            _network_states,
            takes=frozenset({"block_size"}),
        ),
        EngineRecord(
            "matching",
            "nothing trained for color: ImageNet features, and colors propagated along the optical flow",
            _open_matching,
            _matching_states,
        ),
        EngineRecord(
            "onnx",
            "a trained network on ONNX Runtime; weights names the folder it was exported to",
            _open_onnx,
            _network_states,
            takes=frozenset({"weights", "block_size"}),
            needs_weights=True,
        ),
        EngineRecord(
            "torch",
            "a trained network in PyTorch, on a GPU where there is one; weights names its .safetensors file",
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
    """An engine by its name; the options are those of ``EngineOptions``.

    Raises:
        UsageError: there is none of that name, or an option does not go with it.
        InputError: the weights cannot be read, or what the engine runs on is not installed.
    """
    options = EngineOptions(propagation, color_memory, weights, block_size, device, threads)
    if name not in ENGINES:
        raise UsageError("engine", f"there is no engine {name}", f"choose among {', '.join(ENGINES)}")
    record = ENGINES[name]
    for option in ("weights", "block_size", "device"):
        if option not in record.takes and getattr(options, option) is not None:
            takers = ", ".join(other.name for other in ENGINES.values() if option in other.takes)
            raise UsageError(option, f"the engine {name} takes none", f"leave it out, or choose the engine {takers}")
    if record.needs_weights and options.weights is None:
        remedy = f"name its weights, or take {DEFAULT_ENGINE}"
        raise UsageError("weights", f"the engine {name} needs a trained network", remedy)
    if options.block_size is not None and not MINIMUM_BLOCK <= options.block_size <= MAXIMUM_BLOCK:
        remedy = f"give {MINIMUM_BLOCK} to {MAXIMUM_BLOCK}"
        raise UsageError("block_size", f"{options.block_size} is not a number of frames", remedy)
    return record.open(options)
