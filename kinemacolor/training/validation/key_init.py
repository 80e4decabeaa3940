"""Initialization of the keys: those directions of the feature network's taps that separate matches best."""

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
from kinemacolor.training.data.windows import WindowSampler
from kinemacolor.training.losses.losses import pooled_targets

KEY_INIT_WINDOWS = 400
"""Windows that are used, of two frames and a reference each."""
RIDGE = 1e-3
"""Variance added to every direction, as a share of the mean one."""
_MINIMUM_CERTAINTY = 0.6
"""Certainty above which a match counts."""
_SCATTER_STRIDE = 2
"""One cell in every N, in rows and columns, counts for the scatter of all places."""


def discriminant_basis(
    network: Network,
    cache: Cache,
    size: tuple[int, int],
    augmentation: Augmentation | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    samples: int = KEY_INIT_WINDOWS,
) -> Tensor:
    """Fisher's linear discriminant with each place seen in two pictures as a class of its own, as
    ``CorrespondenceSubnet.start_from_basis`` takes it.

    Features of frames, and of the places in the reference with which flow and the known geometry of the views match
    them (``Sample.matches``: mirrored, rotated and distant references too), differ by a scatter S_w; all places of a
    picture by S_t. Directions v_k with S_t v_k = λ_k S_w v_k, v_kᵀ S_w v_k = λ_k are taken in the order of λ: features
    that vary between pictures of the same place count little, features that differ between places much. Unlike gradient
    descent it takes a minute and does not memorize the training clips.

    Args:
        network: with ``tap_shortcut``.
        cache: clips from which windows are drawn.
        size: (H, W) of the windows.
        augmentation: how windows are varied; references are mostly distant.
        weights: see ``WindowSampler``.
        seed: of the draws.
        samples: number of windows.

    Returns:
        (taps' channels, heads · key channels).
    """
    config = network.config
    options = replace(augmentation or Augmentation(), far=0.8, other_view=0.35, foreign=0.0)
    length = 2 if any(not clip.photo and clip.frames > 1 for clip in cache.clips) else 1
    windows = WindowSampler(cache, length, size, options, seed=seed, matches=True, weights=weights)
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
            luminance = torch.from_numpy(sample.luminance).to(device)[None, :, None] / 50 - 1
            reference_luminance = torch.from_numpy(sample.reference_luminance).to(device)[None, None, None] / 50 - 1
            frames = centered_taps(network, network.pad(luminance)[0])
            reference = centered_taps(network, network.pad(reference_luminance)[0])
            places = torch.from_numpy(sample.matches).to(device).movedim(3, 1)
            total += _scatter(frames[:, :, ::_SCATTER_STRIDE, ::_SCATTER_STRIDE].movedim(1, 3).flatten(0, 2))
            for scatter, stride in zip(within, strides, strict=True):
                scatter += _scatter(match_differences(frames, reference, places, stride) / 2**0.5)
    network.train(training)
    return torch.cat([_directions(scatter, total, config.key_channels) for scatter in within], dim=1).float()


def centered_taps(network: Network, luminance: Tensor, *, learned_weight: bool = False) -> Tensor:
    """The features of pictures (n, 1, H', W') that the heads project: (n, taps' channels, H'/4, W'/4).

    Taps, and descriptors where there are any, are normalized to unit length, enlarged to stride 4, and centered over
    each picture.

    Args:
        network: with ``tap_shortcut``.
        luminance: in [-1, 1].
        learned_weight: whether descriptors have the length that they learned, instead of 1.
    """
    parts = [functional.normalize(tap, dim=1) for tap in network.taps(luminance).of_heads]
    if learned_weight and network.config.descriptor_channels:
        parts[-1] = network.descriptors.weight * parts[-1]
    fine = parts[0].shape[2:]
    enlarged = [functional.interpolate(part, size=fine, mode="bilinear", align_corners=False) for part in parts]
    features = torch.cat(enlarged, dim=1)
    return features - features.mean(dim=(2, 3), keepdim=True)


def match_differences(frames: Tensor, reference: Tensor, places: Tensor, stride: int) -> Tensor:
    """Differences of frames' features and the reference's, for certain matches.

    Args:
        frames: (T, C, h, w).
        reference: (1, C, h, w).
        places: (T, 3, rows, columns), (x, y) pixels in the reference and the certainty; rows ≤ h, columns ≤ w.
        stride: side of the squares of cells over whose means features are compared.

    Returns:
        (n, C).
    """
    rows, columns = places.shape[2:]
    targets = torch.cat([(places[:, :2] - (KEY_STRIDE - 1) / 2) / KEY_STRIDE, places[:, 2:]], dim=1)
    queries = frames[:, :, :rows, :columns]
    if stride > 1:
        queries, targets = functional.avg_pool2d(queries, stride), pooled_targets(targets[None], stride)[0]
    size = torch.tensor([reference.shape[3] - 1, reference.shape[2] - 1], dtype=targets.dtype, device=targets.device)
    grid = targets[:, :2].movedim(1, 3) * (2 / size.clamp(min=1)) - 1
    matched = functional.grid_sample(
        reference.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=True
    )
    return (queries - matched).movedim(1, 3)[targets[:, 2] > _MINIMUM_CERTAINTY]


def _scatter(rows: Tensor) -> Tensor:
    """(n, C) → (C, C), the mean of their outer products; 0 of none."""
    rows = rows.double().cpu()
    return rows.T @ rows / max(len(rows), 1)


def _directions(within: Tensor, total: Tensor, count: int) -> Tensor:
    """(C, count): solutions of S_t v = λ S_w v with the largest λ, of length √λ in S_w; 0 beyond C.

    Keys then have length 1 on average.
    """
    ridge = RIDGE * within.diagonal().mean().clamp_min(torch.finfo(within.dtype).tiny)
    spread = torch.linalg.eigh(within + ridge * torch.eye(len(within), dtype=within.dtype))
    whiten = spread.eigenvectors / spread.eigenvalues.sqrt()
    solutions = torch.linalg.eigh(whiten.T @ total @ whiten)
    values, order = solutions.eigenvalues.clamp_min(0).sort(descending=True)
    directions = (whiten @ solutions.eigenvectors[:, order] * values.sqrt())[:, :count]
    length = (directions.T @ total @ directions).diagonal().sum().sqrt().clamp_min(1e-12)
    return functional.pad(directions / length, (0, count - directions.shape[1]))
