"""Colorization engines: ``start`` turns references into a bank, ``step`` colours a block of frames."""

from __future__ import annotations

from pathlib import Path

from kinemacolor.engine.protocol import Bank, Engine, Memory, Step
from kinemacolor.errors import InputError, UsageError

DEFAULT = "lite"
"""The engine that colours films unless another is asked for."""
ENGINES = {
    "lite": "the network trained for colour that comes with the package",
    "matching": "nothing trained for colour: ImageNet features, and colours carried along the optical flow",
    "onnx": "a trained network on ONNX Runtime; --weights names the folder it was exported to",
    "torch": "a trained network in PyTorch, on a GPU where there is one; --weights names its .safetensors file",
}
"""Names and what they stand for."""

__all__ = ["DEFAULT", "ENGINES", "Bank", "Engine", "Memory", "Step", "open_engine"]


def open_engine(
    name: str,
    *,
    weights: str | Path | None = None,
    propagate: bool = True,
    shortcuts: bool = True,
    color_memory: bool | None = None,
    block_size: int | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Engine:
    """An engine by its name.

    Args:
        name: one of ``ENGINES``.
        weights: of a trained network, a folder for ``onnx``, a file for ``torch``; the others take none.
        propagate: whether colours are carried along the optical flow.
        shortcuts: whether they come over longer hops and straight from the reference as well, not from frame to frame
            alone.
        color_memory: whether past outputs join the bank; None for what the network's configuration says.
        block_size: frames that a trained network colours together; None for what its configuration says.
        device: ``cpu``, ``cuda`` or ``mps``, for ``torch``; None for the best there is.
        threads: of the runtime on a CPU; None lets it take the machine's cores.

    Raises:
        UsageError: there is none of that name, or an option does not go with it.
        InputError: the weights cannot be read, or what the engine runs on is not installed.
    """
    if name not in ENGINES:
        raise UsageError("--engine", f"there is no engine {name}", f"choose among {', '.join(ENGINES)}")
    if device is not None and name != "torch":
        raise UsageError("--device", f"the engine {name} has no choice of devices", "leave it out, or take torch")
    if name == "matching":
        _refuse(name, ("--weights", weights), ("--block-size", block_size))
        from kinemacolor.engine.matching import MatchingEngine

        return MatchingEngine(
            propagate=propagate, shortcuts=shortcuts, color_memory=bool(color_memory), threads=threads
        )
    if name == "lite":
        _refuse(name, ("--weights", weights))
    elif weights is None:
        raise UsageError(
            "--weights", f"the engine {name} needs a trained network", f"name its weights, or take {DEFAULT}"
        )
    if block_size is not None and not 1 <= block_size <= 6:
        raise UsageError("--block-size", f"{block_size} is not a number of frames", "give 1 to 6")
    from kinemacolor.engine.network import NetworkEngine, Runner

    runner: Runner
    if name in ("lite", "onnx"):
        from kinemacolor.engine.onnx import OnnxRunner, shipped

        runner = OnnxRunner(weights, threads) if weights else shipped(name, threads)
    else:
        try:
            from kinemacolor.engine.torch import TorchRunner
        except ModuleNotFoundError as error:
            problem = f"the engine torch needs {error.name}, which is not installed"
            raise InputError("--engine", problem, "pip install 'kinemacolor[train]'") from error
        assert weights is not None
        runner = TorchRunner(weights, device=device, threads=threads)
    return NetworkEngine(
        runner, propagate=propagate, shortcuts=shortcuts, color_memory=color_memory, block_size=block_size
    )


def _refuse(name: str, *options: tuple[str, object]) -> None:
    for option, value in options:
        if value is not None:
            raise UsageError(option, f"the engine {name} takes none", "leave it out, or choose another --engine")
