"""The alternatives to `lite`: the time of matching, and of variants of the network, on this machine's cores.

Times are medians of ONNX Runtime in float32 at 384×216. A variant's step is of one frame with memory, without optical
flow; it is also given as a share of a ResNet-101 forward pass in the same run. Weights are untrained: the table shows
costs, not quality.

    python benchmarks/lite_variants.py [--only matching|variants]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from steps import median, step_seconds, yardstick

from kinemacolor.engine.onnx_runner import OnnxRunner
from kinemacolor.engine.onnx_session import session_options
from kinemacolor.export.network_graph import graphs
from kinemacolor.model.config import load_config
from kinemacolor.model.cost import cost
from kinemacolor.model.folding import fold_batch_norm
from kinemacolor.model.network import Network

SHAPES = ((5184, 5184, 64), (5184, 5184, 32), (5184, 1296, 64), (1296, 5184, 64), (1296, 1296, 64))
"""Queries, entries and channels: 5184 positions at /4, 1296 at /8."""
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "`lite`": ("lite", {}),
    "second head queries at /4": ("lite", {"augmented_stride": 4}),
    "one head": ("lite", {"augmented_head": False}),
    "heads of 32 channels": ("lite", {"key_channels": 32}),
    "finest level of 24 channels": ("lite", {"encoder_channels": (24, 24, 48)}),
    "InstanceNorm": ("lite", {"normalization": "instance"}),
    "GroupNorm": ("lite", {"normalization": "group"}),
    "`lite-full`": ("lite-full", {}),
    "`lite-full` without Transformer and linkage": ("lite-full", {"transformer": False, "linkage": False}),
    "`lite-full`, tokens at /8": ("lite-full", {"token_stride": 8}),
    "`lite-full`, tokens at /32": ("lite-full", {"token_stride": 32}),
}


def graph(nodes: list[onnx.NodeProto], inputs: dict[str, Any], outputs: list[str]) -> onnxruntime.InferenceSession:
    proto = helper.make_graph(
        nodes,
        "matching",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.array([2]), "last")],
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(proto, opset_imports=sets, ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), session_options(None))


def matching_time(queries: int, entries: int, channels: int, fused: bool, expected: bool) -> float:
    """Milliseconds of one head's matching.

    Args:
        queries, entries, channels: sizes.
        fused: ``com.microsoft.MultiHeadAttention`` instead of MatMul, Softmax, MatMul and ReduceMax.
        expected: keys as further channels of V, for S as the expected similarity (a fused kernel gives no maximum).
    """
    noise = np.random.default_rng(0)
    query, keys = (noise.standard_normal((1, n, channels)).astype(np.float32) for n in (queries, entries))
    query, keys = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in (query, keys))
    ab = noise.standard_normal((1, entries, 2)).astype(np.float32)
    feeds = {"q": query * 33, "k": keys, "v": np.concatenate([ab, keys], axis=2) if expected else ab}
    if fused:
        node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["w"], domain="com.microsoft", num_heads=1)
        node.attribute.append(helper.make_attribute("scale", 1.0))
        session = graph([node], feeds, ["w"])
    else:
        nodes = [
            helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "kt"], ["m"]),
            helper.make_node("Softmax", ["m"], ["p"], axis=-1),
            helper.make_node("MatMul", ["p", "v"], ["w"]),
            helper.make_node("ReduceMax", ["m", "last"], ["s"], keepdims=0),
        ]
        session = graph(nodes, feeds, ["w", "s"])
    return 1e3 * median(lambda: session.run(None, feeds), 9)


def print_matching() -> None:
    print("| queries × entries × channels | plain, W and S, ms | fused, W alone | fused, W and expected S |")
    print("|---|--:|--:|--:|")
    for shape in SHAPES:
        times = [
            matching_time(*shape, fused, expected) for fused, expected in ((False, False), (True, False), (True, True))
        ]
        print(f"| {' × '.join(map(str, shape))} | " + " | ".join(f"{value:.1f}" for value in times) + " |", flush=True)


def print_variants() -> None:
    print("\n| variant | million parameters | GFLOP per frame | ms per step | of a ResNet-101 pass |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        scale = yardstick("onnx", Path(name), 9)
        for title, (base, changes) in VARIANTS.items():
            config = load_config(base).changed(**changes)
            costs = cost(config, 1).record()
            torch.manual_seed(0)
            for stage, model in graphs(fold_batch_norm(Network(config, pretrained=False))).items():
                onnx.save_model(model, str(Path(name) / f"{stage}.onnx"))
            seconds, _ = step_seconds(OnnxRunner(name), 1, 9)
            parameters = costs["parameters"]["total"] / 1e6
            print(
                f"| {title} | {parameters:.2f} | {costs['gflop']['total']:.1f} "
                f"| {1e3 * seconds:.0f} | {seconds / scale:.2f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("matching", "variants"))
    options = parser.parse_args()
    if options.only != "variants":
        print_matching()
    if options.only != "matching":
        print_variants()


if __name__ == "__main__":
    main()
