"""Exported networks: they are compared with PyTorch over blocks that depend on each other before files are saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("onnx", reason="needs the extra train")

import onnx
import onnxruntime
from onnx import numpy_helper

from kinemacolor.engine.onnx_runner import OnnxRunner
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.export import network_graph as module
from kinemacolor.model.checkpoint import load_network
from tests.engine import networks


def test_the_cases_cover_sizes_blocks_and_references() -> None:
    assert all(len(case.blocks) >= 4 for case in module.PARITY_CASES)
    assert len({(case.height, case.width) for case in module.PARITY_CASES}) >= 2
    assert len({case.blocks[0] for case in module.PARITY_CASES}) >= 2
    assert {1, 3} <= {case.references for case in module.PARITY_CASES}


@pytest.mark.parametrize("name", ["lite", "lite-full", "paper"])
def test_parity_at_sizes_it_was_not_exported_at(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = networks.network_folder(name, tmp_path_factory)
    one = TorchRunner(load_network(folder / "network.safetensors"), device="cpu", bfloat16=False)
    cases = (module.ParityCase(64, 32, (1, 2, 1, 3), 1), module.ParityCase(32, 112, (6, 1, 2, 1), 2))
    errors = module.largest_differences(one, OnnxRunner(folder / "graphs"), cases)
    assert errors["ab"] < 0.05
    assert errors["similarity"] < 1e-3


def test_parity_notices_other_weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = networks.network_folder("lite-full", tmp_path_factory)
    network = load_network(folder / "network.safetensors")
    with module.torch.no_grad():
        network.linkage.keep.linear.weight.normal_()  # has an effect from the second block on
    errors = module.largest_differences(
        TorchRunner(network, device="cpu", bfloat16=False), OnnxRunner(folder / "graphs")
    )
    assert errors["ab"] > 0.05


def test_nothing_is_saved_without_parity(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = networks.network_folder("lite", tmp_path_factory)
    network = load_network(folder / "network.safetensors")
    models = {stage: onnx.load(folder / "graphs" / f"{stage}.onnx") for stage in module.STAGES}
    monkeypatch.setattr(module, "graphs", lambda _: models)
    target = tmp_path / "out"
    module.export_network(network, target, half=False)
    kept = {path.name: path.read_bytes() for path in target.iterdir()}
    assert set(kept) == {f"{stage}.onnx" for stage in module.STAGES}
    with module.torch.no_grad():
        network.colorization.last.bias.add_(1)
    with pytest.raises(AssertionError, match="ab: PyTorch and ONNX differ"):
        module.export_network(network, target, half=False)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == kept
    assert list(tmp_path.iterdir()) == [target]


def test_models_of_half_precision_hold_the_same_numbers_in_half_the_size(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = networks.network_folder("lite", tmp_path_factory) / "graphs" / "encode.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:  # as ``round_to_half`` does to a network before its export
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) >= module.HALF_PRECISION_MIN_SIZE:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    full = model.SerializeToString()
    less = module.stored_in_half(model).SerializeToString()
    assert len(less) < 0.65 * len(full)
    picture = np.random.default_rng(0).random((1, 1, 32, 48), dtype=np.float32)
    answers = []
    for graph in (full, less):
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, {"luminance": picture}))
    for a, b in zip(*answers, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_graphs_contain_nothing_about_the_exporting_machine(tmp_path_factory: pytest.TempPathFactory) -> None:
    for path in (networks.network_folder("lite", tmp_path_factory) / "graphs").iterdir():
        assert b"site-packages" not in path.read_bytes()
