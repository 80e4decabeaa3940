"""Runs: exact resumption, what stops them, messages and errors."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kinemacolor.core.errors import InputError, KinemacolorError, OutputError, UsageError
from kinemacolor.engine.registry import open_engine
from kinemacolor.model.network import Network
from kinemacolor.training.data.cache import CachedClip, SkippedSource, write_cache
from kinemacolor.training.data.samples import to_tensors
from kinemacolor.training.losses.discriminator import Discriminator
from kinemacolor.training.rollout import batches
from kinemacolor.training.run import loop
from kinemacolor.training.run.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from kinemacolor.training.run.loop import TrainingOutcome, train
from kinemacolor.training.run.setup import epoch_steps, make_initial_network, prepare
from kinemacolor.training.run.train_state import make_train_state
from tests.training.runs import data, toy_recipe
from tests.training.toys import moving


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return data(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Stop(Exception):
    pass


def killed_after(step: int) -> Any:
    """Shows lines until that of a step, as if the process were killed then."""

    def say(line: str) -> None:
        if line.startswith(f"step {step}/"):
            raise Stop

    return say


def run(output: Path, cache: list[str], changes: dict[str, Any] | None = None, **options: Any) -> TrainingOutcome:
    options.setdefault("say", lambda _: None)
    return train(toy_recipe(**(changes or {})), output, data=cache, device="cpu", **options)


def records(output: Path, kind: str) -> list[dict[str, Any]]:
    return [r for line in (output / "log.jsonl").read_text().splitlines() if (r := json.loads(line))["kind"] == kind]


# --- to the end, and resumed after it was killed --------------------


def test_a_killed_run_is_resumed_to_the_same_weights(tmp_path: Path, cache: list[str]) -> None:
    whole = run(tmp_path / "whole", cache)
    assert whole == TrainingOutcome(6, 6, "done", None)
    changes = {"run": {"checkpoint_minutes": 0}}  # after each step
    with pytest.raises(Stop):
        run(tmp_path / "cut", cache, changes, say=killed_after(4))
    assert [p.name for p in checkpoints(tmp_path / "cut")] == ["step-000002", "step-000003"]
    assert run(tmp_path / "cut", cache, resume=True).step == 6
    folders = [checkpoints(tmp_path / name)[-1] for name in ("whole", "cut")]
    for file in ("network", "average", "optimizer"):
        whole_tensors, cut_tensors = (load_file(folder / f"{file}.safetensors") for folder in folders)
        assert whole_tensors.keys() == cut_tensors.keys()
        for name, tensor in whole_tensors.items():
            assert torch.equal(tensor, cut_tensors[name]), (file, name)
    losses = [[r["l1"] for r in records(tmp_path / name, "losses")] for name in ("whole", "cut")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 6


def test_training_teaches(tmp_path: Path, cache: list[str]) -> None:
    # without P, where nothing is matched yet, on one clip
    changes = {
        "data": {"held_out": ["f1"], "augmentation": {"preset": "paper"}, "weights": {"p?": 0}},
        "network": {"changes": {**toy_recipe().network.changes, "propagation": False}, "freeze_statistics": 0.5},
        "optimizer": {"learning_rate": 1e-2},
        "evaluation": {"clips": ["f0"], "every": 30},
        "run": {"steps": 30},
    }
    outcome = run(tmp_path, cache, changes)
    first, last = (record["psnr"] for record in records(tmp_path, "evaluation"))
    assert outcome.validation is not None
    assert outcome.validation.psnr == last
    assert last > first + 1
    assert (tmp_path / "pictures" / "step-000030.jpg").is_file()
    assert records(tmp_path, "matching")[0]["psnr"] > 20
    engine = open_engine("torch", weights=tmp_path / "network.safetensors", device="cpu")
    assert engine.block_size == 2


# --- what stops a run --------------------


def test_the_gate_is_calibrated_once_after_the_last_step(
    tmp_path: Path, cache: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saved network has the fitted parameters; a run that is stopped before is not calibrated."""
    calls: list[tuple[int, int]] = []

    def fitted(network: Network, _cache: object, films: int, *, seed: int, **_rest: object) -> str:
        calls.append((films, seed))
        with torch.no_grad():
            network.colorization.sharpness.fill_(7)
        return "calibrated"

    monkeypatch.setattr(loop, "calibrate_gate", fitted)
    lines: list[str] = []
    run(tmp_path / "stopped", cache, {"network": {"gate_calibration": 3}}, minutes=0, say=lines.append)
    assert not calls
    run(tmp_path / "whole", cache, {"network": {"gate_calibration": 3}}, say=lines.append)
    assert calls == [(3, 0)]
    assert lines.count("calibrated") == 1
    assert float(load_file(tmp_path / "whole" / "network.safetensors")["colorization.sharpness"]) == 7
    run(tmp_path / "without", cache)
    assert len(calls) == 1


