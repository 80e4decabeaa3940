"""The loss from which descriptors are learned: the distance of two networks' matching distributions."""

from __future__ import annotations

import torch
from torch import Tensor

from kinemacolor.model.bank import entries

_LEAST_SUM = 1e-25  # far above the least number that float32 holds in full


def matching_divergence(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    tau: Tensor | float,
    teacher_tau: float,
    unlikelihood: Tensor | None = None,
) -> Tensor:
    """Kullback-Leibler divergence of the student's softmax of equation 2 from the teacher's, in both directions.

    It is the cross-entropy less the entropy of the teacher's distributions, which does not depend on the student: 0
    where both match alike. No pixel has to have a true match: distributions are dense and soft.

    Args:
        student: unit features of frames and of references (n, C, h, w).
        teacher: the same of the teacher; channels may differ.
        tau: temperature of the student.
        teacher_tau: temperature of the teacher.
        unlikelihood: (n, T, K), subtracted from the teacher's logits: what else tells that two cells do not match.

    Returns:
        Mean over all cells of all pictures, in nats.
    """
    logits = _similarity(*student) / tau
    with torch.no_grad():
        target = _similarity(*teacher) / teacher_tau
        if unlikelihood is not None:
            target = target - unlikelihood
        weights, target_norm = _matches(target)
        negative_entropy = (weights * target).sum() - target_norm
    # Σ p log q of a softmax is Σ p · logit − log of its sum: no table of log q has to be held for both directions.
    cross_entropy = _log_sums(logits) - (weights * logits).sum()
    return (negative_entropy + cross_entropy) / (2 * logits.shape[0] * logits.shape[1])


def color_unlikelihood(frame_colors: Tensor, reference_colors: Tensor, deviation: float) -> Tensor:
    """How improbable a match is that gives a cell another color than it truly has: |Δab|² / 2σ².

    Args:
        frame_colors, reference_colors: a*, b* of cells (n, 2, h, w), in Lab units.
        deviation: σ, in Lab units.

    Returns:
        (n, T, K), for ``matching_divergence``.
    """
    queries, keys = (entries(maps.unsqueeze(1)) for maps in (frame_colors, reference_colors))
    return torch.cdist(queries, keys).square() / (2 * deviation**2)


def _similarity(frames: Tensor, references: Tensor) -> Tensor:
    """Cosines (n, T, K) of cells, in full precision."""
    with torch.autocast(frames.device.type, enabled=False):
        queries, keys = (entries(maps.float().unsqueeze(1)) for maps in (frames, references))
        return queries @ keys.transpose(1, 2)


def _matches(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, T, K) → the sum of the softmax over K and of that over T, and the logarithms of their sums, summed."""
    highest = logits.amax()
    exponentials = (logits - highest).exp_()
    rows, columns = exponentials.sum(dim=2, keepdim=True), exponentials.sum(dim=1, keepdim=True)
    if not _vanish(rows, columns):
        logarithms = rows.log().sum() + columns.log().sum() + (rows.numel() + columns.numel()) * highest
        return exponentials.mul_(1 / rows + 1 / columns), logarithms
    return torch.softmax(logits, dim=2).add_(torch.softmax(logits, dim=1)), _log_sums(logits)


def _log_sums(logits: Tensor) -> Tensor:
    """Sum over T of log Σ_K exp and over K of log Σ_T exp, of logits (n, T, K)."""
    highest = logits.detach().amax()
    exponentials = (logits - highest).exp()
    rows, columns = exponentials.sum(dim=2), exponentials.sum(dim=1)
    if not _vanish(rows, columns):  # one table of exponentials serves both directions
        return rows.log().sum() + columns.log().sum() + (rows.numel() + columns.numel()) * highest
    return torch.logsumexp(logits, dim=2).sum() + torch.logsumexp(logits, dim=1).sum()


def _vanish(*sums: Tensor) -> bool:
    """Whether sums of exponentials are too small for float32."""
    return min(float(part.detach().amin()) for part in sums) < _LEAST_SUM
