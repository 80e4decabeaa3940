"""DeepRemaster (Iizuka and Simo-Serra, SIGGRAPH Asia 2019), as ``remaster.py`` of its repository runs it.

Blocks of five frames; references at a short side of 256. With the option ``restore`` = ``no`` the restoration network
is left out, which is the row DeepRemaster* of tables: the colorization network gets the frames as they are.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from contract import PeerJob, padded, to_rgb

REMASTER_BLOCK = 5
REMASTER_MULTIPLE = 16
REFERENCE_SIDE = 256


def main() -> None:
    """Colors the job's frames."""
    job = PeerJob()
    module = importlib.import_module("model.remasternet")
    restoration, colorization = module.NetworkR(), module.NetworkC()
    if not job.random:
        weights = torch.load("model/remasternet.pth.tar", map_location="cpu", weights_only=True)
        restoration.load_state_dict(weights["modelR"])
        colorization.load_state_dict(weights["modelC"])
    for network in (restoration, colorization):
        network.to(job.device).eval()
    references = torch.cat([reference(picture) for picture in job.references])[None].to(job.device)
    count, (height, width) = len(job.frames), job.load(0).shape[:2]
    with torch.no_grad():
        for start in range(0, count, REMASTER_BLOCK):
            indices = range(start, min(start + REMASTER_BLOCK, count))
            gray = np.stack([job.load(index)[..., 0] for index in indices])
            block = padded(torch.from_numpy(gray).float()[None] / 255, REMASTER_MULTIPLE)[None].to(job.device)
            with job.timing():
                lightness = restoration(block) if job.options["restore"] == "yes" else block
                ab = colorization(lightness, references)
            lab = torch.cat([lightness, ab], dim=1)[0, :, :, :height, :width].cpu()
            for position, index in enumerate(indices):
                job.save(index, picture_of(lab[:, position].permute(1, 2, 0).numpy()))
    job.finish()


def reference(rgb: Any) -> Any:
    """(1, 3, h, w) in [0, 1] with a short side of 256, both sides multiples of 16."""
    height, width = rgb.shape[:2]
    scale = REFERENCE_SIDE / min(height, width)
    cells = [max(1, round(side * scale / REMASTER_MULTIPLE)) for side in (height, width)]
    size = (cells[0] * REMASTER_MULTIPLE, cells[1] * REMASTER_MULTIPLE)
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.interpolate(image, size=size, mode="bicubic", antialias=True).clamp(0, 1)


def picture_of(lab: Any) -> Any:
    """R'G'B' of the network's numbers: L*/100, and (a* + 128) / 255 and so on, as ``convertLAB2RGB`` there."""
    ab = np.clip(255 * lab[..., 1:] - 128, -100, 100)
    return to_rgb(np.dstack([100 * lab[..., :1], ab]))


if __name__ == "__main__":
    main()
