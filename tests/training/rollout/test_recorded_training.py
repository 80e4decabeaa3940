"""Recorded inputs are those of the subnet in use, crops of them give its results, and a run learns from them alone."""

from __future__ import annotations

import json
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
from kinemacolor.training.run.checkpoint import checkpoints
from kinemacolor.training.run.loop import TrainingOutcome, train
from tests.model import toys
from tests.training.runs import data, toy_recipe
from tests.training.toys import toy_cache

SIZE = (48, 80)
CROP = (32, 48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return toy_cache(tmp_path_factory.mktemp("recorded") / "cache")


def toy(**changes: Any) -> Network:
    """A network whose votes and residual count."""
    torch.manual_seed(0)
    net = Network(toys.toy_config("lite-full", **changes), pretrained=False).eval()
    torch.nn.init.normal_(net.colorization.last.weight, std=0.2)
    return net


def recorded(net: Network, cache: Cache, keep_every: int = 1) -> tuple[RecordedInputs, np.ndarray]:
    """The recorded inputs of a window of eight frames, and the engine's colors (blocks, N, H, W, 2)."""
    sample = WindowSampler(cache, 8, SIZE, replace(PAPER_AUGMENTATION, degraded=1)).sample(0)
    assert np.abs(sample.luminance - sample.lightness).max() > 1
    runner = TorchRunner(net, device="cpu", bfloat16=False)
    inputs = record_window(net, runner, sample, 2, keep_every)
    engine = NetworkEngine(runner, color_memory=False, block_size=2)
    reference = Reference(sample.reference_luminance, sample.reference_ab, sample.reference_mask)
    bank, state, colors = engine.start([reference]), None, []
    hidden: list[Any] = []
    hook = net.colorization.register_forward_pre_hook(lambda _module, arguments: hidden.append(arguments[3]))
    for first in range(0, 8, 2):
        step = engine.step(np.ascontiguousarray(sample.luminance[first : first + 2]), bank, state)
        state = step.state
        colors.append(step.ab)
    hook.remove()
    if hidden[0] is not None:
        tokens = torch.cat(hidden)[keep_every - 1 :: keep_every].numpy()
        np.testing.assert_allclose(inputs.hidden.reshape(tokens.shape), tokens, atol=2e-3, rtol=2e-3)
    assert not net.colorization._forward_pre_hooks
    truth = inputs.maps[:, :, -2:].astype(np.float32)
    whole = np.moveaxis(sample.ab, 3, 1).reshape(4, 2, 2, *SIZE)[keep_every - 1 :: keep_every]
    np.testing.assert_allclose(truth, whole, atol=0.05)
    return inputs, np.stack(colors)[keep_every - 1 :: keep_every]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"propagation": False},
        {"transformer": False, "linkage": False},
        {"color_spread": True},
        {"color_spread": True, "propagation": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("keep_every", [1, 2])
def test_recorded_inputs_give_the_engines_colors(cache: Cache, changes: dict[str, bool], keep_every: int) -> None:
    net = toy(**changes)
    inputs, colors = recorded(net, cache, keep_every)
    layout = MapLayout(net.config)
    assert inputs.maps.shape == (4 // keep_every, 2, layout.channels, *SIZE)
    sampler = CropSampler([inputs], layout, SIZE, PAPER_AUGMENTATION)
    crops = [sampler.sample(index) for index in range(12)]
    tensors = crop_tensors(stack_crops(crops, range(12)), layout)
    with torch.no_grad():
        (block,) = RecordedRollout(net, tensors, layout)
    blocks = [int(crop.name.rpartition(" ")[2]) for crop in crops]
    assert len(set(blocks)) > 1
    for ab, number in zip(block.ab.numpy(), blocks, strict=True):
        gap = np.abs(np.moveaxis(ab, 1, 3) - colors[number])
        assert gap.max() < 0.5  # half precision, through a network that amplifies
        assert gap.mean() < 0.02
    assert np.abs(colors).max() > 10


def test_crops_are_parts_of_their_window(cache: Cache) -> None:
    net = toy()
    inputs, _ = recorded(net, cache)
    sampler, corners = CropSampler([inputs], MapLayout(net.config), CROP, PAPER_AUGMENTATION), set()
    for index in range(20):
        crop = sampler.sample(index)
        block = int(crop.name.rpartition(" ")[2])
        row, column = crop.corner
        corners.add(crop.corner)
        rows, columns = slice(16 * row, 16 * row + CROP[0]), slice(16 * column, 16 * column + CROP[1])
        np.testing.assert_array_equal(crop.maps, inputs.maps[block][..., rows, columns].astype(np.float32))
        tokens = inputs.hidden[block][:, row : row + 2, column : column + 3]
        np.testing.assert_array_equal(crop.hidden, tokens.astype(np.float32))
        again = sampler.sample(index)
        np.testing.assert_array_equal(crop.maps, again.maps)
    assert len(corners) > 4
    # each token keeps the position that it has in the whole frame
    tensors = crop_tensors(stack_crops([sampler.sample(0)], [0]), MapLayout(net.config))
    whole = net._positions(0, 2, *SIZE).detach().reshape(2, 3, 5, -1)
    row, column = sampler.sample(0).corner
    assert tensors.positions is not None
    expected = whole[:, row : row + 2, column : column + 3].reshape(6 * 2, -1)
    np.testing.assert_allclose(tensors.positions[0].numpy(), expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("color_spread", [False, True])
def test_recoloring_keeps_the_distance_from_the_truth(cache: Cache, color_spread: bool) -> None:
    net = toy(color_spread=color_spread)
    inputs, _ = recorded(net, cache)
    layout = MapLayout(net.config)
    plain = CropSampler([inputs], layout, SIZE, PAPER_AUGMENTATION)
    options = replace(PAPER_AUGMENTATION, mirror=1, rotate=1, saturate=1, saturation=(0.5, 0.5))
    recolored = CropSampler([inputs], layout, SIZE, options)
    a, b = plain.sample(3).maps, recolored.sample(3).maps[..., ::-1]
    np.testing.assert_array_equal(plain.sample(3).hidden, recolored.sample(3).hidden[:, :, ::-1])
    assert plain.sample(3).name == recolored.sample(3).name
    colored = [first + k for first in layout.ab_channels for k in (0, 1)]
    spreads = [first + 3 + (number == 2) for number, first in enumerate(layout.ab_channels[:-1])] * color_spread
    np.testing.assert_allclose(b[:, spreads], 0.5 * a[:, spreads])
    assert all(a[:, k].max() > 1 for k in spreads)
    rest = [k for k in range(layout.channels) if k not in (*colored, *spreads)]
    np.testing.assert_array_equal(a[:, rest], b[:, rest])
    truth = layout.ab_channels[-1]
    for first in layout.ab_channels[:-1]:
        distance = [np.linalg.norm(m[:, first : first + 2] - m[:, truth : truth + 2], axis=1) for m in (a, b)]
        np.testing.assert_allclose(distance[1], 0.5 * distance[0], atol=1e-3)
    assert np.abs(a[:, truth] - b[:, truth]).max() > 1


@pytest.mark.parametrize("color_spread", [False, True])
def test_dropped_propagated_colors_are_not_available(cache: Cache, color_spread: bool) -> None:
    net = toy(color_spread=color_spread)
    inputs, _ = recorded(net, cache)
    layout = MapLayout(net.config)
    for chance in (0.0, 1.0):
        sampler = CropSampler([inputs], layout, SIZE, PAPER_AUGMENTATION, drop_propagated=chance)
        tensors = crop_tensors(stack_crops([sampler.sample(0)], [0]), layout)
        (block,) = RecordedRollout(net, tensors, layout)
        assert block.available is not None
        assert float(block.available[:, :, net.config.heads].mean()) == 1 - chance
        assert bool((block.available[:, :, : net.config.heads] == 1).all())
        propagated = layout.candidates(tensors.maps)[-1]
        assert (float(propagated.similarity.max()) == -1) == bool(chance)
        if propagated.spread is not None:
            assert (float(propagated.spread.max()) == 0) == bool(chance)
        assert (propagated.spread is not None) == color_spread


# --- runs --------------------

SECTIONS: dict[str, Any] = {
    "network": {"freeze": ["features", "correspondence", "linkage"], "freeze_statistics": 0},
    "data": {"size": CROP, "length": 2, "block": 2},
    "losses": {"l1": 0, "candidates": 0, "temporal": 0, "smooth": 0, "psnr": 1, "gate": 0.1},
    "recording": {"windows": 3, "length": 6, "size": SIZE, "keep_every": 1},
}


def recipe(**changes: Any) -> Any:
    sections = {name: {**values, **changes.pop(name, {})} for name, values in SECTIONS.items()}
    return toy_recipe(**sections, **changes)


def run(output: Path, paths: list[str], **options: Any) -> TrainingOutcome:
    changed = recipe(**options.pop("changes", {}))
    return train(changed, output, data=paths, device="cpu", **{"say": lambda _: None, **options})


def test_a_recorded_run_is_resumed_exactly_and_trains_the_subnet_alone(tmp_path: Path) -> None:
    paths = data(tmp_path)
    lines: list[str] = []
    assert run(tmp_path / "whole", paths, say=lines.append).step == 6
    assert any(line.startswith("recording: 3 of 3 windows") for line in lines)
    assert len(list((tmp_path / "whole" / "recorded").glob("*.npy"))) == 6
    shutil.copytree(tmp_path / "whole" / "recorded", tmp_path / "cut" / "recorded")
    assert run(tmp_path / "cut", paths, minutes=1e-6).step == 1
    (tmp_path / "cut" / "recorded" / "000001-maps.npy").unlink()  # it is recorded again
    assert run(tmp_path / "cut", paths, resume=True).step == 6
    whole, cut = (load_file(tmp_path / name / "network.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(tensor, cut[name]) for name, tensor in whole.items())
    run(tmp_path / "still", paths, changes={"optimizer": {"learning_rate": 1e-12, "weight_decay": 0.0}})
    before = load_file(tmp_path / "still" / "network.safetensors")
    changed = [name for name, tensor in whole.items() if not torch.allclose(tensor, before[name], atol=1e-6)]
    assert {name.split(".")[0] for name in changed} == {"colorization"}


def test_calibration_is_of_the_subnet_that_learns(tmp_path: Path) -> None:
    """The other subnets have to keep the statistics that they had when the inputs were recorded."""
    net = Network(recipe().network.network_config(), pretrained=False)
    for name, statistics in net.named_buffers():
        if name.endswith("running_mean"):
            statistics.fill_(0.25)
    save_network(net, tmp_path / "first.safetensors")
    paths, still = data(tmp_path), {"optimizer": {"learning_rate": 1e-12, "weight_decay": 0.0}}
    for name, count in (("plain", 0), ("calibrated", 3)):
        network = {"norm_calibration": count, "initial": str(tmp_path / "first.safetensors")}
        run(tmp_path / name, paths, changes={**still, "network": network})
    plain, other = (load_file(tmp_path / name / "network.safetensors") for name in ("plain", "calibrated"))
    changed = {name for name, tensor in plain.items() if not torch.allclose(tensor, other[name], atol=1e-5)}
    assert changed
    assert {name.split(".")[0] for name in changed} == {"colorization"}
    assert {name.split(".")[-1] for name in changed} == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_run_stops_while_recording_and_continues_from_there(tmp_path: Path) -> None:
    paths = data(tmp_path)
    assert run(tmp_path / "run", paths, minutes=1e-6) == TrainingOutcome(0, 6, "time", None)
    assert not list((tmp_path / "run" / "recorded").glob("*.npy"))

    def stop(line: str) -> None:
        if line.startswith("recording: 2 of 3 windows"):
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path / "run", paths, say=stop) == TrainingOutcome(0, 6, "signal", None)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "recorded").glob("*.npy")}
    assert sorted(path.name[:6] for path in kept) == ["000000"] * 2 + ["000001"] * 2
    assert run(tmp_path / "run", paths, resume=True).step == 6
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())


def test_recorded_inputs_of_another_recipe_are_refused(tmp_path: Path) -> None:
    paths = data(tmp_path)
    run(tmp_path / "run", paths)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match="holds recorded inputs of another network, recipe or data; delete it"):
        run(tmp_path / "run", paths, changes={"recording": {"keep_every": 2}})
    corrupt = tmp_path / "run" / "recorded" / "000002-maps.npy"
    corrupt.write_bytes(corrupt.read_bytes()[:300])
    with pytest.raises(InputError, match=r"000002-maps.npy: cannot be read .*delete it, and it is recorded again"):
        run(tmp_path / "run", paths)


