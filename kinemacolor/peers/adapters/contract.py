"""What adapters share: the job they are given, and how they answer. It imports nothing but numpy and torch.

An adapter is run as ``python ADAPTER.py JOB.json`` in a checkout of the peer. JOB.json holds

- ``frames``: paths of the gray frames, uint8 (H, W, 3) as .npy, in order;
- ``references``: paths of the references, uint8 (H, W, 3) as .npy, and ``reference_frames``: the number of the frame
  that each shows, or null;
- ``output``: folder for the results: 00000.npy, 00001.npy …, R'G'B' (H, W, 3), uint8, or float in [0, 1];
- ``device``: ``cpu`` or ``cuda``; ``random``: whether weights are random, which tests the adapter alone;
- ``options``: of the peer's record.

It may write ``seconds.json`` into the folder: a number, the seconds of the network alone. What an adapter needs to run
without CUDA it does itself, never by editing the checkout.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class PeerJob:
    """A job, read from the file that the command line names."""

    def __init__(self) -> None:
        fields = json.loads(Path(sys.argv[1]).read_text())
        self.frames = [Path(path) for path in fields["frames"]]
        self.references = [np.load(path) for path in fields["references"]]
        self.reference_frames = fields["reference_frames"]
        self.output = Path(fields["output"])
        self.device: str = fields["device"]
        self.random: bool = fields["random"]
        self.options: dict[str, str] = fields["options"]
        self.seconds = 0.0
        sys.path.insert(0, str(Path.cwd()))

    def load(self, index: int) -> Any:
        """Gray frame ``index`` (H, W, 3) uint8."""
        return np.load(self.frames[index])

    def save(self, index: int, rgb: Any) -> None:
        """Writes the result of a frame: (H, W, 3), uint8, or float in [0, 1]."""
        np.save(self.output / f"{index:05d}.npy", np.asarray(rgb))

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Counts the time in the block as the network's."""
        start = time.perf_counter()
        yield
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - start

    def finish(self) -> None:
        """Tells the network's seconds."""
        (self.output / "seconds.json").write_text(json.dumps(self.seconds))


def without_cuda() -> None:
    """Makes ``.cuda()`` and ``device="cuda"`` mean the CPU, for code that asks for CUDA whatever the machine has."""
    import torch

    def stay(self: Any, *_: Any, **__: Any) -> Any:
        return self

    torch.Tensor.cuda = stay  # type: ignore[method-assign]
    torch.nn.Module.cuda = stay  # type: ignore[method-assign]
    torch.cuda.empty_cache = lambda: None
    plain_device = torch.device

    def on_cpu(maker: Callable[..., Any]) -> Callable[..., Any]:
        def make(*arguments: Any, **named: Any) -> Any:
            if str(named.get("device", "")).startswith("cuda"):
                named["device"] = plain_device("cpu")
            return maker(*arguments, **named)

        return make

    for name in ("zeros", "ones", "empty", "full", "arange", "tensor", "linspace", "rand", "randn"):
        setattr(torch, name, on_cpu(getattr(torch, name)))


def without_weights() -> None:
    """Makes reading weights do nothing, for networks that read some when they are made: all stay random."""
    import torch

    def nothing(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    torch.load = nothing
    torch.nn.Module.load_state_dict = nothing  # type: ignore[method-assign]


def without_plots(*names: str) -> None:
    """Puts empty modules in place of those that a peer imports and never needs to color, where they are missing."""
    import importlib.machinery
    import importlib.util
    import types

    absent = [name for name in names if importlib.util.find_spec(name.split(".")[0]) is None]
    for name in absent:
        module = sys.modules[name] = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []


def at_least(version_of: Any, name: str) -> None:
    """Gives a module a name that later versions of it have dropped, where the peer imports it and never calls it."""
    if not hasattr(version_of, name):
        setattr(version_of, name, None)


def padded(image: Any, multiple: int) -> Any:
    """(…, H, W) with sides that are multiples, the right and the bottom edge repeated."""
    import torch

    right, below = -image.shape[-1] % multiple, -image.shape[-2] % multiple
    return torch.nn.functional.pad(image, (0, right, 0, below), mode="replicate")


def to_lab(rgb: Any) -> Any:
    """CIE L*a*b* (H, W, 3) float32 of R'G'B' (H, W, 3) uint8 (sRGB, D65)."""
    coded = np.asarray(rgb, np.float64) / 255
    linear = np.where(coded > 0.04045, ((coded + 0.055) / 1.055) ** 2.4, coded / 12.92)
    ratios = linear @ (_TO_XYZ / _TO_XYZ.sum(axis=1, keepdims=True)).T
    roots = np.where(ratios > _DELTA**3, np.cbrt(ratios), ratios / (3 * _DELTA**2) + 4 / 29)
    x, y, z = np.moveaxis(roots, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)


def to_rgb(lab: Any) -> Any:
    """R'G'B' (H, W, 3) float32 in [0, 1] of CIE L*a*b* (H, W, 3)."""
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float64), -1, 0)
    middle = (lightness + 16) / 116
    roots = np.stack([middle + a / 500, middle, middle - b / 200], axis=-1)
    ratios = np.where(roots > _DELTA, roots**3, 3 * _DELTA**2 * (roots - 4 / 29))
    linear = (ratios * _TO_XYZ.sum(axis=1)) @ np.linalg.inv(_TO_XYZ).T
    bent = np.where(linear > 0.0031308, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)
    return np.clip(bent, 0, 1).astype(np.float32)


_DELTA = 6 / 29
_TO_XYZ = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)
