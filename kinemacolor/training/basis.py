"""How the heads start: as principal directions of the feature network's taps on the training pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.color import still_lightness
from kinemacolor.model.network import Network
from kinemacolor.training.cache import Cache
from kinemacolor.training.data import look

PICTURES = 200
SPREAD = 5
"""Every so-manieth position of a picture is looked at, each way."""
COARSE = (0.5, 1.0, 1.25)
"""Weights of the taps at /4, /8 and /16 for the augmented head: it asks with the mean of a square of cells, in which
the finest tap says least."""


def principal_basis(network: Network, cache: Cache, size: tuple[int, int], seed: int = 0) -> Tensor:
    """What ``CorrespondenceSubnet.start_as`` takes: for each head the directions in which normalised taps vary most
    within a picture, for it is there that a match has to be told from others.

    Args:
        network: with ``tap_shortcut``.
        cache: clips to look at, a frame of each.
        size: (H, W) at which they are looked at.
        seed: of the choice.

    Returns:
        (taps' channels, heads · key channels); columns of the first head orthonormal.
    """
    subnet, config = network.correspondence, network.config
    noise = np.random.default_rng((seed, PICTURES))
    clips = [cache.clips[k] for k in noise.permutation(len(cache.clips))[:PICTURES]]
    device = next(network.parameters()).device
    channels = sum(subnet.tap_channels)
    scatter = torch.zeros(channels, channels, dtype=torch.float64)
    stride = config.stride
    height, width = (-(-side // stride) * stride for side in size)
    training = network.training
    network.eval()
    with torch.inference_mode():
        for clip in clips:
            picture = cache.frames(clip)[int(noise.integers(clip.frames))]
            fit = min(clip.height / height, clip.width / width)
            middle = ((clip.width - 1 - fit * (width - 1)) / 2, (clip.height - 1 - fit * (height - 1)) / 2)
            seen = look(picture, np.array([[fit, 0, middle[0]], [0, fit, middle[1]]]), (height, width))
            lightness = still_lightness(seen.astype(np.float32) / 255, "bt709")
            luminance = torch.from_numpy(lightness / 50 - 1).to(device)[None, None]
            taps = network.features(luminance)
            parts = [functional.normalize(tap, dim=1) for tap in (taps.low[1], *taps.high)]
            fine = parts[0].shape[2:]
            grown = [functional.interpolate(p, size=fine, mode="bilinear", align_corners=False) for p in parts]
            rows = torch.cat(grown, dim=1)[0, :, ::SPREAD, ::SPREAD].flatten(1).double().cpu()  # (channels, positions)
            centred = rows - rows.mean(dim=1, keepdim=True)
            scatter += centred @ centred.T / rows.shape[1]
    network.train(training)
    plain = torch.ones(channels, dtype=torch.float64)
    coarse = torch.cat(
        [torch.full((n,), w, dtype=torch.float64) for n, w in zip(subnet.tap_channels, COARSE, strict=True)]
    )
    heads = []
    for weight in (plain, coarse)[: config.heads]:
        values = torch.linalg.eigh(weight[:, None] * scatter * weight)
        directions = values.eigenvectors.flip(1)[:, : config.key_channels]
        directions = functional.pad(directions, (0, config.key_channels - directions.shape[1]))
        heads.append(weight[:, None] * directions)
    return torch.cat(heads, dim=1).float()
