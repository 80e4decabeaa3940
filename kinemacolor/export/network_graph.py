"""Export of a trained network to the ONNX graphs of its stages (needs the extra ``train``).

The graphs are compared with PyTorch before the files get their names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from kinemacolor.core.errors import OutputError
from kinemacolor.engine.network import Runner, Tensors
from kinemacolor.engine.onnx_runner import STAGES, OnnxRunner
from kinemacolor.engine.torch_runner import TorchRunner
from kinemacolor.export.matching_graph import to_onnx
from kinemacolor.model.config import NetworkConfig
from kinemacolor.model.folding import fold_batch_norm, round_to_half
from kinemacolor.model.network import Network
from kinemacolor.model.stages import stages

AB_TOLERANCE = 0.05
"""Largest difference allowed of a*, b* between PyTorch and ONNX Runtime, in Lab units."""
SIMILARITY_TOLERANCE = 1e-3
HALF_PRECISION_MIN_SIZE = 256
"""Tensors with fewer numbers stay in float32 in a file of half precision."""


@dataclass(frozen=True, slots=True)
class ParityCase:
    """A film of noise to compare on: padded size, number of frames of each block, number of references."""

    height: int
    width: int
    blocks: tuple[int, ...]
    references: int


PARITY_CASES = (
    ParityCase(96, 160, (2, 2, 2, 2), 1),
    ParityCase(96, 160, (1, 1, 1, 1, 1), 3),
    ParityCase(64, 128, (3, 1, 3, 2), 3),
    ParityCase(64, 128, (1, 2, 1, 1), 1),
)
"""Each case has a first block and at least three later ones. Together they have two sizes, several block lengths, and
one and three references."""


def export_network(network: Network, folder: str | Path, *, half: bool = True) -> dict[str, float]:
    """Writes ``encode.onnx``, ``represent.onnx`` and ``colorize.onnx`` into ``folder``.

    Args:
        network: trained.
        folder: is made if it is missing; its graphs are replaced once all new ones are complete.
        half: whether tensors are rounded to float16 and stored as such, after normalizations are folded into them. All
            arithmetic is in float32 either way.

    Returns:
        the largest differences between PyTorch and ONNX Runtime: ``ab`` (Lab units) and ``similarity``.

    Raises:
        AssertionError: the differences exceed the tolerances; nothing is written.
        OutputError: the folder cannot be written.
    """
    network = fold_batch_norm(network.float().cpu())
    if half:
        round_to_half(network, HALF_PRECISION_MIN_SIZE)
    folder = Path(folder)
    part = folder.with_name(folder.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, model in graphs(network).items():
            onnx.save_model(stored_in_half(model) if half else model, str(part / f"{name}.onnx"))
        errors = largest_differences(TorchRunner(network, device="cpu", bfloat16=False), OnnxRunner(part))
        for name, tolerance in (("ab", AB_TOLERANCE), ("similarity", SIMILARITY_TOLERANCE)):
            assert errors[name] <= tolerance, f"{name}: PyTorch and ONNX differ by {errors[name]:.5f}"
        folder.mkdir(exist_ok=True)
        for name in STAGES:
            os.replace(part / f"{name}.onnx", folder / f"{name}.onnx")
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror})", "choose another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return errors


# --- graphs --------------------


def graphs(network: Network) -> dict[str, onnx.ModelProto]:
    """The stages as graphs, each with the configuration and a digest of the weights, which they share."""
    record = json.dumps({"config": network.config.model_dump(), "weights": digest_of_weights(network)}, sort_keys=True)
    shapes, feeds, models = dynamic_axes(network.config), example_tensors(network.config), {}
    for name, stage in stages(network).items():
        tensors = tuple(feeds[x] for x in stage.inputs)
        axes = (tuple(shapes[x] for x in stage.inputs),)
        model = to_onnx(stage, tensors, axes, stage.inputs, stage.outputs)
        helper.set_model_props(model, {"kinemacolor": record})
        models[name] = model
    return models


def digest_of_weights(network: Network) -> str:
    """sha256 over names and values of all tensors, in hexadecimal."""
    state = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        state.update(name.encode())
        state.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def dynamic_axes(config: NetworkConfig) -> dict[str, dict[int, Any]]:
    """For each input that a stage may have, the axes whose length the graph leaves open."""
    dim = torch.export.Dim
    frames, memory, entries, references = (dim(x, min=1) for x in ("frames", "memory", "entries", "references"))
    rows, columns = dim("rows", min=1, max=512), dim("columns", min=1, max=512)

    def maps(count: Any, stride: int) -> dict[int, Any]:
        return {0: count, 2: config.stride // stride * rows, 3: config.stride // stride * columns}

    features = {"high": 8, "low": 4, "direct": 4}
    shapes: dict[str, dict[int, Any]] = {name: maps(frames, stride) for name, stride in features.items()}
    shapes |= {f"still_{name}": maps(references, stride) for name, stride in features.items()}
    shapes |= {name: maps(references, 4) for name in ("still_valid", "still_keys", "still_ab")}
    shapes |= {name: maps(frames, 4) for name in ("weight", "keys")}
    shapes |= {f"carried_{name}": maps(frames, 1) for name in ("ab", "similarity", "agreement", "spread")}
    shapes |= {name: {0: entries} for name in ("bank_keys", "bank_ab", "bank_valid")}
    shapes |= {"luminance": maps(frames, 1), "still_lab": maps(references, 1), "information": {0: memory}, "blocks": {}}
    return shapes | {name: {0: dim.DYNAMIC} for name in ("seen", "hidden")}  # these lengths follow from the others


def example_tensors(config: NetworkConfig) -> dict[str, torch.Tensor]:
    """Inputs that a stage may have, with lengths that all differ: 2 frames, 3 references."""
    frames, references, entries, memory = 2, 3, 37, 31
    height, width = 4 * config.stride, 5 * config.stride
    tokens = height * width // config.token_stride**2
    key_channels = config.heads * config.key_channels
    features = {"high": (config.feature_channels, 8), "low": (config.key_channels, 4), "direct": (key_channels, 4)}
    sizes: dict[str, tuple[int, ...]] = {
        "luminance": (frames, 1, height, width),
        "information": (memory, config.token_channels),
        "hidden": ((frames + references * int(config.reference_frame)) * tokens, config.token_channels),
        "seen": (references * tokens,),
        "weight": (frames, 1, height // 4, width // 4),
        "still_lab": (references, 3, height, width),
        "bank_keys": (entries, key_channels),
        "bank_ab": (entries, 2),
        "bank_valid": (entries,),
    }
    for name, (channels, stride) in features.items():
        for prefix, count in (("", frames), ("still_", references)):
            sizes[prefix + name] = (count, channels, height // stride, width // stride)
    for name, channels in (("valid", 1), ("keys", key_channels), ("ab", 2)):
        sizes[f"still_{name}"] = (references, channels, height // 4, width // 4)
    sizes["keys"] = (frames, key_channels, height // 4, width // 4)
    for name, channels in (("ab", 2), ("similarity", 1), ("agreement", 1), ("spread", 1)):
        sizes[f"carried_{name}"] = (frames, channels, height, width)
    noise = torch.Generator().manual_seed(0)
    return {name: torch.rand(size, generator=noise) for name, size in sizes.items()} | {"blocks": torch.tensor(2.0)}


def stored_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with large float32 tensors stored as float16; a runtime converts them to float32 when it loads them."""
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALF_PRECISION_MIN_SIZE:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


