"""How the heads start: as the directions of the feature network's taps that tell a match from other places best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.config import KEY_STRIDE
from kinemacolor.model.network import Network
from kinemacolor.training.config.augmentation import Augmentation
from kinemacolor.training.data.cache import Cache
from kinemacolor.training.data.windows import Windows
from kinemacolor.training.losses.losses import pooled_places

SAMPLES = 400
"""Windows that are looked at, of two frames and a reference each."""
SURE = 0.6
"""How sure a match has to be, to count."""
SPREAD = 2
"""Every so-manieth cell counts for the scatter of all places."""
RIDGE = 1e-3
"""Variance added to every direction, as a share of the mean one."""


def discriminant_basis(
    network: Network,
    cache: Cache,
    size: tuple[int, int],
    augmentation: Augmentation | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Tensor:
    """What ``CorrespondenceSubnet.start_as`` takes: Fisher's linear discriminant, with each thing seen in two pictures
    as a class of its own.

    Features of frames and of the places in the reference that flow and the views' known geometry match them with
    (``Sample.matches``: mirrored, turned and distant references too) differ by a scatter S_w; all places of a picture
    by S_t. Directions v_k with S_t v_k = λ_k S_w v_k, v_kᵀ S_w v_k = λ_k are taken in the order of λ: what changes from
    sight to sight of a thing counts little, what differs between things much. Unlike gradient descent it needs a minute
    and does not learn the training clips by heart.

    Args:
        network: with ``tap_shortcut``.
        cache: clips to look at.
        size: (H, W) at which they are looked at.
        augmentation: how windows are varied; references are mostly taken from far.
        weights: see ``Windows``.
        seed: of the choice.
        samples: how many windows.

    Returns:
        (taps' channels, heads · key channels).
    """
    config = network.config
    options = replace(augmentation or Augmentation(), far=0.8, other_view=0.35, foreign=0.0)
    length = 2 if any(not clip.photo and clip.frames > 1 for clip in cache.clips) else 1
    windows = Windows(cache, length, size, options, seed=seed, matches=True, weights=weights)
    strides = (1, config.augmented_stride // KEY_STRIDE)[: config.heads]
    channels = sum(network.correspondence.tap_channels)
    device = next(network.parameters()).device
    total = torch.zeros(channels, channels, dtype=torch.float64)
    within = [torch.zeros_like(total) for _ in strides]
    training = network.training
    network.eval()
    with torch.inference_mode():
        for index in range(samples):
            sample = windows.sample(index)
            assert sample.matches is not None
            seen = torch.from_numpy(sample.luminance).to(device)[None, :, None] / 50 - 1
            still = torch.from_numpy(sample.reference_luminance).to(device)[None, None, None] / 50 - 1
            frames, reference = (centered_taps(network, network.pad(x)[0]) for x in (seen, still))
            places = torch.from_numpy(sample.matches).to(device).movedim(3, 1)
            total += _scatter(frames[:, :, ::SPREAD, ::SPREAD].movedim(1, 3).flatten(0, 2))
            for part, stride in zip(within, strides, strict=True):
                part += _scatter(differences(frames, reference, places, stride) / 2**0.5)
    network.train(training)
    return torch.cat([_directions(part, total, config.key_channels) for part in within], dim=1).float()


def centered_taps(network: Network, luminance: Tensor) -> Tensor:
    """What heads see of pictures (n, 1, H', W'): taps of unit length, brought to /4, less their mean over each picture:
    (n, taps' channels, H'/4, W'/4)."""
    taps = network.features(luminance)
    parts = [functional.normalize(tap, dim=1) for tap in (taps.low[1], *taps.high)]
    fine = parts[0].shape[2:]
    grown = [functional.interpolate(part, size=fine, mode="bilinear", align_corners=False) for part in parts]
    features = torch.cat(grown, dim=1)
    return features - features.mean(dim=(2, 3), keepdim=True)


def differences(frames: Tensor, reference: Tensor, places: Tensor, stride: int) -> Tensor:
    """Between frames' features and the reference's, of sure matches.

    Args:
        frames: (T, C, h, w).
        reference: (1, C, h, w).
        places: (T, 3, rows, columns), (x, y) pixels in the reference and how sure that is; rows ≤ h, columns ≤ w.
        stride: cells of a side of the squares whose means ask.

    Returns:
        (n, C).
    """
    rows, columns = places.shape[2:]
    cells = torch.cat([(places[:, :2] - (KEY_STRIDE - 1) / 2) / KEY_STRIDE, places[:, 2:]], dim=1)
    asked, wanted = frames[:, :, :rows, :columns], cells
    if stride > 1:
        asked, wanted = functional.avg_pool2d(asked, stride), pooled_places(cells[None], stride)[0]
    size = torch.tensor([reference.shape[3] - 1, reference.shape[2] - 1], dtype=cells.dtype, device=cells.device)
    grid = wanted[:, :2].movedim(1, 3) * (2 / size.clamp(min=1)) - 1
    known = functional.grid_sample(
        reference.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=True
    )
    return (asked - known).movedim(1, 3)[wanted[:, 2] > SURE]


def _scatter(rows: Tensor) -> Tensor:
    """(n, C) → (C, C), the mean of their outer products; 0 of none."""
    rows = rows.double().cpu()
    return rows.T @ rows / max(len(rows), 1)


def _directions(within: Tensor, total: Tensor, count: int) -> Tensor:
    """(C, count): solutions of S_t v = λ S_w v with the largest λ, lengths in S_w as √λ, keys of length 1 on average;
    0 beyond C."""
    ridge = RIDGE * within.diagonal().mean().clamp_min(torch.finfo(within.dtype).tiny)
    spread = torch.linalg.eigh(within + ridge * torch.eye(len(within), dtype=within.dtype))
    whiten = spread.eigenvectors / spread.eigenvalues.sqrt()
    found = torch.linalg.eigh(whiten.T @ total @ whiten)
    values, order = found.eigenvalues.clamp_min(0).sort(descending=True)
    directions = (whiten @ found.eigenvectors[:, order] * values.sqrt())[:, :count]
    length = (directions.T @ total @ directions).diagonal().sum().sqrt().clamp_min(1e-12)
    return functional.pad(directions / length, (0, count - directions.shape[1]))
