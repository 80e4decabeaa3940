"""Traces hold what the subnet was given in use, replays give what it gave, and a run learns from them alone."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinemacolor.core.errors import InputError, KinemacolorError, UsageError
from kinemacolor.core.types import Reference
from kinemacolor.engine.network import NetworkEngine
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.model.checkpoint import save_network
from kinemacolor.model.network import Network
from kinemacolor.training.config.augmentation import PAPER_AUGMENTATION
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.windows import WindowSampler
from kinemacolor.training.rollout.recorded_inputs import MapLayout, RecordedInputs, record_window
from kinemacolor.training.rollout.recorded_training import CropSampler, RecordedRollout, crop_tensors, stack_crops
from kinemacolor.training.run.loop import TrainingOutcome, train
from tests.model import toys
from tests.training.runs import data, toy_recipe
from tests.training.toys import toy_cache

SIZE = (48, 80)
CROP = (32, 48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return toy_cache(tmp_path_factory.mktemp("traces") / "cache")


def toy(**changes: Any) -> Network:
    """A network whose votes and residual count, without P if so asked."""
    torch.manual_seed(0)
    net = Network(toys.toy_config("lite-full", **changes), pretrained=False).eval()
    torch.nn.init.normal_(net.colorization.last.weight, std=0.2)
    return net


def traced(net: Network, cache: Cache, keep: int = 1) -> tuple[RecordedInputs, np.ndarray]:
    """A trace of a window of eight frames, and what the engine made of it."""
    sample = WindowSampler(cache, 8, SIZE, replace(PAPER_AUGMENTATION, degraded=1)).sample(0)
    assert np.abs(sample.luminance - sample.lightness).max() > 1
    runner = TorchRunner(net, device="cpu", bfloat16=False)
    trace = record_window(net, runner, sample, 2, keep)
    engine = NetworkEngine(runner, color_memory=False, block_size=2)
    reference = Reference(sample.reference_luminance, sample.reference_ab, sample.reference_mask)
    bank, memory, colors = engine.start([reference]), None, []
    given: list[Any] = []
    hook = net.colorization.register_forward_pre_hook(lambda _module, arguments: given.append(arguments[3]))
    for first in range(0, 8, 2):
        step = engine.step(np.ascontiguousarray(sample.luminance[first : first + 2]), bank, memory)
        memory = step.state
        colors.append(step.ab)
    hook.remove()
    if given[0] is not None:
        tokens = torch.cat(given)[keep - 1 :: keep].numpy()
        np.testing.assert_allclose(trace.hidden.reshape(tokens.shape), tokens, atol=2e-3, rtol=2e-3)
    assert not net.colorization._forward_pre_hooks
    truth = trace.maps[:, :, -2:].astype(np.float32)
    whole = np.moveaxis(sample.ab, 3, 1).reshape(4, 2, 2, *SIZE)[keep - 1 :: keep]
    np.testing.assert_allclose(truth, whole, atol=0.05)
    return trace, np.stack(colors)[keep - 1 :: keep]


@pytest.mark.parametrize("changes", [{}, {"propagation": False}, {"transformer": False, "linkage": False}], ids=str)
@pytest.mark.parametrize("keep", [1, 2])
def test_a_replay_gives_what_the_engine_gave(cache: Cache, changes: dict[str, bool], keep: int) -> None:
    net = toy(**changes)
    trace, colors = traced(net, cache, keep)
    layout = MapLayout(net.config)
    assert trace.maps.shape == (4 // keep, 2, layout.channels, *SIZE)
    replays = CropSampler([trace], layout, SIZE, PAPER_AUGMENTATION)
    crops = [replays.sample(index) for index in range(12)]
    tensors = crop_tensors(stack_crops(crops, range(12)), layout)
    with torch.no_grad():
        (block,) = RecordedRollout(net, tensors, layout)
    blocks = [int(one.name.rpartition(" ")[2]) for one in crops]
    assert len(set(blocks)) > 1
    for got, number in zip(block.ab.numpy(), blocks, strict=True):
        off = np.abs(np.moveaxis(got, 1, 3) - colors[number])
        assert off.max() < 0.5  # half precision, through a network that exaggerates
        assert off.mean() < 0.02
    assert np.abs(colors).max() > 10


def test_crops_are_parts_of_their_trace(cache: Cache) -> None:
    net = toy()
    trace, _ = traced(net, cache)
    replays, corners = CropSampler([trace], MapLayout(net.config), CROP, PAPER_AUGMENTATION), set()
    for index in range(20):
        crop = replays.sample(index)
        block = int(crop.name.rpartition(" ")[2])
        row, column = crop.corner
        corners.add(crop.corner)
        rows, columns = slice(16 * row, 16 * row + CROP[0]), slice(16 * column, 16 * column + CROP[1])
        np.testing.assert_array_equal(crop.maps, trace.maps[block][..., rows, columns].astype(np.float32))
        tokens = trace.hidden[block][:, row : row + 2, column : column + 3]
        np.testing.assert_array_equal(crop.hidden, tokens.astype(np.float32))
        again = replays.sample(index)
        np.testing.assert_array_equal(crop.maps, again.maps)
    assert len(corners) > 4
    # each token keeps the position it has in the whole frame
    tensors = crop_tensors(stack_crops([replays.sample(0)], [0]), MapLayout(net.config))
    whole = net._positions(0, 2, *SIZE).detach().reshape(2, 3, 5, -1)
    row, column = replays.sample(0).corner
    assert tensors.positions is not None
    expected = whole[:, row : row + 2, column : column + 3].reshape(6 * 2, -1)
    np.testing.assert_allclose(tensors.positions[0].numpy(), expected.numpy(), atol=1e-6)


def test_turning_colors_keeps_how_far_they_are_off(cache: Cache) -> None:
    net = toy()
    trace, _ = traced(net, cache)
    layout = MapLayout(net.config)
    plain = CropSampler([trace], layout, SIZE, PAPER_AUGMENTATION)
    turned = CropSampler([trace], layout, SIZE, replace(PAPER_AUGMENTATION, mirror=1, rotate=1, saturate=1, saturation=(0.5, 0.5)))
    a, b = plain.sample(3).maps, turned.sample(3).maps[..., ::-1]
    np.testing.assert_array_equal(plain.sample(3).hidden, turned.sample(3).hidden[:, :, ::-1])
    assert plain.sample(3).name == turned.sample(3).name
    rest = [k for k in range(layout.channels) if not any(k - first in (0, 1) for first in layout.ab_channels)]
    np.testing.assert_array_equal(a[:, rest], b[:, rest])
    truth = layout.ab_channels[-1]
    for first in layout.ab_channels[:-1]:
        away = [np.linalg.norm(m[:, first : first + 2] - m[:, truth : truth + 2], axis=1) for m in (a, b)]
        np.testing.assert_allclose(away[1], 0.5 * away[0], atol=1e-3)
    assert np.abs(a[:, truth] - b[:, truth]).max() > 1


def test_without_carried_colors_none_is_offered(cache: Cache) -> None:
    net = toy()
    trace, _ = traced(net, cache)
    layout = MapLayout(net.config)
    for chance in (0.0, 1.0):
        replays = CropSampler([trace], layout, SIZE, PAPER_AUGMENTATION, drop_propagated=chance)
        tensors = crop_tensors(stack_crops([replays.sample(0)], [0]), layout)
        (block,) = RecordedRollout(net, tensors, layout)
        assert block.available is not None
        assert float(block.available[:, :, net.config.heads].mean()) == 1 - chance
        assert bool((block.available[:, :, : net.config.heads] == 1).all())
        carried = layout.candidates(tensors.maps)[-1]
        assert (float(carried.similarity.max()) == -1) == bool(chance)


# --- runs --------------------

PARTS: dict[str, Any] = {
    "network": {"freeze": ["features", "correspondence", "linkage"], "freeze_statistics": 0},
    "data": {"size": CROP, "length": 2, "block": 2},
    "losses": {"l1": 0, "candidates": 0, "temporal": 0, "smooth": 0, "psnr": 1, "gate": 0.1},
    "replay": {"traces": 3, "length": 6, "size": SIZE, "keep": 1},
}


def recipe(**changes: Any) -> Any:
    parts = {name: {**values, **changes.pop(name, {})} for name, values in PARTS.items()}
    return toy_recipe(**parts, **changes)


def run(output: Path, paths: list[str], **options: Any) -> TrainingOutcome:
    made = recipe(**options.pop("changes", {}))
    return train(made, output, data=paths, device="cpu", **{"say": lambda _: None, **options})


def test_a_run_from_traces_is_resumed_exactly_and_moves_the_subnet_alone(tmp_path: Path) -> None:
    paths = data(tmp_path)
    lines: list[str] = []
    assert run(tmp_path / "whole", paths, say=lines.append).step == 6
    assert any(line.startswith("traces: 3 of 3") for line in lines)
    assert len(list((tmp_path / "whole" / "traces").glob("*.npy"))) == 6
    shutil.copytree(tmp_path / "whole" / "traces", tmp_path / "cut" / "traces")
    assert run(tmp_path / "cut", paths, minutes=1e-6).step == 1
    (tmp_path / "cut" / "traces" / "000001-maps.npy").unlink()  # is made anew
    assert run(tmp_path / "cut", paths, resume=True).step == 6
    mine, theirs = (load_file(tmp_path / name / "network.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    run(tmp_path / "still", paths, changes={"optimizer": {"learning_rate": 1e-12, "weight_decay": 0.0}})
    before = load_file(tmp_path / "still" / "network.safetensors")
    moved = {name.split(".")[0] for name, tensor in mine.items() if not torch.allclose(tensor, before[name], atol=1e-6)}
    assert moved == {"colorization"}


def test_calibration_is_of_the_subnet_that_learns(tmp_path: Path) -> None:
    """Traces pass through nothing else, whose statistics have to stay as they were when the traces were made."""
    net = Network(recipe().network.network_config(), pretrained=False)
    for name, statistics in net.named_buffers():
        if name.endswith("running_mean"):
            statistics.fill_(0.25)
    save_network(net, tmp_path / "first.safetensors")
    paths, still = data(tmp_path), {"optimizer": {"learning_rate": 1e-12, "weight_decay": 0.0}}
    for name, count in (("plain", 0), ("calibrated", 3)):
        network = {"calibration": count, "initial": str(tmp_path / "first.safetensors")}
        run(tmp_path / name, paths, changes={**still, "network": network})
    plain, other = (load_file(tmp_path / name / "network.safetensors") for name in ("plain", "calibrated"))
    moved = {name for name, tensor in plain.items() if not torch.allclose(tensor, other[name], atol=1e-5)}
    assert moved
    assert {name.split(".")[0] for name in moved} == {"colorization"}
    assert {name.split(".")[-1] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_run_stops_while_traces_are_made_and_goes_on_with_them(tmp_path: Path) -> None:
    paths = data(tmp_path)
    assert run(tmp_path / "run", paths, minutes=1e-6) == TrainingOutcome(0, 6, "time", None)
    assert not list((tmp_path / "run" / "traces").glob("*.npy"))

    def stop(line: str) -> None:
        if line.startswith("traces: 2 of 3"):
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path / "run", paths, say=stop) == TrainingOutcome(0, 6, "signal", None)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "traces").glob("*.npy")}
    assert sorted(path.name[:6] for path in kept) == ["000000"] * 2 + ["000001"] * 2
    assert run(tmp_path / "run", paths, resume=True).step == 6
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())


def test_traces_of_something_else_are_refused(tmp_path: Path) -> None:
    paths = data(tmp_path)
    run(tmp_path / "run", paths)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match="holds traces of another network, recipe or data; delete it"):
        run(tmp_path / "run", paths, changes={"replay": {"keep": 2}})
    torn = tmp_path / "run" / "traces" / "000002-maps.npy"
    torn.write_bytes(torn.read_bytes()[:300])
    with pytest.raises(InputError, match=r"000002-maps.npy: cannot be read .*delete it; it is made anew"):
        run(tmp_path / "run", paths)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"freeze": ["features"]}}, "network.freeze: expected correspondence, features, linkage"),
        ({"data": {"length": 4}}, r"data.length: expected data.block \(replay\), got 4"),
        ({"data": {"size": [40, 48]}}, r"data.size: expected multiples of 16 \(replay\)"),
        ({"data": {"size": [64, 48]}}, "data.size: expected at most replay.size"),
        ({"losses": {"temporal": 1}}, r"losses.temporal: expected 0 \(replay\)"),
        ({"replay": {"length": 3}}, "replay.length: expected at least 4, so that a block is kept, got 3"),
        ({"replay": {"keep": 4}}, "replay.length: expected at least 8, so that a block is kept, got 6"),
        ({"replay": {"trace": 3}}, "replay.trace: there is no such field"),
    ],
)
def test_recipes_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KinemacolorError, match=message):
        recipe(**changes)
