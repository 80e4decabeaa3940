"""Several processes train as one with the whole batch does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from kinemacolor.training.run.checkpoint import checkpoints
from kinemacolor.training.run.distributed import Processes, any_process, average_gradients
from tests.training.runs import data

PROGRAM = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from kinemacolor.training.run.loop import train
from kinemacolor.training.run.distributed import join_processes, leave_processes
from tests.training.runs import toy_recipe

output, cache, batch = sys.argv[1:]
processes = join_processes("cpu")
changes = {**toy_recipe().network.changes, "normalization": "none"}
recipe = toy_recipe(
    network={"changes": changes},
    data={"batch": int(batch)},
    losses={"gate": 0},
    optimizer={"schedule": "constant", "average": 0.5},
    run={"steps": 2, "bfloat16": "off"},
)
train(recipe, Path(output), data=[cache], device="cpu", processes=processes, say=lambda _: None)
leave_processes(processes)
"""


def start(output: Path, cache: str, batch: int, rank: int, count: int, port: int) -> subprocess.Popen[bytes]:
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "RANK": str(rank)}
    root = Path(__file__).parents[3]
    environment = {**os.environ, **world, "LOCAL_RANK": str(rank), "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(output), cache, str(batch)], env=environment, cwd=root)


def test_two_processes_equal_one_of_twice_the_batch(tmp_path: Path) -> None:
    (cache,) = data(tmp_path / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = [start(tmp_path / "two", cache, 1, rank, 2, port) for rank in (0, 1)]
    runs.append(start(tmp_path / "one", cache, 2, 0, 1, port))
    assert [run.wait(120) for run in runs] == [0, 0, 0]
    folders = [checkpoints(tmp_path / name)[-1] for name in ("two", "one")]
    assert [folder.name for folder in folders] == ["step-000002"] * 2
    for file in ("network", "average"):
        two, one = (load_file(folder / f"{file}.safetensors") for folder in folders)
        assert two.keys() == one.keys()
        # Adam's first steps are of the size of the rate whatever the gradient is: compare where it is not mere noise
        gaps = [float((two[name].double() - one[name].double()).abs().mean()) for name in two]
        assert max(gaps) < 2e-5, max(zip(gaps, two, strict=True))


def test_a_single_process_exchanges_nothing() -> None:
    weight = torch.ones(2, requires_grad=True)
    weight.grad = torch.ones(2)
    average_gradients([weight], Processes())
    assert weight.grad.tolist() == [1, 1]
    assert any_process(True, Processes(), torch.device("cpu"))
    assert not any_process(False, Processes(), torch.device("cpu"))