# --- parity --------------------


def largest_differences(
    runner: Runner, other: Runner, cases: tuple[ParityCase, ...] = PARITY_CASES
) -> dict[str, float]:
    """The largest differences of ``ab`` and ``similarity`` between two runners of one network, over films of noise.

    Each runner passes its own memory from block to block, so that differences may add up as they would in a film.
    """
    errors = {"ab": 0.0, "similarity": 0.0}
    for number, case in enumerate(cases):
        films = _color_film(runner, case, number), _color_film(other, case, number)
        for outputs, other_outputs in zip(*films, strict=True):
            for name in errors:
                errors[name] = max(errors[name], float(np.abs(outputs[name] - other_outputs[name]).max()))
    return errors


def _color_film(runner: Runner, case: ParityCase, seed: int) -> list[Tensors]:
    """The outputs of ``colorize`` for each block of a film."""
    config, noise = runner.config, np.random.default_rng(seed)
    rows, columns = case.height // 4, case.width // 4
    cell = config.token_stride
    tokens = (case.height // cell) * (case.width // cell)

    def blobs(count: int, channels: int) -> Any:
        coarse = noise.standard_normal((count, channels, case.height // 8, case.width // 8)).astype(np.float32)
        return np.tanh(coarse).repeat(8, axis=2).repeat(8, axis=3)

    def empty_memory(count: int) -> Tensors:
        information = np.zeros((count * tokens, config.token_channels), np.float32)
        return {"information": information, "blocks": np.zeros((), np.float32)}

    features = runner.run("encode", {"luminance": blobs(case.references, 1)})
    weight = np.ones((case.references, 1, rows, columns), np.float32)
    references = {f"still_{name}": part for name, part in features.items()} | {
        "seen": np.ones(case.references * tokens, np.float32),
        "still_valid": weight,
        "still_ab": 40 * blobs(case.references, 2)[:, :, ::4, ::4],
        "still_lab": blobs(case.references, 3) * np.array([1, 40, 40], np.float32)[:, None, None],
    }
    inputs = {**features, **references, "weight": weight, **empty_memory(case.references)}
    key_maps = runner.run("represent", inputs)["keys"]
    keys = np.moveaxis(key_maps, 1, 3).reshape(-1, key_maps.shape[1])
    bank = {
        "bank_keys": keys,
        "bank_ab": (40 * noise.standard_normal((len(keys), 2))).astype(np.float32),
        "bank_valid": (noise.random(len(keys)) > 0.1).astype(np.float32),
    }
    memory, outputs = empty_memory(case.blocks[0]), []
    for frames in case.blocks:
        luminance = blobs(frames, 1)
        propagated = {
            "carried_ab": 40 * blobs(frames, 2),
            "carried_similarity": blobs(frames, 1),
            "carried_agreement": abs(blobs(frames, 1)),
            "carried_spread": 10 * abs(blobs(frames, 1)),
        }
        features = runner.run("encode", {"luminance": luminance})
        inside = np.ones((frames, 1, rows, columns), np.float32)
        block = runner.run("represent", {**features, **references, "weight": inside, **memory})
        memory = {name: block.get(f"next_{name}", tensor) for name, tensor in memory.items()}
        inputs = {"luminance": luminance, **block, **references, **bank, **propagated}
        outputs.append(runner.run("colorize", inputs))
    return outputs
