"""Seconds of a step at 384×216, for block sizes N from 1 to 6, as in Table 3's DUR column. Weights are untrained.

One forward pass of timm's ResNet-101 at that size, in the same runtime and run, is the yardstick of the machine. Only
the network's three stages are timed, without optical flow; the timed block is the second, so that the memory is in use.

    python benchmarks/steps.py --config lite [--engines torch,onnx] [--blocks 1,2,3,4,5,6]
    python benchmarks/steps.py --config lite --training

``--training``: forward and backward passes at 256×144 instead, of a reference and a block of two, channels-last, with
gradients of all parameters; the figure is frames of the block per second.
"""

from __future__ import annotations

import argparse
import functools
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch

from kinemacolor.core.types import Reference
from kinemacolor.engine.network import NetworkEngine, Runner, Tensors
from kinemacolor.engine.onnx_runner import OnnxRunner
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.export.network_graph import export_network
from kinemacolor.model.config import load_config
from kinemacolor.model.network import Network

SIZE = (216, 384)
TRAINING_SIZE = (144, 256)


class TimedRunner:
    """A runner that measures the seconds of each stage."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.name, self.config = runner, runner.name, runner.config
        self.seconds: dict[str, float] = {}

    def run(self, stage: str, feeds: Tensors) -> Tensors:
        begin = time.perf_counter()
        outputs = self.runner.run(stage, feeds)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
        return outputs


def yardstick(runtime: str, folder: Path, repeats: int) -> float:
    """Median seconds of ResNet-101."""
    network, image = timm.create_model("resnet101", pretrained=False).eval(), torch.rand(1, 3, *SIZE)
    if runtime == "torch":
        with torch.inference_mode():
            return median(lambda: network(image), repeats)
    path = folder / "resnet101.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (image,), str(path), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(path), session_options(None), providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: image.numpy()}
    return median(lambda: session.run(None, feeds), repeats)


def median(call: Callable[[], object], repeats: int) -> float:
    call()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def step_seconds(runner: Runner, frames: int, repeats: int) -> tuple[float, dict[str, float]]:
    """Median seconds of the network in a step, and those of each stage."""
    timed = TimedRunner(runner)
    engine = NetworkEngine(timed, propagation="off")
    noise = np.random.default_rng(0)
    still = Reference(
        (100 * noise.random(SIZE)).astype(np.float32),
        (60 * noise.random((*SIZE, 2)) - 30).astype(np.float32),
        np.ones(SIZE, np.bool_),
    )
    block = (100 * noise.random((frames, *SIZE))).astype(np.float32)
    bank = engine.start([still])
    state = engine.step(block, bank).state
    runs = []
    for _ in range(repeats):
        timed.seconds = {}
        engine.step(block, bank, state)
        runs.append(timed.seconds)
    middle = sorted(runs, key=lambda run: sum(run.values()))[len(runs) // 2]
    return sum(middle.values()), middle


def print_training(network: Network, repeats: int) -> None:
    """Prints the frames per second of forward and backward passes in training, by type of arithmetic."""
    network = network.train().to(memory_format=torch.channels_last)
    noise = torch.Generator().manual_seed(0)
    still, block = (torch.rand(1, n, 1, *TRAINING_SIZE, generator=noise) * 2 - 1 for n in (1, 2))
    ab = torch.rand(1, 1, 2, *TRAINING_SIZE, generator=noise) * 60 - 30

    def once(half: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            result = network.step(block, network.start(still, ab)).ab
        result.square().mean().backward()

    for half in (False, True):
        seconds = median(functools.partial(once, half), repeats)
        print(f"{'bfloat16' if half else 'float32'}: {2 / seconds:.2f} frames per second", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="lite")
    parser.add_argument("--engines", default="torch,onnx")
    parser.add_argument("--blocks", default="1,2,3,4,5,6")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--training", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    network = Network(load_config(options.config), pretrained=False).eval()
    if options.training:
        print_training(network, options.repeats)
        return
    stages = ("encode", "represent", "colorize")
    print(f"| engine | N | s per step | s per frame | of a ResNet-101 pass | {' | '.join(stages)} | peak RSS, GiB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        for kind in options.engines.split(","):
            runner: Runner = TorchRunner(network, device="cpu")
            if kind == "onnx":
                export_network(network, Path(name) / "network")
                runner = OnnxRunner(Path(name) / "network")
            scale = yardstick(kind, Path(name), options.repeats)
            for frames in map(int, options.blocks.split(",")):
                whole, by_stage = step_seconds(runner, frames, options.repeats)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
                parts = " | ".join(f"{by_stage[stage]:.3f}" for stage in stages)
                ratio = whole / frames / scale
                print(
                    f"| {kind} | {frames} | {whole:.3f} | {whole / frames:.3f} | {ratio:.2f} | {parts} | {peak:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
