"""The engines ``onnx`` and ``torch`` on small untrained networks of both configurations."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("onnx", reason="needs the extra train")

from kinemacolor.core.errors import InputError, UsageError
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.protocol import Engine, EngineState
from kinemacolor.engine.registry import open_engine
from kinemacolor.engine.torch_runner import TorchRunner
from tests.engine import conformance, networks
from tests.engine.conformance import in_blocks, masked, reference_of, scene

KINDS = ("onnx", "torch")


def weights(name: str, kind: str, factory: pytest.TempPathFactory) -> Path:
    return networks.network_folder(name, factory) / ("graphs" if kind == "onnx" else "network.safetensors")


def engine(name: str, kind: str, factory: pytest.TempPathFactory, **options: object) -> Engine:
    device = {"device": "cpu"} if kind == "torch" else {}
    return open_engine(kind, weights=weights(name, kind, factory), threads=1, **device, **options)


@pytest.mark.parametrize("propagation", ["full", "off"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_conformance(
    check: conformance.Check, kind: str, propagation: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    network_engine = engine("lite", kind, tmp_path_factory, propagation=propagation)
    assert isinstance(network_engine, Engine)
    assert network_engine.name == kind
    check(network_engine)


NOT_FOR_PAPER = (
    conformance.check_block_sizes,  # expects roughly right colors, which an untrained paper network does not give
    conformance.check_color_comes_back,
    conformance.check_several_references,  # references that attend jointly with the frames have one size
    conformance.check_padding,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "check", [check for check in conformance.CHECKS if check not in NOT_FOR_PAPER], ids=lambda c: c.__name__
)
def test_conformance_of_the_papers_configuration(
    check: conformance.Check, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(engine("paper", kind, tmp_path_factory))


@pytest.mark.parametrize("name", ["lite", "lite-full", "paper"])
def test_torch_and_onnx_color_alike(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Through the whole engine, with state and propagation, with three references, one of them masked in part."""
    film, colors = scene(61, 97, 8)
    mask = np.ones((61, 97), np.bool_)
    mask[20:40, 30:70] = False
    references = [
        reference_of(film[0], colors[0]),
        masked(reference_of(film[7], colors[7]), mask),
        reference_of(*(x[0] for x in scene(61, 97, seed=4))),
    ]
    plain = TorchRunner(weights(name, "torch", tmp_path_factory), device="cpu", bfloat16=False, threads=1)
    engines = (engine(name, "onnx", tmp_path_factory), NetworkEngine(plain))
    results = [in_blocks(each, film, each.start(references), 2) for each in engines]
    np.testing.assert_allclose(results[0][0], results[1][0], atol=0.05)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-3)


def test_a_masked_joint_reference_changes_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    film, colors = scene(48, 64, 3)
    paper = engine("paper", "onnx", tmp_path_factory)
    first, second = reference_of(film[0], colors[0]), reference_of(*(x[0] for x in scene(48, 64, seed=5)))
    hidden = masked(second, np.zeros((48, 64), np.bool_))
    alone = in_blocks(paper, film, paper.start([first]), 2)[0]
    np.testing.assert_allclose(in_blocks(paper, film, paper.start([first, hidden]), 2)[0], alone, atol=2e-3)
    assert np.abs(in_blocks(paper, film, paper.start([first, second]), 2)[0] - alone).max() > 0.01


def test_joint_references_must_have_the_size_of_the_frames(tmp_path_factory: pytest.TempPathFactory) -> None:
    paper = engine("paper", "onnx", tmp_path_factory)
    film, colors = scene(48, 64, 2)
    larger = reference_of(*(x[0] for x in scene(61, 97)))
    with pytest.raises(UsageError, match=r"^references: this network .* needs 64×48 where a still has 97×61"):
        paper.start([reference_of(film[0], colors[0]), larger])
    with pytest.raises(UsageError, match=r"^references: this network .* needs 64×48"):
        paper.step(film, paper.start([larger]))


@pytest.mark.parametrize("kind", ["onnx", "matching"])
def test_color_memory_is_a_switch(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Past outputs count from the second block on, and only where the setting is on."""
    film, colors = scene(48, 64, 9)
    results = []
    for color_memory in (False, True):
        if kind == "onnx":
            opened = engine("lite", kind, tmp_path_factory, propagation="off", color_memory=color_memory)
        else:
            opened = open_engine(kind, propagation="off", color_memory=color_memory, threads=1)
        results.append(in_blocks(opened, film, opened.start([reference_of(film[0], colors[0])]), 1)[0])
    np.testing.assert_array_equal(results[0][:1], results[1][:1])
    assert np.abs(results[0][5:] - results[1][5:]).max() > 0.01


def test_the_caller_sets_the_block_size(tmp_path_factory: pytest.TempPathFactory) -> None:
    assert engine("lite", "onnx", tmp_path_factory).block_size == 2
    assert engine("lite", "onnx", tmp_path_factory, block_size=5).block_size == 5


def test_settings_that_do_not_fit_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    good = weights("lite", "onnx", tmp_path_factory)
    for kind, options, message in (
        ("onnx", {}, "^weights: the engine onnx needs a trained network"),
        ("matching", {"weights": good}, "^weights: the engine matching does not take this setting"),
        ("matching", {"block_size": 3}, "^block_size: the engine matching does not take this setting"),
        ("onnx", {"weights": good, "block_size": 7}, "^block_size: 7 is not"),
        ("onnx", {"weights": good, "device": "cpu"}, "^device: the engine onnx"),
        ("torch", {"weights": good, "device": "nonsense"}, "^device: there is no device nonsense"),
    ):
        with pytest.raises(UsageError, match=message):
            open_engine(kind, **options)
    with pytest.raises(InputError, match=r"holds no encode\.onnx"):
        open_engine("onnx", weights=tmp_path)
    with pytest.raises(InputError, match=r"network\.safetensors.*cannot be read"):
        open_engine("torch", weights=tmp_path / "network.safetensors")


def test_damaged_and_mixed_graphs_are_named(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    lite, paper = (weights(name, "onnx", tmp_path_factory) for name in ("lite", "paper"))
    mixed = tmp_path / "mixed"
    shutil.copytree(lite, mixed)
    shutil.copy(paper / "encode.onnx", mixed / "encode.onnx")
    with pytest.raises(InputError, match="not of one network"):
        open_engine("onnx", weights=mixed)
    (mixed / "encode.onnx").write_bytes(b"no graph")
    with pytest.raises(InputError, match=r"encode\.onnx: is no ONNX graph"):
        open_engine("onnx", weights=mixed)


def test_the_state_of_another_engine_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    film, colors = scene(48, 64)
    lite = engine("lite", "onnx", tmp_path_factory)
    with pytest.raises(ValueError, match="state: expected one of the engine onnx"):
        lite.step(film, lite.start([reference_of(film[0], colors[0])]), state=EngineState())
