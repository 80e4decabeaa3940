"""Stage 2 of TCVC (Zhang et al. 2023), the network of the authors of the paper that kinemacolor implements.

As ``stage2/inference_colorvid.py`` runs it: blocks of three frames with the reference before them, the linkage subnet's
memory handed from block to block, temperature 1e-10.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contract import PeerJob, at_least, padded, to_lab, to_rgb, without_cuda, without_plots

TCVC_BLOCK = 3
TCVC_MULTIPLE = 8
TCVC_TEMPERATURE = 1e-10
TCVC_OPTIONS = {
    "backbone": "resnet101", "lr_backbone": 0, "masks": False, "dilation": False, "position_embedding": "sine",
    "enc_layers": 4, "dec_layers": 6, "dim_feedforward": 2048, "hidden_dim": 384, "dropout": 0.1, "nheads": 8,
    "pre_norm": False, "nhead_warp": 2, "num_frames": TCVC_BLOCK + 1,
}  # fmt: skip
"""The defaults of its command line."""


def main() -> None:
    """Colors the job's frames."""
    job = PeerJob()
    if job.device == "cpu":
        without_cuda()
    sys.path.insert(0, str(Path.cwd() / "stage2"))
    prepare_libraries()
    encoder, decoder, storage = networks(job)
    utilities = importlib.import_module("util.util_vec")
    reference = tensor(job.references[0], job.device)
    reference_rgb = utilities.tensor_lab2rgb(
        torch.cat([utilities.uncenter_l(reference[:, :1]), reference[:, 1:]], dim=1)
    )
    memory: Any = None
    height, width = job.references[0].shape[:2]
    with torch.no_grad():
        for start in range(0, len(job.frames), TCVC_BLOCK):
            indices = range(start, min(start + TCVC_BLOCK, len(job.frames)))
            frames = torch.cat([tensor(job.load(index), job.device) for index in indices])
            lightness = torch.cat([reference, frames])[:, :1]
            images = torch.cat([reference_rgb, utilities.gray2rgb_batch(frames[:, :1])])
            encoder.num_frames = encoder.backbone[1].frames = len(images)
            with job.timing():
                features, hidden, taps, positions = encoder(images) if memory is None else encoder(images, memory)
                ab, _, _ = decoder(
                    features, hidden, reference[:, 1:].unsqueeze(0), taps, lightness.unsqueeze(0), pos=positions,
                    temperature_warp=TCVC_TEMPERATURE,
                )  # fmt: skip
                memory = hidden if memory is None else storage(memory, hidden)
            for position, index in enumerate(indices, 1):
                chroma = ab[0, position, :, :height, :width].permute(1, 2, 0).cpu().numpy()
                job.save(index, to_rgb(np.dstack([to_lab(job.load(index))[..., :1], chroma])))
    job.finish()


def prepare_libraries() -> None:
    """Names that the code imports, never needs to color, and that later versions of the libraries have dropped; and
    ResNet-101 without a download, since its weights are in the checkpoint."""
    without_plots("matplotlib", "matplotlib.pyplot")
    measure = importlib.import_module("skimage.measure")
    at_least(measure, "compare_ssim")
    metrics = types.ModuleType("skimage.measure.simple_metrics")
    metrics.compare_psnr = None  # type: ignore[attr-defined]
    sys.modules.setdefault("skimage.measure.simple_metrics", metrics)
    models: Any = importlib.import_module("torchvision.models")
    resnet101 = models.resnet101
    models.resnet101 = lambda pretrained=True, **options: resnet101(weights=None, **options)


def networks(job: PeerJob) -> tuple[Any, Any, Any]:
    """Encoder, decoder and storage, with their weights unless these are to be random."""
    encoder, decoder = importlib.import_module("models.vctran_colorvid").build_model(argparse.Namespace(**TCVC_OPTIONS))
    storage = importlib.import_module("models.transformer_inter").TransformerInternLayer(384, 384, 4)
    if not job.random:
        folder = Path("stage2/checkpoints")
        with torch.serialization.safe_globals([argparse.Namespace]):
            files = [f"checkpoint_{part}_finetune02010000.pth" for part in ("encoder", "decoder")]
            stored = [torch.load(folder / file, map_location="cpu", weights_only=True) for file in files]
        encoder.load_state_dict(stored[0]["model"])
        storage.load_state_dict(stored[0]["inter_save"])
        decoder.load_state_dict(stored[1]["model"])
    for network in (encoder, decoder, storage):
        network.to(job.device).eval()
    return encoder, decoder, storage


def tensor(rgb: Any, device: str) -> Any:
    """L* − 50, a*, b* (1, 3, H', W'), sides multiples of ``TCVC_MULTIPLE``."""
    lab = torch.from_numpy(to_lab(rgb)).permute(2, 0, 1)[None]
    lab[:, :1] -= 50
    return padded(lab, TCVC_MULTIPLE).to(device)


if __name__ == "__main__":
    main()