def test_a_time_limit_stops_after_a_checkpoint(tmp_path: Path, cache: list[str]) -> None:
    outcome = run(tmp_path, cache, minutes=1e-6)
    assert (outcome.step, outcome.reason) == (1, "time")
    assert [p.name for p in checkpoints(tmp_path)] == ["step-000001"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_a_checkpoint(kind: signal.Signals, tmp_path: Path, cache: list[str]) -> None:
    before = signal.getsignal(kind)

    def say(line: str) -> None:
        if line.startswith("step 2/"):
            os.kill(os.getpid(), kind)

    outcome = run(tmp_path, cache, say=say)
    assert (outcome.step, outcome.reason) == (2, "signal")
    assert [p.name for p in checkpoints(tmp_path)] == ["step-000002"]
    assert signal.getsignal(kind) is before


def test_a_second_signal_interrupts_at_once(tmp_path: Path, cache: list[str]) -> None:
    def say(line: str) -> None:
        if line.startswith("step 2/"):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, cache, say=say)
    assert checkpoints(tmp_path) == []


def test_a_loss_that_is_not_finite_stops_the_run_and_saves_the_batch(
    tmp_path: Path, cache: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_nan(batch: Any, device: Any) -> Any:
        if batch.indices[0] == 4:
            batch.ab[0, 0, 0, 0] = np.nan
        return to_tensors(batch, device)

    monkeypatch.setattr(batches, "to_tensors", with_nan)
    changes = {"run": {"checkpoint_minutes": 0}}
    with pytest.raises(InputError, match=r"a loss is not finite in step 2 .*l1 nan.*learning rates"):
        run(tmp_path, cache, changes)
    saved = np.load(tmp_path / "broken-000002-0.npz")
    assert np.isnan(saved["ab"]).any()
    assert len(saved["names"]) == 2
    assert checkpoints(tmp_path)[-1].name == "step-000002"
    kept = load_file(checkpoints(tmp_path)[-1] / "network.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


# --- errors --------------------


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path, cache: list[str]) -> None:
    run(tmp_path, cache, minutes=1e-6)
    with pytest.raises(UsageError, match="holds a run already; resume it, or choose another folder"):
        run(tmp_path, cache)
    with pytest.raises(UsageError, match=r"has another recipe \(losses.l1.weight, optimizer.learning_rate\)"):
        run(tmp_path, cache, {"losses": {"l1": 2}, "optimizer": {"learning_rate": 1}}, resume=True)
    free = {"evaluation": {"every": 7}, "run": {"keep": 1}}
    assert run(tmp_path, cache, free, minutes=1e-6, resume=True).step == 2
    other = data(tmp_path / "other")
    index = json.loads((tmp_path / "other" / "cache" / "index.json").read_text())
    (tmp_path / "other" / "cache" / "index.json").write_text(json.dumps({**index, "digest": "0"}))
    with pytest.raises(InputError, match="the run was trained on other data"):
        run(tmp_path, other, resume=True)


@pytest.mark.parametrize("file", ["network.safetensors", "optimizer.safetensors", "state.json"])
def test_corrupt_checkpoints_are_named(file: str, tmp_path: Path, cache: list[str]) -> None:
    run(tmp_path, cache, minutes=1e-6)
    corrupt = checkpoints(tmp_path)[-1] / file
    corrupt.write_bytes(corrupt.read_bytes()[:100])
    with pytest.raises(InputError, match=r"step-000001.*(corrupt|cannot be read)"):
        run(tmp_path, cache, resume=True)


def test_bad_data_and_devices(tmp_path: Path, cache: list[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    cases: list[tuple[dict[str, Any], type[KinemacolorError], str]] = [
        ({"data": []}, UsageError, "nothing to train on"),
        ({"data": [str(tmp_path / "missing")]}, InputError, "does not exist"),
        ({"data": [str(empty)]}, InputError, "holds no films"),
        ({"data": cache, "device": "cuda:7"}, UsageError, "there is no device cuda:7"),
    ]
    for options, kind, text in cases:
        with pytest.raises(kind, match=text):
            train(toy_recipe(), tmp_path / "out", say=lambda _: None, **{"device": "cpu", **options})
    with pytest.raises(UsageError, match="no clip is named 'nobody'"):
        run(tmp_path / "out", cache, {"data": {"held_out": ["nobody"]}})
    with pytest.raises(UsageError, match="p0 is not a film"):
        run(tmp_path / "out", cache, {"data": {"held_out": ["p0"]}})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        run(tmp_path / "file", cache)


# --- checkpoints --------------------


def test_checkpoints_keep_the_discriminator_and_only_the_last(tmp_path: Path, cache: list[str]) -> None:
    recipe = toy_recipe(data={"size": [128, 128], "block": 1}, losses={"adversarial": 0.1})
    setup = prepare(recipe, tmp_path, data=cache, device="cpu")
    state = make_train_state(recipe, make_initial_network(setup), setup.device)
    assert isinstance(state.discriminator, Discriminator)
    for parameter in [*state.network.parameters(), *state.discriminator.parameters()]:
        parameter.grad = torch.randn_like(parameter)
    state.optimizer.step()
    for step in (1, 2, 3):
        state.step = step
        save_checkpoint(tmp_path, state, {"seconds": 0}, keep=2)
    assert [p.name for p in checkpoints(tmp_path)] == ["step-000002", "step-000003"]
    other = make_train_state(recipe, make_initial_network(setup), setup.device)
    assert other.discriminator is not None
    load_checkpoint(checkpoints(tmp_path)[-1], other)
    assert other.step == 3
    for a, b in ((state.network, other.network), (state.discriminator, other.discriminator)):
        for name, tensor in a.state_dict().items():
            assert torch.equal(tensor, b.state_dict()[name]), name
    saved, loaded = (each.optimizer.state_dict()["state"] for each in (state, other))
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[k]["exp_avg"], loaded[k]["exp_avg"]) for k in saved)


def test_a_checkpoint_that_cannot_be_written_is_an_error(tmp_path: Path, cache: list[str]) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(OutputError, match="the checkpoint cannot be written"):
        run(tmp_path, cache, minutes=1e-6)


def test_flow_is_kept_in_the_runs_folder_where_the_recipe_says_so(cache: list[str], tmp_path: Path) -> None:
    paper = {"augmentation": {"preset": "paper"}}
    run(tmp_path / "kept", cache, {"data": {**paper, "keep_flow": True}, "run": {"steps": 1}})
    run(tmp_path / "not", cache, {"data": paper, "run": {"steps": 1}})
    assert list((tmp_path / "kept" / "flow").glob("*.npz"))
    assert not (tmp_path / "not" / "flow").exists()


# --- what the data hold and the run does not use --------------------


def test_clips_that_are_too_short_are_told_and_shorter_windows_are_trained_on(tmp_path: Path) -> None:
    entries = [(CachedClip(f"f{n}#0", f"f{n}", False, n, 60, 94), moving(n, 60, 94, n)) for n in (2, 4, 5)]
    write_cache(tmp_path / "cache", entries, [SkippedSource("torn", "is corrupt")], "k")
    lines: list[str] = []
    changes = {"data": {"length": 5, "shortest": 3, "batch": 1}, "run": {"steps": 4}}
    outcome = run(tmp_path / "run", [str(tmp_path / "cache")], changes, say=lines.append)
    assert outcome.step == 4
    assert "left out: torn: is corrupt" in lines
    assert "left out: f2#0: has 2 frames, less than 3" in lines
    assert records(tmp_path / "run", "start")[0]["left_out"] == [line.removeprefix("left out: ") for line in lines[:2]]
    setup = prepare(toy_recipe(**changes), tmp_path / "other", data=[str(tmp_path / "cache")], device="cpu")
    assert epoch_steps(setup.windows, 1, 1) == 2


@pytest.mark.parametrize(("gradient_blocks", "moves"), [(1, False), (2, True)])
def test_steps_train_what_the_linkage_subnet_stores(
    tmp_path: Path, cache: list[str], gradient_blocks: int, moves: bool
) -> None:
    changes = {
        "rollout": {"gradient_blocks": gradient_blocks},
        "data": {"length": 4},
        "optimizer": {"average": 0, "weight_decay": 0},
        "run": {"steps": 2},
    }
    run(tmp_path, cache, changes)
    weight = load_file(tmp_path / "network.safetensors")["linkage.keep.linear.weight"]
    assert bool(weight.any()) == moves  # it starts as the identity, x + 0 x
