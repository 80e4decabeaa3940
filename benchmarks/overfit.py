"""Trains a network with random heads on the frames of one clip, to see whether it learns, in torch and exported.

The blocks are the clip's first frames, the first of which is the reference; the loss is L1 on the result and on the
colors warped by each head. Nothing is propagated along the flow, so that the figures show what matching and the
colorization subnet can fit. PSNR is that of the engines over the same frames without the reference.

    python benchmarks/overfit.py CLIP [--config lite] [--minutes 5] [--frames 16] [--side 144]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from kinemacolor.core.color import lab_to_rgb, rgb_to_lab
from kinemacolor.core.resample import resize
from kinemacolor.core.types import Array, Reference
from kinemacolor.engine.network import NetworkEngine, Runner
from kinemacolor.engine.onnx_runner import OnnxRunner
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.evaluation.measure import rgb_frames
from kinemacolor.evaluation.metrics import psnr
from kinemacolor.export.network_graph import export_network
from kinemacolor.model.config import load_config
from kinemacolor.model.network import Network
from kinemacolor.references.size import network_size
from kinemacolor.video.reader import VideoReader


def load(path: Path, count: int, side: int) -> Array:
    """RGB uint8 (T, H, W, 3), the short side ``side``."""
    film = []
    with VideoReader(path) as reader:
        shape = network_size(reader.info.width / reader.info.height, 1, side=side)
        for _, rgb in rgb_frames(reader):
            film.append(codes(resize(rgb, shape)))
            if len(film) == count:
                break
    return np.stack(film)


def codes(rgb: Array) -> Array:
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def mean_psnr(runner: Runner, film: Array, lab: Array) -> float:
    """Mean PSNR of the engine over the film, dB."""
    engine = NetworkEngine(runner, propagation="off")
    lightness = np.ascontiguousarray(np.clip(lab[..., 0], 0, 100))
    still = Reference(lightness[0], np.ascontiguousarray(lab[0, ..., 1:]), np.ones(lightness[0].shape, np.bool_))
    bank, state, result = engine.start([still]), None, []
    for first in range(0, len(film), engine.block_size):
        block = lightness[first : first + engine.block_size]
        step = engine.step(block, bank, state)
        state = step.state
        result.append(codes(lab_to_rgb(np.concatenate([block[..., None], step.ab], axis=3))))
    return float(psnr(np.concatenate(result)[1:], film[1:]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--config", default="lite")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=144)
    options = parser.parse_args()
    film = load(options.clip, options.frames, options.side)
    lab = np.stack([rgb_to_lab(frame.astype(np.float32) / 255) for frame in film])
    torch.manual_seed(0)
    network = Network(load_config(options.config)).to(memory_format=torch.channels_last)
    tensor = torch.from_numpy(np.moveaxis(lab, 3, 1)).float()[None]
    luminance, truth = tensor[:, :, :1] / 50 - 1, tensor[:, :, 1:]
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4, betas=(0.9, 0.99))
    gray = psnr(codes(lab_to_rgb(lab * np.array([1, 0, 0], np.float32)))[1:], film[1:]).mean()
    print(f"{options.clip.name}, {len(film)} frames of {film.shape[2]}×{film.shape[1]}: gray {gray:.2f} dB")
    print("| minutes | steps | loss | PSNR in torch |\n|--:|--:|--:|--:|")
    print(f"| 0 | 0 | – | {mean_psnr(TorchRunner(network, device='cpu'), film, lab):.2f} |", flush=True)
    noise, begin, step, spent, shown = np.random.default_rng(0), time.perf_counter(), 0, 0.0, 1
    size = network.config.block_size
    while spent < 60 * options.minutes:
        start = int(noise.integers(1, len(film) - size + 1))
        frames = slice(start, start + size)
        network.train()
        for group in optimizer.param_groups:
            group["lr"] = 5e-4 * (1 - spent / 60 / options.minutes) + 1e-5
        bank = network.start(luminance[:, :1], truth[:, :1])
        block = luminance[:, frames]
        padded = network.pad(block)
        representation = network.represent(network.encode(padded), network.inside(block))
        colors, _ = network.colorize(padded, representation, bank)
        goal = network.pad(truth[:, frames])
        loss = functional.l1_loss(colors.ab, goal)
        if colors.candidates is not None:
            warped = colors.candidates[:, :, : network.config.heads]
            loss = loss + 0.5 * (warped - goal.unsqueeze(2)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step, spent = step + 1, time.perf_counter() - begin
        if spent > 60 * shown or spent > 60 * options.minutes:
            value = mean_psnr(TorchRunner(network, device="cpu"), film, lab)
            print(f"| {spent / 60:.1f} | {step} | {loss.item():.2f} | {value:.2f} |", flush=True)
            shown += 1
    with tempfile.TemporaryDirectory() as folder:
        errors = export_network(network, Path(folder) / "network")
        print(f"exported: {mean_psnr(OnnxRunner(Path(folder) / 'network'), film, lab):.2f} dB")
        print(f"torch ↔ ONNX on noise: ab {errors['ab']:.4f}, similarity {errors['similarity']:.6f}")


if __name__ == "__main__":
    main()
