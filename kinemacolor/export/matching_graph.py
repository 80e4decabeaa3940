"""Export of the engine ``matching`` to ONNX: ``python -m kinemacolor.export.matching_graph``.

It needs the extra ``train``. The graph is compared with PyTorch before the file gets its name.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from kinemacolor.core.atomic_write import atomic_write
from kinemacolor.engine.weights import MATCHING
from kinemacolor.model.features import Lite0Features, lite0_weights, load_lite0
from kinemacolor.model.zero_shot import ZeroShotMatching

MATCHING_TOLERANCE = 1e-3
"""Largest difference allowed between PyTorch and ONNX Runtime, in units of each output (ab: Lab units)."""
OPSET = 18
MATCHING_INPUTS = ("luminance", "weight", "bank_keys", "bank_ab", "bank_valid")
MATCHING_OUTPUTS = ("keys", "ab", "similarity")


def zero_shot_network() -> ZeroShotMatching:
    """The network of the engine ``matching``, with the ImageNet weights of EfficientNet-lite0."""
    return ZeroShotMatching(Lite0Features(load_lite0(lite0_weights()))).eval()


def example_inputs(height: int, width: int, batch: int, entries: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Random inputs of ``ZeroShotMatching.forward`` for a frame of ``height`` × ``width`` (multiples of 16)."""
    noise = torch.Generator().manual_seed(seed)
    cells = (height // 4, width // 4)
    keys = torch.nn.functional.normalize(torch.randn(entries, sum(Lite0Features.channels), generator=noise), dim=1)
    return (
        torch.rand(batch, 1, height, width, generator=noise) * 2 - 1,
        (torch.rand(batch, 1, *cells, generator=noise) > 0.1).float(),
        keys,
        torch.randn(entries, 2, generator=noise) * 40,
        (torch.rand(entries, generator=noise) > 0.2).float(),
    )


def export_zero_shot(destination: Path) -> str:
    """Writes the engine ``matching`` as one ONNX file, and returns its sha256.

    Raises:
        AssertionError: PyTorch and ONNX Runtime differ by more than ``MATCHING_TOLERANCE``; nothing is written.
    """
    network = zero_shot_network()
    batch, entries = torch.export.Dim("batch", min=1), torch.export.Dim("entries", min=1)
    rows, columns = torch.export.Dim("rows", min=2, max=512), torch.export.Dim("columns", min=2, max=512)
    shapes = (
        {0: batch, 2: 16 * rows, 3: 16 * columns},
        {0: batch, 2: 4 * rows, 3: 4 * columns},
        {0: entries},
        {0: entries},
        {0: entries},
    )
    model = to_onnx(network, example_inputs(96, 160, 2, 31), shapes, MATCHING_INPUTS, MATCHING_OUTPUTS)
    with atomic_write(destination) as part:
        onnx.save_model(model, str(part))
        assert_parity(network, part)
    return hashlib.sha256(destination.read_bytes()).hexdigest()


def to_onnx(
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    shapes: tuple[Any, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx.ModelProto:
    """A module as one graph, for any of the sizes that ``shapes`` leaves open (see ``torch.export.export``)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=input_names,
            output_names=output_names,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return without_source_lines(program.model_proto)


def without_source_lines(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes on source lines, which differ between machines."""
    graph = model.graph
    del model.metadata_props[:], graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def assert_parity(network: ZeroShotMatching, path: Path) -> None:
    """Compares PyTorch with ONNX Runtime at several sizes, block lengths and bank sizes.

    Raises:
        AssertionError: they differ by more than ``MATCHING_TOLERANCE``; names the output and the difference.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for height, width, batch, entries in ((64, 96, 1, 1), (208, 368, 1, 4784), (144, 80, 3, 2000), (32, 32, 2, 63)):
        inputs = example_inputs(height, width, batch, entries, seed=height)
        with torch.inference_mode():
            expected = network(*inputs)
        feeds = {name: tensor.numpy() for name, tensor in zip(MATCHING_INPUTS, inputs, strict=True)}
        outputs = session.run(list(MATCHING_OUTPUTS), feeds)
        for name, torch_output, onnx_output in zip(MATCHING_OUTPUTS, expected, outputs, strict=True):
            error = float(np.abs(torch_output.numpy() - onnx_output).max())
            assert error <= MATCHING_TOLERANCE, f"{name} at {width}x{height}: PyTorch and ONNX differ by {error:.2e}"


if __name__ == "__main__":
    print(export_zero_shot(MATCHING.path))
