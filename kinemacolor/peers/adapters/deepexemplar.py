"""DeepExemplar (Zhang et al., CVPR 2019), as ``test.py`` of its repository runs it: frame after frame.

The network sees frames at their own size, as it sees half of a larger ``image_size`` there; chroma is multiplied by
1.25 and smoothed along edges by OpenCV's fast global smoother.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from contract import PeerJob, padded, to_lab, to_rgb, without_cuda, without_plots, without_weights

VGG_LAYERS = ["r12", "r22", "r32", "r42", "r52"]
CHROMA_FACTOR = 1.25
SMOOTHNESS, EDGE_SIGMA = 500, 4
EXEMPLAR_MULTIPLE = 32


def main() -> None:
    """Colors the job's frames."""
    job = PeerJob()
    if job.device == "cpu":
        without_cuda()
    if job.random:
        without_weights()
    without_plots("matplotlib", "matplotlib.pyplot")
    nonlocal_net, color_net, vgg = networks(job)
    color = importlib.import_module("models.FrameColor").frame_colorization
    utilities = importlib.import_module("utils.util")
    reference = tensor(job.references[0], job.device)
    size = job.references[0].shape[:2]
    with torch.no_grad():
        lab = torch.cat((utilities.uncenter_l(reference[:, :1]), reference[:, 1:]), dim=1)
        features = vgg(utilities.tensor_lab2rgb(lab), VGG_LAYERS, preprocess=True)
        previous = torch.zeros_like(reference)
        for index in range(len(job.frames)):
            gray = job.load(index)
            frame = tensor(gray, job.device)
            with job.timing():
                ab, _, _ = color(
                    frame, reference, previous, features, vgg, nonlocal_net, color_net,
                    joint_training=False, feature_noise=0, temperature=1e-10,
                )  # fmt: skip
            previous = torch.cat((frame[:, :1], ab), dim=1)
            chroma = CHROMA_FACTOR * ab[0, :, : size[0], : size[1]].permute(1, 2, 0).cpu().numpy()
            job.save(index, to_rgb(np.dstack([to_lab(gray)[..., :1], smoothed(chroma, gray, job.random)])))
    job.finish()


def networks(job: PeerJob) -> tuple[Any, Any, Any]:
    """The three networks, with their weights unless these are to be random."""
    models = importlib.import_module("models.NonlocalNet")
    networks = (models.WarpNet(1), importlib.import_module("models.ColorVidNet").ColorVidNet(7), models.VGG19_pytorch())
    files = ("checkpoints/video_moredata_l1/nonlocal_net_iter_76000.pth",
             "checkpoints/video_moredata_l1/colornet_iter_76000.pth", "data/vgg19_conv.pth")  # fmt: skip
    for network, file in zip(networks, files, strict=True):
        if not job.random:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        network.to(job.device).eval()
    return networks


def tensor(rgb: Any, device: str) -> Any:
    """L* − 50, a*, b* (1, 3, H', W'), sides multiples of ``EXEMPLAR_MULTIPLE``."""
    lab = torch.from_numpy(to_lab(rgb)).permute(2, 0, 1)[None]
    lab[:, :1] -= 50
    return padded(lab, EXEMPLAR_MULTIPLE).to(device)


def smoothed(chroma: Any, gray: Any, random: bool) -> Any:
    """a*, b* (H, W, 2) smoothed along the edges of the gray frame."""
    cv2 = importlib.import_module("cv2")
    if not hasattr(cv2, "ximgproc"):
        if random:  # a test of the adapter needs no filter
            return chroma
        raise RuntimeError("cv2.ximgproc is missing: install opencv-contrib-python-headless")
    guide = np.clip(to_lab(gray)[..., 0] * 2.55, 0, 255).astype(np.uint8)
    smoother = cv2.ximgproc.createFastGlobalSmootherFilter(guide, SMOOTHNESS, EDGE_SIGMA)
    return np.dstack([smoother.filter(np.ascontiguousarray(plane)) for plane in np.moveaxis(chroma, 2, 0)])


if __name__ == "__main__":
    main()
