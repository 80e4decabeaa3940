"""The loss from which descriptors are learned: the distance of two networks' matching distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kinemacolor.model.bank import entries


def matching_divergence(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], tau: Tensor | float, teacher_tau: float
) -> Tensor:
    """Kullback-Leibler divergence of the student's softmax of equation 2 from the teacher's, in both directions.

    It is the cross-entropy less the entropy of the teacher's distributions, which does not depend on the student: 0
    where both match alike. No pixel has to have a true match: distributions are dense and soft.

    Args:
        student: unit features of frames and of references (n, C, h, w).
        teacher: the same of the teacher; channels may differ.
        tau: temperature of the student.
        teacher_tau: temperature of the teacher.

    Returns:
        Mean over all cells of all pictures, in nats.
    """
    similarity, target = (_similarity(*pair) for pair in (student, teacher))
    similarity, target = similarity / tau, target / teacher_tau
    divergences = []
    for axis in (1, 2):
        wanted = torch.log_softmax(target, dim=axis)
        matched = torch.log_softmax(similarity, dim=axis)
        divergences.append(functional.kl_div(matched, wanted, reduction="sum", log_target=True))
    return torch.stack(divergences).sum() / (2 * similarity.shape[0] * similarity.shape[1])


def _similarity(frames: Tensor, references: Tensor) -> Tensor:
    """Cosines (n, T, K) of cells, in full precision."""
    with torch.autocast(frames.device.type, enabled=False):
        queries, keys = (entries(maps.float().unsqueeze(1)) for maps in (frames, references))
        return queries @ keys.transpose(1, 2)
