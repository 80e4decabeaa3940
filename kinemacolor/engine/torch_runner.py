"""Runs a network in PyTorch (extra ``train``), on CUDA, Apple's MPS or the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from kinemacolor.core.errors import UsageError
from kinemacolor.core.types import FloatArray
from kinemacolor.engine.network import Tensors
from kinemacolor.model.checkpoint import load_network
from kinemacolor.model.network import Network
from kinemacolor.model.stages import stages


def best_device() -> torch.device:
    """CUDA if available, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16 natively; emulation would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class TorchRunner:
    """Runs the stages of a network.

    Args:
        network: the network, or the path of its weights.
        device: ``cpu``, ``cuda`` or ``mps``; None for the best that is available.
        bfloat16: whether to use autocast; None where the hardware supports it. Matching stays in float32.
        threads: of PyTorch in this process; None leaves their number as it is.

    Raises:
        InputError: the weights cannot be read.
        UsageError: there is no such device.
    """

    name = "torch"

    def __init__(
        self,
        network: Network | str | Path,
        *,
        device: str | None = None,
        bfloat16: bool | None = None,
        threads: int | None = None,
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        try:
            self._device = torch.device(device) if device else best_device()
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            problem = f"there is no device {device} ({str(error).splitlines()[0]})"
            raise UsageError("device", problem, "choose among cpu, cuda and mps") from error
        loaded = network if isinstance(network, Network) else load_network(network)
        self.config = loaded.config
        self.device = "" if self._device.type == "cpu" else self._device.type
        self._stages = stages(loaded.to(self._device).eval())
        self._bfloat16 = fast_in_bfloat16(self._device) if bfloat16 is None else bfloat16

    def run(self, stage: str, feeds: Mapping[str, FloatArray]) -> Tensors:
        """See ``Runner.run``."""
        module = self._stages[stage]
        tensors = [torch.as_tensor(feeds[name], device=self._device) for name in module.inputs]
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            outputs = module(*tensors)
        return {name: output.float().cpu().numpy() for name, output in zip(module.outputs, outputs, strict=True)}