def test_runs_of_earlier_versions_are_resumed(tmp_path: Path) -> None:
    """Their folder is ``traces``, their recipe has former names, and so has the file of the optimizer."""
    paths, output = data(tmp_path), tmp_path / "run"
    assert run(tmp_path / "new", paths).step == 6
    shutil.copytree(tmp_path / "new" / "recorded", output / "recorded")
    assert run(output, paths, minutes=1e-6).step == 1
    (output / "recorded").rename(output / "traces")
    index = output / "traces" / "index.json"
    key = json.loads(index.read_text())
    settings, digest = key["network"]
    for new, former in {"key_init": "basis", "gate_calibration": "settle", "norm_calibration": "calibration"}.items():
        settings[former] = settings.pop(new)
    key["replay"] = key.pop("recording")
    key["replay"]["keep"] = key["replay"].pop("keep_every")
    key["drawn"][0] = key["drawn"][0].replace("moving_object=", "thing=").replace("wear=FilmWear(", "wear=Wear(")
    index.write_text(json.dumps({**key, "network": [settings, digest]}, sort_keys=True))
    (checkpoint,) = checkpoints(output)
    (checkpoint / "optimizer.safetensors").rename(checkpoint / "optimiser.safetensors")  # codespell:ignore
    state = json.loads((checkpoint / "state.json").read_text())
    state["recipe"]["optimiser"] = state["recipe"].pop("optimizer")  # codespell:ignore
    state["recipe"]["rollout"]["colour_memory"] = state["recipe"]["rollout"].pop("color_memory")  # codespell:ignore
    (checkpoint / "state.json").write_text(json.dumps(state))
    stamps = {path: path.stat().st_mtime_ns for path in (output / "traces").glob("*.npy")}
    lines: list[str] = []
    assert run(output, paths, resume=True, say=lines.append).step == 6
    assert not any(line.startswith("recording") for line in lines)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert not (output / "recorded").exists()
    new, resumed = (load_file(folder / "network.safetensors") for folder in (tmp_path / "new", output))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in new.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"freeze": ["features"]}}, "network.freeze: expected correspondence, features, linkage"),
        ({"data": {"length": 4}}, r"data.length: expected data.block \(with \[recording\]\), got 4"),
        ({"data": {"size": [40, 48]}}, r"data.size: expected multiples of 16 \(with \[recording\]\)"),
        ({"data": {"size": [64, 48]}}, "data.size: expected at most recording.size"),
        ({"losses": {"temporal": 1}}, r"losses.temporal: expected 0 \(with \[recording\]\)"),
        ({"recording": {"length": 3}}, "recording.length: expected at least 4, so that a block is recorded, got 3"),
        ({"recording": {"keep_every": 4}}, "recording.length: expected at least 8, so that a block is recorded, got 6"),
        ({"recording": {"window": 3}}, r"recording.window: unknown name; did you mean windows\?"),
    ],
)
def test_recipes_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(KinemacolorError, match=message):
        recipe(**changes)
